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
	TrackPagemap Tracker = "pagemap" // what is in memory and not a file's: any Linux
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
	case TrackBest:
		for _, probe := range []func() (trackerMaker, error){probeScan, probePagemap} {
			if made, err := probe(); err == nil {
				return made, nil
			}
		}
		return newCompare, nil
	case TrackScan, TrackPagemap:
		probe := probeScan
		if t == TrackPagemap {
			probe = probePagemap
		}
		made, err := probe()
		if err != nil {
			return nil, fmt.Errorf("page tracker %q does not work here: %w", t, err)
		}
		return made, nil
	}
	return nil, fmt.Errorf("page tracker %q is unknown: use %q, %q or %q", t, TrackScan, TrackPagemap, TrackCompare)
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
