package pages

import "ashlar/replica/state/merkle"

// Part is a node of a version as a store keeps it, beside what was in its place in
// the version that the store has.
type Part struct {
	Level    int
	Index    uint64 // among the nodes of its level
	old, now *node
}

// Parts calls yield for the nodes of m that are not those of old, upper ones first,
// until it says false. All that is new in m was summed. Of old it reads what is no
// more in m: a store may forget that afterwards, though somebody still reads old.
func (m Map) Parts(old Map, yield func(Part) bool) {
	a, b, levels := level(old, m)
	diff(a, b, levels-1, 0, func(a, b *node, level int, index uint64) bool {
		if level == 0 {
			a.contents()
		}
		if b != nil {
			b.total(level) // new where one map was raised to the height of the other
		}
		return yield(Part{level, index, a, b})
	})
}

// Root is where a store begins to read: the stripped root's level and sum. ok is
// false where all is zero. m was summed.
func (m Map) Root() (level int, sum merkle.Sum, ok bool) {
	if m.root == nil {
		return 0, sum, false
	}
	n, level := m.stripped()
	return level, n.sum, !n.empty
}

// Block is the part of the lowest level with this index, now and before the same.
func (m Map) Block(index uint64) Part {
	n := m.find(index, (*node).below)
	return Part{Index: index, old: n, now: n}
}

// Loaded is Block where it was read already; else it is Gone.
func (m Map) Loaded(index uint64) Part {
	n := m.find(index, func(n *node, _ int) *[fanout]*node {
		if kids := n.kids.Load(); kids != nil {
			return kids
		}
		return &noKids
	})
	if n != nil && n.block.Load() == nil {
		n = nil
	}
	return Part{Index: index, old: n, now: n}
}

// find a node of the lowest level by its index there.
func (m Map) find(index uint64, below func(n *node, level int) *[fanout]*node) *node {
	if m.levels == 0 || index>>(uint(m.levels-1)*fanoutBits) != 0 {
		return nil
	}
	n := m.root
	for l := m.levels - 1; l > 0 && n != nil; l-- {
		n = below(n, l)[index>>(uint(l-1)*fanoutBits)%fanout]
	}
	return n
}

// Gone tells that nothing is there.
func (p Part) Gone() bool { return p.now == nil || p.now.empty }

// Kids of an inner node.
func (p Part) Kids() []merkle.Edge {
	var edges []merkle.Edge
	for i, k := range p.now.below(p.Level) {
		if k == nil {
			continue
		}
		if sum := k.total(p.Level - 1); !k.empty {
			edges = append(edges, merkle.Edge{Slot: i, Sum: sum})
		}
	}
	return edges
}

// Slot is one page of a Part of the lowest level.
type Slot struct {
	Index uint64 // of the page
	Page  Page
	Sum   merkle.Sum
	Owner Owner // nil: it lies on the heap
	Kept  bool  // the old version has it, too
	Moved bool  // it lies on the heap, but the old version's in a file: Page and Owner are those
}

// Node is the same for two parts that are one node, of which two memories are made.
func (p Part) Node() any { return p.now }

// Slots are the pages of a node of the lowest level that are not zero.
func (p Part) Slots() (out []Slot) {
	if p.Gone() {
		return nil
	}
	x, y := p.old.contents(), p.now.lowest()
	for i := range uint64(fanout) {
		page := y.pages[i]
		if page == nil {
			continue
		}
		s := Slot{Index: p.Index<<fanoutBits | i, Page: page, Sum: y.sum(i), Kept: same(x, y, i)}
		switch bit := uint64(1) << i; {
		case y.mapped&bit != 0:
			s.Owner = y.owner(page)
		case s.Kept && x.mapped&bit != 0: // in a file by now
			s.Page, s.Moved = x.pages[i], true
			s.Owner = x.owner(s.Page)
		}
		out = append(out, s)
	}
	return out
}

// Settle puts pages in files in the place of those with the same content: place
// gives the one for a slot, or nil where it stays. A node that was not read yet has
// none to replace.
func (p Part) Settle(place func(s Slot) (Page, Owner)) {
	if p.now == nil || p.now.block.Load() == nil {
		return
	}
	var next *block
	for _, s := range p.Slots() {
		page, o := place(s)
		i := s.Index % fanout
		if page == nil || page == p.now.block.Load().pages[i] {
			continue
		}
		if next == nil {
			next = p.now.block.Load().copied()
		}
		next.set(i, page, o)
		next.checked.Or(1 << i) // the store has just written it
	}
	if next != nil {
		next.dropOwners()
		next.sums = append([]merkle.Sum(nil), next.sums...) // the file has the others: their room goes
		p.now.block.Store(next)
	}
}
