package canister

import (
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/trie"
)

// Charge lets a canister pay for its memory and compute allocation since it last
// did. One that cannot pay loses its code and memories.
func (r *Room) Charge(id ic.CanisterID) {
	c := *r.Canister(id)
	if r.Now < c.Charged+second || c.Long != nil { // in the middle of an execution the balance is not its own
		return
	}
	seconds := uint64(r.Now-c.Charged) / second
	c.Charged += ic.Time(seconds * second) // what is left of a second is charged next time
	idle, costs := Idle(&c), r.Subnet.Costs
	memory := costs.Storage(idle.Memory, seconds).Add(costs.Storage(idle.Messages, seconds))
	compute := costs.Compute(idle.Compute, seconds)
	if r.take(&c, memory, &c.Consumed.Memory) && r.take(&c, compute, &c.Consumed.Compute) {
		r.Put(&c)
		return
	}
	r.starve(&c)
}

const second = 1e9 // ns

// take withdraws from the reserve first, then from the balance.
func (r *Room) take(c *state.Canister, cost ic.Cycles, use *ic.Cycles) bool {
	fromReserve := cost
	if c.Reserved.Less(cost) {
		fromReserve = c.Reserved
	}
	rest, _ := cost.Sub(fromReserve)
	left, ok := c.Cycles.Sub(rest)
	if !ok {
		return false
	}
	c.Reserved, _ = c.Reserved.Sub(fromReserve)
	c.Cycles = left
	*use = use.Add(cost)
	r.Head.Burned = r.Head.Burned.Add(cost)
	return true
}

// starve empties a canister that has run out of cycles.
func (r *Room) starve(c *state.Canister) {
	c.Consumed.Uninstall = c.Consumed.Uninstall.Add(c.Cycles)
	r.Head.Burned = r.Head.Burned.Add(c.Cycles)
	c.Cycles, c.Reserved = ic.Cycles{}, ic.Cycles{}
	c.Settings.ComputeAllocation, c.Settings.MemoryAllocation, c.Settings.LogLimit = 0, 0, state.DefaultLogLimit
	c.Snapshots = trie.Map[*state.Snapshot]{}
	r.Empty(c, "Canister has been uninstalled.")
	c.History = nil // of all that happened only the number is left
	r.Put(c)
}

// PayIngress lets a canister, a private copy, pay for a user's message. One that is
// frozen may still have its settings updated: then it pays what it has.
func (r *Room) PayIngress(c *state.Canister, msg *ic.Ingress, evenFrozen bool) *ic.UserError {
	cost := r.Subnet.Costs.Ingress(uint64(msg.Bytes))
	if err := r.withdraw(c, cost, msg.Sender); err != nil {
		if !evenFrozen {
			return err
		}
		if c.Cycles.Less(cost) {
			cost = c.Cycles
		}
		c.Cycles, _ = c.Cycles.Sub(cost)
	}
	c.Consumed.Ingress = c.Consumed.Ingress.Add(cost)
	r.Head.Burned = r.Head.Burned.Add(cost)
	return nil
}

// CanPay tells whether a canister could pay for a user's message.
func (r *Reader) CanPay(c *state.Canister, msg *ic.Ingress) *ic.UserError {
	need := Freezing(r.Subnet.Costs, c).Add(r.Subnet.Costs.Ingress(uint64(msg.Bytes)))
	if c.Cycles.Less(need) {
		return outOfCycles(c, need, msg.Sender)
	}
	return nil
}
