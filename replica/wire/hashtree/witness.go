package hashtree

import (
	"bytes"
	"slices"
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
	t = t.seen()
	if w.whole || t.Kind() == Empty || t.Kind() == Leaf {
		return t
	}
	return t.keep(t.labels(w))
}

// labels are the ones in t that a wish needs, in order.
func (t *Tree) labels(w *wish) []kept {
	out := make([]kept, 0, 2*len(w.below))
	var missing []nearness
	for _, k := range w.below {
		if n := t.near(k.label); n.exact != nil {
			out = append(out, k)
		} else {
			missing = append(missing, n)
		}
	}
	for _, n := range missing {
		for _, x := range []neighbour{n.before, n.after} {
			if !x.there {
				continue
			}
			if at, found := slices.BinarySearchFunc(out, x.label, kept.compare); !found {
				out = slices.Insert(out, at, kept{label: x.label})
			}
		}
	}
	return out
}

// keep what lies at labels that are in t. The digests stay, and are not made again.
func (t *Tree) keep(ks []kept) *Tree {
	if len(ks) == 0 {
		return NewPruned(t.Digest())
	}
	var from Far
	if t.kind == far {
		from, t = t.from, t.seen()
	}
	switch t.Kind() {
	case Labeled:
		below := NewPruned(t.left.Digest())
		if ks[0].below != nil {
			below = t.left.witness(ks[0].below)
		}
		return &Tree{kind: Labeled, digest: t.digest, data: t.data, left: below}
	case Fork:
		split := len(ks)
		if from != nil {
			split = sort.Search(len(ks), func(i int) bool { return from.Right(ks[i].label) })
		} else if first := t.right.first(); first.there {
			split, _ = slices.BinarySearchFunc(ks, first.label, kept.compare)
		}
		return &Tree{kind: Fork, digest: t.digest, left: t.left.keep(ks[:split]), right: t.right.keep(ks[split:])}
	}
	return t
}
