package node

import (
	"testing"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// What was counted is told once, however many canisters there are, and what comes
// while a block is on its way is told by a later one.
func TestQueriesAreToldOnce(t *testing.T) {
	var q queried
	if q.section() != nil {
		t.Error("nothing was counted")
	}
	const canisters = 3*block.MaxQueried + 7
	use := func(i uint64) []canister.Use {
		return []canister.Use{{Canister: ic.CanisterIDFromUint64(i), Stats: state.Stats{Calls: 1, Instructions: i, RequestBytes: 2, ResponseBytes: 3}}}
	}
	for i := range uint64(canisters) {
		q.count(use(i))
	}
	told := map[ic.CanisterID]uint64{}
	for rounds := 0; ; rounds++ {
		list := q.section()
		if list == nil {
			break
		}
		if rounds > canisters {
			t.Fatal("it does not end")
		}
		if _, err := block.DecodeQueries(block.EncodeQueries(list)); err != nil {
			t.Fatal(err)
		}
		if rounds < 3 {
			q.count(use(5)) // while the block is on its way
		}
		q.told(list)
		for _, x := range list {
			told[x.Canister] += x.Calls
		}
	}
	for i := range uint64(canisters) {
		want := uint64(1)
		if i == 5 {
			want = 4
		}
		if got := told[ic.CanisterIDFromUint64(i)]; got != want {
			t.Errorf("canister %d: %d calls told, want %d", i, got, want)
		}
	}
	q.told([]block.Queried{{Canister: ic.CanisterIDFromUint64(9), Calls: 5}}) // of a life before
	if q.section() != nil {
		t.Error("something is left")
	}
}

// The map is bounded, whatever is queried.
func TestCountedQueriesAreBounded(t *testing.T) {
	var q queried
	for i := range uint64(maxCounted + 10) {
		q.count([]canister.Use{{Canister: ic.CanisterIDFromUint64(i), Stats: state.Stats{Calls: 1}}})
	}
	if len(q.by) != maxCounted {
		t.Errorf("%d canisters are counted", len(q.by))
	}
}
