package engine

import (
	"slices"

	"ashlar/replica/state/pages"
)

// stable is a stable memory: pages written since the last commit, over the
// committed ones. It is sparse; its cost is that of the pages touched.
type stable struct {
	base  pages.Map
	dirty map[uint64]pages.Page
	bytes uint64

	last      uint64 // index of the page written last, and
	lastDirty pages.Page

	touched touched
}

// MaxStableBytes is the specification's limit of a stable memory.
const MaxStableBytes = 500 << 30

func (s *stable) grow(wasmPages, limit uint64) (old uint64, ok bool) {
	old = s.bytes / wasmPage
	limit = min(limit, MaxStableBytes)
	if wasmPages == 0 {
		return old, true
	}
	if s.bytes > limit || wasmPages > (limit-s.bytes)/wasmPage {
		return old, false
	}
	s.bytes += wasmPages * wasmPage
	return old, true
}

func (s *stable) inside(offset uint64, n int) bool {
	return offset <= s.bytes && uint64(n) <= s.bytes-offset
}

func (s *stable) read(dst []byte, offset uint64) error {
	if !s.inside(offset, len(dst)) {
		return errStable
	}
	if _, err := s.touched.mark(offset, len(dst), false); err != nil {
		return err
	}
	for len(dst) > 0 {
		i, at := offset/pages.Size, offset%pages.Size
		n := min(uint64(len(dst)), pages.Size-at)
		p := s.dirty[i]
		if p == nil {
			p = s.base.Get(i)
		}
		if p == nil {
			clear(dst[:n])
		} else {
			copy(dst[:n], p[at:])
		}
		dst, offset = dst[n:], offset+n
	}
	return nil
}

func (s *stable) write(offset uint64, src []byte) (fresh uint64, err error) {
	if !s.inside(offset, len(src)) {
		return 0, errStable
	}
	if fresh, err = s.touched.mark(offset, len(src), true); err != nil {
		return 0, err
	}
	for len(src) > 0 {
		i, at := offset/pages.Size, offset%pages.Size
		n := copy(s.page(i)[at:], src)
		src, offset = src[n:], offset+uint64(n)
	}
	return fresh, nil
}

// page is page i for writing.
func (s *stable) page(i uint64) pages.Page {
	if s.lastDirty != nil && s.last == i {
		return s.lastDirty
	}
	p := s.dirty[i]
	if p == nil {
		p = new([pages.Size]byte)
		if old := s.base.Get(i); old != nil {
			*p = *old
		}
		if s.dirty == nil {
			s.dirty = map[uint64]pages.Page{}
		}
		s.dirty[i] = p
	}
	s.last, s.lastDirty = i, p
	return p
}

func (s *stable) commit() []pages.Change {
	var changes []pages.Change
	for i, p := range s.dirty {
		if c, changed := change(i, p, s.base); changed {
			changes = append(changes, c) // the page is ours to give: the overlay is dropped
		}
	}
	slices.SortFunc(changes, func(a, b pages.Change) int {
		if a.Index < b.Index {
			return -1
		}
		return 1
	})
	s.base = s.base.With(s.bytes, changes)
	s.drop()
	return changes
}

func (s *stable) rollback() {
	s.bytes = s.base.Bytes()
	s.drop()
}

func (s *stable) drop() { s.dirty, s.lastDirty = nil, nil }

var zeroPage [pages.Size]byte

// change compares page i with the committed one. It does not copy p.
func change(i uint64, p pages.Page, base pages.Map) (pages.Change, bool) {
	old := base.Get(i)
	if old == nil {
		old = &zeroPage
	}
	if *p == *old {
		return pages.Change{}, false
	}
	if *p == zeroPage {
		return pages.Change{Index: i}, true
	}
	return pages.Change{Index: i, Page: p}, true
}
