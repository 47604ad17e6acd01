package canister

import (
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
)

type sized struct {
	machine.Instance
	bytes  uint64
	closed bool
}

func (s *sized) Resident() uint64 { return s.bytes }
func (s *sized) Close()           { s.closed = true }

// Running instances stay below the limit of their heaps and of their number, the
// one used last stays; a canister that is larger than the limit runs, alone.
func TestTipIsBounded(t *testing.T) {
	tip := NewTip(nil, 100)
	put := func(n, bytes uint64) *sized {
		s := &sized{bytes: bytes}
		tip.give(ic.CanisterIDFromUint64(n), &hot{inst: s})
		return s
	}
	first, second := put(1, 60), put(2, 40)
	if first.closed || second.closed {
		t.Fatal("an instance ended though both fit")
	}
	tip.give(ic.CanisterIDFromUint64(1), tip.take(ic.CanisterIDFromUint64(1)))
	third := put(3, 40)
	if first.closed || !second.closed || third.closed || tip.bytes != 100 {
		t.Fatalf("closed: %v %v %v, want the second, which was not used for longest", first.closed, second.closed, third.closed)
	}
	put(4, 1000)
	if len(tip.hot) != 1 || tip.order.Len() != 1 {
		t.Fatalf("%d instances run beside one that exceeds the limit", len(tip.hot)-1)
	}
	tip = NewTip(nil, 1<<40)
	for n := range uint64(3 * maxHot) {
		put(n, 1)
	}
	if len(tip.hot) > maxHot || tip.bytes != uint64(len(tip.hot)) {
		t.Fatalf("%d instances run with %d bytes", len(tip.hot), tip.bytes)
	}
	tip.Close()
	if len(tip.hot) != 0 || tip.bytes != 0 {
		t.Fatalf("%d instances run after Close", len(tip.hot))
	}
}
