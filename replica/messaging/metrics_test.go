package messaging

import (
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// A node that made no block on one day is not in the next day's sample, and begins at
// zero when it comes back.
func TestNodesThatLeft(t *testing.T) {
	node := func(n string) ic.NodeID { return ic.NodeID{Principal: ic.Principal(n)} }
	var h state.Head
	for d, makers := range [][]string{{"a", "b", "a"}, {"a"}, {"a"}, {"a", "b"}} {
		for i, maker := range makers {
			h.Time = ic.Time(d)*day + ic.Time(i)
			countBlocks(&h, &Batch{Maker: node(maker)})
		}
	}
	want := []map[string]uint64{{"a": 2, "b": 1}, {"a": 3, "b": 1}, {"a": 4}, {"a": 5, "b": 1}}
	if len(h.Metrics) != len(want) {
		t.Fatalf("%d samples", len(h.Metrics))
	}
	for d, sample := range h.Metrics {
		if len(sample.Nodes) != len(want[d]) {
			t.Errorf("day %d: %+v, want %v", d, sample.Nodes, want[d])
		}
		for _, n := range sample.Nodes {
			if n.Proposed != want[d][string(n.Node.Principal)] {
				t.Errorf("day %d: node %q made %d, want %v", d, n.Node.Principal, n.Proposed, want[d])
			}
		}
	}
}
