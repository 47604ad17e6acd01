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
	// Certificate is the certificate of the state's root, for data certificates.
	Certificate func(c ic.CanisterID) []byte
	// Management answers calls of composite queries to the management canister.
	Management func(method string, arg []byte, caller ic.Principal) ic.Reply
}

// Limits of composite queries (resource-limits.md).
const (
	maxQueryDepth    = 6
	queryCallPenalty = 50_000_000 // instructions that each call of a graph costs
)

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

func (r *Reader) give(c *state.Canister, inst machine.Instance) {
	inst.Rollback()
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
func (r *Reader) Query(q *ic.Query) ic.Reply {
	c := r.State.Canister(q.Canister)
	if c == nil {
		return failed(NotFound(q.Canister))
	}
	if err := queryable(r, c); err != nil {
		return failed(err)
	}
	m, _ := r.module(c.Module.Hash)
	g := &graph{reader: r, left: cycles.QueryInstructions}
	switch {
	case m.Info().Queries[q.Method]:
		return g.simple(c, q.Method, q.Arg, q.Sender, q.Info, true)
	case m.Info().CompositeQueries[q.Method]:
		return g.composite(c, q.Method, q.Arg, q.Sender, q.Info, true)
	}
	return failed(noMethod(c.ID, "query", q.Method))
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

// graph is the calls that one query leads to.
type graph struct {
	reader *Reader
	left   machine.Instructions
	path   []ic.CanisterID
}

// run executes one entry point; the caller gives the instance back or closes it.
func (g *graph) run(c *state.Canister, inst machine.Instance, e machine.Entry, env *sysapi.Env) *ic.UserError {
	limit := min(g.left, cycles.QueryInstructions)
	out := inst.Run(e, env, limits(limit))
	g.left -= min(g.left, out.Used)
	if out.Trap != nil {
		return trapError(c, out.Trap, limit)
	}
	env.Finish()
	return nil
}

// simple runs a query that makes no calls.
func (g *graph) simple(c *state.Canister, method string, arg []byte, caller ic.Principal, info *ic.SenderInfo, first bool) ic.Reply {
	r := g.reader
	inst := r.take(c)
	defer r.give(c, inst)
	env := r.env(c, sysapi.Query)
	env.Caller, env.Info, env.Arg, env.Answers = caller, info, arg, true
	if first && r.Certificate != nil {
		env.Certificate = r.Certificate(c.ID)
	}
	if err := g.run(c, inst, machine.Entry{Export: "canister_query " + method}, env); err != nil {
		return failed(err)
	}
	if env.Answer == nil {
		return failed(didNotReply(c.ID))
	}
	return *env.Answer
}

// composite runs a query that may call others. It has an instance of its own,
// which keeps its memory from callback to callback and is dropped at the end.
func (g *graph) composite(c *state.Canister, method string, arg []byte, caller ic.Principal, info *ic.SenderInfo, first bool) ic.Reply {
	r := g.reader
	if len(g.path) > maxQueryDepth {
		return failed(ic.Errorf(ic.QueryCallGraphTooDeep, "Composite query exceeded the maximum call depth of %d.", maxQueryDepth))
	}
	for _, id := range g.path {
		if id == c.ID {
			return failed(ic.Errorf(ic.QueryCallGraphLoopDetected, "Loop inside inter-canister query call graph"))
		}
	}
	g.path = append(g.path, c.ID)
	defer func() { g.path = g.path[:len(g.path)-1] }()
	m, _ := r.module(c.Module.Hash)
	inst, err := m.Instantiate(c.Memory.Heap, c.Memory.Stable, engineGlobals(c.Memory.Globals))
	if err != nil {
		panic("canister: its instance does not start: " + err.Error())
	}
	defer inst.Close()
	env := r.env(c, sysapi.Composite)
	env.Caller, env.Info, env.Arg, env.Answers = caller, info, arg, true
	if first && r.Certificate != nil {
		env.Certificate = r.Certificate(c.ID)
	}
	before := g.left
	if err := g.run(c, inst, machine.Entry{Export: "canister_composite_query " + method}, env); err != nil {
		return failed(err)
	}
	return g.calls(c, inst, env, caller, info, before-g.left)
}

// calls makes the calls of a composite query one after the other, and runs their
// callbacks, which may make more.
// ran counts the instructions of the query and its callbacks so far.
func (g *graph) calls(c *state.Canister, inst machine.Instance, env *sysapi.Env, caller ic.Principal, info *ic.SenderInfo, ran machine.Instructions) ic.Reply {
	inst.Commit()
	answer, waiting := env.Answer, env.Calls
	var failure *ic.UserError
	for len(waiting) > 0 {
		call := waiting[0]
		waiting = waiting[1:]
		if g.left <= queryCallPenalty {
			return failed(ic.Errorf(ic.QueryCallGraphTotalInstructions, "Query call exceeded the instruction limit."))
		}
		g.left -= queryCallPenalty
		reply := g.call(c, &call)
		before := g.left
		back, err := g.callback(c, inst, &call, reply, caller, info, answer != nil, ran)
		ran += before - g.left
		if err != nil {
			failure = err
			continue
		}
		if answer == nil {
			answer = back.Answer
		}
		waiting = append(waiting, back.Calls...)
	}
	switch {
	case answer != nil:
		return *answer
	case failure != nil:
		return failed(failure)
	}
	return failed(didNotReply(c.ID))
}

// call works off one call of a composite query.
func (g *graph) call(from *state.Canister, call *sysapi.Call) ic.Reply {
	r := g.reader
	if call.Callee == ic.Management {
		if r.Management != nil {
			return r.Management(call.Method, call.Arg, from.ID.Principal)
		}
		return failed(ic.Errorf(ic.UnknownManagementMessage, "Management canister has no query method '%s'", call.Method))
	}
	id := ic.CanisterID{Principal: call.Callee}
	c := r.State.Canister(id)
	if c == nil {
		return failed(NotFound(id))
	}
	if err := queryable(r, c); err != nil {
		return failed(err)
	}
	m, _ := r.module(c.Module.Hash)
	switch {
	case m.Info().Queries[call.Method]:
		return g.simple(c, call.Method, call.Arg, from.ID.Principal, nil, false)
	case m.Info().CompositeQueries[call.Method]:
		return g.composite(c, call.Method, call.Arg, from.ID.Principal, nil, false)
	}
	return failed(noMethod(id, "query", call.Method))
}

func (g *graph) callback(c *state.Canister, inst machine.Instance, call *sysapi.Call, reply ic.Reply, caller ic.Principal, info *ic.SenderInfo, answered bool, ran machine.Instructions) (*sysapi.Env, *ic.UserError) {
	ctx, entry := sysapi.CompositeReply, machine.Entry{Func: call.ReplyFunc, Arg: call.ReplyEnv}
	if reply.Reject != nil {
		ctx, entry = sysapi.CompositeReject, machine.Entry{Func: call.RejectFunc, Arg: call.RejectEnv}
	}
	env := g.reader.env(c, ctx)
	env.Caller, env.Info, env.Arg, env.Reject, env.Answers = caller, info, reply.Data, reply.Reject, !answered
	env.Earlier = ran
	before := g.left
	err := g.run(c, inst, entry, env)
	if err == nil {
		inst.Commit()
		return env, nil
	}
	inst.Rollback()
	if call.HasCleanup {
		clean := g.reader.env(c, sysapi.CompositeClean)
		clean.Caller, clean.Info, clean.Reject = caller, info, reply.Reject
		clean.Earlier = ran + before - g.left
		if again := g.run(c, inst, machine.Entry{Func: call.CleanupFunc, Arg: call.CleanupEnv}, clean); again != nil {
			inst.Rollback()
			err = &ic.UserError{Code: err.Code, Message: err.Message + "\n\ncall_on_cleanup also failed:\n\n" + again.Message}
		} else {
			inst.Commit()
		}
	}
	return nil, err
}

// Inspect asks a canister whether it takes a user's call.
func (r *Reader) Inspect(c *state.Canister, msg *ic.Ingress) *ic.UserError {
	if c.Module == nil {
		return noModule(c.ID)
	}
	m, _ := r.module(c.Module.Hash)
	if !m.Info().Lifecycle["canister_inspect_message"] {
		return nil
	}
	inst := r.take(c)
	defer r.give(c, inst)
	env := r.env(c, sysapi.Inspect)
	env.Caller, env.Info, env.Arg, env.Method = msg.Sender, msg.Info, msg.Arg, msg.Method
	out := inst.Run(machine.Entry{Export: "canister_inspect_message"}, env, limits(cycles.InspectInstructions))
	if out.Trap != nil {
		return trapError(c, out.Trap, cycles.InspectInstructions)
	}
	if !env.Admit {
		return canisterError(c.ID, ic.CanisterRejectedMessage, "Canister rejected the message", "", "")
	}
	return nil
}
