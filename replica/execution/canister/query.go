package canister

import (
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Pool lends compiled code and instances to queries, which run on many
// goroutines. The edge that runs them may implement it with locks; without one
// each query compiles and instantiates for itself.
type Pool interface {
	// Module is the code with this hash; compile makes it the first time.
	Module(hash [32]byte, compile func() (machine.Module, error)) (machine.Module, error)
	// Take lends an idle instance of c, nil where there is none. Where the version
	// it is of is not c's memory, the borrower rebases it.
	Take(c *state.Canister) (inst machine.Instance, version *state.Memory)
	// Give brings one back, rolled back and of c's memory. The pool may close it.
	Give(c *state.Canister, inst machine.Instance)
}

// Reader answers queries on one state, which nobody changes meanwhile.
type Reader struct {
	State  *state.State
	Subnet sysapi.Subnet
	Engine machine.Engine
	Pool   Pool // may be nil
	Now    ic.Time
	// Certificate makes the data certificate that the canister called by the user sees; nil: none.
	Certificate func() []byte
	// Late tells that nobody waits for the answer any more; nil: never.
	Late func() bool
	// Management answers calls of composite queries to the management canister.
	Management func(method string, arg []byte, caller ic.Principal) (reply ic.Reply, used machine.Instructions)
}

func (r *Reader) module(hash [32]byte) (machine.Module, *ic.UserError) {
	compile := func() (machine.Module, error) {
		code, _ := r.State.Code(hash)
		return r.Engine.Compile(code)
	}
	var m machine.Module
	var err error
	if r.Pool != nil {
		m, err = r.Pool.Module(hash, compile)
	} else {
		m, err = compile()
	}
	if err != nil {
		panic("canister: installed code does not compile: " + err.Error())
	}
	return m, nil
}

// take borrows or makes an instance of c.
func (r *Reader) take(c *state.Canister) machine.Instance {
	if r.Pool != nil {
		if inst, version := r.Pool.Take(c); inst != nil {
			if version != c.Memory {
				inst.Rebase(c.Memory.Heap, c.Memory.Stable, engineGlobals(c.Memory.Globals))
			}
			return inst
		}
	}
	m, _ := r.module(c.Module.Hash)
	inst, err := m.Instantiate(c.Memory.Heap, c.Memory.Stable, engineGlobals(c.Memory.Globals))
	if err != nil {
		panic("canister: its instance does not start: " + err.Error())
	}
	return inst
}

// give brings back an instance; committed tells that it has left c's memory behind.
func (r *Reader) give(c *state.Canister, inst machine.Instance, committed bool) {
	inst.Rollback()
	if committed && r.Pool != nil {
		inst.Rebase(c.Memory.Heap, c.Memory.Stable, engineGlobals(c.Memory.Globals))
	}
	if r.Pool != nil {
		r.Pool.Give(c, inst)
	} else {
		inst.Close()
	}
}

func (r *Reader) env(c *state.Canister, ctx sysapi.Context) *sysapi.Env {
	timer := c.Timer
	e := &sysapi.Env{
		Context: ctx, Subnet: &r.Subnet, Self: c.ID, Now: r.Now, Memory64: c.Module.Memory64,
		Run: c.Run, Version: c.Version, Settings: &c.Settings,
		Balance: c.Cycles, Freezing: Freezing(r.Subnet.Costs, c), Pending: func(ic.Principal) int { return 0 },
	}
	e.Timer = &timer
	return e
}

// Query answers a user's query.
func (r *Reader) Query(q *ic.Query) *Answer {
	g := &graph{reader: r, left: r.Subnet.Costs.Query(), basis: newBasis(r)}
	c := r.State.Canister(q.Canister)
	if c == nil {
		return refusal(NotFound(q.Canister))
	}
	if err := queryable(r, c); err != nil {
		return refusal(err)
	}
	g.basis.saw(r, c)
	reply := g.enter(c, &asked{method: q.Method, arg: q.Arg, caller: q.Sender, info: q.Info, first: true})
	return g.answer(reply)
}

// enter runs the method as what it is exported as.
func (g *graph) enter(c *state.Canister, a *asked) ic.Reply {
	m, _ := g.reader.module(c.Module.Hash)
	switch {
	case m.Info().Queries[a.method]:
		return g.simple(c, a)
	case m.Info().CompositeQueries[a.method]:
		return g.composite(c, a)
	}
	return a.failed(noMethod(c.ID, "query", a.method))
}

// asked is one query of a graph.
type asked struct {
	method string
	arg    []byte
	caller ic.Principal
	info   *ic.SenderInfo
	first  bool // it is the user's: only this one sees the data certificate
}

// failed is the error as a user gets it, or a canister.
func (a *asked) failed(err *ic.UserError) ic.Reply { return failedRun(a.origin(), err) }

// origin is who asked, as far as answers differ by it.
func (a *asked) origin() *state.Origin {
	if a.first {
		return &state.Origin{Kind: state.Ingress}
	}
	return &state.Origin{Kind: state.Request}
}

func (g *graph) env(c *state.Canister, ctx sysapi.Context, a *asked) *sysapi.Env {
	env := g.reader.env(c, ctx)
	env.Caller, env.Info = a.caller, a.info
	return env
}

// simple runs a query that makes no calls.
func (g *graph) simple(c *state.Canister, a *asked) ic.Reply {
	r := g.reader
	inst := r.take(c)
	defer r.give(c, inst, false)
	env := g.env(c, sysapi.Query, a)
	env.Arg, env.Answers = a.arg, true
	if a.first {
		env.Certificate = r.Certificate
	}
	err := g.run(c, inst, machine.Entry{Export: "canister_query " + a.method}, env)
	return g.done(c, a, env.Answer, err)
}

// done counts a query that ended, for the statistics, and makes its reply.
func (g *graph) done(c *state.Canister, a *asked, answer *ic.Reply, err *ic.UserError) ic.Reply {
	u := g.used(c.ID)
	u.Calls++
	u.RequestBytes += uint64(len(a.arg))
	if err != nil {
		reply := a.failed(err)
		answer = &reply
	} else if answer == nil {
		reply := noReply(c.ID, a.origin())
		answer = &reply
	}
	if answer.Reject != nil {
		u.ResponseBytes += uint64(len(answer.Reject.Message))
	} else {
		u.ResponseBytes += uint64(len(answer.Data))
	}
	return *answer
}

// queryable checks what stands before any query: that the canister runs, has
// code and is not frozen.
func queryable(r *Reader, c *state.Canister) *ic.UserError {
	if c.Run == state.Stopped { // the words clients know from mainnet
		return ic.Errorf(ic.CanisterStopped, "Canister %s is stopped and therefore does not have a CallContextManager", c.ID)
	}
	if err := NotRunning(c); err != nil {
		return err
	}
	if c.Module == nil {
		return noModule(c.ID)
	}
	if need := Freezing(r.Subnet.Costs, c); c.Cycles.Less(need) {
		return ic.Errorf(ic.CanisterOutOfCycles, "Canister %s is unable to process query calls because it's frozen. Please top up the canister with cycles and try again.", c.ID)
	}
	return nil
}

// Inspect asks a canister whether it takes a user's call.
func (r *Reader) Inspect(c *state.Canister, msg *ic.Ingress) *ic.UserError {
	if c.Module == nil {
		return ic.Errorf(ic.CanisterWasmModuleNotFound, "Requested canister has no wasm module")
	}
	m, _ := r.module(c.Module.Hash)
	if m.Info().CompositeQueries[msg.Method] {
		return compositeInCall()
	}
	if !m.Info().Lifecycle["canister_inspect_message"] {
		return nil
	}
	inst := r.take(c)
	defer r.give(c, inst, false)
	env := r.env(c, sysapi.Inspect)
	env.Caller, env.Info, env.Arg, env.Method = msg.Sender, msg.Info, msg.Arg, msg.Method
	out := inst.Run(machine.Entry{Export: "canister_inspect_message"}, env, limits(cycles.InspectInstructions, env.Context))
	if out.Trap != nil {
		return trapError(c, out.Trap, cycles.InspectInstructions)
	}
	if !env.Admit {
		return canisterError(c.ID, ic.CanisterRejectedMessage, "Canister rejected the message", "", "")
	}
	return nil
}
