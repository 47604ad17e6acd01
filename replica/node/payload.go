package node

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/wire/block"
)

// envelope is a call as blocks carry it: the effective canister id, which the
// caller's URL named and the envelope does not hold, then the envelope as it came.
func envelope(effective ic.CanisterID, raw []byte) []byte {
	return append(append([]byte{byte(len(effective.Principal))}, effective.Principal...), raw...)
}

// open reads what envelope made. The result is shared, and not to be changed.
func (n *Node) open(data []byte) (*ic.Ingress, error) {
	if msg := n.read.find(data); msg != nil {
		return msg, nil
	}
	msg, err := n.openNew(data)
	if err == nil {
		n.read.remember(bytes.Clone(data), msg) // data may be part of a whole block
	}
	return msg, err
}

func (n *Node) openNew(data []byte) (*ic.Ingress, error) {
	if len(data) == 0 || int(data[0]) > ic.MaxPrincipalBytes || len(data) < 1+int(data[0]) {
		return nil, errors.New("a call in a block ends inside its effective canister id")
	}
	effective, raw := data[1:1+data[0]], data[1+data[0]:]
	msg, err := n.Parse(raw)
	if err != nil {
		return nil, err
	}
	msg.Effective = ic.CanisterID{Principal: ic.Principal(effective)}
	return msg, nil
}

// payload is the node as consensus sees it when it fills and judges blocks.
type payload Node

func (p *payload) Waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool.Len() > p.inFlight()
}

// inFlight is the number of messages in blocks that are not yet executed: they
// are still in the pool, and no reason for another block.
func (p *payload) inFlight() (n int) {
	for _, b := range p.batches {
		n += len(b.Block.Ingress)
	}
	return n
}

// Build selects what no ancestor has and the state does not know. What the state
// knows leaves the pool: it came again while it was executed.
func (p *payload) Build(at ic.Time, ancestors func(yield func(*block.Block) bool)) [][]byte {
	inBlock, err := p.inBlock(ancestors)
	if err != nil {
		panic(fmt.Sprintf("node: an ancestor that was judged valid: %v", err))
	}
	latest := p.latest.Load()
	var again []ic.RequestID
	skip := func(id ic.RequestID) bool {
		if inBlock[id] {
			return true
		}
		known := latest.Status(id) != nil
		if known {
			again = append(again, id)
		}
		return known
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if expired := p.pool.Expire(at); expired > 0 {
		p.metrics.expired.Add(uint64(expired))
	}
	var out [][]byte
	for _, m := range p.pool.Select(at, skip) {
		out = append(out, m.Raw)
	}
	p.pool.Remove(again)
	return out
}

// inBlock are the calls in the ancestors.
func (p *payload) inBlock(ancestors func(yield func(*block.Block) bool)) (map[ic.RequestID]bool, error) {
	seen := map[ic.RequestID]bool{}
	var err error
	ancestors(func(b *block.Block) bool {
		for _, data := range b.Ingress {
			var msg *ic.Ingress
			if msg, err = (*Node)(p).open(data); err != nil {
				return false
			}
			seen[msg.ID] = true
		}
		return true
	})
	return seen, err
}

// maxExpiry is how far ahead of a block's time a call may expire: what the
// specification grants users, and the drift of clocks (replica.md A.1).
const maxExpiry = (5*60 + 30) * 1e9

// Validate judges a peer's block. What is in the pool was checked before; all
// else is checked here, on all processors.
func (p *payload) Validate(b *block.Block, ancestors func(yield func(*block.Block) bool)) error {
	if _, err := queriesOf(b); err != nil {
		return fmt.Errorf("block %d: %w", b.Height, err)
	}
	seen, err := p.inBlock(ancestors)
	if err != nil {
		return err
	}
	latest, size := p.latest.Load(), 0
	var unknown []call
	for _, data := range b.Ingress {
		msg, err := (*Node)(p).open(data)
		switch size += len(data); {
		case err != nil:
			return fmt.Errorf("block %d: %w", b.Height, err)
		case seen[msg.ID] || latest.Status(msg.ID) != nil:
			return fmt.Errorf("block %d has call %x again", b.Height, msg.ID)
		case msg.Expiry <= b.Time || msg.Expiry > b.Time+maxExpiry:
			return fmt.Errorf("block %d has call %x, which expires at %d", b.Height, msg.ID, msg.Expiry)
		}
		seen[msg.ID] = true
		if !p.checked(msg.ID, data) {
			unknown = append(unknown, call{msg, data[1+int(data[0]):]})
		}
	}
	if len(b.Ingress) > ingress.MaxSelected || size > ingress.MaxSelectedBytes {
		return fmt.Errorf("block %d has %d calls of %d bytes, the limits are %d and %d", b.Height, len(b.Ingress), size, ingress.MaxSelected, ingress.MaxSelectedBytes)
	}
	return p.check(unknown, b.Time)
}

// call of a block, and its envelope.
type call struct {
	msg *ic.Ingress
	raw []byte
}

// checked tells whether this very envelope is in the pool.
func (p *payload) checked(id ic.RequestID, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool.Same(id, data)
}

// check envelopes at a time, and say what is wrong with the first bad one.
func (p *payload) check(calls []call, at ic.Time) error {
	errs := make([]error, len(calls))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(len(calls), runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(calls); i = next.Add(1) - 1 {
				errs[i] = p.Check(calls[i].msg, calls[i].raw, at)
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("call %x: %w", calls[i].msg.ID, err)
		}
	}
	return nil
}

var _ consensus.Payload = (*payload)(nil)
