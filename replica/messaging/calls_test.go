package messaging

import (
	"strings"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// replyArg is the callback that passes on what it got.
var replyArg = prog{}.op('a').reply()

// replyReject answers with the reject message.
var replyReject = prog{}.op('m').reply()

func TestCalls(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	ask := func(o outgoing) ic.Reply { return w.call(bob, a, "update", prog{}.call(o)) }

	if got := w.must(ask(outgoing{to: b, method: "update", arg: prog{}.op('k').reply(), onReply: replyArg})); string(got) != string(a.Principal) {
		t.Errorf("the callee saw the caller %x", got)
	}
	if got := w.must(ask(outgoing{to: a, method: "update", arg: prog{}.b("myself").reply(), onReply: replyArg})); string(got) != "myself" {
		t.Errorf("self-call gives %q", got)
	}
	if got := w.must(ask(outgoing{to: b, method: "query", arg: prog{}.b("q").reply(), onReply: replyArg})); string(got) != "q" {
		t.Errorf("call of a query gives %q", got)
	}
	for _, c := range []struct {
		name string
		o    outgoing
		want string
	}{
		{"rejected", outgoing{to: b, method: "update", arg: prog{}.b("no").op('X'), onReject: replyReject}, "no"},
		{"trapped", outgoing{to: b, method: "update", arg: prog{}.b("ouch").op('T'), onReject: replyReject}, "Canister called `ic0.trap` with message: 'ouch'"},
		{"silent", outgoing{to: b, method: "update", onReject: replyReject}, "No response"},
		{"no method", outgoing{to: b, method: "none", onReject: replyReject}, "Canister has no update method 'none'"},
		{"no canister", outgoing{to: ic.CanisterIDFromUint64(999), method: "x", onReject: replyReject}, "not found"},
		{"reject code of a reject", outgoing{to: b, method: "update", arg: prog{}.b("no").op('X'), onReject: prog{}.op('M').reply()}, "\x04"},
		{"reject code of a trap", outgoing{to: b, method: "update", arg: prog{}.op('Z'), onReject: prog{}.op('M').reply()}, "\x05"},
		{"reject code of no canister", outgoing{to: ic.CanisterIDFromUint64(999), method: "x", onReject: prog{}.op('M').reply()}, "\x03"},
		{"reject code of a reply", outgoing{to: b, method: "update", arg: prog{}.reply(), onReply: prog{}.op('M').reply()}, "\x00"},
	} {
		if got := w.must(ask(c.o)); !strings.Contains(string(got), c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	// A canister that traps in its callback rejects the call, after its cleanup ran.
	r := ask(outgoing{to: b, method: "update", arg: prog{}.reply(), onReply: prog{}.b("dirty").op('G').b("bad").op('T'), onCleanup: prog{}.b("clean").op('G')})
	w.rejected(r, ic.CanisterCalledTrap, "'bad'")
	if got := w.must(w.query(bob, a, "query", prog{}.op('g').reply())); string(got) != "clean" {
		t.Errorf("after cleanup: %q", got)
	}
	r = ask(outgoing{to: b, method: "update", arg: prog{}.reply(), onReply: prog{}.b("bad").op('T'), onCleanup: prog{}.b("worse").op('T')})
	w.rejected(r, ic.CanisterCalledTrap, "Canister called `ic0.trap` with message: 'bad'\nCanister Backtrace:\nrun\nreply_cb\n\n\ncall_on_cleanup also failed:\n\nCanister called `ic0.trap` with message: 'worse'")
	if text := r.Reject.Message; strings.Count(text, "Error from Canister "+a.String()) != 1 || strings.Contains(text, "Consider") {
		t.Errorf("who it is from is told once, and no help is given: %q", text)
	}
	if got := w.must(w.query(bob, a, "query", prog{}.op('g').reply())); string(got) != "clean" {
		t.Errorf("a trapped cleanup left %q", got)
	}
	// Effects before a call stay when the callback traps; a trap before the end of
	// the message takes its calls back.
	w.must(w.call(bob, b, "update", prog{}.b("").op('G').reply()))
	r = w.call(bob, a, "update", prog{}.call(outgoing{to: b, method: "update", arg: prog{}.b("called").op('G').reply()}).op('Z'))
	w.rejected(r, ic.CanisterTrapped, "unreachable")
	w.round()
	if got := w.must(w.query(bob, b, "query", prog{}.op('g').reply())); string(got) != "" {
		t.Errorf("a call of a trapped message was made: %q", got)
	}
	for _, id := range []ic.CanisterID{a, b} {
		if c := w.s.Canister(id); c.Contexts.Len()+c.Callbacks.Len()+c.Queue.Len() != 0 {
			t.Errorf("%s has %d contexts, %d callbacks, %d messages left", id, c.Contexts.Len(), c.Callbacks.Len(), c.Queue.Len())
		}
	}
	w.checkReload()
}

// Cycles move with calls and nothing is lost but what is counted as burned.
func TestCyclesMove(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	total := func() ic.Cycles {
		sum := w.s.Head().Burned
		w.s.Canisters(func(c *state.Canister) bool {
			sum = sum.Add(c.Cycles).Add(c.Reserved)
			c.Contexts.Each(func(_ string, x *state.CallContext) bool { sum = sum.Add(x.Available); return true })
			c.Callbacks.Each(func(_ string, x *state.Callback) bool { sum = sum.Add(x.PaidRun).Add(x.PaidTransmit); return true })
			c.Queue.Each(func(_ string, m *state.Message) bool { sum = sum.Add(m.Cycles); return true })
			return true
		})
		return sum
	}
	before := total()
	check := func(what string) {
		t.Helper()
		if now := total(); now != before {
			t.Errorf("%s: %s cycles in all, %s before", what, now, before)
			before = now
		}
	}
	take := outgoing{to: b, method: "update", arg: prog{}.u64('Y', 70).op('v').reply(), onReply: prog{}.op('f').reply(), cycles: 100}
	if got := w.must(w.call(bob, a, "update", prog{}.call(take))); num(got) != 30 {
		t.Errorf("%d cycles were refunded, want 30", num(got))
	}
	check("accepted some")
	take.arg, take.onReply, take.onReject = prog{}.u64('Y', 70).op('Z'), nil, prog{}.op('f').reply()
	if got := w.must(w.call(bob, a, "update", prog{}.call(take))); num(got) != 100 {
		t.Errorf("%d cycles were refunded after a trap, want 100", num(got))
	}
	check("trapped after accepting")
	take.to = ic.CanisterIDFromUint64(900)
	if got := w.must(w.call(bob, a, "update", prog{}.call(take))); num(got) != 100 {
		t.Errorf("%d cycles came back from nowhere, want 100", num(got))
	}
	check("no such canister")
	w.must(w.call(bob, a, "update", prog{}.u64('B', 12345).reply()))
	if got := w.s.Canister(a).Consumed.Burned; got != ic.NewCycles(12345) {
		t.Errorf("%s cycles burned", got)
	}
	check("burned")
	w.call(bob, a, "update", prog{}.u64('x', 1000).op('Z'))
	check("trapped")
}

// No more than 500 calls of a pair are open; the 501st fails at once.
func TestQueueLimit(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	p := prog{}
	for range 500 {
		p = p.call(outgoing{to: b, method: "update", arg: prog{}.b("x").reply()})
	}
	p = p.call(outgoing{to: b, method: "update"}).reply()
	if got := w.must(w.call(bob, a, "update", p)); num(got) != 2 {
		t.Errorf("the 501st call gives %d, want 2", num(got))
	}
	for range 5 {
		w.round()
	}
	if n := w.s.Canister(a).Callbacks.Len(); n != 0 {
		t.Errorf("%d callbacks are left", n)
	}
	if got := w.must(w.call(bob, a, "update", prog{}.call(outgoing{to: b, method: "update"}).reply())); num(got) != 0 {
		t.Errorf("after the responses a call gives %d", num(got))
	}
}

// A best-effort call ends at its deadline, whatever the callee does later.
func TestBestEffort(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.universal(alice), w.universal(alice), w.universal(alice)
	// b never answers: it waits for c, which is stopping for good... so a gives up.
	spin := prog{}.call(outgoing{to: c, method: "update", arg: prog{}.reply(), onReply: prog{}.reply(), onReject: prog{}.reply()})
	w.must(w.call(bob, a, "update", prog{}.call(outgoing{to: b, method: "update", arg: prog{}.op('l').reply(), onReply: replyArg, timeout: 10})))
	got := w.must(w.call(bob, a, "update", prog{}.call(outgoing{to: b, method: "update", arg: spin, onReply: prog{}.b("late").reply(), onReject: prog{}.op('M').reply(), timeout: 10})))
	if string(got) != "late" {
		t.Errorf("an answer in time gives %q", got)
	}
	id := w.send(bob, a, "update", prog{}.call(outgoing{to: b, method: "update", arg: prog{}.call(endless(b)), onReply: prog{}.b("?").reply(), onReject: prog{}.op('M').reply(), timeout: 3}))
	for range 8 {
		w.round()
	}
	if s := w.s.Status(id); s.State != state.Replied || num(s.Reply) != uint64(ic.SysUnknown) {
		t.Errorf("after the deadline: %s %x, want a reject with code 6", s.State, s.Reply)
	}
}

// endless calls the management canister's raw_rand over and over: each takes a round.
func endless(self ic.CanisterID) outgoing {
	o := outgoing{to: aaaaa, method: "raw_rand", arg: []byte("DIDL\x00\x00")}
	for range 10 {
		o.onReply = prog{}.call(o)
		o.onReply = append(prog{}, o.onReply...)
	}
	return o
}

func TestRawRand(t *testing.T) {
	w := newWorld(t)
	a := w.universal(alice)
	p := prog{}.call(outgoing{to: aaaaa, method: "raw_rand", arg: []byte("DIDL\x00\x00"), onReply: replyArg, onReject: replyReject})
	one, two := w.must(w.call(bob, a, "update", p)), w.must(w.call(bob, a, "update", p))
	var a1, a2 []byte
	if candid.Unmarshal(one, &a1) != nil || candid.Unmarshal(two, &a2) != nil || len(a1) != 32 || string(a1) == string(a2) {
		t.Errorf("raw_rand gives %x and %x", one, two)
	}
	w.rejected(w.call(bob, aaaaa, "raw_rand", []byte("DIDL\x00\x00")), ic.CanisterRejectedMessage, "ic00 method raw_rand can not be called via ingress messages")
}

func TestTimersAndHeartbeats(t *testing.T) {
	w := newWorld(t)
	a := w.universal(alice)
	w.must(w.call(bob, a, "update", prog{}.b(string(prog{}.b("+").op('j'))).op('P').u64('t', uint64(w.time+5*second)).reply()))
	if got := num(w.must(w.call(bob, a, "update", prog{}.u64('t', uint64(w.time+5*second)).reply()))); got == 0 {
		t.Error("global_timer_set does not tell the timer it replaces")
	}
	for range 10 {
		w.round()
	}
	if got := w.must(w.query(bob, a, "query", prog{}.op('g').reply())); string(got) != "+" {
		t.Errorf("after the timer: %q, want it to have run once", got)
	}
	h := w.create(alice)
	w.must(w.install(alice, h, mode{Install: unit}, heartbeat, prog{}.b(string(prog{}.b("*").op('j'))).op('H')))
	before := len(w.must(w.query(bob, h, "query", prog{}.op('g').reply())))
	for range 4 {
		w.round()
	}
	if got := len(w.must(w.query(bob, h, "query", prog{}.op('g').reply()))); got != before+4 {
		t.Errorf("%d heartbeats in 4 rounds", got-before)
	}
}

func TestCompositeQueries(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	w.must(w.call(bob, b, "update", prog{}.b("B").op('G').reply()))
	ask := func(o outgoing) ic.Reply { return w.query(bob, a, "composite", prog{}.call(o)) }
	if got := w.must(ask(outgoing{to: b, method: "query", arg: prog{}.op('g').reply(), onReply: replyArg})); string(got) != "B" {
		t.Errorf("composite query gives %q", got)
	}
	inner := prog{}.call(outgoing{to: b, method: "query", arg: prog{}.op('k').reply(), onReply: replyArg})
	c := w.universal(alice)
	if got := w.must(ask(outgoing{to: c, method: "composite", arg: inner, onReply: replyArg})); string(got) != string(c.Principal) {
		t.Errorf("nested composite query gives %x", got)
	}
	w.rejected(ask(outgoing{to: b, method: "query", arg: prog{}.b("x").op('T'), onReject: prog{}.op('m').op('X')}), ic.CanisterRejectedMessage, "ic0.trap")
	w.rejected(ask(outgoing{to: b, method: "update", arg: nil, onReject: prog{}.op('m').op('X')}), ic.CanisterRejectedMessage, "no query method 'update'")
	// Memory stays from entry point to callback, and is dropped at the end.
	if got := w.must(w.query(bob, a, "composite", prog{}.b("mine").op('G').call(outgoing{to: b, method: "query", arg: prog{}.reply(), onReply: prog{}.op('g').reply()}))); string(got) != "mine" {
		t.Errorf("the callback sees %q", got)
	}
	if got := w.must(w.query(bob, a, "query", prog{}.op('g').reply())); string(got) != "" {
		t.Errorf("a composite query left %q", got)
	}
	// A call to itself, straight or round about, begins with what there was before the query.
	seen := prog{}.op('g').reply()
	again := outgoing{to: a, method: "query", arg: seen, onReply: prog{}.b("[").op('r').op('a').op('r').b("]").op('r').op('g').op('r').op('R')}
	w.must(w.call(bob, a, "update", prog{}.b("A").op('G').reply()))
	if got := w.must(w.query(bob, a, "composite", prog{}.b("A2").op('G').call(again))); string(got) != "[A]A2" {
		t.Errorf("a call to itself gives %q", got)
	}
	back := outgoing{to: b, method: "composite", arg: prog{}.call(again), onReply: replyArg}
	if got := w.must(w.query(bob, a, "composite", prog{}.b("A2").op('G').call(back))); string(got) != "[A]B" {
		t.Errorf("a call back gives %q", got)
	}
	for _, n := range []int{6, 7} {
		deep := seen
		for range n {
			deep = prog{}.call(outgoing{to: a, method: "composite", arg: deep, onReply: replyArg})
		}
		if r := w.query(bob, a, "composite", deep); n == 6 && (r.Reject != nil || string(r.Data) != "A") {
			t.Errorf("%d calls to itself: %+v", n, r)
		} else if n == 7 {
			w.rejected(r, ic.QueryCallGraphTooDeep, "Composite query calls exceeded the maximum call depth.")
		}
	}
	w.rejected(w.query(bob, a, "none", nil), ic.CanisterMethodNotFound, "Canister has no query method 'none'")
	if got := w.must(w.query(bob, a, "query", prog{}.op('E').reply())); string(got) != "certificate" {
		t.Errorf("data certificate is %q", got)
	}
}

func TestInspect(t *testing.T) {
	w := newWorld(t)
	a := w.universal(alice)
	inspect := func(from ic.Principal, to ic.CanisterID, method string, arg []byte) *ic.UserError {
		return w.m.Inspect(w.s, &ic.Ingress{Sender: from, Canister: to, Method: method, Arg: arg, Bytes: 100}, w.time)
	}
	if err := inspect(bob, a, "update", nil); err != nil {
		t.Errorf("accepting canister: %v", err)
	}
	w.must(w.call(bob, a, "update", prog{}.b(string(prog{}.op('k'))).op('I').reply()))
	if err := inspect(bob, a, "update", nil); err == nil || err.Code != ic.CanisterRejectedMessage || !strings.HasSuffix(err.Message, "Canister rejected the message") {
		t.Errorf("refusing canister: %v", err)
	}
	w.must(w.call(bob, a, "update", prog{}.b(string(prog{}.op('Z'))).op('I').reply()))
	if err := inspect(bob, a, "update", nil); err == nil || err.Code != ic.CanisterTrapped {
		t.Errorf("trapping canister: %v", err)
	}
	for _, c := range []struct {
		from   ic.Principal
		to     ic.CanisterID
		method string
		arg    []byte
		want   ic.ErrorCode
	}{
		{bob, ic.CanisterIDFromUint64(77), "x", nil, ic.CanisterNotFound},
		{bob, aaaaa, "stop_canister", idArg(a), ic.CanisterInvalidController},
		{alice, aaaaa, "stop_canister", idArg(a), 0},
		{alice, aaaaa, "canister_status", idArg(a), 0},
		{alice, aaaaa, "raw_rand", nil, ic.CanisterRejectedMessage},
		{alice, aaaaa, "nothing", nil, ic.CanisterMethodNotFound},
		{alice, aaaaa, "stop_canister", []byte("garbage"), ic.InvalidManagementPayload},
		{bob, aaaaa, "provisional_create_canister_with_cycles", nil, 0},
	} {
		err := inspect(c.from, c.to, c.method, c.arg)
		if c.want == 0 && err != nil || c.want != 0 && (err == nil || err.Code != c.want) {
			t.Errorf("%s to %s: %v, want %d", c.method, c.to, err, c.want)
		}
	}
}

// What is seen first of a user's call that has several faults, and what a call hears
// whose canister stops between the block and the execution.
func TestFaultsInOrder(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	inspect := func(to ic.CanisterID, method string, arg []byte) *ic.UserError {
		return w.m.Inspect(w.s, &ic.Ingress{Sender: bob, Canister: to, Method: method, Arg: arg, Bytes: 100}, w.time)
	}
	for _, c := range []struct {
		to     ic.CanisterID
		method string
		code   ic.ErrorCode
		text   string
	}{
		{id, "update", 0, ""},
		{w.create(alice), "update", ic.CanisterWasmModuleNotFound, "Requested canister has no wasm module"},
		{id, "composite", ic.CompositeQueryInReplicatedMode, "Composite query cannot be called in replicated mode"},
		{aaaaa, "stop_canister", ic.CanisterInvalidController, "Only controllers of canister " + id.String() + " can call ic00 method stop_canister"},
		{aaaaa, "canister_info", ic.CanisterRejectedMessage, "Only canisters can call ic00 method canister_info"},
		{aaaaa, "deposit_cycles", ic.CanisterRejectedMessage, "ic00 method deposit_cycles can not be called via ingress messages"},
		{aaaaa, "none", ic.CanisterMethodNotFound, "ic00 interface does not expose method none"},
	} {
		if err := inspect(c.to, c.method, idArg(id)); c.code == 0 && err != nil || c.code != 0 && (err == nil || err.Code != c.code || err.Message != c.text) {
			t.Errorf("%s: %v, want %s", c.method, err, c.text)
		}
	}
	late := w.send(bob, id, "update", prog{}.reply())
	w.send(alice, aaaaa, "stop_canister", idArg(id))
	for range 3 {
		w.round()
	}
	if r := w.s.Status(late).Reject; r == nil || r.Code != ic.CanisterStopping || r.Message != "Canister "+id.String()+" is not running" {
		t.Errorf("a call whose canister stopped before it: %+v", r)
	}
	if err := inspect(id, "update", nil); err == nil || err.Message != "Canister "+id.String()+" is stopped" {
		t.Errorf("a call to a stopped canister: %v", err)
	}
	w.settings(id, memorySettings{Freezing: nat64(1 << 50)})
	for _, to := range []ic.CanisterID{id, aaaaa} { // it is stopped, and bob no controller
		if err := inspect(to, "stop_canister", idArg(id)); err == nil || err.Code != ic.CanisterOutOfCycles {
			t.Errorf("a call that nobody can pay for: %v", err)
		}
	}
}

// Each call of a composite query costs it, those to the management canister too.
func TestCompositeCosts(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	calls := func(n int) prog {
		s := prog{}.b("done").reply()
		for range n {
			s = prog{}.call(outgoing{to: aaaaa, method: "canister_status", arg: idArg(id), onReply: s, onReject: replyReject})
		}
		return s
	}
	if got := w.must(w.query(bob, id, "composite", calls(90))); string(got) != "done" {
		t.Errorf("90 calls: %q", got)
	}
	w.rejected(w.query(bob, id, "composite", calls(101)), ic.QueryCallGraphTotalInstructions, "exceeded the instruction limit")
}
