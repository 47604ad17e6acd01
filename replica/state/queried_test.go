package state

import (
	"testing"

	"ashlar/replica/ic"
)

// Reports are joined after 600 blocks, however long these took.
func TestQueryEpochs(t *testing.T) {
	for h, want := range map[ic.Height]uint64{0: 0, 599: 0, 600: 1, 1199: 1, 1200: 2} {
		if got := QueryEpoch(h); got != want {
			t.Errorf("height %d is in epoch %d, want %d", h, got, want)
		}
	}
}

// No node alone, and no third of them, decides what the statistics say.
func TestQueriedIsTheMedian(t *testing.T) {
	node := func(i int) ic.NodeID { return ic.NodeID{Principal: ic.Principal(rune('a' + i))} }
	for _, c := range []struct {
		name    string
		members int
		said    []uint64
		want    uint64
	}{
		{"one node", 1, []uint64{7}, 7},
		{"four that agree", 4, []uint64{5, 5, 5, 5}, 20},
		{"one lies", 4, []uint64{5, 5, 5, 1 << 60}, 20},
		{"one is silent", 4, []uint64{5, 5, 5}, 20},
		{"one alone", 4, []uint64{1 << 60}, 0},
		{"thirteen, four of which lie", 13, []uint64{1 << 50, 1 << 50, 1 << 50, 1 << 50, 4, 4, 4, 4, 4, 4, 4, 4, 4}, 52},
	} {
		can := &Canister{}
		for i, n := range c.said {
			can.Count(node(i), Stats{Calls: n, Instructions: n}, 10, c.members)
		}
		if now := can.Queried(10, c.members); c.members > 1 && now.Calls != 0 {
			t.Errorf("%s: counted before the epoch's end", c.name)
		}
		if got := can.Queried(11, c.members); got.Calls != c.want || got.Instructions != c.want {
			t.Errorf("%s: %+v, want %d", c.name, got, c.want)
		}
		// The next epoch's first report keeps what the last one came to.
		can.Count(node(0), Stats{Calls: 1}, 12, c.members)
		if got := can.Queried(12, c.members); c.members > 1 && got.Calls != c.want {
			t.Errorf("%s: %d after the next report, want %d", c.name, got.Calls, c.want)
		}
	}
	// A node that speaks twice is one node.
	can := &Canister{}
	for range 4 {
		can.Count(node(0), Stats{Calls: 9}, 10, 4)
	}
	if got := can.Queried(11, 4); got.Calls != 0 || len(can.Reports) != 1 || can.Reports[0].Calls != 36 {
		t.Errorf("%+v %+v", got, can.Reports)
	}
}
