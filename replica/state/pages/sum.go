package pages

import (
	"math/bits"

	"ashlar/replica/state/merkle"
)

// hashers work at a time, and each takes a batch of so many blocks: a processor
// hashes one in 0.1 ms where its 64 pages are new.
const (
	hashers    = 4
	manyBlocks = 8
)

// Sum is the root of the memory's pages in the full-state tree; ok is false where
// all are zero. It hashes the pages that are new, which are counted, and must be
// called by the one who made the version, before others see it.
func (m Map) Sum() (sum merkle.Sum, hashed int, ok bool) {
	if m.root == nil {
		return sum, 0, false
	}
	var todo []*block
	m.root.unsummed(m.levels-1, &todo)
	hashed = hashAll(todo)
	n, level := m.stripped()
	if n.empty {
		return sum, hashed, false
	}
	return n.total(level), hashed, true
}

// unsummed lists the blocks below n that have pages without a sum.
func (n *node) unsummed(level int, todo *[]*block) {
	if n == nil || n.summed {
		return
	}
	if level == 0 {
		*todo = append(*todo, n.block.Load())
		return
	}
	for _, k := range n.kids.Load() {
		k.unsummed(level-1, todo)
	}
}

// hashAll is the same whoever hashes which block when.
func hashAll(todo []*block) (hashed int) {
	if len(todo) < manyBlocks {
		for _, b := range todo {
			hashed += b.hash()
		}
		return hashed
	}
	counts := make(chan int, hashers)
	for w := range hashers {
		go func() {
			n := 0
			for i := w; i < len(todo); i += hashers {
				n += todo[i].hash()
			}
			counts <- n
		}()
	}
	for range hashers {
		hashed += <-counts
	}
	return hashed
}

// hash computes the sums that are missing. A page of zeros becomes none, so that
// what is equal has equal sums however it came to be.
func (b *block) hash() (hashed int) {
	var sums []merkle.Sum
	at := 0
	for i := range fanout {
		bit := uint64(1) << i
		switch p := b.pages[i]; {
		case p == nil || b.mapped&bit != 0:
		case b.known&bit != 0:
			sums = append(sums, b.sums[at])
			at++
		case Zero(p):
			b.pages[i] = nil
		default:
			sums = append(sums, merkle.SumPage(p))
			b.known |= bit
			hashed++
		}
	}
	b.sums = sums
	return hashed
}

// sum of the page in a slot, which has one.
func (b *block) sum(slot uint64) merkle.Sum {
	bit := uint64(1) << slot
	if b.mapped&bit != 0 {
		p := b.pages[slot]
		return b.owner(p).Sum(p)
	}
	return b.sums[bits.OnesCount64(b.known&(bit-1))]
}

// total is the sum of a node below which all blocks are hashed.
func (n *node) total(level int) merkle.Sum {
	if !n.summed {
		n.sum, n.empty = n.compute(level)
		n.summed = true
	}
	return n.sum
}

func (n *node) compute(level int) (sum merkle.Sum, empty bool) {
	var s merkle.PagesSum
	if level == 0 {
		n.lowest().add(&s)
	} else {
		for i, k := range n.below(level) {
			if k == nil {
				continue
			}
			if sum := k.total(level - 1); !k.empty {
				s.Add(i, sum)
			}
		}
	}
	if s.Empty() {
		return sum, true
	}
	return s.Sum(level), false
}

func (b *block) add(s *merkle.PagesSum) {
	for i := range uint64(fanout) {
		if b.pages[i] != nil {
			s.Add(int(i), b.sum(i))
		}
	}
}

// stripped is the lowest node that has all pages below it: how far a memory once
// reached does not show.
func (m Map) stripped() (n *node, level int) {
	n, level = m.root, m.levels-1
	n.total(level)
	for level > 0 && !n.stripped {
		kids := n.below(level)
		only := kids[0]
		if only == nil || only.empty {
			break
		}
		for _, k := range kids[1:] {
			if k != nil && !k.empty {
				return n, level
			}
		}
		n, level = only, level-1
	}
	return n, level
}

// Merkle is the memory as nodes of the full-state tree, after Sum; nil where all is zero.
func (m Map) Merkle() merkle.Node {
	if m.root == nil {
		return nil
	}
	n, level := m.stripped()
	if n.empty {
		return nil
	}
	return walk{n, level}
}

type walk struct {
	n     *node
	level int
}

func (w walk) Kind() merkle.Kind { return merkle.Pages }
func (w walk) Sum() merkle.Sum   { return w.n.sum }
func (w walk) Level() int        { return w.level }
func (w walk) Content() []byte   { return nil }
func (w walk) Kids() (kids []merkle.Kid) {
	if w.level > 0 {
		for i, k := range w.n.below(w.level) {
			if k != nil && !k.empty {
				kids = append(kids, merkle.Kid{Slot: i, Node: walk{k, w.level - 1}})
			}
		}
		return kids
	}
	b := w.n.lowest()
	for i := range fanout {
		if b.pages[i] != nil {
			kids = append(kids, merkle.Kid{Slot: i, Node: Leaf{b, uint64(i)}})
		}
	}
	return kids
}

// Leaf is one page as a node of the full-state tree.
type Leaf struct {
	b    *block
	slot uint64
}

// Kind is Page.
func (l Leaf) Kind() merkle.Kind { return merkle.Page }

// Sum of the page.
func (l Leaf) Sum() merkle.Sum { return l.b.sum(l.slot) }

// Level is 0.
func (l Leaf) Level() int { return 0 }

// Kids are none.
func (l Leaf) Kids() []merkle.Kid { return nil }

// Content is the page, checked.
func (l Leaf) Content() []byte { return l.b.get(l.slot)[:] }

// Held is the page with its owner, nil for one on the heap.
func (l Leaf) Held() (p Page, o Owner) {
	p = l.b.pages[l.slot]
	if l.b.mapped>>l.slot&1 != 0 {
		o = l.b.owner(p)
	}
	return p, o
}
