package canister

import (
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: who takes more memory must find room on the subnet, and pay for it
// ahead where room is short.

// reservationThreshold is from how much memory in use on canisters pay ahead for
// what they take (cycle-costs.md, "Storage reservation"), in bytes.
const reservationThreshold = 750 << 30

// Growth is what Grow was asked to do; its errors name it.
type Growth struct {
	Before uint64 // bytes taken before
	// Allocation is set where a setting asks for the memory, not a use of it.
	Allocation bool
	// ByUser is set where the management canister answers, which then knows the
	// words for it; else the canister's own run failed.
	ByUser bool
	// Callback is set in a callback, for which memory is kept.
	Callback bool
	Caller   ic.Principal
}

// Grow lets c, a private copy, take more than before: there must be room, its
// reserve must not exceed its limit, and what is left must keep it from freezing.
func (r *Room) Grow(c *state.Canister, g Growth) *ic.UserError {
	after := c.MemoryTaken()
	if after <= g.Before {
		return nil
	}
	more := after - g.Before
	if free := r.memory(g.Callback); more > free {
		return g.noRoom(c, more, free)
	}
	ahead := r.Subnet.Costs.Reservation(more, r.Head.Taken, reservationThreshold, r.Most.Memory)
	reserved := c.Reserved.Add(ahead)
	if !ahead.IsZero() && c.Settings.ReservedLimit.Less(reserved) {
		over, _ := reserved.Sub(c.Settings.ReservedLimit)
		return g.overLimit(c, more, over)
	}
	bigger := *c
	bigger.Reserved = reserved
	need := Freezing(r.Subnet.Costs, &bigger).Add(ahead)
	if c.Cycles.Less(need) {
		missing, _ := need.Sub(c.Cycles)
		return g.tooPoor(c, more, missing)
	}
	c.Cycles, _ = c.Cycles.Sub(ahead)
	c.Reserved = reserved
	return nil
}

// Free is what canisters may take: of all of the subnet, or those of one turn, which has
// a part of it for itself.
func (r *Room) Free() state.Means {
	if r.turn != nil {
		return r.turn.free.Left(r.turn.inUse, r.Head.InUse())
	}
	return r.Most.Left(state.Means{}, r.Head.InUse())
}

// memory is by how many bytes a canister may grow.
func (r *Room) memory(callback bool) uint64 {
	free := r.Free()
	if callback {
		return free.Memory
	}
	return free.Memory - min(free.Memory, free.Reserve)
}

// ownCalls a canister may always have open, however many others have.
const ownCalls = 50

// calls is how many more c may have open.
func (r *Room) calls(c *state.Canister) int {
	own := ownCalls - min(ownCalls, c.Callbacks.Len())
	return max(own, int(r.Free().Calls))
}

// SectionsFit holds the custom sections of what a canister is to become against the room
// there is for them on the subnet.
func (r *Room) SectionsFit(was, next *state.Canister) *ic.UserError {
	before, after := was.Module.SectionBytes(), next.Module.SectionBytes()
	free := r.Free().Sections
	if after <= before || after-before <= free {
		return nil
	}
	return ic.Errorf(ic.SubnetOversubscribed, "Canister requested %s of Wasm custom sections memory but only %s are available in the subnet.\n"+
		"Try removing custom sections using a tool like `wasm-strip` or moving to another subnet. See documentation: %ssubnet-custom-section-memory-capacity-oversubscribed", size(after-before), size(free), ic.ErrorDocs)
}

func (g *Growth) noRoom(c *state.Canister, more, left uint64) *ic.UserError {
	if g.ByUser {
		return ic.Errorf(ic.SubnetOversubscribed, "Canister requested %s of memory but only %s are available in the subnet.\nTry moving to another subnet. See documentation: %ssubnet-memory-capacity-oversubscribed", size(more), size(left), ic.ErrorDocs)
	}
	return canisterError(c.ID, ic.CanisterOutOfMemory, "Canister cannot grow its memory usage.",
		"Check the canister's memory usage against its allocation and the system wide limits to determine why more memory cannot be allocated.", "out-of-memory")
}

const raiseReserve = "Try increasing this canister's reserved cycles limit or moving it to a subnet with lower memory usage."

func (g *Growth) overLimit(c *state.Canister, more uint64, over ic.Cycles) *ic.UserError {
	limit := c.Settings.ReservedLimit
	if g.Allocation {
		return ic.Errorf(ic.ReservedCyclesLimitInMemoryAlloc, "Cannot increase memory allocation to %d due to its reserved cycles limit. The current limit (%s) would be exceeded by %s.\n%s See documentation: %sreserved-cycles-limit-exceeded-in-memory-allocation",
			c.Settings.MemoryAllocation, limit, over, raiseReserve, ic.ErrorDocs)
	}
	text := fmt.Sprintf("Canister cannot grow memory by %d bytes due to its reserved cycles limit. The current limit (%s) would be exceeded by %s.", more, limit, over)
	if g.ByUser {
		return ic.Errorf(ic.ReservedCyclesLimitInMemoryGrow, "%s\n%s See documentation: %sreserved-cycles-limit-exceeded-in-memory-grow", text, raiseReserve, ic.ErrorDocs)
	}
	return canisterError(c.ID, ic.ReservedCyclesLimitInMemoryGrow, text, "Try increasing the canister's reserved cycles limit.", "reserved-cycles-limit-exceeded-in-memory-grow")
}

const topUp = "Top up the canister with more cycles."

func (g *Growth) tooPoor(c *state.Canister, more uint64, missing ic.Cycles) *ic.UserError {
	if g.Allocation {
		return ic.Errorf(ic.InsufficientCyclesInMemoryAlloc, "Cannot increase memory allocation to %d due to insufficient cycles. At least %s additional cycles are required.\n%s See documentation: %sinsufficient-cycles-in-memory-allocation",
			c.Settings.MemoryAllocation, missing, topUp, ic.ErrorDocs)
	}
	text := fmt.Sprintf("Canister cannot grow memory by %d bytes due to insufficient cycles.", more)
	if g.ByUser || c.Settings.Controls(g.Caller) {
		text += fmt.Sprintf(" At least %s additional cycles are required.", missing)
	}
	if g.ByUser {
		return ic.Errorf(ic.InsufficientCyclesInMemoryGrow, "%s\n%s See documentation: %sinsufficient-cycles-in-memory-grow-1", text, topUp, ic.ErrorDocs)
	}
	return canisterError(c.ID, ic.InsufficientCyclesInMemoryGrow, text, "Try topping up the canister.", "insufficient-cycles-in-memory-grow")
}

// size is a number of bytes for people.
func size(n uint64) string {
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.2f %s", f, units[i])
}
