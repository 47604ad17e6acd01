// Package pages keeps the versions of one memory, heap or stable.
//
//	version 1 ──┐           A Map is immutable. With(changes) makes the next
//	            ├─ shared   version and shares every page that did not change;
//	version 2 ──┘  pages    a page that is missing reads as zeros.
//
// Queries read an old version while messages make the next one. The engine
// copies pages out, the store writes changed ones.
package pages

// Size of a page in bytes: the unit of dirty tracking, hashing and storage.
const Size = 4096

// Page is the content of one page. Nobody writes to it once it is in a Map.
type Page = *[Size]byte

// Change is a page that is new; a nil Page means zeros.
type Change struct {
	Index uint64
	Page  Page
}

const (
	fanoutBits = 6
	fanout     = 1 << fanoutBits
)

type node struct {
	kids  [fanout]*node // inner
	pages [fanout]Page  // lowest level
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
		n = n.kids[i>>(uint(l)*fanoutBits)%fanout]
	}
	if n == nil {
		return nil
	}
	return n.pages[i%fanout]
}

// With is the version after changes, with the length bytes. Nodes on the way to
// a change are copied once; all else is shared.
func (m Map) With(bytes uint64, changes []Change) Map {
	m.bytes = bytes
	fresh := map[*node]bool{}
	for _, c := range changes {
		for m.levels == 0 || c.Index>>(uint(m.levels)*fanoutBits) != 0 {
			up := &node{}
			up.kids[0] = m.root
			fresh[up] = true
			m.root = up
			m.levels++
		}
		m.root = put(m.root, m.levels-1, c, fresh)
	}
	return m
}

func put(n *node, level int, c Change, fresh map[*node]bool) *node {
	if n == nil {
		n = &node{}
		fresh[n] = true
	} else if !fresh[n] {
		copied := *n
		n = &copied
		fresh[n] = true
	}
	if level == 0 {
		n.pages[c.Index%fanout] = c.Page
		return n
	}
	slot := c.Index >> (uint(level) * fanoutBits) % fanout
	n.kids[slot] = put(n.kids[slot], level-1, c, fresh)
	return n
}

// Each calls yield for the pages that are not zero, in order, until it says false.
func (m Map) Each(yield func(index uint64, p Page) bool) {
	if m.root != nil {
		each(m.root, m.levels-1, 0, yield)
	}
}

func each(n *node, level int, base uint64, yield func(uint64, Page) bool) bool {
	for i := range uint64(fanout) {
		at := base<<fanoutBits | i
		if level == 0 {
			if p := n.pages[i]; p != nil && !yield(at, p) {
				return false
			}
		} else if k := n.kids[i]; k != nil && !each(k, level-1, at, yield) {
			return false
		}
	}
	return true
}

// Diff calls yield for every page that differs between old and m, in order.
// Shared subtrees are skipped, so the cost is that of what changed.
func (m Map) Diff(old Map, yield func(index uint64, p Page) bool) {
	a, b := old.root, m.root
	for l := old.levels; l < m.levels; l++ {
		up := &node{}
		up.kids[0] = a
		if l > 0 || a != nil {
			a = up
		}
	}
	for l := m.levels; l < old.levels; l++ {
		up := &node{}
		up.kids[0] = b
		if l > 0 || b != nil {
			b = up
		}
	}
	if levels := max(m.levels, old.levels); levels > 0 {
		diff(a, b, levels-1, 0, yield)
	}
}

func diff(a, b *node, level int, base uint64, yield func(uint64, Page) bool) bool {
	if a == b {
		return true
	}
	var none node
	if a == nil {
		a = &none
	}
	if b == nil {
		b = &none
	}
	for i := range uint64(fanout) {
		at := base<<fanoutBits | i
		if level == 0 {
			if a.pages[i] != b.pages[i] && !yield(at, b.pages[i]) {
				return false
			}
		} else if !diff(a.kids[i], b.kids[i], level-1, at, yield) {
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
