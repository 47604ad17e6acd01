package consensus

import "ashlar/replica/wire/block"

// Pools counts what a node keeps for consensus; Bounds is the most it can be.
type Pools struct {
	Rounds   int // heights of which something is known
	Blocks   int // proposals
	Shares   int // votes and shares, of all kinds
	Dealings int
}

// Bounds of the pools of a subnet with n members, worked out as mainnet's are
// (replica.md B.1): heights that may be open, times what one member can have at each.
//
//	lowest ── 2 keep ── saved, certified ── an interval: its package is due ── maxAhead ──> nothing is taken
//
// Each member may have two proposals at a height that were not judged, so the bound of
// blocks is higher than mainnet's 1592; a subnet that runs well keeps some 120 rounds
// with one block each.
func Bounds(n int, interval uint64) Pools {
	heights := 2*keep + maxAhead + int(interval) + maxAhead
	return Pools{
		Rounds:   heights,
		Blocks:   heights * n * maxPerMaker,
		Shares:   heights * n * (2 + maxNotary + 3*maxSame), // beacon, tape; notarizations; finalization, certificate, package
		Dealings: keptIntervals(interval) * 2 * n * maxChecks,
	}
}

func keptIntervals(interval uint64) int { return 3 + (2*keep+2*maxAhead)/int(interval) }

// Pools at this moment.
func (c *Core) Pools() (p Pools) {
	p.Rounds = len(c.rounds)
	for _, r := range c.rounds {
		p.Blocks += len(r.proposals)
		p.Shares += len(r.beaconShares) + len(r.tapeShares)
		for _, m := range []map[block.Hash]shares{r.notary, r.finality, r.certShares, r.cups} {
			for _, s := range m {
				p.Shares += len(s)
			}
		}
	}
	for _, iv := range c.intervals {
		for _, m := range iv.makings {
			p.Dealings += len(m.checks)
		}
	}
	return p
}
