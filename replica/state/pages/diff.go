package pages

import "ashlar/replica/state/merkle"

// Diff calls yield for every page that differs between old and m, in order.
// Shared subtrees are skipped, so the cost is that of what changed.
func (m Map) Diff(old Map, yield func(index uint64, p Page) bool) {
	a, b, levels := level(old, m)
	diff(a, b, levels-1, 0, func(x, y *block, base uint64) bool {
		for i := range uint64(fanout) {
			if !same(x, y, i) && !yield(base|i, y.get(i)) {
				return false
			}
		}
		return true
	})
}

// Fresh calls yield for every page of m that is not that of old, with its sum,
// as far as Diff would: for who writes it down. Mapped pages come with their owner.
func (m Map) Fresh(old Map, yield func(index uint64, p Page, sum merkle.Sum, o Owner) bool) {
	a, b, levels := level(old, m)
	diff(a, b, levels-1, 0, func(x, y *block, base uint64) bool {
		for i := range uint64(fanout) {
			if same(x, y, i) {
				continue
			}
			p := y.pages[i]
			var sum merkle.Sum
			var o Owner
			if p != nil {
				sum = y.sum(i)
				if y.mapped>>i&1 != 0 {
					o = y.owner(p)
				}
			}
			if !yield(base|i, p, sum, o) {
				return false
			}
		}
		return true
	})
}

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
		up := &node{kids: new([fanout]*node)}
		up.kids[0] = n
		n = up
	}
	return n
}

var (
	noKids  [fanout]*node
	noBlock block
)

// diff calls visit for the pairs of blocks that differ in identity.
func diff(a, b *node, level int, base uint64, visit func(a, b *block, base uint64) bool) bool {
	if a == b {
		return true
	}
	if level == 0 {
		x, y := &noBlock, &noBlock
		if a != nil {
			x = a.block.Load()
		}
		if b != nil {
			y = b.block.Load()
		}
		return visit(x, y, base<<fanoutBits)
	}
	ka, kb := &noKids, &noKids
	if a != nil {
		ka = a.kids
	}
	if b != nil {
		kb = b.kids
	}
	for i := range fanout {
		if !diff(ka[i], kb[i], level-1, base<<fanoutBits|uint64(i), visit) {
			return false
		}
	}
	return true
}
