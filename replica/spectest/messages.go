package spectest

import (
	"bytes"
	"encoding/binary"
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
)

// This file: canister-interface.md, "Inter-canister method calls" and "Cycles";
// abstract-behavior.md, the life of a call.

func program() script.Script { return nil }

// word reads the number at the start of an answer.
func word(b []byte) uint64 {
	if len(b) < 8 {
		return 1<<64 - 1
	}
	return binary.LittleEndian.Uint64(b)
}

// says expects a reply.
func (n *net) says(what string, want, got []byte, err error) {
	n.Helper()
	if err != nil || !bytes.Equal(got, want) {
		n.Errorf("%s: %.80q, %v, want %.80q", what, got, err, want)
	}
}

// outcomes: what a caller sees of each way that a call can end.
func (n *net) outcomes() {
	id, other, wide := n.scripted(script.Options{}), n.scripted(script.Options{}), n.scripted(script.Options{Wide: true})
	empty, stopped := n.create(), n.scripted(script.Options{})
	if err := n.ic.Stop(n.ctx, stopped); err != nil {
		n.Fatal(err)
	}
	missing, elsewhere := ic.CanisterIDFromUint64(0xffff0), ic.CanisterIDFromUint64(1<<64-1) // beyond all ranges
	for _, c := range []struct {
		name   string
		to     ic.CanisterID
		method string
		arg    script.Script
		class  ic.RejectCode // 0: a reply
		text   string
	}{
		{"a reply", other, "do", program().Reply([]byte("hello")), 0, "hello"},
		{"an empty reply", other, "do", replied, 0, ""},
		{"of a query method", other, "ask", program().Reply([]byte("asked")), 0, "asked"},
		{"to itself", id, "do", program().Reply([]byte("me")), 0, "me"},
		{"to a canister with a 64-bit memory", wide, "do", program().Reply([]byte("wide")), 0, "wide"},
		{"the caller is the canister", other, "do", program().ReplyCopied("msg_caller"), 0, string(id.Bytes())},
		{"a rejection", other, "do", rejecting, ic.CanisterReject, "as asked"},
		{"a trap", other, "do", program().Trap("ouch"), ic.CanisterError, "IC0503: Error from Canister " + other.String() + ": Canister called `ic0.trap` with message: 'ouch'.\nConsider"},
		{"a trap of WebAssembly", other, "do", program().Unreachable(), ic.CanisterError, "IC0502: Error from Canister " + other.String() + ": Canister trapped: unreachable"},
		{"a trap after the reply", other, "do", program().Reply([]byte("x")).Trap("late"), ic.CanisterError, "'late'"},
		{"a division by zero", other, "do", program().Push(1).Push(0).Divide(), ic.CanisterError, "integer division by 0"},
		{"beyond the heap", other, "do", program().Push(1 << 31).Load(), ic.CanisterError, "heap out of bounds"},
		{"an empty table entry", other, "do", program().Push(99).Indirect(), ic.CanisterError, "table out of bounds"},
		{"a function of another type", other, "do", program().Push(1).Indirect(), ic.CanisterError, "function invocation does not match its signature"},
		{"without end of the stack", other, "do", program().Recurse(), ic.CanisterError, "stack overflow"},
		{"beyond the heap, 64 bits", wide, "do", program().Push(1 << 40).Load(), ic.CanisterError, "heap out of bounds"},
		{"no reply", other, "do", nil, ic.CanisterError, "No response"},
		{"no such method", other, "nothing", nil, ic.CanisterError, "IC0536: Error from Canister " + other.String() + ": Canister has no update method 'nothing'"},
		{"a composite query method", other, "compose", replied, ic.CanisterError, "IC0527: Composite query cannot be called in replicated mode"},
		{"no such canister", missing, "do", nil, ic.DestinationInvalid, "Canister " + missing.String() + " not found"},
		{"a canister of no subnet", elsewhere, "do", nil, ic.DestinationInvalid, "No route to canister " + elsewhere.String()},
		{"no code", empty, "do", nil, ic.CanisterError, "IC0537: Error from Canister " + empty.String() + ": Attempted"},
		{"a stopped canister", stopped, "do", nil, ic.CanisterError, "Canister " + stopped.String() + " is stopped"},
		{"not for canisters", ic.CanisterID{Principal: ic.Management}, "nothing", nil, ic.CanisterError, "IC0536: Management canister has no method 'nothing'"},
	} {
		got, err := n.do(id, program().Forwarded(script.Outgoing{To: c.to.Bytes(), Method: c.method, Arg: c.arg}))
		switch {
		case err != nil:
			n.Errorf("%s: %v", c.name, err)
		case c.class == 0:
			n.says(c.name, []byte(c.text), got, nil)
		case word(got) != uint64(c.class) || !strings.HasPrefix(string(got[8:]), c.text) && !strings.Contains(string(got[8:]), ": "+c.text):
			n.Errorf("%s: rejected with %d %q, want %d %q", c.name, word(got), got[8:], c.class, c.text)
		}
	}
	// Two calls at once: the callbacks come in some order, and only one may reply.
	both := program().Call(script.Outgoing{To: other.Bytes(), Method: "do", Arg: replied, OnReply: program().Push(8).Push(8).Load().Push(1).Add().Store()}).
		Forwarded(script.Outgoing{To: other.Bytes(), Method: "do", Arg: program().Reply([]byte("second"))})
	got, err := n.do(id, both)
	n.says("two calls", []byte("second"), got, err)
	// A reply may be given before a call is answered; then a callback must not reply.
	got, err = n.do(id, program().Reply([]byte("early")).Call(script.Outgoing{To: other.Bytes(), Method: "do", Arg: replied, OnReply: program().Reply([]byte("again"))}))
	n.says("a reply before the callback", []byte("early"), got, err)
}

// callbacks: traps in callbacks, and cleanup.
func (n *net) callbacks() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	const at, done = 0x10, 0x18
	set := func(addr, v uint64) script.Script { return program().Push(addr).Push(v).Store() }
	get := program().Push(at).Load().AppendInt().Push(done).Load().ReplyInt()
	_, err := n.do(id, set(at, 1).Then(callback(other, "do", replied, set(at, 2).Trap("in the callback"), nil, nil)))
	n.rejected("a callback that traps", err, ic.CanisterError, "IC0503")
	got, err := n.ask(id, get)
	n.says("what was written before the call stays, what the callback wrote does not", append(number(1), number(0)...), got, err)
	_, err = n.do(id, callback(other, "do", replied, program().Trap("first"), nil, set(done, 7)))
	n.rejected("a callback that traps, with cleanup", err, ic.CanisterError, "IC0503")
	got, err = n.ask(id, get)
	n.says("cleanup runs and its changes stay", append(number(1), number(7)...), got, err)
	_, err = n.do(id, callback(other, "do", replied, program().Trap("first"), nil, set(done, 8).Trap("second")))
	n.rejected("cleanup that traps", err, ic.CanisterError, "IC0503")
	if err == nil || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "call_on_cleanup also failed:") || !strings.Contains(err.Error(), "second") {
		n.Errorf("cleanup that traps: %v", err)
	}
	got, err = n.ask(id, get)
	n.says("and its changes do not stay", append(number(1), number(7)...), got, err)
	// In cleanup, the reject code is that of the callback before it.
	code := func(arg script.Script) {
		n.Helper()
		trap := program().Trap("x")
		save := program().Push(done).API("msg_reject_code").Store()
		_, err := n.do(id, callback(other, "do", arg, trap, trap, save))
		n.rejected("cleanup of a callback", err, ic.CanisterError, "IC0503")
	}
	code(rejecting)
	got, err = n.ask(id, get)
	n.says("the reject code in the cleanup of a reject callback", append(number(1), number(byte(ic.CanisterReject))...), got, err)
	code(replied)
	got, err = n.ask(id, get)
	n.says("and of a reply callback", append(number(1), number(0)...), got, err)
	// The argument of a callback is the reply; its caller is the first one's.
	got, err = n.do(id, callback(other, "do", program().Reply([]byte("data")), program().AppendCopied("msg_arg_data").ReplyCopied("msg_caller"), nil, nil))
	n.says("argument and caller of a callback", append([]byte("data"), n.agent.Sender().Bytes()...), got, err)
}

// building: the rules of assembling a call.
func (n *net) building() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	call := script.Outgoing{To: other.Bytes(), Method: "do", Arg: replied}
	for _, c := range []struct {
		name string
		do   script.Script
		text string
	}{
		{"perform without new", program().API("call_perform"), "called when no call is under construction"},
		{"data without new", program().Text("x").API("call_data_append"), "called when no call is under construction"},
		{"cycles without new", program().Push(0).Push(1).API("call_cycles_add128"), "called when no call is under construction"},
		{"cleanup without new", program().Push(0).Push(0).API("call_on_cleanup"), "called when no call is under construction"},
		{"a deadline without new", program().Push(1).API("call_with_best_effort_response"), "called when no call is under construction"},
		{"perform twice", program().Call(call).API("call_perform"), "called when no call is under construction"},
		{"cleanup twice", program().Begin(call).Push(0).Push(0).API("call_on_cleanup").Push(0).Push(0).API("call_on_cleanup"), "can be called at most once"},
		{"two deadlines", program().Begin(call).Push(1).API("call_with_best_effort_response").Push(1).API("call_with_best_effort_response"), "a timeout is already set"},
		{"a callee of 30 bytes", program().Begin(script.Outgoing{To: make([]byte, 30), Method: "x"}), "invalid principal id"},
		{"a method name of 20,001 bytes", program().Push(0).Push(0).Push(0).Push(20_001).Push(0).Push(0).Push(0).Push(0).API("call_new"), "exceeds the allowed limit of 20000"},
		{"11 MiB", program().Begin(call).Push(200).Grow().Drop().Push(0).Push(11 << 20).API("call_data_append"), "exceeds the allowed limit of 10485760"},
		{"more cycles than there are", program().Begin(call).Push(1 << 40).Push(0).API("call_cycles_add128"), "is out of cycles"},
	} {
		_, err := n.do(id, c.do.API("msg_reply"))
		n.rejected(c.name, err, ic.CanisterError, "IC0504")
		if err != nil && !strings.Contains(err.Error(), c.text) {
			n.Errorf("%s: %v, want %q in it", c.name, err, c.text)
		}
	}
	// A call under construction is dropped by the next one, and its cycles come back.
	got, err := n.do(id, program().AppendCycles("canister_cycle_balance128").
		Begin(script.Outgoing{To: other.Bytes(), Method: "do", Cycles: 1_000_000_000}).AppendCycles("canister_cycle_balance128").
		Begin(call).AppendCycles("canister_cycle_balance128").API("msg_reply"))
	if err != nil || len(got) != 48 || word(got)-word(got[16:]) != 1_000_000_000 || word(got) != word(got[32:]) {
		n.Errorf("cycles of a dropped call: %x, %v", got, err)
	}
	n.queue(id, other)
}

// queue: at most 500 calls may be open between two canisters.
func (n *net) queue(id, other ic.CanisterID) {
	const refused, tried = 0x20, 0x28
	o := script.Outgoing{To: other.Bytes(), Method: "do", Arg: replied}
	one := program().Begin(o).API("call_perform").If(program().Push(refused).Push(refused).Load().Push(1).Add().Store())
	s := program().Push(refused).Push(0).Store().Repeat(510, tried, one).Push(refused).Load().ReplyInt()
	got, err := n.do(id, s)
	n.says("refused of 510 calls to one canister", number(10), got, err)
}

// cycleTransfers: cycles move with calls, and what is not accepted comes back.
func (n *net) cycleTransfers() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	const sent = 1_000_000_000
	accept := func(most uint64) script.Script {
		return program().Push(0).Push(most).Push(script.Scratch).API("msg_cycles_accept128").Push(script.Scratch).Push(16).API("msg_reply_data_append")
	}
	available := program().AppendCycles("msg_cycles_available128")
	refund := program().AppendCopied("msg_arg_data").AppendCycles("msg_cycles_refunded128").API("msg_reply")
	send := func(arg script.Script) ([]byte, error) {
		return n.do(id, program().Call(script.Outgoing{To: other.Bytes(), Method: "do", Arg: arg, Cycles: sent, OnReply: refund,
			OnReject: program().AppendCycles("msg_cycles_refunded128").API("msg_reply")}))
	}
	amounts := func(name string, got []byte, err error, want ...uint64) {
		n.Helper()
		var have []uint64
		for i := 0; i+16 <= len(got); i += 16 {
			have = append(have, word(got[i:]))
		}
		if err != nil || len(have) != len(want) {
			n.Errorf("%s: %v, %v, want %v", name, have, err, want)
			return
		}
		for i := range want {
			if have[i] != want[i] {
				n.Errorf("%s: %v, want %v", name, have, want)
			}
		}
	}
	got, err := send(available.API("msg_reply"))
	amounts("nothing accepted", got, err, sent, sent)
	got, err = send(available.Then(accept(400_000_000)).Then(available).API("msg_reply"))
	amounts("a part accepted", got, err, sent, 400_000_000, 600_000_000, 600_000_000)
	got, err = send(accept(1 << 60).Then(available).API("msg_reply"))
	amounts("all accepted", got, err, sent, 0, 0)
	got, err = send(accept(400_000_000).Then(accept(700_000_000)).API("msg_reply"))
	amounts("accepted twice", got, err, 400_000_000, 600_000_000, 0)
	got, err = send(program().API("msg_reply").Push(0).Push(5).Push(script.Scratch).API("msg_cycles_accept128"))
	amounts("accepted after the reply, as on mainnet", got, err, sent-5) // the text of the specification: sent
	got, err = send(accept(400_000_000).Trap("x"))
	amounts("accepted before a trap", got, err, sent)
	got, err = send(accept(400_000_000).Reject("x"))
	amounts("accepted before a rejection", got, err, 600_000_000)
	got, err = n.do(id, program().Call(script.Outgoing{To: ic.CanisterIDFromUint64(0xffff1).Bytes(), Method: "do", Cycles: sent, OnReject: program().AppendCycles("msg_cycles_refunded128").API("msg_reply")}))
	amounts("to a canister that is not there", got, err, sent)
	// The 64-bit forms tell the same.
	got, err = send(program().API("msg_cycles_available").AppendInt().Push(3).API("msg_cycles_accept").AppendInt().API("msg_reply"))
	amounts("in 64 bits", got, err, sent, sent-3)
	if len(got) >= 16 && word(got[8:]) != 3 {
		n.Errorf("msg_cycles_accept gives %d, want 3", word(got[8:]))
	}
	got, err = n.do(id, program().Push(0).Push(12345).Push(script.Scratch).API("cycles_burn128").Push(script.Scratch).Push(16).Then(program().API("msg_reply_data_append")).API("msg_reply"))
	amounts("burned", got, err, 12345)
}

// bounded: calls with a deadline (best-effort responses).
func (n *net) bounded() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	got, err := n.do(id, program().Forwarded(script.Outgoing{To: other.Bytes(), Method: "do", Arg: program().API("time").AppendInt().API("msg_deadline").ReplyInt(), Timeout: 60}))
	if err != nil || len(got) != 16 {
		n.Fatalf("a call with a deadline: %x, %v", got, err)
	}
	if left := int64(word(got[8:]) - word(got)); left > 60e9 || left < 50e9 {
		n.Errorf("the callee's deadline is %d ns away, want 60 s", left)
	}
	got, err = n.do(id, program().Forwarded(script.Outgoing{To: other.Bytes(), Method: "do", Arg: program().API("time").AppendInt().API("msg_deadline").ReplyInt(), Timeout: 1 << 31}))
	if err != nil || len(got) != 16 || int64(word(got[8:])-word(got)) > 300e9 {
		n.Errorf("a deadline is at most 300 s away: %x, %v", got, err)
	}
	got, err = n.do(id, program().API("msg_deadline").ReplyInt())
	n.says("the deadline of a user's call", number(0), got, err)
	got, err = n.do(id, program().Forwarded(script.Outgoing{To: other.Bytes(), Method: "ask", Arg: program().API("msg_deadline").ReplyInt(), Timeout: 60}))
	n.says("queries are told of none", number(0), got, err)
	got, err = n.do(id, program().Forwarded(script.Outgoing{To: other.Bytes(), Method: "do", Arg: program().API("msg_deadline").ReplyInt()}))
	n.says("nor are calls without one", number(0), got, err)
	// A callee that never answers: the caller is told after the time.
	got, err = n.do(id, program().Forwarded(script.Outgoing{To: other.Bytes(), Method: "do", Arg: endless(other), Timeout: 1}))
	if err != nil || word(got) != uint64(ic.SysUnknown) || !strings.Contains(string(got), "deadline") {
		n.Errorf("a deadline that passes: %q, %v", got, err)
	}
	if _, err := n.do(other, program().Push(0x40).Push(1).Store().API("msg_reply")); err != nil {
		n.Error(err)
	}
}

// endless makes a canister call itself until the word at 0x40 is set; only then it replies.
func endless(self ic.CanisterID) script.Script {
	// The callback is the program kept for a hook that no one else uses; it calls again.
	const hook = script.Heartbeat
	again := program().Push(0x40).Load().Push(0).Equal().If(program().
		Blob(self.Bytes()).Text("do").Push(0).Push(0x8000).Push(0).Push(0x8000).API("call_new").
		Blob(replied).API("call_data_append").API("call_perform").Drop())
	stop := program().Push(0x40).Load().If(program().API("msg_reply"))
	return program().Push(0x40).Push(0).Store().Hook(hook, again.Then(stop)).Then(again)
}
