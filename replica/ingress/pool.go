// Package ingress holds users' checked calls until a block has them.
//
//	Add ──> queue of each sender ──┐
//	        queue of each sender ──┼─ Select, one of each sender in turn ──> block
//	        queue of each sender ──┘
//	Remove (a block was executed), Expire (its time has passed)
//
// The pool is bounded in messages and bytes, and each sender in its share, so
// that one who floods it delays himself only. It is a plain value: the caller
// brings the time and guards it against concurrent use. Signatures are checked
// before Add (replica/api, or replica/node for a peer's messages).
package ingress

import (
	"bytes"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Limits of a pool.
type Limits struct {
	Messages, Bytes             int // in the pool
	SenderMessages, SenderBytes int // of one sender
}

// Default holds ten full blocks; a sender may fill half, so that test clients
// with one identity reach full blocks and leave room for others.
var Default = Limits{Messages: 10_000, Bytes: 64 << 20, SenderMessages: 5_000, SenderBytes: 32 << 20}

// Limits of one selection (replica.md B.2: 4 MiB, 1000 messages).
const (
	MaxSelected      = 1000
	MaxSelectedBytes = 4 << 20
)

// The refusals: ErrFull asks to come again, ErrExpired is final.
var (
	ErrFull    = errors.New("the ingress pool is full: try again in a second")
	ErrExpired = errors.New("the message's ingress_expiry has passed")
	ErrTooBig  = fmt.Errorf("the message is larger than a block may hold (%d bytes)", MaxSelectedBytes)
)

// Message is a checked envelope.
type Message struct {
	ID     ic.RequestID
	Sender ic.Principal
	Expiry ic.Time
	Raw    []byte
}

// Pool of messages. Make one with New.
type Pool struct {
	limits  Limits
	byID    map[ic.RequestID]*entry
	byHash  map[block.Hash]*entry
	bytes   int
	senders map[ic.Principal]*sender
	ring    []*sender // whose turn it is, first first
}

type entry struct {
	Message
	hash block.Hash
	gone bool // removed; the queue drops it when it gets there
}

type sender struct {
	name            ic.Principal
	queue           []*entry
	messages, bytes int
}

// New is an empty pool.
func New(limits Limits) *Pool {
	return &Pool{limits: limits, byID: map[ic.RequestID]*entry{}, byHash: map[block.Hash]*entry{}, senders: map[ic.Principal]*sender{}}
}

// Len and Bytes are what the pool holds.
func (p *Pool) Len() int { return len(p.byID) }

// Bytes of all envelopes in the pool.
func (p *Pool) Bytes() int { return p.bytes }

// Has tells whether a message is in the pool.
func (p *Pool) Has(id ic.RequestID) bool { return p.byID[id] != nil }

// Same tells whether these very bytes are in the pool.
func (p *Pool) Same(id ic.RequestID, raw []byte) bool {
	e := p.byID[id]
	return e != nil && bytes.Equal(e.Raw, raw)
}

// Find the bytes with a hash, nil if they are not in the pool.
func (p *Pool) Find(h block.Hash) []byte {
	if e := p.byHash[h]; e != nil {
		return e.Raw
	}
	return nil
}

// Add takes a message. One that is there already is no error.
func (p *Pool) Add(m Message, now ic.Time) error {
	if p.Has(m.ID) {
		return nil
	}
	if m.Expiry <= now {
		return ErrExpired
	}
	size := len(m.Raw)
	if size > MaxSelectedBytes {
		return ErrTooBig
	}
	s := p.senders[m.Sender]
	if s == nil {
		s = &sender{name: m.Sender}
	}
	if len(p.byID) >= p.limits.Messages || p.bytes+size > p.limits.Bytes ||
		s.messages >= p.limits.SenderMessages || s.bytes+size > p.limits.SenderBytes {
		return ErrFull
	}
	if p.senders[m.Sender] == nil {
		p.senders[m.Sender] = s
		p.ring = append(p.ring, s)
	}
	e := &entry{Message: m, hash: block.CallHash(m.Raw)}
	p.byID[m.ID], p.byHash[e.hash] = e, e
	s.queue = append(s.queue, e)
	s.messages, s.bytes, p.bytes = s.messages+1, s.bytes+size, p.bytes+size
	return nil
}

// Select returns messages for a block at a time: one of each sender in turn,
// each sender's in order of arrival, none that expires by then nor one that
// skip knows (because an earlier block has it). They stay in the pool.
func (p *Pool) Select(at ic.Time, skip func(ic.RequestID) bool) []*Message {
	p.sweep()
	var out []*Message
	size := 0
	next := make([]int, len(p.ring))
	for more := true; more; {
		more = false
		for i, s := range p.ring {
			for next[i] < len(s.queue) {
				e := s.queue[next[i]]
				next[i]++
				if e.Expiry <= at || skip(e.ID) {
					continue
				}
				if len(out) == MaxSelected || size+len(e.Raw) > MaxSelectedBytes {
					p.turn(i)
					return out
				}
				out = append(out, &e.Message)
				size += len(e.Raw)
				more = true
				break
			}
		}
	}
	return out
}

// turn lets the sender who found the block full begin next time.
func (p *Pool) turn(i int) {
	p.ring = append(append([]*sender(nil), p.ring[i:]...), p.ring[:i]...)
}

// Remove forgets messages that were executed.
func (p *Pool) Remove(ids []ic.RequestID) {
	for _, id := range ids {
		if e := p.byID[id]; e != nil {
			p.drop(e)
		}
	}
}

// Expire forgets messages whose time has passed, and returns how many.
func (p *Pool) Expire(now ic.Time) (n int) {
	for _, s := range p.ring {
		for _, e := range s.queue {
			if !e.gone && e.Expiry <= now {
				p.drop(e)
				n++
			}
		}
	}
	p.sweep()
	return n
}

func (p *Pool) drop(e *entry) {
	s := p.senders[e.Sender]
	e.gone = true
	delete(p.byID, e.ID)
	delete(p.byHash, e.hash)
	s.messages, s.bytes, p.bytes = s.messages-1, s.bytes-len(e.Raw), p.bytes-len(e.Raw)
}

// sweep drops removed entries from the queues, and senders with none left.
func (p *Pool) sweep() {
	ring := p.ring[:0]
	for _, s := range p.ring {
		if s.messages == 0 {
			delete(p.senders, s.name)
			continue
		}
		if s.messages < len(s.queue) {
			kept := make([]*entry, 0, s.messages)
			for _, e := range s.queue {
				if !e.gone {
					kept = append(kept, e)
				}
			}
			s.queue = kept
		}
		ring = append(ring, s)
	}
	clear(p.ring[len(ring):])
	p.ring = ring
}
