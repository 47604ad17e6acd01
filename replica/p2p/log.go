package p2p

import (
	"sync"

	"ashlar/replica/ic"
)

// log holds what is broadcast and not purged, in order. Each peer reads it with
// a cursor; an entry that is purged is skipped by those who have not read it.
type log struct {
	mu      sync.Mutex
	entries []entry
	first   uint64        // number of entries[0]
	grown   chan struct{} // closed, and made new, when an entry is added
}

type entry struct {
	height ic.Height
	data   []byte // nil: purged
}

func newLog() *log { return &log{grown: make(chan struct{})} }

func (l *log) add(h ic.Height, data []byte) {
	l.mu.Lock()
	l.entries = append(l.entries, entry{h, data})
	grown := l.grown
	l.grown = make(chan struct{})
	l.mu.Unlock()
	close(grown)
}

// purge forgets entries below a height; their places go once they are first.
func (l *log) purge(below ic.Height) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.entries {
		if l.entries[i].height < below {
			l.entries[i].data = nil
		}
	}
	n := 0
	for n < len(l.entries) && l.entries[n].data == nil {
		n++
	}
	l.entries = append([]entry(nil), l.entries[n:]...)
	l.first += uint64(n)
}

// next is the entry at a cursor or, where that is purged, after it, and the cursor
// after that. Without one, data is nil and more is closed when there may be one.
func (l *log) next(cursor uint64) (data []byte, after uint64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cursor = max(cursor, l.first); cursor < l.first+uint64(len(l.entries)); cursor++ {
		if data := l.entries[cursor-l.first].data; data != nil {
			return data, cursor + 1, nil
		}
	}
	return nil, cursor, l.grown
}
