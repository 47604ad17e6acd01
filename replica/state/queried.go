package state

import (
	"slices"

	"ashlar/replica/ic"
)

// Report is what one node says that it did for queries of a canister, in an epoch.
type Report struct {
	Node ic.NodeID `cbor:"1,keyasint"`
	Stats
}

func (s *Stats) add(o Stats) {
	s.Calls, s.Instructions = s.Calls+o.Calls, s.Instructions+o.Instructions
	s.RequestBytes, s.ResponseBytes = s.RequestBytes+o.RequestBytes, s.ResponseBytes+o.ResponseBytes
}

// Count adds a node's word to c, a private copy. Of a subnet of several nodes none is
// believed alone: what they say in one epoch is joined when the next has begun.
func (c *Canister) Count(node ic.NodeID, s Stats, epoch uint64, members int) {
	if members <= 1 {
		c.Stats.add(s)
		return
	}
	if c.ReportEpoch != epoch {
		c.Stats = c.Queried(epoch, members)
		c.Reports, c.ReportEpoch = nil, epoch
	}
	reports := slices.Clone(c.Reports)
	for i := range reports {
		if reports[i].Node == node {
			reports[i].add(s)
			c.Reports = reports
			return
		}
	}
	c.Reports = append(reports, Report{node, s})
}

// Queried are the statistics of c's queries: each epoch counts as the median of what
// the subnet's members said, for each of them. So no third of them can make it more
// than another says, or less.
func (c *Canister) Queried(epoch uint64, members int) Stats {
	s := c.Stats
	if len(c.Reports) == 0 || c.ReportEpoch >= epoch {
		return s
	}
	median := func(of func(*Report) uint64) uint64 {
		said := make([]uint64, max(members, len(c.Reports)))
		for i := range c.Reports {
			said[i] = of(&c.Reports[i])
		}
		slices.Sort(said)
		return said[(len(said)-1)/2] * uint64(members)
	}
	s.add(Stats{
		Calls:         median(func(r *Report) uint64 { return r.Calls }),
		Instructions:  median(func(r *Report) uint64 { return r.Instructions }),
		RequestBytes:  median(func(r *Report) uint64 { return r.RequestBytes }),
		ResponseBytes: median(func(r *Report) uint64 { return r.ResponseBytes }),
	})
	return s
}

// queryBlocks are an epoch of query statistics, as on mainnet.
const queryBlocks = 600

// QueryEpoch is the stretch of heights in which nodes' reports are joined.
func QueryEpoch(h ic.Height) uint64 { return uint64(h / queryBlocks) }
