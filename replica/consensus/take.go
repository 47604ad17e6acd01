package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// receive checks a peer's artifact and takes it. What is old, or too far ahead
// to be of use, is dropped without a word: peers are not at the same place.
func (c *Core) receive(a *block.Artifact, from ic.NodeID) {
	switch a.Kind {
	case block.CUP:
		c.receiveCUP(a, from)
		return
	case block.Dealing:
		c.receiveDealing(a, from)
		return
	}
	iv := c.at(a.Height)
	if iv == nil || a.Height <= c.lowest || a.Height > c.height+maxAhead {
		return
	}
	if a.Kind.IsShare() {
		c.heard(iv, a, from)
	}
	if c.known(a) {
		return
	}
	if err := c.check(iv, a, from); err != nil {
		c.refused(a, from, err)
		return
	}
	if a.Kind == block.Certification {
		c.takeCertification(a, from)
		return
	}
	if c.take(a, false) && !a.Kind.IsShare() {
		c.emit(Persist{a})
	}
}

func (c *Core) refused(a *block.Artifact, from ic.NodeID, err error) { c.emit(Refused{a, from, err}) }

// known is what needs no check since it would not be taken.
func (c *Core) known(a *block.Artifact) bool {
	r := c.rounds[a.Height]
	if r == nil {
		return false
	}
	switch a.Kind {
	case block.BeaconShare, block.Beacon:
		return r.beacon != nil
	case block.TapeShare, block.Tape:
		return r.tape != nil
	case block.Proposal:
		return r.proposals[a.Hash] != nil
	case block.NotarizationShare:
		return r.notary[a.Hash][a.Signer] != nil || slices.Contains(r.notarized, a.Hash)
	case block.Notarization:
		return slices.Contains(r.notarized, a.Hash)
	case block.FinalizationShare:
		return r.final != nil || r.finality[a.Hash][a.Signer] != nil
	case block.Finalization:
		return r.final != nil
	case block.CertificationShare, block.Certification:
		return r.certification != nil
	case block.CUPShare:
		return a.Height <= c.cup.last.Height
	case block.Equivocation:
		return a.Height <= c.finalized || r.disqualified(a.Signer)
	}
	return false
}

// check the signatures of a, except for shares of BLS: those are combined first,
// and so are taken from their signers only.
func (c *Core) check(iv *interval, a *block.Artifact, from ic.NodeID) error {
	n := uint64(len(iv.members))
	if a.Kind.Signed() && a.Signer >= n {
		return fmt.Errorf("%s of member %d of %d", a.Kind, a.Signer, n)
	}
	if a.Kind.IsShare() && iv.members[a.Signer].Node != from {
		return fmt.Errorf("%s of member %d, sent by %s: each node sends its own", a.Kind, a.Signer, from)
	}
	message := c.message(a)
	switch a.Kind {
	case block.Proposal:
		if iv.members[a.Signer].Node != a.Block.Maker {
			return fmt.Errorf("proposal of height %d: its maker is not its signer", a.Height)
		}
		if r := c.rounds[a.Height]; r != nil && r.ranking != nil && !r.rankOf(iv, a) {
			return fmt.Errorf("block %d of member %d has rank %d, which is not its own", a.Height, a.Signer, a.Block.Rank)
		}
		return c.checkVote(iv, a.Signer, message, a.Signature)
	case block.NotarizationShare, block.FinalizationShare:
		return c.checkVote(iv, a.Signer, message, a.Signature)
	case block.Notarization, block.Finalization:
		if q := Quorum(int(n)); len(a.Votes) < q {
			return fmt.Errorf("%s of height %d has %d signatures, it needs %d", a.Kind, a.Height, len(a.Votes), q)
		}
		for _, v := range a.Votes {
			if err := c.checkVote(iv, v.Signer, message, v.Signature); err != nil {
				return err
			}
		}
	case block.Equivocation:
		if bytes.Compare(a.Hash[:], a.Other[:]) >= 0 {
			return fmt.Errorf("%s of height %d: its blocks are not in order", a.Kind, a.Height)
		}
		if err := c.checkVote(iv, a.Signer, message, a.Signature); err != nil {
			return err
		}
		return c.checkVote(iv, a.Signer, c.message(a.Second()), a.OtherSignature)
	case block.BeaconShare, block.TapeShare, block.CertificationShare, block.CUPShare:
	case block.Beacon, block.Tape:
		return iv.low.Verify(message, a.Signature)
	case block.Certification:
		return iv.high.Verify(message, a.Signature)
	default:
		return fmt.Errorf("%s", a.Kind)
	}
	return nil
}

func (c *Core) checkVote(iv *interval, signer uint64, message, sig []byte) error {
	if signer >= uint64(len(iv.members)) {
		return fmt.Errorf("a signature of member %d of %d", signer, len(iv.members))
	}
	if err := c.Scheme.Vote(iv.members[signer].Key, message, sig); err != nil {
		return fmt.Errorf("member %d: %w", signer, err)
	}
	return nil
}

// rankOf tells whether a proposal has the rank of its maker.
func (r *round) rankOf(iv *interval, a *block.Artifact) bool {
	rank := a.Block.Rank
	return rank < uint64(len(r.ranking)) && rank <= uint64(Faults(len(iv.members))) && uint64(r.ranking[rank]) == a.Signer
}

// takeCertification of a peer: it counts if its root is ours, now or once the batch is
// executed. One of each peer waits.
func (c *Core) takeCertification(a *block.Artifact, from ic.NodeID) {
	r := c.round(a.Height)
	if r.certFrom[from] || r.certs[a.Hash] != nil {
		return
	}
	if r.root != nil && *r.root == a.Hash {
		r.certification = a
		c.emit(Persist{a})
		c.compare(a.Height, r)
		return
	}
	if r.certs == nil {
		r.certs, r.certFrom = map[block.Hash]*block.Artifact{}, map[ic.NodeID]bool{}
	}
	r.certs[a.Hash], r.certFrom[from] = a, true
}

// take puts a checked artifact in its place and tells whether it was new. own
// marks those of this node: what it signed once it will not contradict.
func (c *Core) take(a *block.Artifact, own bool) bool {
	r := c.round(a.Height)
	switch a.Kind {
	case block.BeaconShare:
		return r.beacon == nil && r.beaconShares.add(a)
	case block.TapeShare:
		return r.tape == nil && r.tapeShares.add(a)
	case block.Beacon:
		if r.beacon != nil {
			return false
		}
		r.beacon, r.beaconShares = a.Signature, shares{}
	case block.Tape:
		if r.tape != nil {
			return false
		}
		r.tape, r.tapeShares = a.Signature, shares{}
	case block.Proposal:
		return c.takeProposal(r, a, own)
	case block.NotarizationShare:
		if own {
			r.signed = append(r.signed, a.Hash)
		}
		return addTo(r.notary, a, maxNotary)
	case block.Notarization:
		return r.addNotarized(a.Hash)
	case block.FinalizationShare:
		r.finished = r.finished || own
		return addTo(r.finality, a, maxSame)
	case block.Finalization:
		if r.final != nil {
			return false
		}
		h := a.Hash
		r.final = &h
		r.addNotarized(h) // more than a notarization: nothing else can be final
		c.finalized = max(c.finalized, a.Height)
	case block.CertificationShare:
		return r.certification == nil && addTo(r.certShares, a, maxSame)
	case block.Certification:
		r.certification, r.certShares = a, map[block.Hash]shares{}
	case block.CUPShare:
		return addTo(r.cups, a, maxSame)
	case block.Equivocation:
		if r.cheats == nil {
			r.cheats = map[uint64]bool{}
		}
		r.cheats[a.Signer] = true
	}
	return true
}

// maxPerMaker proposals prove that a maker cheats; more of them prove nothing.
const maxPerMaker = 2

func (c *Core) takeProposal(r *round, a *block.Artifact, own bool) bool {
	if r.proposals[a.Hash] != nil {
		return false
	}
	others := r.by(a.Signer)
	if len(others) >= maxPerMaker && !slices.Contains(r.notarized, a.Hash) {
		return false
	}
	r.proposals[a.Hash] = &proposal{Artifact: a, valid: own}
	r.proposed = r.proposed || own
	if len(others) == 1 && a.Height > c.finalized && !r.cheats[a.Signer] {
		c.accuse(others[0].Artifact, a)
	}
	return true
}

// accuse a maker of two blocks, with its signatures as the proof.
func (c *Core) accuse(a, b *block.Artifact) {
	if bytes.Compare(a.Hash[:], b.Hash[:]) > 0 {
		a, b = b, a
	}
	c.publish(&block.Artifact{Kind: block.Equivocation, Height: a.Height, Hash: a.Hash, Signer: a.Signer, Signature: a.Signature, Other: b.Hash, OtherSignature: b.Signature})
}

func (r *round) addNotarized(h block.Hash) bool {
	if slices.Contains(r.notarized, h) {
		return false
	}
	r.notarized = append(r.notarized, h)
	return true
}

// Hashes of one height that one member signs shares for.
const (
	maxNotary = 16 // notarizations: one for each rank up to f, of 40 members 14
	maxSame   = 2  // all else: an honest member signs one, and again after a restart
)

func addTo(m map[block.Hash]shares, a *block.Artifact, limit int) bool {
	n := 0
	for h, s := range m {
		if h != a.Hash && s[a.Signer] != nil {
			n++
		}
	}
	return n < limit && ofHash(m, a.Hash).add(a)
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

// judge decides whether a proposal of the present round may be notarized.
func (c *Core) judge(iv *interval, r *round, p *proposal) {
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
	if err := c.refuse(iv, r, p, parent); err != nil {
		p.invalid = true
		c.refused(p.Artifact, p.Block.Maker, err)
		return
	}
	err := ErrNotYet
	if b.Registry <= c.Registry.Latest() {
		err = c.checkSections(iv, b)
	}
	if err == nil {
		err = c.Payload.Validate(b, c.ancestors(b.Height, b.Parent))
	}
	switch err {
	case nil:
		p.valid = true
	case ErrNotYet:
		c.wakeAt(c.now + 100*millisecond)
	default:
		p.invalid = true
		c.refused(p.Artifact, p.Block.Maker, err)
	}
}

func (c *Core) refuse(iv *interval, r *round, p *proposal, parent *block.Block) error {
	b := p.Block
	switch {
	case !r.rankOf(iv, p.Artifact):
		return fmt.Errorf("block %d of member %d has rank %d, which is not its own", b.Height, p.Signer, b.Rank)
	case b.Time <= parent.Time:
		return fmt.Errorf("block %d has time %d, its parent %d", b.Height, b.Time, parent.Time)
	case b.Registry < parent.Registry:
		return fmt.Errorf("block %d names registry version %d, its parent %d", b.Height, b.Registry, parent.Registry)
	case b.Certified < parent.Certified || b.Certified >= b.Height:
		return fmt.Errorf("block %d names certified height %d, its parent %d", b.Height, b.Certified, parent.Certified)
	}
	return nil
}
