package node

import (
	"bytes"
	"hash/maphash"
	"sync"

	"ashlar/replica/ic"
)

// Limits of the calls that are remembered: as many as a pool holds.
const (
	maxRead      = 16 << 10
	maxReadBytes = 64 << 20
)

// reader remembers what calls say. A call is looked at when it comes, by each
// block that might repeat it, by the check of its own block and when that is
// executed; reading it costs as much as checking half a signature.
type reader struct {
	mu    sync.Mutex
	seed  maphash.Seed
	calls map[uint64]read
	order []uint64 // oldest first
	bytes int
}

type read struct {
	data []byte
	msg  *ic.Ingress // not to be changed
}

func newReader() *reader { return &reader{seed: maphash.MakeSeed(), calls: map[uint64]read{}} }

// find the message of these very bytes.
func (r *reader) find(data []byte) *ic.Ingress {
	key := maphash.Bytes(r.seed, data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.calls[key]; ok && bytes.Equal(c.data, data) {
		return c.msg
	}
	return nil
}

// remember a message, and forget the oldest beyond the limits. data stays the reader's.
func (r *reader) remember(data []byte, msg *ic.Ingress) {
	key := maphash.Bytes(r.seed, data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.calls[key]; ok {
		return
	}
	r.calls[key] = read{data, msg}
	r.order = append(r.order, key)
	r.bytes += len(data)
	for len(r.order) > maxRead || r.bytes > maxReadBytes {
		old := r.order[0]
		r.order = r.order[1:]
		r.bytes -= len(r.calls[old].data)
		delete(r.calls, old)
	}
}
