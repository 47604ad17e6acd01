package canister

import (
	"bytes"
	"iter"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: how canisters are worked on side by side, and over several rounds.
//
//	Room ── Turn ──> fork: the canister's own version, its instance, an outbox
//	                   │  Core.Run, on any goroutine
//	Room <── Finish ── in a fixed order: Put
//	     <── Deliver ─ in the same order: what the outboxes hold
//
// A Turn reads nothing that another Turn of the same iteration can write, so that
// the outcome does not depend on which runs when.
//
// When a message has used up its slice, the coroutine that executes it rests where
// it is, and the state gets a state.Long. The next round's turn goes on from there.
// Who has not kept the coroutine runs the message again from its beginning, and
// comes to the same points: pauses are at exact counts of instructions.

// Core is a virtual core: its turns of one iteration, and what it has left of the round.
type Core struct {
	// Used of the instructions of this round; nothing begins at or above Limit.
	Used, Limit machine.Instructions
	// Slice is how many instructions one message may use in this round.
	Slice machine.Instructions
	// Free is what its canisters may take in this round.
	Free  state.Means
	Turns []*Turn
	next  int
}

// Full tells that nothing more begins on this core in this round.
func (c *Core) Full() bool { return c.Used >= c.Limit }

// Assign gives the core the turns of the next iteration.
func (c *Core) Assign(turns []*Turn) { c.Turns, c.next = turns, 0 }

// Run works off the turns in order until the core is full. A turn that pauses
// keeps the coroutine it runs in; the others get a new one.
func (c *Core) Run() {
	for c.next < len(c.Turns) && !c.Full() {
		if t := c.Turns[c.next]; t.resume != nil {
			c.next++
			c.take(t)
			t.target = t.counted + c.Slice
			if _, paused := t.resume(); !paused {
				t.stop()
				t.resume, t.stop = nil, nil
			}
			continue
		}
		next, stop := iter.Pull(c.work)
		if t, paused := next(); paused {
			t.resume, t.stop = next, stop
		} else {
			stop()
		}
	}
}

func (c *Core) work(yield func(*Turn) bool) {
	for c.next < len(c.Turns) && !c.Full() && c.Turns[c.next].resume == nil {
		t := c.Turns[c.next]
		c.next++
		c.take(t)
		if t.long == nil {
			t.free, t.inUse = c.Free, t.Room.Head.InUse()
		}
		t.yield = yield
		t.work(t)
		t.save()
		if t.paused {
			return // in another round, perhaps of another core
		}
		if t.long == nil { // else its share is that of the round it began in, however often that was
			c.Free = c.Free.Least(t.Room.Free())
		}
	}
}

func (c *Core) take(t *Turn) {
	t.Begun, t.core = true, c
}

// Turn is one canister's turn at a core.
type Turn struct {
	Canister ic.CanisterID
	// Room is the fork that the turn works in.
	Room *Room
	// Begun tells after Core.Run whether the turn had its time.
	Begun bool

	core   *Core
	work   func(t *Turn)
	hot    *hot
	out    []effect
	yield  func(*Turn) bool
	resume func() (*Turn, bool) // of a coroutine that rests
	stop   func()

	// The present message, and how far it is: instructions in its runs that have
	// ended, up to now, counted on a core so far, and where it is to rest.
	message                        state.Long
	start                          *state.Canister // version before it
	before, total, counted, target machine.Instructions
	spared                         machine.Instructions // of total, that the round is not to count
	paid                           ic.Cycles
	counters                       counters
	batch                          batch
	free, inUse                    state.Means // what it may take, and what all had taken when it began
	// Versions that nobody sees: scratch is Step's, which Room.Put copies, the others
	// are used by turns.
	scratch state.Canister
	copies  [3]*state.Canister

	long   *state.Long // what the state says of it since it rested
	paused bool        // it rested at least once
	broken bool        // it was ended in the middle
}

// counters of a fork before the present message.
type counters struct {
	burned  ic.Cycles
	updates uint64
	inUse   state.Means
}

// effect is what a turn does to others: an answer, a request, or word that a user's
// call has begun.
type effect struct {
	msg    *state.Message
	origin *state.Origin
	reply  *ic.Reply
	refund ic.Cycles
}

// Turn is a canister's turn: work uses its Step, Task and Install until Over.
// c is the version to begin with.
func (r *Room) Turn(c *state.Canister, work func(*Turn)) *Turn {
	t := &Turn{Canister: c.ID, work: work, hot: r.Tip.take(c.ID)}
	t.Room = r.fork(t, c)
	return t
}

func (r *Room) fork(t *Turn, c *state.Canister) *Room {
	return &Room{Draft: r.Draft.Fork(c), Subnet: r.Subnet, Now: r.Now, Tip: r.Tip, Most: r.Most, Unlimited: r.Unlimited, turn: t}
}

// Resume is a turn that goes on with c's long execution: with the one that rests, or
// from its beginning. install executes a message of the management canister's queue.
func (r *Room) Resume(c *state.Canister, install func(t *Turn, m *state.Message)) *Turn {
	l := c.Long
	if t := r.Tip.parked[c.ID]; t != nil {
		delete(r.Tip.parked, c.ID)
		if t.long == l {
			t.Room.Rebase(r.Draft)
			t.Begun = false
			return t
		}
		t.end() // of a state that this one does not come from
	}
	start := *c
	start.Record = *l.Start
	t := &Turn{Canister: c.ID, hot: r.Tip.take(c.ID), long: l, counted: machine.Instructions(l.Done)}
	t.Room = r.fork(t, &start)
	t.Room.Now, t.Room.Head.Height, t.Room.Subnet.Costs.Nodes = l.Now, l.Since, l.Nodes
	t.free, t.inUse = l.Means()
	t.Room.Head.SetInUse(t.inUse)
	t.work = func(t *Turn) {
		switch l.Kind {
		case state.LongMessage:
			t.Step()
		case state.LongTask:
			t.Task(Task(l.Task))
		case state.LongInstall:
			m := t.Room.QueuedAt(l.Key)
			t.Install(l.Key, func() { install(t, m) })
		}
	}
	return t
}

// Over tells that the turn is to end: a message took longer than its slice.
func (t *Turn) Over() bool { return t.long != nil || t.broken || t.core.Full() }

// Waiting is the number of messages in the canister's queue.
func (t *Turn) Waiting() int { return t.Room.Canister(t.Canister).Queue.Len() }

// Step executes the next message of the canister's queue.
func (t *Turn) Step() {
	if key, _, ok := t.Room.Canister(t.Canister).Queue.First(); ok {
		t.execute(state.Long{Kind: state.LongMessage, Key: key}, func() bool {
			t.Room.Step(t.Canister)
			return true
		})
	}
}

// Task runs a task, if the canister has it.
func (t *Turn) Task(task Task) {
	t.execute(state.Long{Kind: state.LongTask, Task: string(task)}, func() bool { return t.Room.RunTask(t.Canister, task) })
}

// Install executes a message of the management canister's queue at place key that
// installs code.
func (t *Turn) Install(key string, deploy func()) {
	t.execute(state.Long{Kind: state.LongInstall, Key: key}, func() bool {
		deploy()
		return true
	})
}

// execute runs one message, and counts it where there was one.
func (t *Turn) execute(m state.Long, run func() bool) {
	t.saveFull()
	t.begin(m)
	out := len(t.out)
	ran := run()
	if t.batch.again {
		t.out = t.out[:out]
		t.reset()
		t.save()
		t.batch.again = false
		t.begin(m)
		ran = run()
	}
	if ran {
		t.core.Used += PerExecution + t.total - min(t.counted, t.total)
		if t.long == nil { // whoever begins it again finds the code in the state
			t.core.Used -= t.spared
		}
	}
}

// reset drops the present message as if it had not begun.
func (t *Turn) reset() {
	t.Room.Reset(t.start)
	head := &t.Room.Head
	head.Burned, head.Updates = t.counters.burned, t.counters.updates
	head.SetInUse(t.counters.inUse)
}

// copy makes a version of the turn's canister that Put is to get. It lies where one was
// that has been replaced since, before anybody else could see it.
func (t *Turn) copy(c *state.Canister) *state.Canister {
	now := t.Room.Canister(t.Canister)
	for i, free := range t.copies {
		if free == nil {
			free = new(state.Canister)
			t.copies[i] = free
		}
		if free != now && free != t.start && free != c {
			*free = *c
			return free
		}
	}
	panic("canister: a turn has more versions than it can need")
}

func (t *Turn) begin(m state.Long) {
	if t.long == nil {
		t.counted = 0
	}
	r := t.Room
	m.Now, m.Nodes, m.Pass, m.Since = r.Now, r.Subnet.Costs.Nodes, wasm.Version, r.Head.Height
	inUse := r.Head.InUse()
	m.SetMeans(r.Free(), inUse)
	t.message, t.start = m, r.Canister(t.Canister)
	t.counters = counters{r.Head.Burned, r.Head.Updates, inUse}
	t.before, t.total, t.spared, t.paid = 0, 0, 0, ic.Cycles{}
	t.target = t.counted + t.core.Slice
}

// PerExecution is what each execution costs a round beyond its instructions.
const PerExecution machine.Instructions = 2_000_000

// Spend adds to what the turn's core has used.
func (t *Turn) Spend(n machine.Instructions) { t.core.Used += n }

// spend adds to the present message's instructions what was not run.
func (t *Turn) spend(n machine.Instructions) {
	t.before += n
	t.total = t.before
}

// limit adds to the limits of a run where it is to rest.
func (t *Turn) limit(l machine.Limits) machine.Limits {
	l.SliceAt, l.Slice = t.target-min(t.before, t.target), t.rest
	if len(t.batch.runs) > 0 {
		l.SliceAt = min(l.SliceAt, batchLong)
	}
	return l
}

// rest is called in the middle of a run, and returns in another round.
func (t *Turn) rest(used machine.Instructions) (machine.Instructions, bool) {
	if len(t.batch.runs) > 0 {
		t.batch.again = true
		return 0, false
	}
	if !t.broken {
		t.total = t.before + used
		t.core.Used += t.total - min(t.counted, t.total)
		t.counted, t.paused = t.total, true
		t.broken = !t.yield(t)
	}
	return t.target - min(t.before, t.target), !t.broken
}

// ResumedCode is the code that an installation had before it was begun again, nil
// where it is not begun again or has the code in its message.
func (r *Room) ResumedCode() []byte {
	if r.turn == nil || r.turn.long == nil || r.turn.long.Code == "" {
		return nil
	}
	code, _ := r.Code([32]byte([]byte(r.turn.long.Code)))
	return bytes.Clone(code) // it is used for as long as the installation takes
}

// end drops what rests.
func (t *Turn) end() {
	if t.stop != nil {
		t.stop() // the run ends with a trap, all else is dropped with the fork
	}
	if t.hot != nil {
		t.hot.inst.Close()
		t.hot = nil
	}
}

// Finish brings what a turn did to its own canister into the round. It returns false for a
// turn that had no time.
func (r *Room) Finish(t *Turn) bool {
	if !t.Begun {
		if t.resume != nil {
			r.Tip.parked[t.Canister] = t
		} else {
			r.Tip.give(t.Canister, t.hot)
		}
		return false
	}
	r.count(t)
	for _, code := range t.Room.Codes() {
		r.PutNamed(code)
	}
	if t.resume != nil {
		r.park(t)
	} else {
		last := t.Room.Canister(t.Canister)
		if t.long != nil {
			last = r.Canister(t.Canister).Merge(t.start, last)
		}
		r.Put(last)
		r.Tip.give(t.Canister, t.hot)
		if t.message.Kind == state.LongInstall {
			r.Dequeue(t.message.Key)
		}
	}
	return true
}

// Deliver brings what a turn did to others to where it belongs. All turns of the
// iteration are finished: a version that a turn made of its own canister would take the
// place of one that has a message of another.
func (r *Room) Deliver(t *Turn) {
	for i := range t.out {
		r.apply(&t.out[i])
	}
	t.out = nil
}

// count takes over the counters of what the turn has finished.
func (r *Room) count(t *Turn) {
	done, all := &t.counters, &t.Room.Head
	if t.resume == nil {
		*done = counters{burned: all.Burned, updates: all.Updates}
	}
	r.Head.Burned = r.Head.Burned.Add(done.burned)
	r.Head.Updates += done.updates
	all.Burned, _ = all.Burned.Sub(done.burned)
	all.Updates -= done.updates
	*done = counters{}
}

func (r *Room) apply(e *effect) {
	switch {
	case e.msg != nil:
		r.Route(e.msg)
	case e.reply != nil:
		r.Answer(e.origin, *e.reply, e.refund)
	default:
		r.processing(e.origin)
	}
}

// park writes into the state that a turn rests.
func (r *Room) park(t *Turn) {
	var c state.Canister
	l := t.message
	if t.long == nil {
		c = *t.start
		start := c.Record
		l.Start, l.Paid = &start, t.paid
		c.Cycles, _ = c.Cycles.Sub(t.paid)
		if codes := t.Room.Codes(); len(codes) > 0 {
			l.Code = string(codes[0].Hash[:])
		}
	} else {
		c, l = *r.Canister(t.Canister), *t.long
	}
	l.Done = uint64(t.total)
	t.long, c.Long = &l, &l
	r.Put(&c)
	r.Tip.parked[t.Canister] = t
	if m := t.userMessage(); m != nil {
		r.processing(&m.Origin)
	}
}

func (t *Turn) userMessage() *state.Message {
	var m *state.Message
	switch t.long.Kind {
	case state.LongMessage:
		m, _ = t.start.Queue.Get(t.long.Key)
	case state.LongInstall:
		m = t.Room.QueuedAt(t.long.Key)
	}
	if m == nil || m.Origin.Kind != state.Ingress {
		return nil
	}
	return m
}

// Abort drops what c's long execution has done: it begins anew when it has its turn.
func (r *Room) Abort(c *state.Canister) {
	if t := r.Tip.parked[c.ID]; t != nil {
		delete(r.Tip.parked, c.ID)
		t.end()
	}
	next, l := *c, *c.Long
	l.Done = 0
	next.Long = &l
	r.Put(&next)
}
