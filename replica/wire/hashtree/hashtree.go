// Package hashtree is the labelled hash tree that certificates are made of.
//
//	       fork                 Digest() is the root that a subnet signs;
//	     /      \               Witness(paths) keeps what the paths show
//	"time"→     fork            and prunes the rest to their hashes.
//	 leaf      /    \
//	  "canister"→  "subnet"→
//
// Trees are immutable and share subtrees; every node knows its digest, so a
// tree that differs from another in one leaf costs one path to hash. The spec
// section is "Certification: certificate, lookup" (certification.md).
package hashtree

import "sort"

// Kind tells the five forms of a node; the numbers are those of the CBOR form.
type Kind uint8

// The kinds of node.
const (
	Empty Kind = iota
	Fork
	Labeled
	Leaf
	Pruned

	far // see Far
)

// Tree is a node with all below it. A nil *Tree is the empty tree.
type Tree struct {
	kind        Kind
	digest      [32]byte
	left, right *Tree  // Fork; Labeled keeps its subtree in left
	data        []byte // the label of Labeled, the content of Leaf
	from        Far    // of far
}

// Far has a part of a directory, with at least one label, that is made when somebody
// looks at it.
type Far interface {
	// Digest of what Near makes.
	Digest() [32]byte
	// First is the smallest label.
	First() []byte
	// Near makes the node on top, labeled or by NewFarFork.
	Near() *Tree
	// Find makes the labeled node of a label, nil if it has none.
	Find(label []byte) *Tree
	// Right tells on which side of the fork that Near makes a label lies, if it is there.
	Right(label []byte) bool
}

// NewFar is a tree that is not made yet. To walk it makes it each time.
func NewFar(from Far) *Tree { return &Tree{kind: far, digest: from.Digest(), from: from} }

// NewFarFork joins what is far, as NewFork does, with a digest that is known.
func NewFarFork(digest [32]byte, left, right Far) *Tree {
	made := new(struct{ fork, left, right Tree })
	made.left = Tree{kind: far, digest: left.Digest(), from: left}
	made.right = Tree{kind: far, digest: right.Digest(), from: right}
	made.fork = Tree{kind: Fork, digest: digest, left: &made.left, right: &made.right}
	return &made.fork
}

// seen is the node, made if it is far.
func (t *Tree) seen() *Tree {
	for t != nil && t.kind == far {
		t = t.from.Near()
	}
	return t
}

// Kind of the node.
func (t *Tree) Kind() Kind {
	if t = t.seen(); t == nil {
		return Empty
	}
	return t.kind
}

// Digest is the node's hash with the domain separators of the specification.
func (t *Tree) Digest() [32]byte {
	if t == nil || t.kind == Empty {
		return emptyDigest
	}
	return t.digest
}

// Children of a fork; nil for other kinds.
func (t *Tree) Children() (left, right *Tree) {
	if t = t.seen(); t.Kind() != Fork {
		return nil, nil
	}
	return t.left, t.right
}

// Label and subtree of a labeled node.
func (t *Tree) Label() (label []byte, sub *Tree) {
	if t = t.seen(); t.Kind() != Labeled {
		return nil, nil
	}
	return t.data, t.left
}

// Data is the content of a leaf; nil for other kinds.
func (t *Tree) Data() []byte {
	if t = t.seen(); t.Kind() != Leaf {
		return nil
	}
	return t.data
}

// NewLeaf keeps data without copying it.
func NewLeaf(data []byte) *Tree { return &Tree{kind: Leaf, data: data, digest: DigestLeaf(data)} }

// NewLabeled puts sub under a label.
func NewLabeled(label []byte, sub *Tree) *Tree {
	return &Tree{kind: Labeled, data: label, left: sub, digest: DigestLabeled(label, sub.Digest())}
}

// NewFork joins two trees; labels on the left are smaller than those on the right.
func NewFork(left, right *Tree) *Tree {
	l, r := left.Digest(), right.Digest()
	return &Tree{kind: Fork, left: left, right: right, digest: DigestFork(&l, &r)}
}

// NewPruned stands for a subtree of which only the hash is known.
func NewPruned(digest [32]byte) *Tree { return &Tree{kind: Pruned, digest: digest} }

// Entry is one label of a directory.
type Entry struct {
	Label string
	Tree  *Tree
}

// Dir builds a balanced tree of labels. It sorts entries in place; labels are
// distinct.
func Dir(entries []Entry) *Tree {
	sort.Slice(entries, func(i, j int) bool { return entries[i].Label < entries[j].Label })
	nodes := make([]*Tree, len(entries))
	for i, e := range entries {
		nodes[i] = NewLabeled([]byte(e.Label), e.Tree)
	}
	return Balanced(nodes)
}

// Balanced joins labeled nodes, already in order, by forks. A caller that keeps
// its labeled nodes from round to round saves hashing them again.
func Balanced(nodes []*Tree) *Tree {
	switch len(nodes) {
	case 0:
		return nil
	case 1:
		return nodes[0]
	}
	half := (len(nodes) + 1) / 2
	return NewFork(Balanced(nodes[:half]), Balanced(nodes[half:]))
}
