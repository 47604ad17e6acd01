package pages

// Diff calls yield for every page that differs between old and m, in order.
// Shared subtrees are skipped, so the cost is that of what changed.
func (m Map) Diff(old Map, yield func(index uint64, p Page) bool) {
	a, b, levels := level(old, m)
	diff(a, b, levels-1, 0, func(a, b *node, level int, index uint64) bool {
		if level > 0 {
			return true
		}
		x, y := a.contents(), b.contents()
		for i := range uint64(fanout) {
			if !same(x, y, i) && !yield(index<<fanoutBits|i, y.get(i)) {
				return false
			}
		}
		return true
	})
}

// Changed tells whether m may have other pages than old, at once.
func (m Map) Changed(old Map) bool { return m.root != old.root }

// same tells whether two blocks have the same page in a slot: by address, or by
// sum, since Settle may have put one of two equal pages elsewhere.
func same(a, b *block, slot uint64) bool {
	p, q := a.pages[slot], b.pages[slot]
	if p == q {
		return true
	}
	if p == nil || q == nil || (a.mapped|a.known)>>slot&1 == 0 || (b.mapped|b.known)>>slot&1 == 0 {
		return false
	}
	return a.sum(slot) == b.sum(slot)
}

// level brings two maps to one height.
func level(old, m Map) (a, b *node, levels int) {
	levels = max(old.levels, m.levels)
	return old.raised(levels), m.raised(levels), levels
}

func (m Map) raised(levels int) *node {
	n := m.root
	for l := m.levels; l < levels; l++ {
		if n == nil {
			return nil
		}
		up := &node{}
		up.kids.Store(&[fanout]*node{n})
		n = up
	}
	return n
}

var (
	noKids  [fanout]*node
	noBlock block
)

// contents is a block to read, of a node that may be nil.
func (n *node) contents() *block {
	if n == nil {
		return &noBlock
	}
	return n.lowest()
}

// diff calls visit for the pairs of nodes that differ in identity, upper ones first.
// Where one side has nothing, all of the other side is visited.
func diff(a, b *node, level int, index uint64, visit func(a, b *node, level int, index uint64) bool) bool {
	if a == b {
		return true
	}
	if !visit(a, b, level, index) {
		return false
	}
	if level == 0 {
		return true
	}
	ka, kb := &noKids, &noKids
	if a != nil {
		ka = a.below(level)
	}
	if b != nil {
		kb = b.below(level)
	}
	for i := range fanout {
		if !diff(ka[i], kb[i], level-1, index<<fanoutBits|uint64(i), visit) {
			return false
		}
	}
	return true
}
