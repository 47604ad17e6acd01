package engine

import (
	"slices"
	"sync/atomic"

	"ashlar/replica/state/pages"
)

// This file: how a heap gets its pages. Where pages follow each other in a page
// file as they do in the heap, that part of the file is mapped over the heap's
// place, privately: it is read when it is touched, and what is written is the
// instance's own. So an instance of a gigabyte is there at once and takes the memory
// of what it uses. All else is copied.
//
//	heap   aaaaaaa.aaaXaaaaaaaaaa....bb..ccccccccccccc
//	mapped ========================              =====     . zero   X b copied
//
// Pages that were only read look written to the tracker the first time. They are
// compared with the committed ones then, and those with their sum: so that damage
// of a file ends the node before a result of it counts.

const (
	// imagePages is the shortest part of a file that is worth a mapping: 256 KiB are
	// copied in about the time that the kernel takes to map them.
	imagePages = 64
	// imageGap is how many other pages may lie between two of one part.
	imageGap = 32
	// imageParts of one heap, and maxImages of all: each splits the heap's mapping,
	// and the kernel gives a process 65,530.
	imageParts = 64
	maxImages  = 8192
)

// images counts the parts of files that are mapped over heaps of this process.
var images atomic.Int64

// part of a file that can be mapped over a heap.
type part struct {
	owner      pages.Owner
	place      uint64 // of the page at start
	start, end uint64 // pages of the heap
	count      uint64 // of them that are the file's
}

// parts finds what of a memory below limit is worth mapping, in order.
func parts(m pages.Map, limit uint64) []part {
	type line struct {
		owner pages.Owner
		shift uint64 // place less index
	}
	last := map[line]int{}
	var all []part
	m.Runs(func(r pages.Run) bool {
		if r.Index+r.Count > limit {
			return false
		}
		if r.Owner == nil {
			return true
		}
		place := r.Owner.Place(r.First)
		l := line{r.Owner, place - r.Index}
		if at, ok := last[l]; ok && r.Index-all[at].end <= imageGap {
			all[at].end = r.Index + r.Count
			all[at].count += r.Count
			return true
		}
		last[l] = len(all)
		all = append(all, part{r.Owner, place, r.Index, r.Index + r.Count, r.Count})
		return true
	})
	all = slices.DeleteFunc(all, func(p part) bool { return p.end-p.start < imagePages || p.count*2 < p.end-p.start })
	slices.SortStableFunc(all, func(a, b part) int { return int(b.count) - int(a.count) })
	var out []part
	for _, p := range all {
		apart := !slices.ContainsFunc(out, func(q part) bool { return p.start < q.end && q.start < p.end })
		if apart && len(out) < imageParts {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b part) int { return int(a.start) - int(b.start) })
	return out
}

// fill gives a new heap the pages of m, and begins to watch for changes.
func (h *heap) fill(m pages.Map) {
	limit := m.Bytes() / pages.Size
	mapped := h.mapParts(m, limit)
	m.Runs(func(r pages.Run) bool {
		if r.Index >= limit {
			return false
		}
		for len(mapped) > 0 && mapped[0].end <= r.Index {
			mapped = mapped[1:]
		}
		for i := r.Index; i < min(r.Index+r.Count, limit); i++ {
			if len(mapped) > 0 && mapped[0].shows(i, &r) {
				continue
			}
			*h.page(i) = *m.Get(i)
			h.held++
		}
		return true
	})
	h.tracker.begin(h.space)
	h.clean()
}

// shows tells whether the part has at i what the run has there.
func (p *part) shows(i uint64, r *pages.Run) bool {
	return i >= p.start && r.Owner == p.owner && r.Owner.Place(r.First)-r.Index == p.place-p.start
}

// mapParts maps what can be, and clears what the files have between.
func (h *heap) mapParts(m pages.Map, limit uint64) []part {
	if !canMap {
		return nil
	}
	var done []part
	for _, p := range parts(m, limit) {
		if images.Add(1) > maxImages || !p.owner.Map(h.space[p.start*pages.Size:p.end*pages.Size], p.place) {
			images.Add(-1)
			continue
		}
		h.images++
		h.held += p.end - p.start
		h.mappedTo = max(h.mappedTo, p.end*pages.Size)
		done = append(done, p)
	}
	h.clearBetween(m, done)
	return done
}

// clearBetween zeroes what lies in mapped parts and is zero in m.
func (h *heap) clearBetween(m pages.Map, mapped []part) {
	next := uint64(0) // page after the last that is not zero
	gap := func(to uint64) {
		for _, p := range mapped {
			for i := max(next, p.start); i < min(to, p.end); i++ {
				*h.page(i) = zeroPage
			}
		}
	}
	if len(mapped) == 0 {
		return
	}
	m.Runs(func(r pages.Run) bool {
		if r.Index > next {
			gap(r.Index)
		}
		next = r.Index + r.Count
		for len(mapped) > 0 && mapped[0].end <= next {
			mapped = mapped[1:]
		}
		return len(mapped) > 0
	})
}

// zeroFrom makes what lies from an offset up to the present length read as zeros.
func (h *heap) zeroFrom(offset uint64) {
	end := uint64(len(h.buf))
	if offset >= end {
		return
	}
	if offset < h.mappedTo { // the kernel would bring back the file's content
		if err := renew(h.space[offset:end]); err != nil {
			clear(h.space[offset:end])
			return
		}
		h.mappedTo = offset
		h.tracker.begin(h.space[offset:end])
		return
	}
	discard(h.space[offset:end])
}
