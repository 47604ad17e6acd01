package trie

import (
	"ashlar/replica/state/merkle"
	"ashlar/replica/wire/hashtree"
)

// Seal computes what is missing of the sums that Sum tells and, on the same way, of the
// digests that the map's nodes have in the certified tree: entry gives both for what
// stands at a key.
func (m Map[V]) Seal(entry func(key string, v V) (sum merkle.Sum, digest [32]byte)) (sum merkle.Sum, ok bool) {
	if m.root == nil {
		return sum, false
	}
	return m.root.seal(entry).sum, true
}

func (n *node[V]) seal(entry func(string, V) (merkle.Sum, [32]byte)) *known {
	if n.sealed && n.summed {
		return n.known
	}
	k := n.remember()
	if n.leaf() {
		sum, digest := entry(n.key, n.value)
		k.sum, k.digest = leafSum(n.key, sum), hashtree.DigestLabeled(n.key, digest)
	} else {
		left, right := n.kids[0].seal(entry), n.kids[1].seal(entry)
		k.sum, k.digest = merkle.SumFork(&left.sum, &right.sum), hashtree.DigestFork(&left.digest, &right.digest)
	}
	n.sealed, n.summed = true, true
	return k
}

// Tree shows the sealed map as a part of the certified tree: entry gives an entry's
// subtree.
func (m Map[V]) Tree(entry func(key string, v V) *hashtree.Tree) *hashtree.Tree {
	if m.root == nil {
		return nil
	}
	return hashtree.NewFar(far[V]{m.root, entry})
}

// far is a node that becomes one of the tree when somebody looks at it: few do.
type far[V any] struct {
	n     *node[V]
	entry func(string, V) *hashtree.Tree
}

// Digest implements hashtree.Far.
func (f far[V]) Digest() [32]byte { return f.n.known.digest }

// First implements hashtree.Far.
func (f far[V]) First() []byte {
	n := f.n
	for !n.leaf() {
		n = n.kids[0]
	}
	return []byte(n.key)
}

// Near implements hashtree.Far.
func (f far[V]) Near() *hashtree.Tree {
	if f.n.leaf() {
		return hashtree.NewLabeled([]byte(f.n.key), f.entry(f.n.key, f.n.value))
	}
	return hashtree.NewFarFork(f.n.known.digest, far[V]{f.n.kids[0], f.entry}, far[V]{f.n.kids[1], f.entry})
}

// Find implements hashtree.Far.
func (f far[V]) Find(label []byte) *hashtree.Tree {
	n := f.n
	for !n.leaf() {
		n = n.kids[bitAt(label, n.bit)]
	}
	if n.key != string(label) {
		return nil
	}
	return far[V]{n, f.entry}.Near()
}

// Right implements hashtree.Far.
func (f far[V]) Right(label []byte) bool { return bitAt(label, f.n.bit) == 1 }
