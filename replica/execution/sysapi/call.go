package sysapi

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: calls to other canisters, and cycles.

func callNew(e *Env, c machine.Caller, a []uint64) error {
	e.dropCall()
	if a[3] > maxMethodName {
		return userViolation("Size of method_name {} exceeds the allowed limit of {}.", ic.ErrorDocs+"canister-made-a-call-with-too-large-method-name",
			"Size of method_name %d exceeds the allowed limit of %d.", a[3], maxMethodName)
	}
	name, err := heapSlice(c, "call_new method_name", a[2], a[3])
	if err != nil {
		return err
	}
	callee, err := heapSlice(c, "call_new callee_src", a[0], a[1])
	if err != nil {
		return err
	}
	p, err := ic.PrincipalFromBytes(callee)
	if err != nil {
		return errPrincipal
	}
	e.building = &Call{Callee: p, Method: readable(name), ReplyFunc: a[4], ReplyEnv: a[5], RejectFunc: a[6], RejectEnv: a[7]}
	return nil
}

// under is the call under construction, or the error that there is none.
func (e *Env) under(name string) (*Call, error) {
	if e.building == nil {
		return nil, violation("%s called when no call is under construction.", name)
	}
	return e.building, nil
}

func callOnCleanup(e *Env, _ machine.Caller, a []uint64) error {
	b, err := e.under("ic0.call_on_cleanup")
	if err != nil {
		return err
	}
	if b.HasCleanup {
		return violation("ic0.call_on_cleanup can be called at most once between `ic0.call_new` and `ic0.call_perform`")
	}
	b.HasCleanup, b.CleanupFunc, b.CleanupEnv = true, a[0], a[1]
	return nil
}

func callDataAppend(e *Env, c machine.Caller, a []uint64) error {
	b, err := e.under("ic0.call_data_append")
	if err != nil {
		return err
	}
	if n := uint64(len(b.Arg)) + min(a[1], 1<<40); n+uint64(len(b.Method)) > maxCallBytes {
		return userViolation("Check the canister for errors or redesign the target API to allow shorter messages", ic.ErrorDocs+"canister-made-a-call-with-too-large-payload",
			"Request to %s:%s has a payload size of %d, which exceeds the allowed limit of %d.",
			b.Callee, b.Method, uint64(len(b.Method)+len(b.Arg))+a[1], maxCallBytes)
	}
	src, err := heapSlice(c, "call_data_append", a[0], a[1])
	if err != nil {
		return err
	}
	b.Arg = append(b.Arg, src...)
	return nil
}

func callBestEffort(e *Env, _ machine.Caller, a []uint64) error {
	b, err := e.under("ic0.call_with_best_effort_response")
	if err != nil {
		return err
	}
	if b.BestEffort {
		return violation("ic0_call_with_best_effort_response failed because a timeout is already set.")
	}
	b.BestEffort, e.ReadTime = true, true
	// Deadlines have whole seconds, so that every node's encoding of them agrees.
	const second = 1e9
	b.Deadline = (e.Now/second + ic.Time(min(a[0]&0xffffffff, MaxTimeout))) * second
	return nil
}

func callCycles128(e *Env, _ machine.Caller, a []uint64) error {
	return e.attach("ic0_call_cycles_add128", ic.Cycles{Hi: a[0], Lo: a[1]})
}

func callCycles(e *Env, _ machine.Caller, a []uint64) error {
	return e.attach("ic0_call_cycles_add", ic.NewCycles(a[0]))
}

func (e *Env) attach(name string, amount ic.Cycles) error {
	b, err := e.under(name)
	if err != nil {
		return err
	}
	if e.liquid().Less(amount) {
		return &Violation{Text: "Canister " + e.Self.String() + " is out of cycles"}
	}
	e.Balance, _ = e.Balance.Sub(amount)
	b.Cycles = b.Cycles.Add(amount)
	return nil
}

const callRefused = 2 // the only error that ic0.call_perform tells

func callPerform(e *Env, _ machine.Caller, a []uint64) error {
	b, err := e.under("ic0.call_perform")
	if err != nil {
		return err
	}
	a[0] = 0
	if e.Context&(Composite|CompositeReply|CompositeReject) == 0 && !e.pay(b) {
		e.dropCall()
		a[0] = callRefused
		return nil
	}
	e.Calls = append(e.Calls, *b)
	e.building = nil
	return nil
}

// pay withdraws what the call and its response will cost; false if the canister
// cannot, or has too many calls open, or the subnet has no room for the response.
func (e *Env) pay(b *Call) bool {
	open := e.Pending(b.Callee)
	for i := range e.Calls {
		if e.Calls[i].Callee == b.Callee {
			open++
		}
	}
	b.Fee = e.Subnet.Costs.Call(uint64(len(b.Method) + len(b.Arg)))
	b.PaidRun, b.PaidTransmit = e.Subnet.Costs.Response(e.Memory64)
	total := b.Fee.Add(b.PaidRun).Add(b.PaidTransmit)
	room := uint64(0)
	if !b.BestEffort {
		room = max(state.ResponseBytes, uint64(len(b.Method)+len(b.Arg)))
	}
	if open >= MaxPending || e.liquid().Less(total) || e.CallRoom < room {
		return false
	}
	e.CallRoom -= room
	e.Balance, _ = e.Balance.Sub(total)
	return true
}

func available128(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "msg_cycles_available128", a[0], e.left())
}

func available(e *Env, _ machine.Caller, a []uint64) error { return word(a, e.left()) }

// left of the cycles that came with the call. They are there to the end of the message,
// also after its answer: the specification says that the answer takes them back at once,
// mainnet does not, and Motoko's one-way functions answer before anything else.
func (e *Env) left() ic.Cycles {
	c, _ := e.Available.Sub(e.Accepted)
	return c
}

func (e *Env) accept(most ic.Cycles) ic.Cycles {
	got := e.left()
	if most.Less(got) {
		got = most
	}
	e.Accepted = e.Accepted.Add(got)
	e.Balance = e.Balance.Add(got)
	return got
}

func accept128(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "msg_cycles_accept128", a[2], e.accept(ic.Cycles{Hi: a[0], Lo: a[1]}))
}

func accept(e *Env, _ machine.Caller, a []uint64) error { return word(a, e.accept(ic.NewCycles(a[0]))) }

func refunded128(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "msg_cycles_refunded128", a[0], e.Refunded)
}

func refunded(e *Env, _ machine.Caller, a []uint64) error { return word(a, e.Refunded) }

func burn128(e *Env, c machine.Caller, a []uint64) error {
	amount := ic.Cycles{Hi: a[0], Lo: a[1]}
	if e.liquid().Less(amount) {
		amount = e.liquid()
	}
	if err := putCycles(c, "cycles_burn128", a[2], amount); err != nil {
		return err
	}
	e.Balance, _ = e.Balance.Sub(amount)
	e.Burned = e.Burned.Add(amount)
	return nil
}

// mint128 is for one canister alone, which makes cycles of the network's token.
// Modules of others may import it, as test canisters do.
func mint128(e *Env, c machine.Caller, a []uint64) error {
	if e.Self != cyclesMinter {
		return violation("ic0.mint_cycles128 cannot be executed on non Cycles Minting Canister: %s != %s", e.Self, cyclesMinter)
	}
	amount := ic.Cycles{Hi: a[0], Lo: a[1]}
	if err := putCycles(c, "mint_cycles_128", a[2], amount); err != nil {
		return err
	}
	e.Balance = e.Balance.Add(amount)
	return nil
}

// cyclesMinter is rkp4c-7iaaa-aaaaa-aaaca-cai.
var cyclesMinter = ic.CanisterIDFromUint64(4)

func balance128(e *Env, c machine.Caller, a []uint64) error {
	e.ReadBalance = true
	return putCycles(c, "canister_cycle_balance128", a[0], e.Balance)
}

func balance(e *Env, _ machine.Caller, a []uint64) error {
	e.ReadBalance = true
	return word(a, e.Balance)
}

func liquid128(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "canister_liquid_cycle_balance128", a[0], e.liquid())
}
