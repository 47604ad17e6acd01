package engine

import (
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/experimental"

	"ashlar/replica/state/pages"
)

// heap is a linear memory in a mapping of our own, off the Go heap. wazero asks
// it for room; its length is wazero's, its address never changes.
type heap struct {
	*heap_
	buf []byte // the present length
}

// heap_ is the part that outlives its owner until it is unmapped.
type heap_ struct {
	space    []byte // reserved
	tracker  tracker
	images   int64  // parts of files mapped over it
	mappedTo uint64 // end of the last of them, in bytes
	held     uint64 // pages that take memory, at most: see resident
}

func newHeap(maxBytes uint64, t trackerMaker) *heap {
	space, err := reserve(maxBytes)
	if err != nil {
		panic(fmt.Sprintf("engine: reserve %d bytes for a heap: %v", maxBytes, err))
	}
	h := &heap{heap_: &heap_{space: space}}
	h.tracker = t()
	return h
}

func (h *heap_) release() {
	if h.space != nil {
		unmap(h.space)
		images.Add(-h.images)
		h.space = nil
	}
}

// Allocate implements experimental.MemoryAllocator.
func (h *heap) Allocate(_, _ uint64) experimental.LinearMemory { return h }

// Reallocate implements experimental.LinearMemory.
func (h *heap) Reallocate(size uint64) []byte {
	if size > uint64(len(h.space)) {
		panic(fmt.Sprintf("engine: heap of %d bytes asked for, %d reserved", size, len(h.space)))
	}
	h.buf = h.space[:size]
	return h.buf
}

// Free implements experimental.LinearMemory: the mapping stays until release.
func (h *heap) Free() {}

// resident is the memory in bytes that the heap takes, or may take with what it
// has mapped. It is never too little; a page may count twice.
func (h *heap) resident() uint64 { return min(h.held*pages.Size, uint64(len(h.buf))) }

func (h *heap) page(i uint64) pages.Page { return pages.Page(h.space[i*pages.Size:]) }

// clean makes the present content the one that later changes are found against.
func (h *heap) clean() { h.tracker.clean(h.space[:len(h.buf)]) }

// changes returns copies of the pages that differ from base, the present content but for
// what was written since, and cleans.
func (h *heap) changes(base pages.Map) []pages.Change {
	var out []pages.Change
	h.tracker.written(h.buf, func(i uint64) {
		if c, changed := change(i, h.page(i), base); changed {
			if base.Get(i) == nil {
				h.held++
			}
			out = append(out, copied(c))
		}
	})
	return out
}

// changesTo is changes from other, of the same length, which need not have been here.
func (h *heap) changesTo(base, other pages.Map) []pages.Change {
	var at []uint64
	h.tracker.written(h.buf, func(i uint64) {
		if at = append(at, i); base.Get(i) == nil {
			h.held++
		}
	})
	for _, m := range []pages.Map{base, other} {
		m.Each(func(i uint64, _ pages.Page) bool {
			at = append(at, i)
			return true
		})
	}
	slices.Sort(at)
	var out []pages.Change
	for _, i := range slices.Compact(at) {
		if c, changed := change(i, h.page(i), other); changed {
			if p := base.Get(i); p != nil && c.Page != nil && *p == *c.Page {
				c.Page = p
			} else {
				c = copied(c)
			}
			out = append(out, c)
		}
	}
	return out
}

// copied is a change whose page is its own.
func copied(c pages.Change) pages.Change {
	if c.Page != nil {
		p := *c.Page
		c.Page = &p
	}
	return c
}

// restore brings back base, zeroes what lies beyond its length, and cleans.
func (h *heap) restore(base pages.Map) {
	keep := base.Bytes() / pages.Size
	h.tracker.written(h.buf, func(i uint64) {
		if i >= keep {
			return
		}
		if p := base.Get(i); p == nil {
			*h.page(i) = zeroPage
			h.held++
		} else if *h.page(i) != *p {
			*h.page(i) = *p
		}
	})
	h.zeroFrom(base.Bytes())
	h.clean()
}

// load replaces base, the present content, by another version of it.
func (h *heap) load(next, base pages.Map) {
	keep := next.Bytes() / pages.Size
	next.Diff(base, func(i uint64, p pages.Page) bool {
		if i >= keep {
			return false
		}
		if p == nil {
			p = &zeroPage
		}
		*h.page(i) = *p
		h.held++
		return true
	})
	h.zeroFrom(next.Bytes())
	h.clean()
}
