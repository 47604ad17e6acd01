package canister

import (
	"fmt"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/state"
)

// This file: savepoints. To find and copy the pages that a small message wrote costs
// many times what running it does. So the messages of a turn run on top of each
// other, and a savepoint is taken at the end of the batch:
//
//	savepoint ── run ── run ── run ── run ──> savepoint: all pages at once
//	    ^                       │ traps
//	    └────── roll back ──────┘  run the earlier ones again, go on with care
//
// Running again gives the same, as a run is a function of its input; that the
// counts agree is checked. With care means a savepoint after each message, so that
// a turn goes back once. None of this can be seen from outside.

const (
	// batchInstructions end a batch: what is run again at most, about a millisecond.
	batchInstructions machine.Instructions = 5_000_000
	// batchRuns end a batch: their inputs are kept.
	batchRuns = 256
	// batchLong is how long a run may be while a batch waits for its savepoint: one
	// that rests must be alone. It begins again after the savepoint.
	batchLong machine.Instructions = 3_000_000
)

// ran is a run whose changes wait for the savepoint.
type ran struct {
	entry  machine.Entry
	env    sysapi.Env // as it was before the run
	limits machine.Limits
	used   machine.Instructions
}

type batch struct {
	runs    []ran
	used    machine.Instructions
	careful bool // this turn went back
	again   bool // the present message is to begin again, after a savepoint
}

// input copies what a run may change.
func input(env *sysapi.Env) sysapi.Env {
	in := *env
	timer := *env.Timer
	in.Timer = &timer
	return in
}

// keep makes what the last run changed a part of c: at once, or with the batch.
func (t *Turn) keep(c *state.Canister, r ran) {
	h, b := t.hot, &t.batch
	if len(b.runs) == 0 && (b.careful || t.message.Kind == state.LongInstall || t.long != nil || t.resting()) {
		t.Room.commit(c)
		return
	}
	c.HeapBytes, c.StableBytes = h.inst.HeapBytes(), h.inst.StableBytes()
	if b.runs == nil {
		b.runs = make([]ran, 0, min(batchRuns, 1+c.Queue.Len()))
	}
	b.runs = append(b.runs, r)
	b.used += r.used
}

// resting tells whether the present message has rested.
func (t *Turn) resting() bool { return t.counted > 0 }

// drop undoes the last run.
func (t *Turn) drop() {
	t.hot.inst.Rollback()
	if len(t.batch.runs) == 0 {
		return
	}
	t.batch.careful = true
	for i := range t.batch.runs {
		r := &t.batch.runs[i]
		env := input(&r.env)
		out := t.hot.inst.Run(r.entry, &env, r.limits)
		if out.Trap != nil || out.Used != r.used {
			panic(fmt.Sprintf("canister %s: a run of %d instructions gave %d and %+v when it was run again", t.Canister, r.used, out.Used, out.Trap))
		}
	}
}

// save takes a savepoint between two messages.
func (t *Turn) save() {
	if len(t.batch.runs) == 0 {
		return
	}
	c := *t.Room.Canister(t.Canister)
	t.Room.commit(&c)
	t.Room.Put(&c)
	clear(t.batch.runs)
	t.batch.runs, t.batch.used = t.batch.runs[:0], 0
}

// saveFull takes a savepoint where the batch is long enough.
func (t *Turn) saveFull() {
	if b := &t.batch; b.careful || b.used >= batchInstructions || len(b.runs) >= batchRuns {
		t.save()
	}
}
