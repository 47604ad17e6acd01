package pages

import "unsafe"

// Run is a number of pages that follow each other in the memory and, where an owner
// has them, in its file. Nobody has checked them.
type Run struct {
	Index uint64
	Count uint64
	First Page
	Owner Owner // nil: one page on the heap
}

// Runs calls yield for all pages that are not zero, in order, until it says false:
// for who maps them instead of reading them.
func (m Map) Runs(yield func(Run) bool) {
	if m.root != nil {
		runs(m.root, m.levels-1, 0, yield)
	}
}

func runs(n *node, level int, base uint64, yield func(Run) bool) bool {
	if level > 0 {
		for i, k := range n.below(level) {
			if k != nil && !runs(k, level-1, base<<fanoutBits|uint64(i), yield) {
				return false
			}
		}
		return true
	}
	b := n.lowest()
	for i := uint64(0); i < fanout; {
		p := b.pages[i]
		if p == nil {
			i++
			continue
		}
		r := Run{Index: base<<fanoutBits | i, Count: 1, First: p}
		if b.mapped>>i&1 != 0 {
			r.Owner = b.owner(p)
			for i+r.Count < fanout && b.mapped>>(i+r.Count)&1 != 0 && follows(p, b.pages[i+r.Count], r.Count) && r.Owner.Holds(b.pages[i+r.Count]) {
				r.Count++
			}
		}
		if !yield(r) {
			return false
		}
		i += r.Count
	}
	return true
}

// follows tells whether q lies n pages after p.
func follows(p, q Page, n uint64) bool {
	return uintptr(unsafe.Pointer(q))-uintptr(unsafe.Pointer(p)) == uintptr(n*Size)
}
