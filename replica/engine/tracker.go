package engine

import (
	"fmt"

	"ashlar/replica/state/pages"
)

// Tracker names a way to find the pages that were written.
type Tracker string

// The trackers. Each may name more pages than were written, never fewer: who
// asks compares with the committed content anyway.
const (
	TrackBest    Tracker = ""
	TrackScan    Tracker = "scan"    // userfaultfd write protection, PAGEMAP_SCAN: Linux 6.7
	TrackCompare Tracker = "compare" // every page is compared: works everywhere
)

// tracker watches one heap.
type tracker interface {
	// begin watches a range that is new, of a heap that is mapped as it will be.
	begin(space []byte)
	// clean starts anew: nothing of the range, which starts at the heap's start, is written.
	clean(buf []byte)
	// written calls yield with the pages of buf written since the last clean, in
	// order, and cleans them.
	written(buf []byte, yield func(page uint64))
}

type trackerMaker func() tracker

func chooseTracker(t Tracker) (trackerMaker, error) {
	switch t {
	case TrackCompare:
		return newCompare, nil
	case TrackBest, TrackScan:
		scan, err := probeScan()
		if err == nil {
			return scan, nil
		}
		if t == TrackBest {
			return newCompare, nil
		}
		return nil, fmt.Errorf("page tracker %q does not work here: %w", t, err)
	}
	return nil, fmt.Errorf("page tracker %q is unknown: use %q or %q", t, TrackScan, TrackCompare)
}

// compare names every page.
type compare struct{}

func newCompare() tracker { return compare{} }

func (compare) begin([]byte) {}
func (compare) clean([]byte) {}

func (compare) written(buf []byte, yield func(uint64)) {
	for i := range uint64(len(buf) / pages.Size) {
		yield(i)
	}
}
