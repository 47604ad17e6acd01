// Package pages keeps the versions of one memory, heap or stable.
//
//	version 1 ──┐           A Map is immutable. With(changes) makes the next
//	            ├─ shared   version and shares every page that did not change;
//	version 2 ──┘  pages    a page that is missing reads as zeros.
//
//	page:  new, on the Go heap ── saved ──> in a file, mapped (an Owner has it)
//
// Queries read an old version while messages make the next one. The engine
// copies pages out, the store writes changed ones (Parts) and then lets Settle put
// the mapped copies in their place: in all versions that share them, while they are
// read, since what they say is the same. So only pages that were not saved yet
// take room on the heap. A memory that was opened on what a store has (Open) reads
// its nodes when they are first needed: what nobody touches takes no room at all.
//
// Each page has a sum, each node the sum of those below (replica/state/merkle):
// Sum computes those that are new. A mapped page is compared with its sum when it
// is first read, and so is a node.
package pages

import (
	"math/bits"
	"sync/atomic"

	"ashlar/replica/state/merkle"
)

// Size of a page in bytes: the unit of dirty tracking, hashing and storage.
const Size = merkle.PageBytes

// Page is the content of one page. Nobody writes to it once it is in a Map.
type Page = *[Size]byte

// Change is a page that is new; a nil Page means zeros.
type Change struct {
	Index uint64
	Page  Page
}

// Owner is the file in which pages lie. A Map keeps its owners alive, and an owner
// its pages; who holds on to a Page alone does not.
type Owner interface {
	// Holds tells whether p lies in this file.
	Holds(p Page) bool
	// Sum is p's, as the file says.
	Sum(p Page) merkle.Sum
	// Check compares p with its sum. It does not return where they differ.
	Check(p Page)
	// Place of p among the file's pages, which follow each other.
	Place(p Page) uint64
	// Map puts the pages from a place on over a part of the process's memory, where
	// they may be written to without the file knowing; false where that cannot be.
	// What is mapped outlives the owner.
	Map(over []byte, place uint64) bool
}

const (
	fanoutBits = 6
	fanout     = 1 << fanoutBits
)

// node is inner, with kids, or of the lowest level, with a block. One that was
// opened has neither until it is first read (far.go).
type node struct {
	kids  atomic.Pointer[[fanout]*node]
	block atomic.Pointer[block] // replaced by Settle alone, with one that says the same
	from  Source                // where it is read from; nil: it was made here
	index uint64                // among the nodes of its level, for from

	summed   bool
	empty    bool // after summed: no page below
	stripped bool // it was opened as a root
	sum      merkle.Sum
}

// block is the lowest level of a Map. It does not change once its node was summed.
type block struct {
	pages   [fanout]Page
	mapped  uint64        // slots whose page an owner has
	known   uint64        // slots of the others whose sum is in sums
	sums    []merkle.Sum  // in order of slot
	owners  []Owner       // of the mapped pages
	checked atomic.Uint64 // mapped slots that were compared with their sum
}

// Map is one version of a memory. The zero value is an empty memory.
type Map struct {
	root   *node
	levels int // 0: no root; 1: root holds pages
	bytes  uint64
}

// Bytes is the length of the memory; the pages beyond it are not part of it.
func (m Map) Bytes() uint64 { return m.bytes }

// Get returns page i, nil where it is zero.
func (m Map) Get(i uint64) Page {
	if m.levels == 0 || i>>(uint(m.levels)*fanoutBits) != 0 {
		return nil
	}
	n := m.root
	for l := m.levels - 1; l > 0 && n != nil; l-- {
		n = n.below(l)[i>>(uint(l)*fanoutBits)%fanout]
	}
	if n == nil {
		return nil
	}
	return n.lowest().get(i % fanout)
}

// get reads a slot; a mapped page is checked the first time.
func (b *block) get(slot uint64) Page {
	p := b.pages[slot]
	if bit := uint64(1) << slot; b.mapped&bit != 0 && b.checked.Load()&bit == 0 {
		b.owner(p).Check(p)
		b.checked.Or(bit)
	}
	return p
}

func (b *block) owner(p Page) Owner {
	for _, o := range b.owners {
		if o.Holds(p) {
			return o
		}
	}
	panic("pages: a mapped page has no owner")
}

// With is the version after changes, with the length bytes. Nodes on the way to
// a change are copied once; all else is shared.
func (m Map) With(bytes uint64, changes []Change) Map {
	m.bytes = bytes
	if len(changes) == 0 {
		return m
	}
	w := writer{m, map[*node]bool{}}
	for _, c := range changes {
		w.put(c.Index, c.Page, nil)
	}
	return w.m
}

// Zero tells whether a page is all zeros.
func Zero(p Page) bool { return p == nil || p[0] == 0 && *p == [Size]byte{} }

// Held is a page as it lies in a file: what a stored memory is made from.
type Held struct {
	Index uint64
	Page  Page
	Owner Owner // nil: on the heap
}

// New makes a memory from its pages.
func New(bytes uint64, held []Held) Map { return Map{bytes: bytes}.Over(held) }

// Over is the version with pages as they lie in files; a nil Page means zeros.
func (m Map) Over(held []Held) Map {
	w := writer{m, map[*node]bool{}}
	for _, h := range held {
		w.put(h.Index, h.Page, h.Owner)
	}
	return w.m
}

// writer makes a version; fresh are the nodes that it made itself.
type writer struct {
	m     Map
	fresh map[*node]bool
}

func (w *writer) put(i uint64, p Page, o Owner) {
	for w.m.levels == 0 || i>>(uint(w.m.levels)*fanoutBits) != 0 {
		up := w.make(w.m.levels)
		if w.m.levels > 0 {
			up.kids.Load()[0] = w.m.root
		}
		w.m.root = up
		w.m.levels++
	}
	w.m.root = w.set(w.m.root, w.m.levels-1, i, p, o)
}

func (w *writer) make(level int) *node {
	n := &node{}
	if level == 0 {
		n.block.Store(&block{})
	} else {
		n.kids.Store(new([fanout]*node))
	}
	w.fresh[n] = true
	return n
}

func (w *writer) set(n *node, level int, i uint64, p Page, o Owner) *node {
	switch {
	case n == nil:
		n = w.make(level)
	case !w.fresh[n]:
		old := n
		n = &node{}
		if level == 0 {
			n.block.Store(old.lowest().copied())
		} else {
			kids := *old.below(level)
			n.kids.Store(&kids)
		}
		w.fresh[n] = true
	}
	if level == 0 {
		n.block.Load().set(i%fanout, p, o)
		return n
	}
	slot := i >> (uint(level) * fanoutBits) % fanout
	kids := n.kids.Load()
	kids[slot] = w.set(kids[slot], level-1, i, p, o)
	return n
}

// copied is a block for a new version: it keeps only the owners it needs.
func (b *block) copied() *block {
	c := &block{pages: b.pages, mapped: b.mapped, known: b.known, sums: append([]merkle.Sum(nil), b.sums...), owners: b.owners}
	c.dropOwners()
	c.checked.Store(b.checked.Load())
	return c
}

// dropOwners forgets the files that none of the pages lies in.
func (b *block) dropOwners() {
	var owners []Owner
	for _, o := range b.owners {
		for rest := b.mapped; rest != 0; rest &= rest - 1 {
			if o.Holds(b.pages[bits.TrailingZeros64(rest)]) {
				owners = append(owners, o)
				break
			}
		}
	}
	b.owners = owners
}

// set changes a slot of a block that nobody else sees. The sum of the old page goes.
func (b *block) set(slot uint64, p Page, o Owner) {
	bit := uint64(1) << slot
	if b.known&bit != 0 {
		at := bits.OnesCount64(b.known & (bit - 1))
		b.sums = append(b.sums[:at], b.sums[at+1:]...)
		b.known &^= bit
	}
	b.mapped &^= bit
	b.checked.And(^bit)
	b.pages[slot] = p
	if p == nil || o == nil {
		return
	}
	b.mapped |= bit
	b.own(o)
}

func (b *block) own(o Owner) {
	for _, have := range b.owners {
		if have == o {
			return
		}
	}
	b.owners = append(b.owners, o)
}

// Each calls yield for the pages that are not zero, in order, until it says false.
func (m Map) Each(yield func(index uint64, p Page) bool) {
	if m.root != nil {
		each(m.root, m.levels-1, 0, yield)
	}
}

func each(n *node, level int, base uint64, yield func(uint64, Page) bool) bool {
	if level == 0 {
		b := n.lowest()
		for i := range uint64(fanout) {
			if p := b.get(i); p != nil && !yield(base<<fanoutBits|i, p) {
				return false
			}
		}
		return true
	}
	for i, k := range n.below(level) {
		if k != nil && !each(k, level-1, base<<fanoutBits|uint64(i), yield) {
			return false
		}
	}
	return true
}

// ReadAt fills dst with the bytes from offset on; those beyond the memory are zero.
func (m Map) ReadAt(dst []byte, offset uint64) {
	for len(dst) > 0 {
		in := offset % Size
		n := min(uint64(len(dst)), Size-in)
		if p := m.Get(offset / Size); p != nil {
			copy(dst[:n], p[in:])
		} else {
			clear(dst[:n])
		}
		dst, offset = dst[n:], offset+n
	}
}

// WriteAt is the version with src at offset. Pages that become zero stay.
func (m Map) WriteAt(src []byte, offset uint64) Map {
	var changes []Change
	for len(src) > 0 {
		in := offset % Size
		n := min(uint64(len(src)), Size-in)
		p := new([Size]byte)
		if old := m.Get(offset / Size); old != nil {
			*p = *old
		}
		copy(p[in:], src[:n])
		changes = append(changes, Change{offset / Size, p})
		src, offset = src[n:], offset+n
	}
	return m.With(m.bytes, changes)
}
