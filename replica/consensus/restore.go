package consensus

import (
	"fmt"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// restore takes back what this node persisted; all of it was checked before. Of
// heights up to Saved, proposals may come without what users sent: only what they
// say of keys is needed.
func (c *Core) restore(artifacts []*block.Artifact) error {
	start := c.cup.last.Height
	artifacts = slices.DeleteFunc(slices.Clone(artifacts), func(a *block.Artifact) bool {
		return a.Height < start || a.Height == start && a.Kind != block.Certification
	})
	slices.SortStableFunc(artifacts, func(a, b *block.Artifact) int {
		if a.Height != b.Height {
			return int(a.Height) - int(b.Height)
		}
		return order(a.Kind) - order(b.Kind)
	})
	c.first(start)
	for _, a := range artifacts {
		c.retake(a)
	}
	c.height = start + 1
	for h, r := range c.rounds {
		if r.passable() && h >= c.height {
			c.height = h + 1
		}
	}
	if err := c.checkRestored(); err != nil {
		return err
	}
	if err := c.walk(start); err != nil {
		return err
	}
	c.lowest = max(start, min(c.Saved, c.certified)-min(c.Saved, c.certified, 2*keep))
	for h := range c.rounds {
		if h < c.lowest {
			delete(c.rounds, h)
		}
	}
	for _, a := range artifacts {
		if a.Kind == block.Dealing || a.Height > c.Saved-min(c.Saved, resend) {
			c.again = append(c.again, a)
		}
	}
	return nil
}

// order of what is taken back of a height: blocks come last, since of a maker of many
// those are taken that are known to be notarized, or final.
func order(k block.Kind) int {
	if k == block.Proposal {
		return 1 << 8
	}
	return int(k)
}

// resend what this node said in its last heights: it may have reached nobody.
const resend = 20

// first is the round of the package to begin with: final, and its beacon known.
func (c *Core) first(h ic.Height) {
	a := c.cup.last
	r, hash := c.round(h), a.Block.Hash()
	r.proposals[hash] = &proposal{Artifact: &block.Artifact{Kind: block.Proposal, Height: h, Hash: hash, Block: a.Block}, valid: true}
	r.notarized, r.final, r.beacon, r.finished = []block.Hash{hash}, &hash, beaconOf(a), true
	c.finalized, c.certified = h, h
}

// retake an artifact. What is persisted of shares is this node's own.
func (c *Core) retake(a *block.Artifact) {
	switch a.Kind {
	case block.Dealing:
		c.dealt = append(c.dealt, a)
		return
	case block.Certification: // it was of this node's state
		c.round(a.Height).certification = a
		if a.Height <= c.Saved {
			c.certified = max(c.certified, a.Height)
		}
		return
	case block.Proposal:
		c.take(a, a.Block.Maker == c.Node)
		return
	}
	c.take(a, a.Kind.IsShare())
}

// walk the chain of what is executed, for what it says of intervals.
func (c *Core) walk(start ic.Height) error {
	if c.Saved == start {
		return nil
	}
	p := c.finalBlock(c.Saved)
	var chain []*block.Block
	for h := c.Saved; h > start; h-- {
		if p == nil {
			return fmt.Errorf("block %d is missing, the saved state has height %d: the database lost blocks", h, c.Saved)
		}
		chain = append(chain, p.Block)
		if h > start+1 {
			r := c.rounds[h-1]
			if r == nil {
				p = nil
			} else {
				p = r.proposals[p.Block.Parent]
			}
		}
	}
	for _, b := range slices.Backward(chain) {
		c.passed(b)
	}
	return nil
}

// checkRestored: the blocks above the saved state must be there where nobody
// else has them. Peers have what this node lacks: it may have seen that a block
// is final and never the block.
func (c *Core) checkRestored() error {
	if c.finalized < c.Saved {
		return fmt.Errorf("the saved state has height %d, the last final block %d: the database lost blocks", c.Saved, c.finalized)
	}
	if len(c.intervals[0].members) > 1 {
		return nil
	}
	for h := c.Saved + 1; h <= c.finalized; h++ {
		if c.finalBlock(h) == nil {
			return fmt.Errorf("block %d is missing, final are blocks up to %d: the database lost blocks", h, c.finalized)
		}
	}
	return nil
}
