package engine

import (
	"fmt"

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

// changes returns copies of the pages that differ from base, and cleans.
func (h *heap) changes(base pages.Map) []pages.Change {
	var out []pages.Change
	h.tracker.written(h.buf, func(i uint64) {
		c, changed := change(i, h.page(i), base)
		if !changed {
			return
		}
		if base.Get(i) == nil {
			h.held++
		}
		if c.Page != nil {
			p := *c.Page
			c.Page = &p
		}
		out = append(out, c)
	})
	return out
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
