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

import (
	"crypto/sha256"
	"sort"
)

// Kind tells the five forms of a node; the numbers are those of the CBOR form.
type Kind uint8

// The kinds of node.
const (
	Empty Kind = iota
	Fork
	Labeled
	Leaf
	Pruned
)

// Tree is a node with all below it. A nil *Tree is the empty tree.
type Tree struct {
	kind        Kind
	digest      [32]byte
	left, right *Tree  // Fork; Labeled keeps its subtree in left
	low         *Tree  // Fork: the smallest label of it that can be seen
	data        []byte // the label of Labeled, the content of Leaf
}

var emptyDigest = sha256.Sum256([]byte("\x11ic-hashtree-empty"))

// Kind of the node.
func (t *Tree) Kind() Kind {
	if t == nil {
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
	if t.Kind() != Fork {
		return nil, nil
	}
	return t.left, t.right
}

// Label and subtree of a labeled node.
func (t *Tree) Label() (label []byte, sub *Tree) {
	if t.Kind() != Labeled {
		return nil, nil
	}
	return t.data, t.left
}

// Data is the content of a leaf; nil for other kinds.
func (t *Tree) Data() []byte {
	if t.Kind() != Leaf {
		return nil
	}
	return t.data
}

// NewLeaf keeps data without copying it.
func NewLeaf(data []byte) *Tree {
	return &Tree{kind: Leaf, data: data, digest: hash("\x10ic-hashtree-leaf", data)}
}

// NewLabeled puts sub under a label.
func NewLabeled(label []byte, sub *Tree) *Tree {
	d := sub.Digest()
	return &Tree{kind: Labeled, data: label, left: sub, digest: hash("\x13ic-hashtree-labeled", label, d[:])}
}

// NewFork joins two trees; labels on the left are smaller than those on the right.
func NewFork(left, right *Tree) *Tree {
	l, r := left.Digest(), right.Digest()
	low := left.first()
	if low == nil {
		low = right.first()
	}
	return &Tree{kind: Fork, left: left, right: right, low: low, digest: hash("\x10ic-hashtree-fork", l[:], r[:])}
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

func hash(domain string, parts ...[]byte) (d [32]byte) {
	var room [192]byte // enough for all but leaves
	all := append(room[:0], domain...)
	for _, p := range parts {
		all = append(all, p...)
	}
	return sha256.Sum256(all)
}
