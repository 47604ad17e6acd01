package canister

import (
	"container/list"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// maxHot bounds the instances kept running between messages: each holds its
// memory mapped, in up to two mappings of the 65,530 that the kernel gives a
// process.
const maxHot = 10_240

// Tip keeps running instances of the newest state's canisters, and the executions
// that rest. It belongs to one goroutine. What it holds is not part of the state.
type Tip struct {
	engine machine.Engine
	limit  uint64 // bytes of memory that their heaps may take together; one may exceed it
	hot    map[ic.CanisterID]*hot
	order  *list.List // of *hot, the one used last first
	bytes  uint64     // of all in order
	parked map[ic.CanisterID]*Turn
	hashes hashes

	described map[[32]byte]*state.Module
}

// hot is an instance with the version that it has.
type hot struct {
	id     ic.CanisterID
	memory *state.Memory
	module *state.Module
	inst   machine.Instance
	place  *list.Element
	bytes  uint64
}

// NewTip begins without instances; what their heaps take of the memory stays below
// hotBytes, except that one canister always runs.
func NewTip(e machine.Engine, hotBytes uint64) *Tip {
	return &Tip{engine: e, limit: hotBytes, hot: map[ic.CanisterID]*hot{}, order: list.New(), parked: map[ic.CanisterID]*Turn{}, described: map[[32]byte]*state.Module{}}
}

// Close ends all instances and what rests.
func (t *Tip) Close() {
	for id, turn := range t.parked {
		delete(t.parked, id)
		turn.end()
	}
	for t.order.Len() > 0 {
		t.drop(t.order.Back().Value.(*hot))
	}
}

// take removes a canister's instance, nil where there is none.
func (t *Tip) take(id ic.CanisterID) *hot {
	h := t.hot[id]
	if h != nil {
		t.forget(h)
	}
	return h
}

func (t *Tip) forget(h *hot) {
	delete(t.hot, h.id)
	t.order.Remove(h.place)
	t.bytes -= h.bytes
}

func (t *Tip) drop(h *hot) {
	t.forget(h)
	h.inst.Close()
}

// give keeps an instance, and ends those that were not used for longest where they
// are too many.
func (t *Tip) give(id ic.CanisterID, h *hot) {
	if h == nil {
		return
	}
	h.id, h.bytes = id, h.inst.Resident()
	t.hot[id], h.place = h, t.order.PushFront(h)
	t.bytes += h.bytes
	for t.order.Len() > 1 && (t.bytes > t.limit || t.order.Len() > maxHot) {
		t.drop(t.order.Back().Value.(*hot))
	}
}
