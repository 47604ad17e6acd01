package hashtree

import (
	"bytes"
	"slices"
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
	below []kept // in order
}

// kept is a label that stays, with the wish for what is below it; nil keeps
// the label alone.
type kept struct {
	label []byte
	below *wish
}

func (k kept) compare(label []byte) int { return bytes.Compare(k.label, label) }

func (w *wish) add(p Path) {
	for _, l := range p {
		if w.whole {
			return
		}
		at, found := slices.BinarySearchFunc(w.below, l, kept.compare)
		if !found {
			w.below = slices.Insert(w.below, at, kept{l, &wish{}})
		}
		w = w.below[at].below
	}
	w.whole, w.below = true, nil
}

func (t *Tree) witness(w *wish) *Tree {
	if w.whole || t == nil || t.kind == Empty || t.kind == Leaf {
		return t
	}
	return t.keep(t.labels(w))
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
	out := make([]kept, 0, 2*len(w.below))
	var beside []Neighbour
	for _, k := range w.below {
		if here, before, after := t.find(k.label); here {
			out = append(out, k)
		} else {
			beside = append(beside, before, after)
		}
	}
	for _, x := range beside {
		if !x.There {
			continue
		}
		if at, found := slices.BinarySearchFunc(out, x.Label, kept.compare); !found {
			out = slices.Insert(out, at, kept{label: x.Label})
		}
	}
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

// keep what lies at labels that are in t. The digests stay, and are not made again.
func (t *Tree) keep(ks []kept) *Tree {
	if len(ks) == 0 || t == nil {
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
		return NewLabeledOf(t.digest, t.data, ks[0].of(t.left))
	case Fork:
		split := len(ks)
		if first := t.right.first(); first.There {
			split, _ = slices.BinarySearchFunc(ks, first.Label, kept.compare)
		}
		return NewForkOf(t.digest, t.left.keep(ks[:split]), t.right.keep(ks[split:]))
	}
	return t
}
