package trie

import "ashlar/replica/wire/hashtree"

// Seal computes what is missing of the digests that the map's nodes have in the
// certified tree: digest gives that of an entry's subtree.
func (m Map[V]) Seal(digest func(key string, v V) [32]byte) {
	if m.root != nil {
		m.root.seal(digest)
	}
}

func (n *node[V]) seal(digest func(string, V) [32]byte) *[32]byte {
	if n.sealed {
		return &n.known.digest
	}
	k := n.remember()
	if n.leaf() {
		k.digest = hashtree.DigestLabeled(n.key, digest(n.key, n.value))
	} else {
		k.digest = hashtree.DigestFork(n.kids[0].seal(digest), n.kids[1].seal(digest))
	}
	n.sealed = true
	return &k.digest
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
