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
			c.finalize() || c.tapes() || c.deliver() || c.certify() || c.packages() || c.deals() || c.next()
	}
}

// enter begins the present round once the last beacon is known.
func (c *Core) enter() bool {
	r := c.round(c.height)
	if r.start != 0 {
		return false
	}
	iv, last := c.at(c.height), c.lastBeacon()
	if iv == nil || last == nil {
		return false
	}
	r.start = max(c.now, 1)
	r.ranking = shuffle(len(iv.members), last)
	return true
}

// lastBeacon is the beacon of the height before.
func (c *Core) lastBeacon() []byte {
	if r := c.rounds[c.height-1]; r != nil {
		return r.beacon
	}
	return nil
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
	iv, a := c.at(c.height), &block.Artifact{Kind: block.Beacon, Height: c.height, Hash: hashOf(c.lastBeacon())}
	moved := false
	if iv.self >= 0 && r.beaconShares[uint64(iv.self)] == nil {
		moved = c.share(iv, iv.low, &block.Artifact{Kind: block.BeaconShare, Height: a.Height, Hash: a.Hash})
	}
	if sig, ok := c.combine(iv, iv.low, a, r.beaconShares); ok {
		a.Signature = sig
		c.joined(iv, a, r.beaconShares)
		return true
	}
	return moved
}

// sign makes this node's vote or proposal and takes it.
func (c *Core) sign(iv *interval, a *block.Artifact) {
	a.Signer = uint64(iv.self)
	a.Signature = c.Keys.Vote(c.message(a))
	c.say(a)
}

// share makes this node's part of a group's signature, if it has its share of the key.
func (c *Core) share(iv *interval, key Key, a *block.Artifact) bool {
	a.Signer = uint64(iv.self)
	if a.Signature = c.Keys.Share(key.Hash(), c.message(a)); a.Signature == nil {
		return false
	}
	c.say(a)
	return true
}

func (c *Core) say(a *block.Artifact) {
	c.take(a, true)
	c.emit(Persist{a})
	c.emit(Send{a})
}

// publish what all should know at once.
func (c *Core) publish(a *block.Artifact) {
	c.take(a, false)
	c.emit(Persist{a})
	c.emit(Send{a})
}

// room tells whether rounds may go on: not too far ahead of certificates, nor of the
// catch-up package that is due.
func (c *Core) room() bool {
	return c.height <= c.certified+maxAhead && c.height <= c.at(c.cup.last.Height+1).end+maxAhead
}

// propose a block when it is this node's turn.
func (c *Core) propose() bool {
	r := c.round(c.height)
	if r.start == 0 || r.proposed || len(r.notarized) > 0 || c.silent() {
		return false
	}
	iv := c.at(c.height)
	rank := slices.Index(r.ranking, iv.self)
	if rank < 0 || rank > Faults(len(iv.members)) || !c.room() {
		return false
	}
	for _, p := range r.proposals {
		if p.valid && p.Block.Rank < uint64(rank) && !r.disqualified(p.Signer) {
			return false
		}
	}
	if c.delivered > c.executed+backlogStep {
		return false // the Step that brings an execution tries again
	}
	if at := r.start + c.delay(rank); c.now < at {
		c.wakeAt(at)
		return false
	}
	return c.makeBlock(iv, r, rank)
}

// delay of the block maker with a rank from the start of a round. Waiting
// users are served at once, as long as execution keeps up: while it does not,
// messages gather for a fuller block.
func (c *Core) delay(rank int) ic.Time {
	pace := c.Pace.Idle
	parent := c.rounds[c.height-1].proposals[c.bestParent()]
	waiting := c.Payload.Waiting(c.ancestors(c.height, parent.Hash))
	switch {
	case !c.goesOn(c.at(c.height)): // nothing of it will be executed
	case waiting && c.height-1 <= c.executed+1:
		pace = 0
	case c.busy || waiting:
		pace = c.Pace.Busy
	case c.finalized < parent.Height && len(parent.Block.Ingress) > 0: // its users wait for this round, if it does not become final by itself
		pace = c.Pace.Busy
	}
	if rank > 0 {
		pace = c.Pace.Idle // the better ranked may have nothing to do
	}
	return pace + ic.Time(rank)*c.Pace.Rank
}

func (c *Core) makeBlock(iv *interval, r *round, rank int) bool {
	parentHash := c.bestParent()
	parent, ok := c.parentOf(c.height, parentHash)
	if !ok {
		panic(fmt.Sprintf("consensus: round %d began without a notarized block before", c.height))
	}
	b := &block.Block{
		Height: c.height, Parent: parentHash, Maker: c.Node, Rank: uint64(rank),
		Time: max(c.now, parent.Time+1), Registry: max(c.Registry.Latest(), parent.Registry),
		Certified: max(parent.Certified, min(c.certified, c.height-1)),
	}
	switch {
	case b.Height == iv.end:
		s, err := c.summaryOf(iv, b)
		if err != nil {
			return false // the Step that brings what is missing tries again
		}
		b.Sections = []block.Section{{Kind: block.SummarySection, Data: s.Encode()}}
	case c.accepts(iv):
		b.Ingress = c.Payload.Build(b.Time, c.ancestors(b.Height, b.Parent))
		if list := c.pick(iv, b.Height, b.Parent); len(list) > 0 {
			b.Sections = []block.Section{{Kind: block.DealingsSection, Data: block.EncodeDealings(list)}}
		}
		b.Sections = append(b.Sections, c.Payload.Sections(c.ancestors(b.Height, b.Parent))...)
	}
	c.sign(iv, &block.Artifact{Kind: block.Proposal, Height: b.Height, Hash: b.Hash(), Block: b})
	r.proposed = true
	return true
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
	iv := c.at(c.height)
	if r.start == 0 || len(r.notarized) > 0 || r.finished || iv.self < 0 || !c.room() || c.silent() {
		return false
	}
	for _, p := range r.sorted() {
		c.judge(iv, r, p)
		if !p.valid || r.disqualified(p.Signer) {
			continue
		}
		if slices.Contains(r.signed, p.Hash) {
			return c.relay(r) // none better has come
		}
		if rank := p.Block.Rank; rank > 0 && p.Signer != uint64(iv.self) {
			if at := r.start + c.Pace.Idle + ic.Time(rank)*c.Pace.Rank; c.now < at {
				c.wakeAt(at)
				return false
			}
		}
		c.sign(iv, &block.Artifact{Kind: block.NotarizationShare, Height: c.height, Hash: p.Hash})
		return true
	}
	return false
}

// relay the blocks that this node voted for, once it sees votes for others: their
// maker may have told others something else, and none would come to an end.
func (c *Core) relay(r *round) bool {
	if r.relayed {
		return false
	}
	for h := range r.notary {
		if !slices.Contains(r.signed, h) {
			r.relayed = true
		}
	}
	if !r.relayed {
		return false
	}
	for _, p := range r.sorted() {
		if slices.Contains(r.signed, p.Hash) {
			c.emit(Send{p.Artifact})
		}
	}
	return true
}

// notarizations and finalizations are joined from shares at any open height.
func (c *Core) notarizations() (moved bool) {
	for h := max(c.finalized, c.lowest+1); h <= c.height; h++ {
		r, iv := c.rounds[h], c.at(h)
		if r == nil || iv == nil {
			continue
		}
		q := Quorum(len(iv.members))
		for _, hash := range sortedKeys(r.notary) {
			if s := r.notary[hash]; len(s) >= q && !slices.Contains(r.notarized, hash) && r.proposals[hash] != nil {
				c.joined(iv, &block.Artifact{Kind: block.Notarization, Height: h, Hash: hash, Votes: s.votes(q)}, s)
				moved = true
			}
		}
		for _, hash := range sortedKeys(r.finality) {
			if s := r.finality[hash]; len(s) >= q && r.final == nil {
				c.joined(iv, &block.Artifact{Kind: block.Finalization, Height: h, Hash: hash, Votes: s.votes(q)}, s)
				moved = true
			}
		}
	}
	return moved
}

// finalize what this node saw notarized alone, and notarized itself alone.
func (c *Core) finalize() bool {
	r, iv := c.round(c.height), c.at(c.height)
	if r.finished || iv == nil || len(r.notarized) == 0 || r.proposals[r.notarized[0]] == nil {
		return false
	}
	r.finished = true
	b := r.notarized[0]
	if len(r.notarized) > 1 || slices.ContainsFunc(r.signed, func(h block.Hash) bool { return h != b }) {
		return true // no vote: another block may become final
	}
	if r.final == nil && iv.self >= 0 && !c.silent() {
		c.sign(iv, &block.Artifact{Kind: block.FinalizationShare, Height: c.height, Hash: b})
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
		r, iv := c.round(h), c.at(h)
		if iv == nil {
			break
		}
		if r.tape != nil {
			continue
		}
		a := &block.Artifact{Kind: block.Tape, Height: h}
		if iv.self >= 0 && r.tapeShares[uint64(iv.self)] == nil {
			moved = c.share(iv, iv.low, &block.Artifact{Kind: block.TapeShare, Height: h}) || moved
		}
		if sig, ok := c.combine(iv, iv.low, a, r.tapeShares); ok {
			a.Signature = sig
			c.joined(iv, a, r.tapeShares)
			moved = true
		}
	}
	return moved
}

// deliver final blocks with a tape, in order.
func (c *Core) deliver() bool {
	h := c.delivered + 1
	iv := c.at(h)
	if h > c.finalized || iv == nil || !c.goesOn(iv) || c.rounds[h] == nil || c.rounds[h].tape == nil {
		return false
	}
	p := c.finalBlock(h)
	if p == nil {
		return false // an ancestor is missing: peers have it
	}
	if p.Block.Registry > c.Registry.Latest() {
		c.wakeAt(c.now + 100*millisecond)
		return false // what the registry says there is part of what the block does
	}
	rec, err := c.Registry.At(p.Block.Registry)
	if err != nil {
		panic(fmt.Sprintf("consensus: registry version %d of final block %d: %v", p.Block.Registry, h, err))
	}
	c.delivered, c.calls = h, len(p.Block.Ingress)
	c.emit(Deliver{Block: p.Block, Hash: p.Hash, Randomness: hashOf(c.rounds[h].tape), Members: iv.members, Record: rec})
	c.passed(p.Block)
	return true
}

func (c *Core) onExecuted(ev Executed) {
	r := c.round(ev.Height)
	root := ev.Root
	r.root = &root
	c.executed, c.busy = max(c.executed, ev.Height), ev.Busy || ev.Height == c.Saved // the first after a start: see Core.busy
	if r.certification == nil {
		r.certification = r.certs[root]
		if r.certification == nil {
			return
		}
		c.emit(Persist{r.certification})
	}
	c.compare(ev.Height, r)
}

// certify joins shares about states that were executed here.
func (c *Core) certify() (moved bool) {
	for c.whole = max(c.whole, c.lowest); c.whole < c.executed; c.whole++ {
		if r := c.rounds[c.whole+1]; r != nil && r.certification == nil {
			break
		}
	}
	for h := c.whole + 1; h <= c.executed; h++ {
		r, iv := c.rounds[h], c.at(h)
		if r == nil || iv == nil || r.root == nil || r.certification != nil {
			continue
		}
		if iv.self >= 0 && ofHash(r.certShares, *r.root)[uint64(iv.self)] == nil {
			moved = c.share(iv, iv.high, &block.Artifact{Kind: block.CertificationShare, Height: h, Hash: *r.root}) || moved
		}
		a := &block.Artifact{Kind: block.Certification, Height: h, Hash: *r.root}
		if sig, ok := c.combine(iv, iv.high, a, r.certShares[*r.root]); ok {
			a.Signature = sig
			c.joined(iv, a, r.certShares[*r.root])
			c.compare(h, r)
			moved = true
		} else if other := c.otherState(iv, h, r); other != nil {
			c.emit(Diverged{Height: h, Ours: *r.root, Theirs: *other})
			r.certs, r.certShares = nil, map[block.Hash]shares{}
		}
	}
	return moved
}

// otherState is a root that is not ours and that the subnet certified at this height.
// A certificate does not say its height: a peer may give it a false one. But shares
// come from their signers, so one of f+1 is of an honest node that has this state.
func (c *Core) otherState(iv *interval, h ic.Height, r *round) *block.Hash {
	for _, root := range sortedKeys(r.certShares) {
		s := r.certShares[root]
		if root == *r.root || len(s) <= Faults(len(iv.members)) {
			continue
		}
		if r.certs[root] != nil {
			return &root
		}
		if list := s.list(); len(list) < iv.high.Threshold() {
			continue
		} else if _, ok := c.prove(iv, iv.high, &block.Artifact{Kind: block.Certification, Height: h, Hash: root}, s, list); ok {
			return &root
		}
	}
	return nil
}

// compare the subnet's state with ours.
func (c *Core) compare(h ic.Height, r *round) {
	a := r.certification
	if *r.root != a.Hash {
		c.emit(Diverged{Height: h, Ours: *r.root, Theirs: a.Hash})
		return
	}
	r.certs, r.certFrom = nil, nil
	c.certified = max(c.certified, h)
	c.emit(Certified{Height: h, Root: a.Hash, Signature: a.Signature})
}

// purge what lies keep heights below a saved state, keep heights at a time:
// each costs the database a mark.
func (c *Core) purge() {
	top := min(c.saved, c.certified, c.finalized, c.at(c.cup.last.Height+1).end)
	if top < c.lowest+2*keep {
		return
	}
	c.lowest = top - keep
	for h := range c.rounds {
		if h < c.lowest {
			delete(c.rounds, h)
		}
	}
	c.forget()
	c.emit(Purge{Below: c.lowest, CUP: c.cup.last.Height})
}
