package trie

import "ashlar/replica/state/merkle"

// Sum is the root of the map in the full-state tree, computed where it is not
// remembered: value gives the sum of what stands at a key. ok is false for an
// empty map.
func (m Map[V]) Sum(value func(key string, v V) merkle.Sum) (sum merkle.Sum, ok bool) {
	if m.root == nil {
		return sum, false
	}
	return *m.root.total(value), true
}

func (n *node[V]) total(value func(string, V) merkle.Sum) *merkle.Sum {
	if n.summed {
		return &n.known.sum
	}
	k := n.remember()
	if n.leaf() {
		k.sum = leafSum(n.key, value(n.key, n.value))
	} else {
		k.sum = merkle.SumFork(n.kids[0].total(value), n.kids[1].total(value))
	}
	n.summed = true
	return &k.sum
}

func leafSum(key string, value merkle.Sum) merkle.Sum {
	return merkle.SumDir([]merkle.Edge{{Label: key, Sum: value}})
}

// Merkle is the map as nodes of the full-state tree, after Sum; nil for an empty
// map. value makes the node of what stands at a key.
func (m Map[V]) Merkle(value func(key string, v V) merkle.Node) merkle.Node {
	if m.root == nil {
		return nil
	}
	return walk[V]{m.root, value}
}

// walk shows a node of the map: a Dir with two kids without labels, or with one
// that has the key as its label.
type walk[V any] struct {
	n     *node[V]
	value func(string, V) merkle.Node
}

func (w walk[V]) Kind() merkle.Kind { return merkle.Dir }
func (w walk[V]) Sum() merkle.Sum   { return w.n.known.sum }
func (w walk[V]) Level() int        { return 0 }
func (w walk[V]) Content() []byte   { return nil }
func (w walk[V]) Kids() []merkle.Kid {
	if w.n.leaf() {
		return []merkle.Kid{{Label: w.n.key, Node: w.value(w.n.key, w.n.value)}}
	}
	return []merkle.Kid{{Node: walk[V]{w.n.kids[0], w.value}}, {Node: walk[V]{w.n.kids[1], w.value}}}
}
