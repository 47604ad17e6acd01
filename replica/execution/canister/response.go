package canister

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// response runs the callback of a call that c made.
func (r *Room) response(c *state.Canister, m *state.Message) machine.Instructions {
	id := m.Origin.Callback
	cb, ok := c.Callbacks.Get(state.ID(id))
	if !ok {
		c.Cycles = c.Cycles.Add(m.Cycles)
		r.Put(c)
		return 0
	}
	c.RemoveCallback(id)
	r.receive(c, cb, m)
	old, _ := c.Contexts.Get(state.ID(cb.Context))
	call := *old
	call.Open--
	if call.Deleted {
		c.Cycles = c.Cycles.Add(cb.PaidRun)
		r.conclude(c, cb.Context, &call, nil, nil)
		return 0
	}
	next := r.turn.copy(c)
	env := r.callbackEnv(next, cb, &call, m)
	entry := machine.Entry{Func: cb.ReplyFunc, Arg: cb.ReplyEnv}
	if m.Reject != nil {
		entry = machine.Entry{Func: cb.RejectFunc, Arg: cb.RejectEnv}
	}
	limit := r.Subnet.Costs.Message()
	used, err := r.run(next, entry, env, limit, true)
	if err == nil {
		r.applied(next, env, cb.PaidRun, used)
		call.Instructions += uint64(used)
		r.conclude(next, cb.Context, &call, env, nil)
		return used
	}
	c.TakeLog(next)
	more, err := r.cleanup(c, cb, &call, m, limit-min(used, limit), err)
	used += more
	r.settle(c, cb.PaidRun, used)
	call.Instructions += uint64(used)
	r.conclude(c, cb.Context, &call, nil, err)
	return used
}

// receive takes over what a response brings besides its content: cycles sent
// back, and what was set aside for more bytes than came.
func (r *Room) receive(c *state.Canister, cb *state.Callback, m *state.Message) {
	bytes := len(m.Arg)
	if m.Reject != nil {
		bytes = len(m.Reject.Message)
	}
	cost := r.Subnet.Costs.Transmit(uint64(bytes))
	if cb.PaidTransmit.Less(cost) {
		cost = cb.PaidTransmit
	}
	back, _ := cb.PaidTransmit.Sub(cost)
	c.Consumed.Transmission = c.Consumed.Transmission.Add(cost)
	r.Head.Burned = r.Head.Burned.Add(cost)
	c.Cycles = c.Cycles.Add(back).Add(m.Cycles)
}

func (r *Room) callbackEnv(c *state.Canister, cb *state.Callback, call *state.CallContext, m *state.Message) *sysapi.Env {
	ctx := sysapi.Reply
	if m.Reject != nil {
		ctx = sysapi.Reject
	}
	env := r.env(c, ctx)
	env.Caller, env.Info, env.Deadline = call.Origin.Caller, call.Origin.Info, call.Origin.Deadline
	env.Arg, env.Reject, env.Refunded = m.Arg, m.Reject, m.Cycles
	env.Available, env.Answers = call.Available, !call.Responded && call.Origin.Kind != state.Task
	env.Earlier = machine.Instructions(call.Instructions)
	return env
}

// cleanup runs after a callback that trapped. The error is the callback's, with
// the cleanup's own added where that trapped too.
func (r *Room) cleanup(c *state.Canister, cb *state.Callback, call *state.CallContext, m *state.Message, limit machine.Instructions, failure *ic.UserError) (machine.Instructions, *ic.UserError) {
	if !cb.HasCleanup {
		return 0, failure
	}
	next := *c
	env := r.env(&next, sysapi.Cleanup)
	env.Caller, env.Info, env.Reject = call.Origin.Caller, call.Origin.Info, m.Reject
	env.Earlier = machine.Instructions(call.Instructions)
	used, err := r.run(&next, machine.Entry{Func: cb.CleanupFunc, Arg: cb.CleanupEnv}, env, limit, true)
	if err != nil {
		c.TakeLog(&next)
		return used, cleanupFailed(c.ID, failure, err)
	}
	next.Cycles = env.Balance
	next.Consumed.Burned = next.Consumed.Burned.Add(env.Burned)
	r.Head.Burned = r.Head.Burned.Add(env.Burned)
	next.Timer = *env.Timer
	next.Version++
	*c = next
	return used, failure
}

// Expire answers the best-effort calls whose deadline has passed.
func (r *Room) Expire() {
	for _, x := range r.Expired(r.Now) {
		o := &state.Origin{Kind: state.Request, Caller: x.Canister.Principal, Callback: x.Callback}
		r.Answer(o, failed(errDeadline()), ic.Cycles{})
	}
}
