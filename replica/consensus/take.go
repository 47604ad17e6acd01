package consensus

import (
	"fmt"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/wire/block"
)

// receive checks a peer's artifact and takes it. What is old, or too far ahead
// to be of use, is dropped without a word: peers are not at the same place.
func (c *Core) receive(a *block.Artifact) {
	if a.Height < c.lowest || a.Height == 0 || a.Height > c.height+maxAhead {
		return
	}
	if err := c.check(a); err != nil {
		c.emit(Refused{a, err})
		return
	}
	if c.take(a, false) && !a.Kind.IsShare() {
		c.emit(Persist{a})
		if r := c.round(a.Height); a.Kind == block.Certification && r.root != nil {
			c.compare(a.Height, r)
		}
	}
}

// check the signatures of a, except for shares of BLS: those are combined first.
func (c *Core) check(a *block.Artifact) error {
	n := uint64(len(c.Members))
	message := c.message(a)
	switch a.Kind {
	case block.Proposal:
		if a.Signer >= n || c.Members[a.Signer].Node != a.Block.Maker {
			return fmt.Errorf("proposal of height %d: its maker is not its signer", a.Height)
		}
		return c.checkVote(a.Signer, message, a.Signature)
	case block.NotarizationShare, block.FinalizationShare:
		return c.checkVote(a.Signer, message, a.Signature)
	case block.Notarization, block.Finalization:
		if q := Quorum(int(n)); len(a.Votes) < q {
			return fmt.Errorf("%s of height %d has %d signatures, it needs %d", a.Kind, a.Height, len(a.Votes), q)
		}
		for _, v := range a.Votes {
			if err := c.checkVote(v.Signer, message, v.Signature); err != nil {
				return err
			}
		}
	case block.BeaconShare, block.TapeShare, block.CertificationShare:
		if a.Signer >= n {
			return fmt.Errorf("%s of member %d of %d", a.Kind, a.Signer, n)
		}
	case block.Beacon, block.Tape:
		return c.Scheme.Verify(c.Random.Key, message, a.Signature)
	case block.Certification:
		return c.Scheme.Verify(c.State.Key, message, a.Signature)
	default:
		return fmt.Errorf("%s", a.Kind)
	}
	return nil
}

func (c *Core) checkVote(signer uint64, message, sig []byte) error {
	if signer >= uint64(len(c.Members)) {
		return fmt.Errorf("a signature of member %d of %d", signer, len(c.Members))
	}
	if err := c.Scheme.Vote(c.Members[signer].Key, message, sig); err != nil {
		return fmt.Errorf("member %d: %w", signer, err)
	}
	return nil
}

// take puts a checked artifact in its place and tells whether it was new. own
// marks those of this node: what it signed once it will not contradict.
func (c *Core) take(a *block.Artifact, own bool) bool {
	r := c.round(a.Height)
	own = own && a.Signer == uint64(c.Self)
	switch a.Kind {
	case block.BeaconShare:
		return r.beacon == nil && r.beaconShares.add(a)
	case block.TapeShare:
		return r.tape == nil && r.tapeShares.add(a)
	case block.Beacon:
		if r.beacon != nil {
			return false
		}
		r.beacon = a.Signature
	case block.Tape:
		if r.tape != nil {
			return false
		}
		r.tape = a.Signature
	case block.Proposal:
		return c.takeProposal(r, a, own)
	case block.NotarizationShare:
		if own {
			r.signed = append(r.signed, a.Hash)
		}
		return addTo(r.notary, a)
	case block.Notarization:
		return r.addNotarized(a.Hash)
	case block.FinalizationShare:
		r.finished = r.finished || own
		return addTo(r.finality, a)
	case block.Finalization:
		if r.final != nil {
			return false
		}
		h := a.Hash
		r.final = &h
		r.addNotarized(h) // more than a notarization: nothing else can be final
		c.finalized = max(c.finalized, a.Height)
	case block.CertificationShare:
		return r.certification == nil && addTo(r.certShares, a)
	case block.Certification:
		if r.certification != nil {
			return false
		}
		r.certification = a
	}
	return true
}

// maxPerMaker proposals prove that a maker cheats; more of them prove nothing.
const maxPerMaker = 2

func (c *Core) takeProposal(r *round, a *block.Artifact, own bool) bool {
	if r.proposals[a.Hash] != nil {
		return false
	}
	n := 0
	for _, p := range r.proposals {
		if p.Signer == a.Signer {
			n++
		}
	}
	if n >= maxPerMaker && !slices.Contains(r.notarized, a.Hash) {
		return false
	}
	r.proposals[a.Hash] = &proposal{Artifact: a, valid: own}
	r.proposed = r.proposed || own
	return true
}

func (r *round) addNotarized(h block.Hash) bool {
	if slices.Contains(r.notarized, h) {
		return false
	}
	r.notarized = append(r.notarized, h)
	return true
}

// maxPerSigner hashes of one height that one member signs shares for: an honest
// one signs a few blocks at most; a cheat must not fill our memory.
const maxPerSigner = 16

func addTo(m map[block.Hash]shares, a *block.Artifact) bool {
	n := 0
	for _, s := range m {
		if s[a.Signer] != nil {
			n++
		}
	}
	return n < maxPerSigner && ofHash(m, a.Hash).add(a)
}

func ofHash(m map[block.Hash]shares, h block.Hash) shares {
	if m[h] == nil {
		m[h] = shares{}
	}
	return m[h]
}

func (s shares) add(a *block.Artifact) bool {
	if s[a.Signer] != nil {
		return false
	}
	s[a.Signer] = a.Signature
	return true
}

// combine makes a group's signature of shares, once there are enough. Bad
// shares are dropped, so that their sender can not stop us twice with them.
func (c *Core) combine(g *bls.Group, a *block.Artifact, s shares) ([]byte, bool) {
	if len(s) < g.Threshold {
		return nil, false
	}
	list := make([]bls.Share, 0, len(s))
	for i, sig := range s {
		list = append(list, bls.Share{Index: int(i), Signature: sig})
	}
	slices.SortFunc(list, func(a, b bls.Share) int { return a.Index - b.Index })
	if sig, ok := c.alone(g, list); ok {
		return sig, true
	}
	sig, bad, err := c.Scheme.Combine(g, c.message(a), list)
	for _, i := range bad {
		delete(s, uint64(i))
		share := &block.Artifact{Kind: a.Kind - 1, Height: a.Height, Hash: a.Hash, Signer: uint64(i)} // each share comes right before its whole
		c.emit(Refused{share, fmt.Errorf("the share of member %d does not match", i)})
	}
	return sig, err == nil
}

// alone: where one signs for all, its share is the signature. Our own needs no check.
func (c *Core) alone(g *bls.Group, list []bls.Share) ([]byte, bool) {
	if g.Threshold == 1 && len(g.Holders) == 1 && list[0].Index == c.Self {
		return list[0].Signature, true
	}
	return nil, false
}

// judge decides whether a proposal of the present round may be notarized.
func (c *Core) judge(r *round, p *proposal) {
	if p.valid || p.invalid {
		return
	}
	b := p.Block
	parent, ok := c.parentOf(b.Height, b.Parent)
	if !ok {
		return // its parent may still be notarized
	}
	if limit := c.now + maxDrift; b.Time > limit {
		c.wakeAt(b.Time - maxDrift + 1)
		return
	}
	if err := c.refuse(r, p, parent); err != nil {
		p.invalid = true
		c.emit(Refused{p.Artifact, err})
		return
	}
	switch err := c.Payload.Validate(b, c.ancestors(b.Height, b.Parent)); err {
	case nil:
		p.valid = true
	case ErrNotYet:
		c.wakeAt(c.now + 100*millisecond)
	default:
		p.invalid = true
		c.emit(Refused{p.Artifact, err})
	}
}

func (c *Core) refuse(r *round, p *proposal, parent *block.Block) error {
	b := p.Block
	switch {
	case b.Rank >= uint64(len(r.ranking)) || b.Rank > uint64(Faults(len(c.Members))) || uint64(r.ranking[b.Rank]) != p.Signer:
		return fmt.Errorf("block %d of member %d has rank %d, which is not its own", b.Height, p.Signer, b.Rank)
	case b.Time <= parent.Time:
		return fmt.Errorf("block %d has time %d, its parent %d", b.Height, b.Time, parent.Time)
	case b.Registry < parent.Registry || b.Registry > c.Registry:
		return fmt.Errorf("block %d names registry version %d, its parent %d and this node %d", b.Height, b.Registry, parent.Registry, c.Registry)
	case b.Certified < parent.Certified || b.Certified >= b.Height:
		return fmt.Errorf("block %d names certified height %d, its parent %d", b.Height, b.Certified, parent.Certified)
	}
	return nil
}
