package consensus

import (
	"bytes"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// round is what is known of one height.
type round struct {
	start   ic.Time // when this node entered it; 0: not yet
	ranking []int   // member indices, best first; known with the last beacon

	beacon, tape             []byte
	beaconShares, tapeShares shares

	proposals map[block.Hash]*proposal
	proposed  bool // by this node
	notary    map[block.Hash]shares
	notarized []block.Hash // by rank
	finality  map[block.Hash]shares
	final     *block.Hash // of the finalization artifact itself
	signed    []block.Hash
	finished  bool            // this node signed a finalization, or may not
	cheats    map[uint64]bool // makers of two blocks, by a proof
	relayed   bool            // this node passed on the blocks that it voted for

	certShares    map[block.Hash]shares
	certs         map[block.Hash]*block.Artifact // of peers, whose root is not known to be ours
	certFrom      map[ic.NodeID]bool             // who sent them
	root          *block.Hash                    // own state
	certification *block.Artifact                // of our root
	cups          map[block.Hash]shares

	ripe map[block.Kind]ic.Time // since when there are enough shares, and more are awaited
}

// proposal of one maker.
type proposal struct {
	*block.Artifact
	valid, invalid bool // neither: not yet judged
}

// shares by member index.
type shares map[uint64][]byte

func (c *Core) round(h ic.Height) *round {
	r := c.rounds[h]
	if r == nil {
		r = &round{proposals: map[block.Hash]*proposal{}, notary: map[block.Hash]shares{}, finality: map[block.Hash]shares{},
			certShares: map[block.Hash]shares{}, beaconShares: shares{}, tapeShares: shares{}, cups: map[block.Hash]shares{}}
		c.rounds[h] = r
	}
	return r
}

// sorted proposals: by rank, then hash, so that all that follows is deterministic.
func (r *round) sorted() []*proposal {
	out := make([]*proposal, 0, len(r.proposals))
	for _, p := range r.proposals {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *proposal) int {
		if a.Block.Rank != b.Block.Rank {
			return int(a.Block.Rank) - int(b.Block.Rank)
		}
		return bytes.Compare(a.Hash[:], b.Hash[:])
	})
	return out
}

// passable: there is a notarized block that we have, and a beacon, to go on from.
func (r *round) passable() bool {
	return r.beacon != nil && slices.ContainsFunc(r.notarized, func(h block.Hash) bool { return r.proposals[h] != nil })
}

// by are the proposals of a maker.
func (r *round) by(maker uint64) (out []*proposal) {
	for _, p := range r.sorted() {
		if p.Signer == maker {
			out = append(out, p)
		}
	}
	return out
}

// disqualified makers signed two blocks: none of theirs is to be notarized.
func (r *round) disqualified(maker uint64) bool {
	n := 0
	for _, p := range r.proposals {
		if p.Signer == maker {
			n++
		}
	}
	return n > 1 || r.cheats[maker]
}

func sortedKeys[V any](m map[block.Hash]V) []block.Hash {
	out := make([]block.Hash, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b block.Hash) int { return bytes.Compare(a[:], b[:]) })
	return out
}

// votes of a quorum, by signer.
func (s shares) votes(quorum int) []block.Vote {
	out := make([]block.Vote, 0, len(s))
	for i, sig := range s {
		out = append(out, block.Vote{Signer: i, Signature: sig})
	}
	slices.SortFunc(out, func(a, b block.Vote) int { return int(a.Signer) - int(b.Signer) })
	return out[:min(quorum, len(out))]
}

// ancestors of a block at a height whose parent is given: those not yet
// executed, youngest first.
func (c *Core) ancestors(h ic.Height, parent block.Hash) func(yield func(*block.Block) bool) {
	return func(yield func(*block.Block) bool) {
		for h := h - 1; h > c.executed; h-- {
			r := c.rounds[h]
			if r == nil || r.proposals[parent] == nil {
				return
			}
			b := r.proposals[parent].Block
			if !yield(b) {
				return
			}
			parent = b.Parent
		}
	}
}

// finalBlock is the block at a finalized height: found from the nearest
// finalization at or above it from which all blocks are here.
func (c *Core) finalBlock(h ic.Height) *proposal {
	for top := h; top <= c.finalized; top++ {
		if r := c.rounds[top]; r != nil && r.final != nil {
			if p := c.below(top, *r.final, h); p != nil {
				return p
			}
		}
	}
	return nil
}

// below a block at a height is its ancestor at h; nil if a block between is missing.
func (c *Core) below(at ic.Height, hash block.Hash, h ic.Height) *proposal {
	for ; ; at-- {
		r := c.rounds[at]
		if r == nil || r.proposals[hash] == nil {
			return nil
		}
		if at == h {
			return r.proposals[hash]
		}
		hash = r.proposals[hash].Block.Parent
	}
}

// Whole is the last height up to which all final blocks are here, and their batches
// are going to be executed.
func (c *Core) Whole() ic.Height {
	h := c.delivered
	if iv := c.at(h + 1); iv != nil && !c.goesOn(iv) {
		return h
	}
	for h < c.finalized {
		p := c.finalBlock(h + 1)
		if p == nil {
			return h
		}
		h++
		if s, err := block.DecodeSummary(p.Block.Section(block.SummarySection)); err == nil && !c.goesOn(&interval{block: p.Block, summary: s}) {
			return h
		}
	}
	return h
}

// parent data of a proposal at h that extends hash.
func (c *Core) parentOf(h ic.Height, hash block.Hash) (b *block.Block, ok bool) {
	r := c.rounds[h-1]
	if r == nil || !slices.Contains(r.notarized, hash) || r.proposals[hash] == nil {
		return nil, false
	}
	return r.proposals[hash].Block, true
}
