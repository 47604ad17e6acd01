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

func (s *sized) HeapBytes() uint64 { return s.bytes }
func (s *sized) Close()            { s.closed = true }

// Running instances stay below the limit of their heaps and of their number; a
// canister that is larger than the limit runs, alone.
func TestTipIsBounded(t *testing.T) {
	tip := NewTip(nil, 100)
	put := func(n, bytes uint64) *sized {
		tip.room(bytes)
		s := &sized{bytes: bytes}
		tip.hot[ic.CanisterIDFromUint64(n)] = &hot{inst: s}
		return s
	}
	first, second := put(1, 60), put(2, 40)
	if first.closed || second.closed {
		t.Fatal("an instance ended though both fit")
	}
	third := put(3, 61)
	if sum := 61 + live(first) + live(second); sum > 100 || third.closed {
		t.Fatalf("%d bytes are live", sum)
	}
	put(4, 1000)
	if len(tip.hot) != 1 {
		t.Fatalf("%d instances run beside one that exceeds the limit", len(tip.hot)-1)
	}
	tip = NewTip(nil, 1<<40)
	for n := range uint64(3 * maxHot) {
		put(n, 1)
	}
	if len(tip.hot) > maxHot {
		t.Fatalf("%d instances run", len(tip.hot))
	}
}

func live(s *sized) uint64 {
	if s.closed {
		return 0
	}
	return s.bytes
}
