package hashtree

import (
	"bytes"
	"sort"
)

// Witness keeps what lies at the paths, whole subtrees included, and prunes the
// rest to hashes; the digest stays. A path that is not in the tree is proved
// absent: the neighbours of the missing label keep their labels.
func (t *Tree) Witness(paths []Path) *Tree {
	w := &wish{}
	for _, p := range paths {
		w.add(p)
	}
	return t.witness(w)
}

// wish is a set of paths as a trie.
type wish struct {
	whole bool
	below map[string]*wish
}

func (w *wish) add(p Path) {
	for _, l := range p {
		if w.whole {
			return
		}
		if w.below == nil {
			w.below = map[string]*wish{}
		}
		next := w.below[string(l)]
		if next == nil {
			next = &wish{}
			w.below[string(l)] = next
		}
		w = next
	}
	w.whole, w.below = true, nil
}

func (t *Tree) witness(w *wish) *Tree {
	if w.whole || t == nil || t.kind == Empty || t.kind == Leaf {
		return t
	}
	return t.keep(t.labels(w))
}

// kept is a label that stays, with the wish for what is below it; nil keeps
// the label alone.
type kept struct {
	label []byte
	below *wish
}

// of is what stays of the subtree of the label.
func (k *kept) of(sub *Tree) *Tree {
	if k.below == nil {
		return NewPruned(sub.Digest())
	}
	return sub.witness(k.below)
}

// labels are the ones in t that a wish needs, in order.
func (t *Tree) labels(w *wish) []kept {
	found := map[string]*wish{}
	for l, below := range w.below {
		here, before, after := t.find([]byte(l))
		if here {
			found[l] = below
			continue
		}
		for _, x := range []Neighbour{before, after} {
			if x.There && found[string(x.Label)] == nil {
				found[string(x.Label)] = nil
			}
		}
	}
	out := make([]kept, 0, len(found))
	for l, below := range found {
		out = append(out, kept{[]byte(l), below})
	}
	sort.Slice(out, func(i, j int) bool { return bytes.Compare(out[i].label, out[j].label) < 0 })
	return out
}

// find tells whether a label is there, and where it is not, the labels beside.
func (t *Tree) find(label []byte) (found bool, before, after Neighbour) {
	if t.kind == far {
		return t.from.Find(label)
	}
	n := t.near(label)
	return n.exact != nil, n.before, n.after
}

func (t *Tree) keep(ks []kept) *Tree {
	if len(ks) == 0 {
		return NewPruned(t.Digest())
	}
	switch t.kind {
	case far:
		labels := make([][]byte, len(ks))
		for i := range ks {
			labels[i] = ks[i].label
		}
		return t.from.Keep(labels, func(i int, sub *Tree) *Tree { return ks[i].of(sub) })
	case Labeled:
		return NewLabeled(t.data, ks[0].of(t.left))
	case Fork:
		split := len(ks)
		if first := t.right.first(); first.There {
			split = sort.Search(len(ks), func(i int) bool { return bytes.Compare(ks[i].label, first.Label) >= 0 })
		}
		return NewFork(t.left.keep(ks[:split]), t.right.keep(ks[split:]))
	}
	return t
}
