// Package scheduler decides what a round executes.
//
//	subnet queue ─> canisters' tasks ─> canisters' queues ─┐
//	     ^──────── until nothing waits or the limit ───────┘
//
// Canisters take turns in the order of the round they last ran in, then of their
// ids: whoever was left out goes first next time. All is counted in
// instructions, never in time. Source: replica.md B.5.
package scheduler

import (
	"slices"
	"strings"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/management"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Limits of a round, in instructions. A message that has begun runs to its own
// limit, so a round may exceed these by one message.
const (
	roundLimit    machine.Instructions = 4_000_000_000
	taskLimit     machine.Instructions = 2_000_000_000 // of them for heartbeats and timers
	subnetLimit   machine.Instructions = 4_000_000_000 // and beside them for the management canister
	perExecution  machine.Instructions = 2_000_000     // what each execution costs beyond its instructions
	chargeSeconds                      = 10            // how often storage is paid for
)

// Round is one round's execution.
type Round struct {
	Room       *canister.Room
	Management *management.Management

	used, subnetUsed machine.Instructions
}

// Run executes what waits, up to the limits.
func (r *Round) Run() {
	r.Room.Expire()
	r.subnet()
	r.tasks()
	for r.used < roundLimit {
		r.Management.FinishStops()
		moved := r.subnet()
		moved = r.canisters() || moved
		if !moved {
			break
		}
	}
	r.Management.FinishStops()
	r.charge()
}

// subnet works off the management canister's queue. raw_rand waits for the next
// round: its randomness was not known when it was asked for.
func (r *Round) subnet() (moved bool) {
	type waiting struct {
		key string
		msg *state.Message
	}
	var now []waiting
	r.Room.Queued(func(key string, m *state.Message) bool {
		now = append(now, waiting{key, m})
		return true
	})
	for _, w := range now {
		if w.msg.Method == "raw_rand" && w.msg.Arrived >= r.Room.Head.Height {
			continue
		}
		if r.subnetUsed >= subnetLimit {
			break
		}
		r.Room.Dequeue(w.key)
		r.subnetUsed += r.Management.Execute(w.msg) + perExecution
		moved = true
	}
	return moved
}

// tasks runs low-memory hooks, then timers that are due, then heartbeats.
func (r *Round) tasks() {
	run := func(id ic.CanisterID, t canister.Task) {
		if r.used < taskLimit {
			if n := r.Room.RunTask(id, t); n > 0 {
				r.used += n + perExecution
			}
		}
	}
	beating := r.Room.Beating()
	for _, id := range beating {
		run(id, canister.LowMemory)
	}
	for _, id := range r.Room.Due(r.Room.Now) {
		run(id, canister.Timer)
	}
	r.byLast(beating, func(c *state.Canister) ic.Height { return c.Heartbeats })
	for _, id := range beating {
		if r.used >= taskLimit {
			break
		}
		run(id, canister.Heartbeat)
		if c := r.Room.Canister(id); c != nil && c.Module != nil && c.Module.HasHeartbeat {
			next := *c
			next.Heartbeats = r.Room.Head.Height
			r.Room.Put(&next)
		}
	}
}

func (r *Round) byLast(ids []ic.CanisterID, last func(*state.Canister) ic.Height) {
	slices.SortStableFunc(ids, func(a, b ic.CanisterID) int {
		x, y := last(r.Room.Canister(a)), last(r.Room.Canister(b))
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(string(a.Principal), string(b.Principal))
	})
}

// canisters gives each canister with messages its turn.
func (r *Round) canisters() (moved bool) {
	ready := r.Room.Ready()
	r.byLast(ready, func(c *state.Canister) ic.Height { return c.LastRound })
	for _, id := range ready {
		if r.used >= roundLimit {
			return moved
		}
		r.turn(id)
		moved = true
	}
	return moved
}

// turn works off the messages that wait now; those they cause wait for the next.
func (r *Round) turn(id ic.CanisterID) {
	c := *r.Room.Canister(id)
	c.LastRound = r.Room.Head.Height
	r.Room.Put(&c)
	for n := c.Queue.Len(); n > 0 && r.used < roundLimit; n-- {
		c := r.Room.Canister(id)
		if c == nil || c.Queue.Len() == 0 {
			return
		}
		r.used += r.Room.Step(id) + perExecution
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
