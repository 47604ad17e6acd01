package node

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/envelope"
)

// callOf is a call as blocks carry it: the effective canister id, which the
// caller's URL named and the envelope does not hold, then the envelope as it came.
func callOf(effective ic.CanisterID, raw []byte) []byte {
	return append(append([]byte{byte(len(effective.Principal))}, effective.Principal...), raw...)
}

// open reads what callOf made. The result is shared, and not to be changed.
func (n *Node) open(data []byte) (*ic.Ingress, error) {
	c, err := n.claim(data)
	return c.Msg, err
}

// claim is open, and what there is to be checked. What is kept is a copy, as data may be
// part of a whole block.
func (n *Node) claim(data []byte) (c envelope.Claim, err error) {
	if c, err = n.known(data); c.Msg != nil || err != nil {
		return c, err
	}
	return n.readCall(bytes.Clone(data))
}

// claimed is claim of what stays the node's.
func (n *Node) claimed(data []byte) (c envelope.Claim, err error) {
	if c, err = n.known(data); c.Msg != nil || err != nil {
		return c, err
	}
	return n.readCall(data)
}

// readCall reads and remembers a call that is not known, of which known has seen the form.
func (n *Node) readCall(data []byte) (c envelope.Claim, err error) {
	c.Raw = data[1+data[0]:]
	if c.Msg, c.Read, err = n.Parse(c.Raw); err != nil {
		return c, err
	}
	c.Msg.Effective = ic.CanisterID{Principal: ic.Principal(data[1 : 1+data[0]])}
	n.read.remember(data, c.Msg)
	return c, nil
}

// known is a claim that was read before; else its Msg is nil.
func (n *Node) known(data []byte) (c envelope.Claim, err error) {
	if len(data) == 0 || int(data[0]) > ic.MaxPrincipalBytes || len(data) < 1+int(data[0]) {
		return c, errors.New("a call in a block ends inside its effective canister id")
	}
	c.Raw, c.Msg = data[1+data[0]:], n.read.find(data)
	return c, nil
}

// payload is the node as consensus sees it when it fills and judges blocks.
type payload Node

// Waiting tells whether there is a call that no ancestor has. Those in ancestors are
// still in the pool, and no reason for another block.
func (p *payload) Waiting(ancestors func(yield func(*block.Block) bool)) bool {
	p.mu.Lock()
	n := p.pool.Len()
	p.mu.Unlock()
	inBlocks := 0
	ancestors(func(b *block.Block) bool {
		inBlocks += len(b.Ingress)
		return inBlocks < n
	})
	if inBlocks < n || n == 0 {
		return n > 0
	}
	// Some of these may never have come to this pool, so they are looked at.
	seen, err := p.inBlock(ancestors)
	if err != nil {
		return true // Build says what is wrong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range seen {
		if p.pool.Has(id) {
			n--
		}
	}
	return n > 0
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
	var unknown []envelope.Claim
	for _, data := range b.Ingress {
		c, err := (*Node)(p).claim(data)
		msg := c.Msg
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
			unknown = append(unknown, c)
		}
	}
	if len(b.Ingress) > ingress.MaxSelected || size > ingress.MaxSelectedBytes {
		return fmt.Errorf("block %d has %d calls of %d bytes, the limits are %d and %d", b.Height, len(b.Ingress), size, ingress.MaxSelected, ingress.MaxSelectedBytes)
	}
	return p.check(unknown, b.Time)
}

// checked tells whether this very envelope is in the pool.
func (p *payload) checked(id ic.RequestID, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool.Same(id, data)
}

// maxTogether are the calls that are checked in one go.
const maxTogether = 64

// check envelopes at a time, and say what is wrong with the first bad one.
func (p *payload) check(calls []envelope.Claim, at ic.Time) error {
	parts := slices.Collect(slices.Chunk(calls, maxTogether))
	errs := make([][]error, len(parts))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(len(parts), runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(parts); i = next.Add(1) - 1 {
				errs[i] = p.Check(parts[i], at)
			}
		})
	}
	all.Wait()
	for i, err := range slices.Concat(errs...) {
		if err != nil {
			return fmt.Errorf("call %x: %w", calls[i].Msg.ID, err)
		}
	}
	return nil
}

var _ consensus.Payload = (*payload)(nil)
