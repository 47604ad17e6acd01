// Package canister runs one message on one canister.
//
//	Message ── copy of the canister ── run in the engine ──┬─ returned: the copy is put,
//	                                                       │   calls and answers are routed
//	                                                       └─ trapped: the copy is dropped,
//	                                                           the caller gets a reject
//
// A Room is where a round happens: the draft of the next state, the time, and
// the canisters' running instances. Code runs in the Turn of one canister, which
// has a fork of the room (turn.go). Query (see query.go) answers users on a state
// that nobody changes. Sources: abstract-behavior.md of the interface specification.
package canister

import (
	"fmt"

	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
)

// Limits of memories (resource-limits.md).
const (
	maxHeap = 4 << 30
	// MaxStable is the most bytes of a stable memory.
	MaxStable = 500 << 30
	// MaxModuleBytes of a module, unzipped.
	MaxModuleBytes = wasm.MaxModuleBytes
	// Pages of stable memory that one run may touch: 2, 8 and 1 GiB.
	pagesMessage = 2 << 30 / pages.Size
	pagesUpgrade = 8 << 30 / pages.Size
	pagesQuery   = 1 << 30 / pages.Size
)

// Room is one round's place of work.
type Room struct {
	*state.Draft
	Subnet sysapi.Subnet
	Now    ic.Time
	Tip    *Tip
	// Most is what all canisters together may take.
	Most state.Means
	// Unlimited networks let canisters write and install as fast as they want.
	Unlimited bool

	turn *Turn // of a fork: whose it is
}

// Put makes c the present version of its canister.
func (r *Room) Put(c *state.Canister) {
	if r.turn != nil && c == &r.turn.scratch {
		kept := *c
		c = &kept
	}
	r.Draft.Put(c)
}

// module is compiled code that is installed already, so compiling cannot fail.
func (r *Room) module(hash [32]byte) machine.Module {
	m, err := r.Tip.engine.Load(hash, func() []byte {
		code, ok := r.Code(hash)
		if !ok {
			panic(fmt.Sprintf("canister: the state lacks the code %x", hash))
		}
		return code
	})
	if err != nil {
		panic(fmt.Sprintf("canister: installed code %x does not compile: %v", hash, err))
	}
	return m
}

// instance is c's running instance, made where there is none of this version.
func (r *Room) instance(c *state.Canister) *hot {
	h := r.turn.hot
	if h != nil && h.memory == c.Memory && h.module == c.Module {
		return h
	}
	r.Cool(c.ID)
	inst, err := r.module(c.Module.Hash).Instantiate(c.Memory.Heap, c.Memory.Stable, engineGlobals(c.Memory.Globals))
	if err != nil {
		panic(fmt.Sprintf("canister %s: its instance does not start: %v", c.ID, err))
	}
	r.turn.hot = &hot{memory: c.Memory, module: c.Module, inst: inst}
	return r.turn.hot
}

// Cool ends a canister's running instance.
func (r *Room) Cool(id ic.CanisterID) {
	var h *hot
	if r.turn != nil {
		h, r.turn.hot = r.turn.hot, nil
	} else {
		h = r.Tip.take(id)
	}
	if h != nil {
		h.inst.Close()
	}
}

// commit makes what the turn's instance changed part of c.
func (r *Room) commit(c *state.Canister) {
	h := r.turn.hot
	d := h.inst.Commit()
	c.Memory = &state.Memory{
		Heap:    d.HeapMap,
		Stable:  d.StableMap,
		Globals: stateGlobals(d.Globals),
	}
	c.HeapBytes, c.StableBytes = d.HeapBytes, d.StableBytes
	h.memory = c.Memory
	r.owe(c, uint64(len(d.Heap)+len(d.Stable))*pages.Size, 0)
}

func engineGlobals(in []state.Global) []machine.Global {
	out := make([]machine.Global, len(in))
	for i, g := range in {
		out[i] = machine.Global{Type: wasm.ValType(g.Type), Lo: g.Lo, Hi: g.Hi}
	}
	return out
}

func stateGlobals(in []machine.Global) []state.Global {
	out := make([]state.Global, len(in))
	for i, g := range in {
		out[i] = state.Global{Type: byte(g.Type), Lo: g.Lo, Hi: g.Hi}
	}
	return out
}

func limits(n machine.Instructions, ctx sysapi.Context) machine.Limits {
	return machine.Limits{Instructions: n, HeapBytes: maxHeap, StableBytes: MaxStable, StablePages: stablePages(ctx)}
}

// stablePages of one run, see the limits above.
func stablePages(ctx sysapi.Context) uint64 {
	const asking = sysapi.ReplicatedQuery | sysapi.Query | sysapi.Transform | sysapi.Inspect |
		sysapi.Composite | sysapi.CompositeReply | sysapi.CompositeReject | sysapi.CompositeClean
	switch {
	case ctx&(sysapi.Init|sysapi.PreUpgrade) != 0:
		return pagesUpgrade
	case ctx&asking != 0:
		return pagesQuery
	}
	return pagesMessage
}

// Idle is what c pays for without doing anything.
func Idle(c *state.Canister) cycles.Idle {
	return cycles.Idle{Memory: c.MemoryTaken(), Messages: c.MessageBytes(), Compute: c.Settings.ComputeAllocation}
}

// Freezing is the balance that c must keep.
func Freezing(s cycles.Schedule, c *state.Canister) ic.Cycles {
	return s.Freezing(Idle(c), c.Settings.FreezingThreshold, c.Reserved)
}

// env is what all kinds of run share.
func (r *Room) env(c *state.Canister, ctx sysapi.Context) *sysapi.Env {
	timer := c.Timer
	e := &sysapi.Env{
		Context: ctx, Subnet: &r.Subnet, Self: c.ID, Now: r.Now, Memory64: c.Module.Memory64,
		Run: c.Run, Version: c.Version, Settings: &c.Settings, Replicated: true,
		Balance: c.Cycles, Freezing: Freezing(r.Subnet.Costs, c), Pending: c.Pending, CallRoom: r.Free().Messages, MoreCalls: r.calls(c),
	}
	e.Timer = &timer
	return e
}

// prepay withdraws the price of a run up to its limit.
func (r *Room) prepay(c *state.Canister, limit machine.Instructions, caller ic.Principal) (ic.Cycles, *ic.UserError) {
	cost := r.Subnet.Costs.Run(limit, c.Module != nil && c.Module.Memory64)
	return cost, r.withdraw(c, cost, caller)
}

// withdraw takes cycles down to the freezing threshold.
func (r *Room) withdraw(c *state.Canister, cost ic.Cycles, caller ic.Principal) *ic.UserError {
	keep := Freezing(r.Subnet.Costs, c)
	left, ok := c.Cycles.Sub(cost)
	if !ok || left.Less(keep) {
		return outOfCycles(c, keep.Add(cost), caller)
	}
	c.Cycles = left
	if r.turn != nil {
		r.turn.paid = r.turn.paid.Add(cost)
	}
	return nil
}

func outOfCycles(c *state.Canister, need ic.Cycles, caller ic.Principal) *ic.UserError {
	text := fmt.Sprintf("Canister %s is out of cycles", c.ID)
	if c.Settings.Controls(caller) {
		missing, _ := need.Sub(c.Cycles)
		text += fmt.Sprintf(": please top up the canister with at least %s additional cycles", missing)
	}
	return &ic.UserError{Code: ic.CanisterOutOfCycles, Message: text}
}

// settle gives back what of a prepayment was not used, and counts the rest.
func (r *Room) settle(c *state.Canister, paid ic.Cycles, used machine.Instructions) {
	cost := r.Subnet.Costs.Run(used, c.Module != nil && c.Module.Memory64)
	if paid.Less(cost) {
		cost = paid
	}
	back, _ := paid.Sub(cost)
	c.Cycles = c.Cycles.Add(back)
	c.Consumed.Instructions = c.Consumed.Instructions.Add(cost)
	r.Head.Burned = r.Head.Burned.Add(cost)
}

// run executes one entry point on c, a private copy. After an error c is as it
// was but for its log.
func (r *Room) run(c *state.Canister, e machine.Entry, env *sysapi.Env, limit machine.Instructions, keep bool) (machine.Instructions, *ic.UserError) {
	h, t := r.instance(c), r.turn
	if t.batch.again { // a cleanup, say: the message begins again as if nothing of it had been
		return 0, trapError(c, &machine.Trap{Kind: machine.TrapStopped}, limit)
	}
	in, bounds := input(env), limits(limit, env.Context)
	// Stable memory that finds no room does not grow, as beyond its own limit.
	room := c.MemoryTaken() - c.MemoryUsage() + r.memory(env.Context&callbacks != 0)
	bounds.StableBytes = min(bounds.StableBytes, h.inst.StableBytes()+room)
	out := h.inst.Run(e, env, t.limit(bounds))
	t.spend(out.Used)
	var err *ic.UserError
	if out.Trap != nil {
		err = trapError(c, out.Trap, limit)
	} else {
		env.Finish()
		err = r.grown(c, h.inst, env)
	}
	c.NextLog += env.Unlogged
	for _, line := range env.Log {
		c.Log(r.Now, line)
	}
	if err != nil {
		c.Log(r.Now, trapLog(out.Trap, err))
	}
	if err != nil || !keep {
		t.drop()
		return out.Used, err
	}
	t.keep(c, ran{e, in, bounds, out.Used})
	c.WatchMemory()
	return out.Used, nil
}

// grown checks what may only be known at the end of a run: that the memory is
// within the canister's own limit, and that it can be paid for. It leaves the
// new lengths and the reserve in c.
func (r *Room) grown(c *state.Canister, inst machine.Instance, env *sysapi.Env) *ic.UserError {
	heap, stable := inst.HeapBytes(), inst.StableBytes()
	const limited = sysapi.Update | sysapi.Init
	if env.Context&limited != 0 {
		if err := withinLimit(c, heap); err != nil {
			return err
		}
	}
	if env.Context&deploying != 0 {
		return nil // checked once for the deployment as a whole
	}
	before := c.MemoryTaken()
	c.HeapBytes, c.StableBytes = heap, stable
	c.Cycles = env.Balance
	if err := r.Grow(c, Growth{Before: before, Callback: env.Context&callbacks != 0, Caller: env.Caller}); err != nil {
		return err
	}
	env.Balance = c.Cycles
	return nil
}

// callbacks are the contexts of what follows a call.
const callbacks = sysapi.Reply | sysapi.Reject | sysapi.Cleanup

// deploying are the contexts of an installation or upgrade.
const deploying = sysapi.Init | sysapi.PreUpgrade | sysapi.Start
