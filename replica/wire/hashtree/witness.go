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
	t = t.seen()
	if w.whole || t.Kind() == Empty || t.Kind() == Leaf {
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

// labels are the ones in t that a wish needs, in order.
func (t *Tree) labels(w *wish) []kept {
	found := map[string]*wish{}
	for l, below := range w.below {
		n := t.near([]byte(l))
		if n.exact != nil {
			found[l] = below
			continue
		}
		for _, x := range []neighbour{n.before, n.after} {
			if x.there && found[string(x.label)] == nil {
				found[string(x.label)] = nil
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

func (t *Tree) keep(ks []kept) *Tree {
	if len(ks) == 0 {
		return NewPruned(t.Digest())
	}
	switch t = t.seen(); t.Kind() {
	case Labeled:
		if ks[0].below == nil {
			return NewLabeled(t.data, NewPruned(t.left.Digest()))
		}
		return NewLabeled(t.data, t.left.witness(ks[0].below))
	case Fork:
		split := len(ks)
		if first := t.right.first(); first.there {
			split = sort.Search(len(ks), func(i int) bool { return bytes.Compare(ks[i].label, first.label) >= 0 })
		}
		return NewFork(t.left.keep(ks[:split]), t.right.keep(ks[split:]))
	}
	return t
}
