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
func (f far[V]) Find(label []byte) (found bool, before, after hashtree.Neighbour) {
	key := string(label)
	some := f.n.toward(key)
	if some.key == key {
		return true, before, after
	}
	at := critical(some.key, key)
	n := f.n
	for !n.leaf() && n.bit < at { // what leaves the way on either side is smaller or larger
		side := bitAt(key, n.bit)
		if side == 0 {
			after = n.kids[1].end(0)
		} else {
			before = n.kids[0].end(1)
		}
		n = n.kids[side]
	}
	if bitAt(key, at) == 0 {
		after = n.end(0)
	} else {
		before = n.end(1)
	}
	return false, before, after
}

// At implements hashtree.Far.
func (f far[V]) At(label []byte) *hashtree.Tree {
	return far[V]{f.n.toward(string(label)), f.entry}.Near()
}

// end is the smallest or the largest key below n.
func (n *node[V]) end(side int) hashtree.Neighbour {
	for !n.leaf() {
		n = n.kids[side]
	}
	return hashtree.Neighbour{Label: []byte(n.key), There: true}
}

// Keep implements hashtree.Far.
func (f far[V]) Keep(labels [][]byte, below func(i int, sub *hashtree.Tree) *hashtree.Tree) *hashtree.Tree {
	return f.keep(f.n, labels, 0, below)
}

func (f far[V]) keep(n *node[V], labels [][]byte, from int, below func(i int, sub *hashtree.Tree) *hashtree.Tree) *hashtree.Tree {
	switch {
	case len(labels) == 0:
		return hashtree.NewPruned(n.known.digest)
	case n.leaf():
		return hashtree.NewLabeledOf(n.known.digest, []byte(n.key), below(from, f.entry(n.key, n.value)))
	}
	split := 0
	for split < len(labels) && bitAt(labels[split], n.bit) == 0 {
		split++
	}
	left := f.keep(n.kids[0], labels[:split], from, below)
	return hashtree.NewForkOf(n.known.digest, left, f.keep(n.kids[1], labels[split:], from+split, below))
}
