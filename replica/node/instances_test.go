package node

import (
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// idleInstance counts how often it is closed.
type idleInstance struct {
	machine.Instance
	bytes  uint64
	closed int
}

func (i *idleInstance) Resident() uint64 { return i.bytes }
func (i *idleInstance) Close()           { i.closed++ }

func TestInstances(t *testing.T) {
	const maxIdleBytes = 1 << 20
	p := NewInstances(maxIdleBytes)
	canister := func(n uint64) *state.Canister {
		return &state.Canister{ID: ic.CanisterIDFromUint64(n), Module: &state.Module{Hash: [32]byte{byte(n)}}, Memory: &state.Memory{}}
	}
	c := canister(1)
	if inst, _ := p.Take(c); inst != nil {
		t.Fatal("an empty pool lends")
	}
	first, second := &idleInstance{bytes: 1}, &idleInstance{bytes: 1}
	old := c.Memory
	p.Give(c, first)
	c.Memory = &state.Memory{}
	p.Give(c, second)
	if inst, v := p.Take(c); inst != machine.Instance(second) || v != c.Memory {
		t.Fatal("the instance of the present memory is not preferred")
	}
	if inst, v := p.Take(c); inst != machine.Instance(first) || v != old {
		t.Fatal("an older instance is not lent with its version")
	}
	other := canister(1)
	other.Module = &state.Module{Hash: [32]byte{9}}
	p.Give(c, first)
	if inst, _ := p.Take(other); inst != nil {
		t.Fatal("an instance of other code is lent")
	}

	// A canister keeps a few; heaps together stay below the limit; one big heap may stay.
	for range maxPerOne {
		p.Give(c, &idleInstance{bytes: 1})
	}
	if first.closed != 1 {
		t.Fatal("one canister may keep any number")
	}
	big, bigger := &idleInstance{bytes: maxIdleBytes + 1}, &idleInstance{bytes: maxIdleBytes + 1}
	p.Give(canister(2), big)
	if len(p.idle) != 1 || big.closed != 0 {
		t.Fatal("the only big instance was not kept, or others beside it")
	}
	p.Give(canister(3), bigger)
	if big.closed != 1 || bigger.closed != 0 || p.bytes != bigger.bytes {
		t.Fatal("heaps are not bounded together")
	}
}
