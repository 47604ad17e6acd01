package p2p

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"
)

// Large artifacts go by themselves, so that votes do not wait behind them.
//
//	log ── large: its name and size ──> frame among the others ──> not known yet? ── a stream of its own ──> Hear
//
// All who hold the same one announce it; it is fetched of one of them, and of the
// next if that fails.

// Limits of large artifacts.
const (
	largeBytes = 64 << 10
	fetching   = 2   // at once of one peer, and for one peer
	announced  = 256 // of one peer, that wait to be fetched; the oldest give way
	remembered = 1024
	sources    = 8 // peers that are remembered to have one, besides who is asked
	// fetchAgain is when what was fetched may be fetched again: a connection that
	// comes back says again what there is.
	fetchAgain = 10 * time.Second
)

// The frames of a stream of artifacts, by their first byte.
const (
	frameWhole byte = iota // an artifact
	frameLarge             // the name and size of one
)

const maxFrame = maxArtifact + 1

// name of a large artifact: its hash.
type name [sha256.Size]byte

var errFrame = errors.New("a frame that is neither an artifact nor the name of one")

// announcement is what a frame says instead of a large artifact.
func announcement(n name, size int) []byte {
	return binary.BigEndian.AppendUint32(n[:], uint32(size))
}

func parseAnnouncement(b []byte) (n name, size int, err error) {
	if len(b) != len(n)+4 {
		return n, 0, errFrame
	}
	copy(n[:], b)
	if size = int(binary.BigEndian.Uint32(b[len(n):])); size <= largeBytes || size > maxArtifact {
		return n, 0, errFrame
	}
	return n, size, nil
}

// wanted is a large artifact that a peer has.
type wanted struct {
	name name
	size int
}

// shelf remembers which large artifacts came, or are under way.
type shelf struct {
	mu   sync.Mutex
	seen map[name]*arrival
	ring []name // oldest first
}

type arrival struct {
	fetching bool
	at       time.Time
	others   []*remote // who have it too
}

// claim tells whether a peer is to be asked for it now; if another one is being
// asked, this one is remembered.
func (s *shelf) claim(n name, by *remote, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.seen[n]
	switch {
	case a == nil:
		if len(s.ring) >= remembered {
			delete(s.seen, s.ring[0])
			s.ring = append(s.ring[:0], s.ring[1:]...)
		}
		if s.seen == nil {
			s.seen = map[name]*arrival{}
		}
		s.seen[n] = &arrival{fetching: true, at: now}
		s.ring = append(s.ring, n)
		return true
	case a.fetching:
		if len(a.others) < sources {
			a.others = append(a.others, by)
		}
		return false
	case now.Sub(a.at) < fetchAgain:
		return false
	}
	a.fetching, a.at, a.others = true, now, nil
	return true
}

// done with a fetch; if it failed, the next one who has it.
func (s *shelf) done(n name, ok bool, now time.Time) *remote {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.seen[n]
	if a == nil {
		return nil
	}
	if !ok && len(a.others) > 0 {
		next := a.others[0]
		a.others = a.others[1:]
		return next
	}
	a.fetching, a.others, a.at = false, nil, now
	if !ok {
		a.at = time.Time{} // whoever says next that it has it is asked
	}
	return nil
}

// want a large artifact of this peer, one after the other.
func (r *remote) want(w wanted) {
	r.mu.Lock()
	r.wants = append(r.wants, w)
	var over []wanted
	if n := len(r.wants) - announced; n > 0 {
		over = append(over, r.wants[:n]...)
		r.wants = append([]wanted(nil), r.wants[n:]...)
	}
	start := r.fetchers < fetching
	if start {
		r.fetchers++
	}
	r.mu.Unlock()
	for _, w := range over {
		r.h.fetched(w, false)
	}
	if !start {
		return
	}
	if !r.h.enter() {
		return
	}
	go func() {
		defer r.h.all.Done()
		r.fetchAll()
	}()
}

// fetchAll that is wanted by now.
func (r *remote) fetchAll() {
	for {
		r.mu.Lock()
		if len(r.wants) == 0 {
			r.fetchers--
			r.mu.Unlock()
			return
		}
		w := r.wants[0]
		r.wants = r.wants[1:]
		r.mu.Unlock()
		data := r.fetch(w)
		r.h.fetched(w, data != nil)
		if data != nil && r.artifacts.WaitN(r.ctx, len(data)) == nil {
			r.artifactsIn.Add(1)
			_ = r.h.handler.Hear(r.ctx, r.Peer.ID, data) // an end of ctx is the end of this peer
		}
	}
}

// fetched tells who is next if it was not.
func (h *Host) fetched(w wanted, ok bool) {
	if next := h.shelf.done(w.name, ok, time.Now()); next != nil {
		next.want(w)
	}
}

// fetch one, nil if the peer does not give it.
func (r *remote) fetch(w wanted) []byte {
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	s, err := r.open(ctx, kindFetch)
	if err != nil {
		return nil
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(askTimeout))
	out := newFrames(s, &r.sent)
	if out.write(w.name[:]) != nil || out.flush() != nil {
		return nil
	}
	data, err := readFrame(s, w.size, firstRead)
	if err != nil || len(data) == 0 {
		return nil // purged there, or gone
	}
	r.heard.Add(uint64(len(data)))
	if sha256.Sum256(data) != w.name {
		r.wrong("fetch", errors.New("it gave another artifact than it was asked for"))
		return nil
	}
	return data
}

// give a large artifact to a peer that heard of it; nothing where it is purged.
func (r *remote) give(s io.ReadWriter, out *frames) {
	var n name
	if b, err := readFrame(s, len(n), firstRead); err != nil || copy(n[:], b) != len(n) {
		return
	}
	data := r.h.log.large(n)
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	if data != nil && r.serves.WaitN(ctx, len(data)) != nil {
		return
	}
	if out.write(data) == nil && out.flush() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(s, 1)) // until the peer has it
	}
}
