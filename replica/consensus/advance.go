package consensus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// advance does what can be done, until nothing more can.
func (c *Core) advance() {
	for progress := true; progress; {
		progress = c.enter() || c.beacon() || c.propose() || c.notarize() || c.notarizations() ||
			c.finalize() || c.tapes() || c.deliver() || c.certify() || c.next()
	}
}

// enter begins the present round once the last beacon is known.
func (c *Core) enter() bool {
	r := c.round(c.height)
	if r.start != 0 {
		return false
	}
	last, ok := c.lastBeacon()
	if !ok {
		return false
	}
	r.start = max(c.now, 1)
	r.ranking = shuffle(len(c.Members), last)
	return true
}

// lastBeacon is the beacon of the height before.
func (c *Core) lastBeacon() ([]byte, bool) {
	if c.height == 1 {
		h := c.genesisHash()
		return h[:], true
	}
	r := c.rounds[c.height-1]
	return r.beacon, r.beacon != nil
}

// shuffle ranks n members by a seed: Fisher-Yates, drawing without bias.
func shuffle(n int, seed []byte) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	counter := uint64(0)
	draw := func(below uint64) uint64 {
		for {
			in := binary.BigEndian.AppendUint64(append([]byte("\x0eashlar-ranking"), seed...), counter)
			counter++
			h := sha256.Sum256(in)
			if v := binary.BigEndian.Uint64(h[:]); v < ^uint64(0)-^uint64(0)%below {
				return v % below
			}
		}
	}
	for i := n - 1; i > 0; i-- {
		j := int(draw(uint64(i + 1)))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// beacon of the present round: the seed of the next ranking.
func (c *Core) beacon() bool {
	r := c.round(c.height)
	if r.start == 0 || r.beacon != nil {
		return false
	}
	last, _ := c.lastBeacon()
	a := &block.Artifact{Kind: block.Beacon, Height: c.height, Hash: hashOf(last)}
	moved := false
	if r.beaconShares[uint64(c.Self)] == nil {
		share := *a
		share.Kind = block.BeaconShare
		c.sign(&share, c.Keys.RandomShare)
		moved = true
	}
	if sig, ok := c.combine(c.Random, a, r.beaconShares); ok {
		a.Signature = sig
		c.publish(a)
		return true
	}
	return moved
}

// sign makes this node's share or proposal and takes it.
func (c *Core) sign(a *block.Artifact, with func([]byte) []byte) {
	a.Signer = uint64(c.Self)
	a.Signature = with(c.message(a))
	c.take(a, true)
	c.emit(Persist{a})
	c.emit(Send{a})
}

// publish an aggregate that this node joined.
func (c *Core) publish(a *block.Artifact) {
	c.take(a, false)
	c.emit(Persist{a})
	c.emit(Send{a})
}

// propose a block when it is this node's turn.
func (c *Core) propose() bool {
	r := c.round(c.height)
	if r.start == 0 || r.proposed || len(r.notarized) > 0 {
		return false
	}
	rank := slices.Index(r.ranking, c.Self)
	if rank > Faults(len(c.Members)) || c.height > c.certified+maxAhead {
		return false
	}
	for _, p := range r.proposals {
		if p.valid && p.Block.Rank < uint64(rank) && !r.disqualified(p.Signer) {
			return false
		}
	}
	if c.height-1 > c.executed+backlogStep {
		return false // the Step that brings an execution tries again
	}
	if at := r.start + c.delay(rank); c.now < at {
		c.wakeAt(at)
		return false
	}
	c.makeBlock(r, rank)
	return true
}

// delay of the block maker with a rank from the start of a round. Waiting
// users are served at once, as long as execution keeps up: while it does not,
// messages gather for a fuller block.
func (c *Core) delay(rank int) ic.Time {
	pace := c.Pace.Idle
	switch {
	case c.Payload.Waiting() && c.height-1 <= c.executed+1:
		pace = 0
	case c.busy || c.Payload.Waiting():
		pace = c.Pace.Busy
	}
	if rank > 0 {
		pace = c.Pace.Idle // the better ranked may have nothing to do
	}
	return pace + ic.Time(rank)*c.Pace.Rank
}

func (c *Core) makeBlock(r *round, rank int) {
	parentHash := c.genesisHash()
	if c.height > 1 {
		parentHash = c.bestParent()
	}
	parent, ok := c.parentOf(c.height, parentHash)
	if !ok {
		panic(fmt.Sprintf("consensus: round %d began without a notarized block before", c.height))
	}
	b := &block.Block{
		Height: c.height, Parent: parentHash, Maker: c.Members[c.Self].Node, Rank: uint64(rank),
		Time: max(c.now, parent.Time+1), Registry: max(c.Registry, parent.Registry),
		Certified: max(parent.Certified, min(c.certified, c.height-1)),
	}
	b.Ingress = c.Payload.Build(b.Time, c.ancestors(b.Height, b.Parent))
	b.Sections = c.Payload.Sections(c.ancestors(b.Height, b.Parent))
	c.sign(&block.Artifact{Kind: block.Proposal, Height: b.Height, Hash: b.Hash(), Block: b}, c.Keys.Vote)
	r.proposed = true
}

// bestParent is the notarized block of the last height with the lowest rank.
func (c *Core) bestParent() block.Hash {
	last := c.rounds[c.height-1]
	for _, p := range last.sorted() {
		if slices.Contains(last.notarized, p.Hash) {
			return p.Hash
		}
	}
	panic(fmt.Sprintf("consensus: no notarized block at height %d", c.height-1))
}

// notarize the best-ranked valid proposal, once its rank's time has come.
func (c *Core) notarize() bool {
	r := c.round(c.height)
	if r.start == 0 || len(r.notarized) > 0 || r.finished || c.height > c.certified+maxAhead {
		return false
	}
	for _, p := range r.sorted() {
		c.judge(r, p)
		if !p.valid || r.disqualified(p.Signer) {
			continue
		}
		if slices.Contains(r.signed, p.Hash) {
			return false // none better has come
		}
		if rank := p.Block.Rank; rank > 0 && p.Signer != uint64(c.Self) {
			if at := r.start + c.Pace.Idle + ic.Time(rank)*c.Pace.Rank; c.now < at {
				c.wakeAt(at)
				return false
			}
		}
		c.sign(&block.Artifact{Kind: block.NotarizationShare, Height: c.height, Hash: p.Hash}, c.Keys.Vote)
		return true
	}
	return false
}

// notarizations and finalizations are joined from shares at any open height.
func (c *Core) notarizations() (moved bool) {
	q := Quorum(len(c.Members))
	for h := max(c.finalized, c.lowest, 1); h <= c.height; h++ {
		r := c.rounds[h]
		if r == nil {
			continue
		}
		for _, hash := range sortedKeys(r.notary) {
			if s := r.notary[hash]; len(s) >= q && !slices.Contains(r.notarized, hash) && r.proposals[hash] != nil {
				c.publish(&block.Artifact{Kind: block.Notarization, Height: h, Hash: hash, Votes: s.votes(q)})
				moved = true
			}
		}
		for _, hash := range sortedKeys(r.finality) {
			if s := r.finality[hash]; len(s) >= q && r.final == nil {
				c.publish(&block.Artifact{Kind: block.Finalization, Height: h, Hash: hash, Votes: s.votes(q)})
				moved = true
			}
		}
	}
	return moved
}

// finalize what this node saw notarized alone, and notarized itself alone.
func (c *Core) finalize() bool {
	r := c.round(c.height)
	if r.finished || len(r.notarized) == 0 || r.proposals[r.notarized[0]] == nil {
		return false
	}
	r.finished = true
	b := r.notarized[0]
	if len(r.notarized) > 1 || slices.ContainsFunc(r.signed, func(h block.Hash) bool { return h != b }) {
		return true // no vote: another block may become final
	}
	if r.final == nil {
		c.sign(&block.Artifact{Kind: block.FinalizationShare, Height: c.height, Hash: b}, c.Keys.Vote)
	}
	return true
}

// next round: a notarized block that we have, and a beacon.
func (c *Core) next() bool {
	r := c.round(c.height)
	if !r.finished || !r.passable() {
		return false
	}
	c.height++
	return true
}

// tapes: randomness of a batch, revealed only once its block is final.
func (c *Core) tapes() (moved bool) {
	for h := c.delivered + 1; h <= c.finalized; h++ {
		r := c.round(h)
		if r.tape != nil {
			continue
		}
		a := &block.Artifact{Kind: block.Tape, Height: h}
		if r.tapeShares[uint64(c.Self)] == nil {
			share := *a
			share.Kind = block.TapeShare
			c.sign(&share, c.Keys.RandomShare)
			moved = true
		}
		if sig, ok := c.combine(c.Random, a, r.tapeShares); ok {
			a.Signature = sig
			c.publish(a)
			moved = true
		}
	}
	return moved
}

// deliver final blocks with a tape, in order.
func (c *Core) deliver() bool {
	h := c.delivered + 1
	if h > c.finalized || c.rounds[h] == nil || c.rounds[h].tape == nil {
		return false
	}
	p := c.finalBlock(h)
	if p == nil {
		return false // an ancestor is missing: peers have it
	}
	c.delivered = h
	c.emit(Deliver{Block: p.Block, Hash: p.Hash, Randomness: hashOf(c.rounds[h].tape)})
	return true
}

func (c *Core) onExecuted(ev Executed) {
	r := c.round(ev.Height)
	root := ev.Root
	r.root = &root
	c.executed, c.busy = max(c.executed, ev.Height), ev.Busy || ev.Height == c.Saved // the first after a start: see Core.busy
	if r.certification != nil {
		c.compare(ev.Height, r)
		return
	}
	if ofHash(r.certShares, root)[uint64(c.Self)] == nil {
		c.sign(&block.Artifact{Kind: block.CertificationShare, Height: ev.Height, Hash: root}, c.Keys.StateShare)
	}
}

// certify joins shares about this node's own states.
func (c *Core) certify() (moved bool) {
	for h := max(c.lowest, 1); h <= c.executed; h++ {
		r := c.rounds[h]
		if r == nil || r.root == nil || r.certification != nil {
			continue
		}
		a := &block.Artifact{Kind: block.Certification, Height: h, Hash: *r.root}
		if sig, ok := c.combine(c.State, a, r.certShares[*r.root]); ok {
			a.Signature = sig
			c.publish(a)
			c.compare(h, r)
			moved = true
		}
	}
	return moved
}

// compare the subnet's state with ours.
func (c *Core) compare(h ic.Height, r *round) {
	a := r.certification
	if *r.root != a.Hash {
		c.emit(Diverged{Height: h, Ours: *r.root, Theirs: a.Hash})
		return
	}
	c.certified = max(c.certified, h)
	c.emit(Certified{Height: h, Root: a.Hash, Signature: a.Signature})
}

// purge what lies keep heights below a saved state, keep heights at a time:
// each costs the database a mark.
func (c *Core) purge(saved ic.Height) {
	top := min(saved, c.certified, c.finalized)
	if top < c.lowest+2*keep {
		return
	}
	c.lowest = top - keep
	for h := range c.rounds {
		if h < c.lowest {
			delete(c.rounds, h)
		}
	}
	c.emit(Purge{c.lowest})
}

// checkRestored: the blocks above the saved state must be there where nobody
// else has them. Peers have what this node lacks: it may have seen that a block
// is final and never the block.
func (c *Core) checkRestored() error {
	if c.finalized < c.Saved {
		return fmt.Errorf("the saved state has height %d, the last final block %d: the database lost blocks", c.Saved, c.finalized)
	}
	if h := c.Whole(); h < c.finalized && len(c.Members) == 1 {
		return fmt.Errorf("block %d is missing, final are blocks up to %d: the database lost blocks", h+1, c.finalized)
	}
	return nil
}
