package canister

import (
	"fmt"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Step takes the next message of a canister's queue and executes it. It tells
// how many instructions that took.
func (r *Room) Step(id ic.CanisterID) machine.Instructions {
	c := &r.turn.scratch
	*c = *r.Canister(id)
	key, m, ok := c.Queue.First()
	if !ok {
		return 0
	}
	c.Take(key)
	switch m.Origin.Kind {
	case state.Response:
		return r.response(c, m)
	case state.Ingress:
		if m.Expiry < r.Now {
			r.Put(c)
			r.Answer(&m.Origin, failed(ic.Errorf(ic.IngressMessageTimeout, "Ingress message %s timed out waiting to start executing.", requestText(m.Origin.Request))), ic.Cycles{})
			return 0
		}
	case state.Request:
		if late := m.Origin.Deadline; late != 0 && late < r.Now {
			// The caller has its answer already: only the cycles go back.
			r.Put(c)
			r.Answer(&m.Origin, failed(errDeadline()), m.Cycles)
			return 0
		}
	}
	return r.request(c, m)
}

func errDeadline() *ic.UserError {
	return ic.Errorf(ic.DeadlineExpired, "Call deadline has expired.")
}

func requestText(id ic.RequestID) string { return fmt.Sprintf("0x%x", id[:]) }

func failed(err *ic.UserError) ic.Reply { return ic.Reply{Reject: err.Reject()} }

// failedRun is the error of a canister that a message was given to: another canister
// reads its code in the text, as it reads the reject code alone beside it.
func failedRun(from *state.Origin, err *ic.UserError) ic.Reply {
	if from.Kind != state.Request {
		return failed(err)
	}
	return failedCall(err)
}

func failedCall(err *ic.UserError) ic.Reply {
	return ic.Reply{Reject: &ic.Reject{Class: err.Code.RejectCode(), Code: err.Code, Message: err.Error()}}
}

// request starts a call: a user's or another canister's.
func (r *Room) request(c *state.Canister, m *state.Message) machine.Instructions {
	var ctx sysapi.Context
	var entry machine.Entry
	var limit machine.Instructions
	var paid ic.Cycles
	err := notRunningAnyMore(c)
	if err == nil {
		ctx, entry, limit, err = r.method(c, m.Method)
	}
	if err == nil && ctx == sysapi.Update {
		err = withinLimit(c, c.HeapBytes)
	}
	if err == nil {
		paid, err = r.prepay(c, limit, m.Origin.Caller)
	}
	if err != nil {
		r.Put(c)
		r.Answer(&m.Origin, failedRun(&m.Origin, err), m.Cycles)
		return 0
	}
	return r.begin(c, m, ctx, entry, limit, paid)
}

// method finds what to run for a call in replicated mode.
func (r *Room) method(c *state.Canister, name string) (sysapi.Context, machine.Entry, machine.Instructions, *ic.UserError) {
	if c.Module == nil {
		return 0, machine.Entry{}, 0, noModule(c.ID)
	}
	info := r.module(c.Module.Hash).Info()
	switch {
	case info.Updates[name]:
		return sysapi.Update, machine.Entry{Export: "canister_update " + name}, r.Subnet.Costs.Message(), nil
	case info.Queries[name]:
		return sysapi.ReplicatedQuery, machine.Entry{Export: "canister_query " + name}, r.Subnet.Costs.Query(), nil
	case info.CompositeQueries[name]:
		return 0, machine.Entry{}, 0, compositeInCall()
	}
	return 0, machine.Entry{}, 0, noMethod(c.ID, "update", name)
}

// begin opens a call context and runs its first entry point.
func (r *Room) begin(c *state.Canister, m *state.Message, ctx sysapi.Context, entry machine.Entry, limit machine.Instructions, paid ic.Cycles) machine.Instructions {
	call := &state.CallContext{Origin: m.Origin, Available: m.Cycles, Started: r.Now}
	next := r.turn.copy(c)
	env := r.env(next, ctx)
	env.Caller, env.Info, env.Arg = m.Origin.Caller, m.Origin.Info, m.Arg
	if ctx == sysapi.Update { // queries are told of no deadline
		env.Deadline = m.Origin.Deadline
	}
	env.Available, env.Answers = m.Cycles, m.Origin.Kind != state.Task
	used, err := r.run(next, entry, env, limit, ctx != sysapi.ReplicatedQuery)
	r.Head.Updates++
	if err != nil {
		c.TakeLog(next)
		r.settle(c, paid, used)
		r.Put(c)
		r.Answer(&m.Origin, failedRun(&m.Origin, err), m.Cycles)
		return used
	}
	r.applied(next, env, paid, used)
	id := next.NextContext
	next.NextContext++
	call.Instructions = uint64(used)
	r.conclude(next, id, call, env, nil)
	return used
}

// applied takes over the balance that the run left, then settles its price.
func (r *Room) applied(c *state.Canister, env *sysapi.Env, paid ic.Cycles, used machine.Instructions) {
	c.Cycles = env.Balance
	c.Consumed.Burned = c.Consumed.Burned.Add(env.Burned)
	r.Head.Burned = r.Head.Burned.Add(env.Burned)
	r.settle(c, paid, used)
	if env.Certified != nil {
		c.Certified = env.Certified
	}
	c.Timer = *env.Timer
	c.Version++
}

// conclude applies what the last run of a call context did to other canisters:
// calls, an answer, and perhaps the end of the context. failure is the error of
// a callback that trapped.
func (r *Room) conclude(c *state.Canister, id uint64, call *state.CallContext, env *sysapi.Env, failure *ic.UserError) {
	var sent []*state.Message
	if env != nil {
		call.Available, _ = call.Available.Sub(env.Accepted)
		for i := range env.Calls {
			m := r.call(c, id, &env.Calls[i])
			if m.Callee.Principal == ic.Management {
				m.Version = env.Version
			}
			sent = append(sent, m)
			call.Open++
		}
	}
	var answer *ic.Reply
	switch {
	case call.Responded:
	case env != nil && env.Answer != nil:
		answer = env.Answer
	case call.Open == 0 && call.Origin.Kind != state.Task:
		reply := noReply(c.ID, &call.Origin)
		if failure != nil {
			reply = failedRun(&call.Origin, failure)
		}
		answer = &reply
	}
	refund := call.Available
	if answer != nil {
		call.Responded, call.Available = true, ic.Cycles{}
	}
	if call.Open == 0 {
		c.Contexts = c.Contexts.Without(state.ID(id))
	} else {
		c.Contexts = c.Contexts.With(state.ID(id), call)
	}
	r.Put(c)
	if answer != nil {
		r.Answer(&call.Origin, *answer, refund)
	} else if call.Origin.Kind == state.Ingress && !call.Responded {
		r.processing(&call.Origin)
	}
	for _, m := range sent {
		r.Route(m)
	}
}

// processing marks a user's call as begun.
func (r *Room) processing(o *state.Origin) {
	if r.turn != nil {
		r.turn.out = append(r.turn.out, effect{origin: o})
		return
	}
	if old := r.Call(o.Request); old != nil && old.State == state.Received {
		next := *old
		next.State, next.Updated = state.Processing, r.Now
		r.SetCall(o.Request, &next)
	}
}

// call registers the callback of a call and makes its message.
func (r *Room) call(c *state.Canister, context uint64, call *sysapi.Call) *state.Message {
	cb := &state.Callback{
		Context: context, Callee: call.Callee, ReplyFunc: call.ReplyFunc, ReplyEnv: call.ReplyEnv,
		RejectFunc: call.RejectFunc, RejectEnv: call.RejectEnv, HasCleanup: call.HasCleanup,
		CleanupFunc: call.CleanupFunc, CleanupEnv: call.CleanupEnv, Deadline: call.Deadline,
		Sent: call.Cycles, PaidRun: call.PaidRun, PaidTransmit: call.PaidTransmit,
	}
	c.Consumed.Transmission = c.Consumed.Transmission.Add(call.Fee)
	r.Head.Burned = r.Head.Burned.Add(call.Fee)
	return &state.Message{
		Origin: state.Origin{Kind: state.Request, Caller: c.ID.Principal, Callback: c.AddCallback(cb), Deadline: call.Deadline},
		Callee: ic.CanisterID{Principal: call.Callee}, Method: call.Method, Arg: call.Arg, Cycles: call.Cycles,
	}
}

// Route brings a request to where it is worked off.
func (r *Room) Route(m *state.Message) {
	if r.turn != nil {
		r.turn.out = append(r.turn.out, effect{msg: m})
		return
	}
	if m.Callee.Principal == ic.Management || m.Callee.Principal == r.Subnet.ID.Principal {
		m.Arrived = r.Head.Height
		r.Enqueue(m)
		return
	}
	if err := r.deliver(m); err != nil {
		r.Answer(&m.Origin, failed(err), m.Cycles)
	}
}

func (r *Room) deliver(m *state.Message) *ic.UserError {
	c := r.Canister(m.Callee)
	if c == nil {
		if !r.Hosts(m.Callee) {
			return ic.Errorf(ic.CanisterNotFound, "No route to canister %s", m.Callee)
		}
		return NotFound(m.Callee)
	}
	if err := NotRunning(c); err != nil {
		return err
	}
	if least := c.Settings.MinimumCallCycles; m.Origin.Caller != c.ID.Principal && m.Cycles.Less(least) {
		return ic.Errorf(ic.CanisterContractViolation, "Canister %s requires at least %s cycles to be attached to incoming inter-canister calls, but only %s cycles were attached.", c.ID, least, m.Cycles)
	}
	next := *c
	next.Push(m)
	r.Put(&next)
	return nil
}

// Hosts tells whether ids such as this one belong to the subnet.
func (r *Room) Hosts(id ic.CanisterID) bool {
	for _, s := range r.Draft.Subnet().Ranges {
		if s.Contains(id) {
			return true
		}
	}
	return false
}

// Answer brings the end of a call to its origin, with the cycles that come back.
func (r *Room) Answer(o *state.Origin, reply ic.Reply, refund ic.Cycles) {
	if r.turn != nil {
		r.turn.out = append(r.turn.out, effect{origin: o, reply: &reply, refund: refund})
		return
	}
	switch o.Kind {
	case state.Ingress:
		call := state.Call{State: state.Replied, Reply: reply.Data, Updated: r.Now}
		if reply.Reject != nil {
			call.State, call.Reject, call.Reply = state.Rejected, reply.Reject, nil
		}
		if old := r.Call(o.Request); old != nil {
			call.Sender, call.Callee, call.Effective, call.Expiry = old.Sender, old.Callee, old.Effective, old.Expiry
		}
		r.SetCall(o.Request, &call)
	case state.Request:
		r.answerCanister(o, reply, refund)
	}
}

func (r *Room) answerCanister(o *state.Origin, reply ic.Reply, refund ic.Cycles) {
	old := r.Canister(ic.CanisterID{Principal: o.Caller})
	if old == nil {
		return // deleted meanwhile; its cycles are gone with it
	}
	c := *old
	cb, ok := c.Callbacks.Get(state.ID(o.Callback))
	if !ok || cb.Answered {
		// A best-effort call that had its deadline: only the cycles arrive.
		c.Cycles = c.Cycles.Add(refund)
		r.Put(&c)
		return
	}
	answered := *cb
	answered.Answered = true
	c.Callbacks = c.Callbacks.With(state.ID(o.Callback), &answered)
	m := &state.Message{Origin: state.Origin{Kind: state.Response, Callback: o.Callback, Deadline: cb.Deadline}, Callee: ic.CanisterID{Principal: cb.Callee}, Arg: reply.Data, Cycles: refund}
	if reply.Reject != nil {
		m.Reject, m.Arg = reply.Reject.ToCanister(), nil
	}
	c.Push(m)
	r.Put(&c)
}
