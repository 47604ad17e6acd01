package p2p

import (
	"crypto/sha256"
	"sync"

	"ashlar/replica/ic"
)

// log holds what is broadcast and not purged, in order. Each peer reads it with
// a cursor; an entry that is purged is skipped by those who have not read it.
type log struct {
	mu      sync.Mutex
	entries []entry
	first   uint64          // number of entries[0]
	byName  map[name][]byte // the large ones
	grown   chan struct{}   // closed, and made new, when an entry is added
}

type entry struct {
	height ic.Height
	data   []byte // nil: purged
	name   name   // of a large one
}

func newLog() *log { return &log{grown: make(chan struct{}), byName: map[name][]byte{}} }

func (l *log) add(h ic.Height, data []byte) {
	e := entry{height: h, data: data}
	if len(data) > largeBytes {
		e.name = sha256.Sum256(data)
	}
	l.mu.Lock()
	if len(data) > largeBytes {
		l.byName[e.name] = data
	}
	l.entries = append(l.entries, e)
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
		if e := &l.entries[i]; e.height < below && e.data != nil {
			if len(e.data) > largeBytes {
				delete(l.byName, e.name)
			}
			e.data = nil
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
// after that. Without one, it has no data and more is closed when there may be one.
func (l *log) next(cursor uint64) (e entry, after uint64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cursor = max(cursor, l.first); cursor < l.first+uint64(len(l.entries)); cursor++ {
		if e := l.entries[cursor-l.first]; e.data != nil {
			return e, cursor + 1, nil
		}
	}
	return entry{}, cursor, l.grown
}

// large artifact by its name, nil if it is purged.
func (l *log) large(n name) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byName[n]
}
