package canister

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Limits of composite queries (resource-limits.md).
const (
	maxQueryDepth    = 6          // queries that wait for others at a time
	queryCallPenalty = 50_000_000 // instructions that each call of a graph costs
)

// graph is the calls that one query leads to, visited depth first:
//
//	user ──> composite ──call──> composite ──call──> query
//	             ^ callbacks ───────┘ ^ callbacks ─────┘
//
// A canister may be called again while it waits, by itself too: each query begins with
// the canister as the state has it. The first answer of a query ends it: calls it still waits for could not change
// the answer. A limit of the whole graph ends all of it.
type graph struct {
	reader *Reader
	left   machine.Instructions
	depth  int           // queries that wait for others
	over   *ic.UserError // a limit that ends the graph
	basis  *Basis
	uses   []Use
}

// run executes one entry point; the caller gives the instance back or closes it.
func (g *graph) run(c *state.Canister, inst machine.Instance, e machine.Entry, env *sysapi.Env) *ic.UserError {
	limit := min(g.left, g.reader.Subnet.Costs.Query())
	out := inst.Run(e, env, limits(limit, env.Context))
	g.left -= min(g.left, out.Used)
	g.used(c.ID).Instructions += uint64(out.Used)
	g.basis.read(&env.Effects)
	if out.Trap != nil {
		return trapError(c, out.Trap, limit)
	}
	env.Finish()
	return nil
}

// composite runs a query that may call others. Its instance keeps its memory
// from callback to callback, and loses it at the end.
func (g *graph) composite(c *state.Canister, a *asked) ic.Reply {
	inst, committed := g.reader.take(c), false
	defer func() { g.reader.give(c, inst, committed) }()
	env := g.env(c, sysapi.Composite, a)
	env.Arg, env.Answers = a.arg, true
	if a.first {
		env.Certificate = g.reader.Certificate
	}
	before := g.left
	err := g.run(c, inst, machine.Entry{Export: "canister_composite_query " + a.method}, env)
	answer := env.Answer
	if err == nil && answer == nil && len(env.Calls) > 0 {
		committed = true
		inst.Commit()
		answer, err = g.await(c, inst, a, env.Calls, before-g.left)
	}
	return g.done(c, a, answer, err)
}

// await makes the calls of a composite query one after the other, and runs
// their callbacks, which may make more, until one of them answers. ran counts
// the instructions of the query and its callbacks so far.
func (g *graph) await(c *state.Canister, inst machine.Instance, a *asked, waiting []sysapi.Call, ran machine.Instructions) (*ic.Reply, *ic.UserError) {
	if g.depth >= maxQueryDepth {
		g.over = ic.Errorf(ic.QueryCallGraphTooDeep, "Composite query calls exceeded the maximum call depth.")
	}
	g.depth++
	defer func() { g.depth-- }()
	var failure *ic.UserError
	for len(waiting) > 0 {
		call := waiting[0]
		waiting = waiting[1:]
		reply := g.call(c, &call)
		if g.over == nil && g.left == 0 {
			g.over = ic.Errorf(ic.QueryCallGraphTotalInstructions, "Composite query calls exceeded the instruction limit.")
		}
		if g.over != nil {
			return nil, g.over
		}
		before := g.left
		var back *sysapi.Env
		back, failure = g.callback(c, inst, a, &call, reply, ran)
		ran += before - g.left
		if failure != nil {
			continue
		}
		if back.Answer != nil {
			return back.Answer, nil
		}
		waiting = append(waiting, back.Calls...)
	}
	return nil, failure
}

// call works off one call of a composite query.
func (g *graph) call(from *state.Canister, call *sysapi.Call) ic.Reply {
	r := g.reader
	switch {
	case g.over != nil:
		return failed(g.over)
	case r.Late != nil && r.Late():
		g.basis.unsafe = true
		g.over = ic.Errorf(ic.QueryTimeLimitExceeded, "Composite query call exceeded the time limit.")
		return failed(g.over)
	case call.Callee == ic.Management:
		g.basis.unsafe = true
		if r.Management != nil {
			reply, used := r.Management(call.Method, call.Arg, from.ID.Principal)
			g.left -= min(g.left, queryCallPenalty+used)
			return reply
		}
		return failed(ic.Errorf(ic.UnknownManagementMessage, "Management canister has no query method '%s'", call.Method))
	}
	id := ic.CanisterID{Principal: call.Callee}
	c := r.State.Canister(id)
	if c == nil {
		g.basis.unsafe = true
		return failed(NotFound(id))
	}
	if err := queryable(r, c); err != nil { // it may pass without the canister's doing: cycles, a start
		g.basis.unsafe = true
		return failedCall(err)
	}
	g.basis.saw(r, c)
	reply := g.enter(c, &asked{method: call.Method, arg: call.Arg, caller: from.ID.Principal})
	g.left -= min(g.left, queryCallPenalty)
	return reply
}

func (g *graph) callback(c *state.Canister, inst machine.Instance, a *asked, call *sysapi.Call, reply ic.Reply, ran machine.Instructions) (*sysapi.Env, *ic.UserError) {
	ctx, entry := sysapi.CompositeReply, machine.Entry{Func: call.ReplyFunc, Arg: call.ReplyEnv}
	if reply.Reject != nil {
		ctx, entry = sysapi.CompositeReject, machine.Entry{Func: call.RejectFunc, Arg: call.RejectEnv}
	}
	env := g.env(c, ctx, a)
	env.Arg, env.Reject, env.Answers, env.Earlier = reply.Data, reply.Reject, true, ran
	before := g.left
	err := g.run(c, inst, entry, env)
	if err == nil {
		inst.Commit()
		return env, nil
	}
	inst.Rollback()
	if call.HasCleanup {
		clean := g.env(c, sysapi.CompositeClean, a)
		clean.Reject, clean.Earlier = reply.Reject, ran+before-g.left
		if again := g.run(c, inst, machine.Entry{Func: call.CleanupFunc, Arg: call.CleanupEnv}, clean); again != nil {
			inst.Rollback()
			err = cleanupFailed(c.ID, err, again)
		} else {
			inst.Commit()
		}
	}
	return nil, err
}
