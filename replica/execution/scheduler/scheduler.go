// Package scheduler decides what a round executes, and on which virtual core.
//
//	subnet queue ─> order of canisters ─┬─> core 0: turn, turn, ... ─┐
//	     ^                              ├─> core 1: ...              ├─ merge in order
//	     │                              └─> core 3: ...              ┘      │
//	     └────────────── until nothing waits or all cores are full ─────────┘
//
// The cores exist in the protocol: which canister runs on which, and what a core
// has left, is the same on every node, whatever it runs them on. All is counted
// in instructions, never in time. Source: replica.md A.9, B.5.
//
// Order: a canister with a compute allocation of a percent goes first once in
// 100/a rounds; else whoever was left out for longest goes first. A message that
// exceeds its slice goes on in later rounds, at most longCores of them at a time
// while others wait, and at most maxPaused are kept in the middle.
package scheduler

import (
	"cmp"
	"slices"
	"strings"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/management"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Limits of a round, in instructions, the same on all nodes of a subnet.
type Limits struct {
	Slice machine.Instructions // of one message in one round
	// Core is where nothing more begins on a core, so that it may use up to a slice
	// more; the management canister has one for itself.
	Core machine.Instructions
	// Bytes of messages on the subnet: of calls whose response is guaranteed, which
	// cannot be made beyond it, and of others, which are dropped beyond it.
	Guaranteed, BestEffort uint64
	// Calls that all canisters may have open; beyond it each has a few for itself.
	Calls uint64
	// Sections is how many bytes the custom sections of all modules may take.
	Sections uint64
}

// Mainnet's limits: 4 B instructions per core and round.
var Mainnet = Limits{Slice: 2_000_000_000, Core: 2_000_000_000, Guaranteed: 15 << 30, BestEffort: 5 << 30, Calls: 1_000_000, Sections: 2 << 30}

// OrMainnet takes those of mainnet for what is zero.
func (l Limits) OrMainnet() Limits {
	l.Slice, l.Core = cmp.Or(l.Slice, Mainnet.Slice), cmp.Or(l.Core, Mainnet.Core)
	l.Guaranteed, l.BestEffort = cmp.Or(l.Guaranteed, Mainnet.Guaranteed), cmp.Or(l.BestEffort, Mainnet.BestEffort)
	l.Calls, l.Sections = cmp.Or(l.Calls, Mainnet.Calls), cmp.Or(l.Sections, Mainnet.Sections)
	return l
}

const (
	cores                              = 4
	perCanister   machine.Instructions = 8_000_000 // what each turn costs beyond what it executes
	longCores                          = 2         // cores that go on with long executions while others wait
	maxPaused                          = 4         // executions kept in the middle: each holds its memory
	allocated                          = 100       // credit that a turn ahead of others costs: percent x rounds
	maxCredit                          = 3 * allocated
	chargeSeconds                      = 10 // how often storage is paid for
)

// Round is one round's execution.
type Round struct {
	Room       *canister.Room
	Management *management.Management
	// Parallel runs n functions and returns when all have ended; nil: one by one.
	Parallel func(n int, run func(i int))
	Limits   Limits

	cores  [cores]canister.Core
	subnet canister.Core
	// resumed tells that the installation that takes longer had its slice.
	resumed bool
}

// Run executes what waits, up to the limits.
func (r *Round) Run() {
	r.begin()
	r.Room.Expire()
	r.messages()
	moved := r.iterate(true)
	for moved && !r.full() {
		r.Management.FinishStops()
		moved = r.messages()
		moved = r.iterate(false) || moved
	}
	r.Management.FinishStops()
	r.Room.Shed(r.Limits.BestEffort)
	r.abort()
	r.charge()
}

func (r *Round) begin() {
	for i := range r.cores {
		r.cores[i] = canister.Core{Limit: r.Limits.Core, Slice: r.Limits.Slice}
	}
	r.subnet = canister.Core{Limit: r.Limits.Core, Slice: r.Limits.Slice}
}

func (r *Round) full() bool {
	for i := range r.cores {
		if !r.cores[i].Full() {
			return false
		}
	}
	return true
}

// iterate gives every canister that has something to do a turn, if its core has
// room. The first iteration of a round runs tasks and long executions too.
func (r *Round) iterate(first bool) (moved bool) {
	order := r.ready(first)
	var longs []*state.Canister
	if first {
		longs = r.longs(len(order) > 0)
	}
	var open []int // cores with room
	for i := range r.cores {
		if !r.cores[i].Full() {
			open = append(open, i)
		}
	}
	if len(open) == 0 || len(order)+len(longs) == 0 {
		return false
	}
	turns := make([][]*canister.Turn, cores)
	for i, c := range longs {
		at := open[i%len(open)]
		turns[at] = append(turns[at], r.Room.Resume(c, r.install))
	}
	begin := r.canBegin()
	for i, c := range order {
		// From the other end: a long execution fills its core.
		at := open[len(open)-1-i%len(open)]
		if begin[at]--; begin[at] >= 0 {
			turns[at] = append(turns[at], r.turn(c, first))
		}
	}
	return r.execute(turns)
}

// canBegin is how many turns each core can begin at most in what it has left of the round:
// of ten thousand canisters that wait, the others need not be looked at.
func (r *Round) canBegin() (n [cores]int) {
	for i := range r.cores {
		left := r.cores[i].Limit - min(r.cores[i].Used, r.cores[i].Limit)
		n[i] = int((left + perCanister - 1) / perCanister)
	}
	return n
}

// execute runs the turns of one iteration, and brings what they did into the round.
func (r *Round) execute(turns [][]*canister.Turn) (moved bool) {
	busy := make([]*canister.Core, 0, cores)
	for i := range turns {
		if len(turns[i]) > 0 {
			r.cores[i].Assign(turns[i])
			busy = append(busy, &r.cores[i])
		}
	}
	for _, c := range busy {
		c.Free = r.Room.Free().Part(len(busy))
	}
	if r.Parallel != nil && len(busy) > 1 {
		r.Parallel(len(busy), func(i int) { busy[i].Run() })
	} else {
		for _, c := range busy {
			c.Run()
		}
	}
	all := slices.Concat(turns...)
	for _, t := range all {
		moved = r.Room.Finish(t) || moved
	}
	for _, t := range all {
		r.Room.Deliver(t)
	}
	return moved
}

// ready are the canisters that have something to do and are not in the middle of
// an execution, in the order of their turns.
func (r *Round) ready(first bool) []*state.Canister {
	ids := r.Room.Ready()
	if first {
		ids = append(ids, r.Room.Beating()...)
		ids = append(ids, r.Room.Due(r.Room.Now)...)
		slices.SortFunc(ids, compare)
		ids = slices.Compact(ids)
	}
	out := make([]*state.Canister, 0, len(ids))
	for _, id := range ids {
		c := r.Room.Canister(id)
		if _, _, fast := r.Room.WritesTooFast(c); c.Long == nil && !fast {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, r.before)
	return out
}

func compare(a, b ic.CanisterID) int {
	return strings.Compare(string(a.Principal), string(b.Principal))
}

// credit is what c's compute allocation has saved up.
func (r *Round) credit(c *state.Canister) uint64 {
	waited := uint64(r.Room.Head.Height - min(c.LastRound, r.Room.Head.Height))
	return min(maxCredit, c.Credit+min(waited, maxCredit)*c.Settings.ComputeAllocation)
}

// before is the order of turns; equal canisters stay in the order of their ids.
func (r *Round) before(a, b *state.Canister) int {
	x, y := r.credit(a), r.credit(b)
	if x < allocated {
		x = 0
	}
	if y < allocated {
		y = 0
	}
	switch {
	case x != y && x > y, x == y && a.LastRound < b.LastRound:
		return -1
	case x != y, a.LastRound > b.LastRound:
		return 1
	}
	return 0
}

// turn is one canister's: its tasks, then the messages that wait now. Those they
// cause wait for the next iteration.
func (r *Round) turn(old *state.Canister, tasks bool) *canister.Turn {
	c := *old
	lastRound := c.LastRound
	if lastRound != r.Room.Head.Height {
		if c.Credit = r.credit(old); c.Credit >= allocated {
			c.Credit -= allocated
		}
		c.LastRound = r.Room.Head.Height
	}
	// Tasks that fill a core by themselves do not keep the messages from running.
	messageFirst := tasks && c.Queue.Len() > 0 && c.Heartbeats != 0 && c.Heartbeats == lastRound
	if messageFirst {
		c.Heartbeats = 0
	} else if tasks {
		c.Heartbeats = c.LastRound
	}
	return r.Room.Turn(&c, func(t *canister.Turn) {
		t.Spend(perCanister)
		n := t.Waiting()
		if messageFirst {
			t.Step()
			n--
		}
		if tasks {
			for _, task := range []canister.Task{canister.LowMemory, canister.Timer, canister.Heartbeat} {
				if !t.Over() {
					t.Task(task)
				}
			}
		}
		for ; n > 0 && !t.Over(); n-- {
			t.Step()
		}
	})
}

// longs are the long executions that go on in this round, those that began first first.
func (r *Round) longs(others bool) []*state.Canister {
	all := r.paused(func(l *state.Long) bool { return l.Kind != state.LongInstall })
	most := cores
	if others {
		most = longCores
	}
	return all[:min(len(all), most)]
}

func (r *Round) paused(which func(l *state.Long) bool) []*state.Canister {
	var out []*state.Canister
	for _, id := range r.Room.Long() {
		if c := r.Room.Canister(id); which(c.Long) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b *state.Canister) int {
		x, y := a.Long, b.Long
		switch {
		case x.Since < y.Since:
			return -1
		case x.Since > y.Since:
			return 1
		}
		return 0
	})
	return out
}

// abort drops what the youngest long executions have done where too many rest.
func (r *Round) abort() {
	for i, c := range r.paused(func(l *state.Long) bool { return l.Kind != state.LongInstall }) {
		if i >= maxPaused && c.Long.Done > 0 {
			r.Room.Abort(c)
		}
	}
}

// charge lets all canisters pay for what they occupy, every few seconds.
func (r *Round) charge() {
	now := r.Room.Now
	if r.Room.Head.Swept+chargeSeconds*1e9 > now {
		return
	}
	r.Room.Head.Swept = now
	for _, id := range r.Room.IDs() {
		r.Room.Charge(id)
	}
}
