package canister

import (
	"cmp"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Shed drops messages of best-effort calls, the largest first, until all of them
// together take no more than limit bytes. Who called hears of it at once, and gets
// back its cycles.
func (r *Room) Shed(limit uint64) {
	if r.Head.BestEffort <= limit {
		return
	}
	type candidate struct {
		canister ic.CanisterID
		key      string
		bytes    uint64
	}
	var all []candidate
	for _, id := range r.Ready() {
		c := r.Canister(id)
		if c.BestEffort() == 0 {
			continue
		}
		c.Queue.Each(func(key string, m *state.Message) bool {
			if m.BestEffort() && (c.Long == nil || c.Long.Key != key) {
				all = append(all, candidate{id, key, m.Bytes()})
			}
			return true
		})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, x := range all {
		if r.Head.BestEffort <= limit {
			return
		}
		r.shed(x.canister, x.key)
	}
}

func (r *Room) shed(id ic.CanisterID, key string) {
	c := *r.Canister(id)
	m, ok := c.Queue.Get(key)
	if !ok {
		return
	}
	dropped := ic.Errorf(ic.ResponseDropped, "Response was dropped.")
	if m.Origin.Kind == state.Response {
		c.Swap(key, &state.Message{Origin: m.Origin, Callee: m.Callee, Cycles: m.Cycles, Reject: dropped.Reject()})
		r.Put(&c)
		return
	}
	c.Take(key)
	r.Put(&c)
	r.Answer(&m.Origin, failed(dropped), m.Cycles)
}
