package consensus

// A node that lost what it had signed must not sign it again, differently. It joins
// from a catch-up package and follows; and it votes from the first height on at which
// it can not have voted before: the block below is later than the loss, by more than
// clocks may differ, and no node votes on what is later than its own clock.
//
// While it is silent it counts among the f that may be missing. Beacons, tapes and
// certificates have one signature each, so their shares can be made again.

// silent tells whether this node may have voted at the present height.
func (c *Core) silent() bool {
	if c.Forgot == 0 {
		return false
	}
	last := c.rounds[c.height-1]
	for _, h := range last.notarized {
		if p := last.proposals[h]; p == nil || p.Block.Time <= c.Forgot+maxDrift {
			return true
		}
	}
	return len(last.notarized) == 0
}
