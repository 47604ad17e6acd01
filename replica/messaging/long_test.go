package messaging

import (
	"fmt"
	"runtime"
	"testing"

	"ashlar/replica/engine"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/scheduler"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// short are limits that make an execution of a millisecond a long one.
var short = scheduler.Limits{Slice: 1_000_000, Core: 60_000_000}

// loops is what an iteration of the program's loop costs, about.
const loops = 19

func (w *world) limit(l scheduler.Limits) *world {
	w.m.cfg.Limits = l.OrMainnet()
	return w
}

// restart is what a node does that was switched off: nothing is left but the store.
func (w *world) restart(e machine.Engine) {
	cfg := w.m.cfg
	w.m.Close()
	w.checkReload()
	w.m = New(cfg, e)
}

// A message that needs ten rounds is not seen until its end, others go on, its
// canister takes nothing else, and it costs what it costs in one piece.
func TestLongExecution(t *testing.T) {
	e := newEngine(t)
	whole, sliced := newWorldOn(t, e), newWorldOn(t, e)
	long := prog{}.b("long").op('G').u64('x', 10*1_000_000/loops).b("done").reply()
	var ids [2]ic.CanisterID
	for i, w := range []*world{whole, sliced} {
		ids[i] = w.universal(alice)
		w.must(w.call(bob, ids[i], "update", prog{}.b("before").op('G').reply()))
	}
	other := sliced.universal(alice)
	before := sliced.s.Canister(ids[0]).Cycles
	if got := whole.must(whole.call(bob, ids[0], "update", long)); string(got) != "done" {
		t.Fatalf("reply %q", got)
	}

	w, id := sliced.limit(short), ids[1]
	request := w.send(bob, id, "update", long)
	second, stop := w.send(bob, id, "update", prog{}.op('g').reply()), ic.RequestID{}
	status, top := w.send(alice, aaaaa, "canister_status", idArg(other)), ic.RequestID{}
	rounds := 0
	for ; w.s.Status(request) == nil || !w.s.Status(request).State.Terminal(); rounds++ {
		if rounds == 3 {
			stop = w.send(alice, aaaaa, "stop_canister", idArg(id))
			top = w.send(alice, aaaaa, "canister_status", idArg(id))
		}
		quick := w.send(bob, other, "update", prog{}.reply())
		w.round()
		if c := w.s.Status(quick); c.State != state.Replied {
			t.Fatalf("round %d: another canister's call is %s", rounds, c.State)
		}
		if w.s.Status(request).State.Terminal() {
			break
		}
		if c := w.s.Status(request); c.State != state.Processing || w.s.Status(second).State != state.Received {
			t.Fatalf("round %d: the long call is %s, the next one %s", rounds, c.State, w.s.Status(second).State)
		}
		if rounds >= 3 && (w.s.Status(stop).State.Terminal() || w.s.Status(top).State.Terminal()) {
			t.Fatalf("round %d: the management canister did not wait", rounds)
		}
		if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "before" {
			t.Fatalf("round %d: a query sees %q", rounds, got)
		}
		if l := w.s.Canister(id).Long; l == nil || l.Done < uint64(rounds+1)*1_000_000 || l.Done > uint64(rounds+1)*1_010_000 {
			t.Fatalf("round %d: the state says %+v", rounds, l)
		}
		if !w.s.Busy() {
			t.Fatal("a state with a long execution says that nothing is to be done")
		}
	}
	if rounds < 5 {
		t.Errorf("%d rounds", rounds)
	}
	if w.s.Status(status).State != state.Replied {
		t.Error("canister_status of another canister waits")
	}
	for range 3 {
		w.round()
	}
	if c := w.s.Status(request); string(c.Reply) != "done" {
		t.Errorf("the long call: %+v", c)
	}
	if c := w.s.Status(second); c.State != state.Replied && c.State != state.Rejected {
		t.Errorf("the next call: %+v", c)
	}
	if w.s.Status(stop).State != state.Replied || w.s.Status(top).State != state.Replied {
		t.Error("stop_canister or canister_status was not answered at the end")
	}
	a, b := whole.s.Canister(ids[0]).Record, w.s.Canister(id).Record
	cost, _ := before.Sub(whole.s.Canister(ids[0]).Cycles)
	if a.Consumed.Instructions.Add(ic.NewCycles(0)).Cmp(b.Consumed.Instructions) > 0 || cost.IsZero() {
		t.Errorf("in one piece all instructions cost %s, in slices %s", a.Consumed.Instructions, b.Consumed.Instructions)
	}
	conserved(t, w.s)
	w.checkReload()
}

// conserved checks that nothing is left of long executions.
func conserved(t *testing.T, s *state.State) {
	t.Helper()
	s.Canisters(func(c *state.Canister) bool {
		if c.Long != nil {
			t.Errorf("canister %s is in the middle of %+v", c.ID, c.Long)
		}
		return true
	})
}

// Every kind of execution may be long, and comes to the same end and the same price
// as in one piece: tasks, callbacks, cleanups, installations, traps.
func TestLongKinds(t *testing.T) {
	e := newEngine(t)
	slow := prog{}.u64('x', 5*1_000_000/loops)
	run := func(l scheduler.Limits) string {
		w := newWorldOn(t, e).limit(l)
		var log string
		note := func(r ic.Reply) {
			log += fmt.Sprintf("%x %v\n", r.Data, r.Reject)
		}
		id, peer := w.create(alice), w.universal(alice)
		note(w.install(alice, id, mode{Install: &candid.Unit{}}, universal, append(slow.b("init").op('G').op('H'), prog{}.u64('x', 100)...)))
		note(w.query(bob, id, "query", prog{}.op('g').reply()))
		note(w.install(alice, id, mode{Reinstall: &candid.Unit{}}, universal, slow.b("oops").op('T')))
		note(w.call(bob, id, "update", append(prog{}, slow.b(string(slow.b("beat").op('G'))).op('H').b("r").reply()...)))
		for range 12 {
			w.round()
		}
		note(w.call(bob, id, "update", prog{}.op('g').reply()))
		note(w.call(bob, id, "update", prog{}.b("").op('H').reply()))
		back := outgoing{to: peer, method: "update", arg: slow.b("peer").reply(), onReply: slow.op('a').reply(), onReject: slow.op('m').reply(), onCleanup: slow.b("clean").op('G')}
		note(w.call(bob, id, "update", slow.call(back)))
		back.onReply = slow.b("callback").op('T')
		note(w.call(bob, id, "update", prog{}.call(back)))
		note(w.call(bob, id, "update", prog{}.op('g').reply()))
		back.arg = slow.b("no").op('X')
		note(w.call(bob, id, "update", prog{}.call(back)))
		note(w.call(bob, id, "update", slow.u64('Y', 1).op('Z')))
		note(w.call(bob, id, "query", slow.reply()))
		note(w.install(alice, id, upgradeMode(), universal, slow.b("post").op('G')))
		note(w.call(bob, id, "update", prog{}.op('g').reply()))
		for range 12 {
			w.round()
		}
		conserved(t, w.s)
		count(t, w.s)
		for _, id := range []ic.CanisterID{id, peer} {
			c := w.s.Canister(id)
			log += fmt.Sprintf("%s version %d\n", c.Consumed.Instructions, c.Version)
		}
		return log
	}
	whole, sliced := run(scheduler.Mainnet), run(short)
	if whole != sliced {
		t.Errorf("in one piece:\n%s\nin slices:\n%s", whole, sliced)
	}
}

// A node that is switched off in the middle of long executions, again and again,
// has the roots of one that is not; so has one with other processors.
func TestLongExecutionsSurviveRestarts(t *testing.T) {
	e := newEngine(t)
	for every := 1; every <= 3; every++ {
		one, two := newWorldOn(t, e).limit(short), newWorldOn(t, e).limit(short)
		two.m.cfg.Parallel = engine.Parallel
		var ids []ic.CanisterID
		for range 8 { // more than may rest at once: some begin anew
			ids = append(ids, one.universal(alice))
			two.universal(alice)
		}
		for i, id := range ids {
			for _, w := range []*world{one, two} {
				w.send(bob, id, "update", prog{}.u64('x', uint64(1+i)*1_000_000/loops).b("end").op('G').op('n').reply())
				w.send(bob, id, "update", prog{}.op('y').reply())
				if i%3 == 0 {
					w.send(alice, aaaaa, "install_code", candid.Marshal(installArg{mode{Reinstall: &candid.Unit{}}, id, universal, prog{}.u64('x', 3*1_000_000/loops)}))
				}
			}
		}
		rested, aborted := 0, 0
		for round := range 60 {
			one.round()
			one.s.Canisters(func(c *state.Canister) bool {
				if c.Long != nil && c.Long.Done > 0 {
					rested++
				} else if c.Long != nil {
					aborted++
				}
				return true
			})
			before := runtime.GOMAXPROCS(1 + round%2)
			two.round()
			runtime.GOMAXPROCS(before)
			if one.s.Tree().Digest() != two.s.Tree().Digest() {
				t.Fatalf("restart every %d rounds, round %d: the roots differ", every, round)
			}
			if same(t, one.store, two.store); t.Failed() {
				t.Fatalf("restart every %d rounds, round %d: the stores differ", every, round)
			}
			if round%every == 0 {
				two.restart(e)
			}
		}
		if rested < 20 || aborted < 5 {
			t.Errorf("%d executions rested, %d were to begin anew: the test needs more", rested, aborted)
		}
		conserved(t, one.s)
		if one.s.Busy() {
			t.Error("work is left after 60 rounds")
		}
	}
}

// An execution that begins on the core on which a long one has just ended finds as much
// room on a node that kept the long one running as on one that began it anew.
func TestAfterALongExecution(t *testing.T) {
	e := newEngine(t)
	one, two := newWorldOn(t, e).limit(short), newWorldOn(t, e).limit(short)
	worlds := []*world{one, two}
	var ids []ic.CanisterID
	for range 6 {
		ids = append(ids, one.universal(alice))
		two.universal(alice)
	}
	long := prog{}.u64('x', 2_500_000/loops)
	for _, w := range worlds {
		w.send(bob, ids[0], "update", long.call(outgoing{to: ids[5], method: "update", arg: prog{}.reply(), onReply: prog{}.reply()}))
		for _, id := range ids[1:4] { // on the other cores: of the room for calls, each has a quarter
			w.send(bob, id, "update", prog{}.reply())
		}
		w.round()
		if w.s.Canister(ids[0]).Long == nil {
			t.Fatal("the long execution does not rest")
		}
	}
	two.restart(e)
	for ends := false; !ends; ends = one.s.Canister(ids[0]).Long == nil {
		for _, w := range worlds {
			for _, id := range ids[1:5] {
				w.send(bob, id, "update", long.reply())
			}
			w.round()
		}
	}
	for _, id := range ids[1:5] {
		a, b := one.s.Canister(id).Long, two.s.Canister(id).Long
		if a == nil || b == nil || a.FreeMemory != b.FreeMemory || a.FreeMessages != b.FreeMessages {
			t.Errorf("canister %s rests as %+v, after a restart as %+v", id, a, b)
		}
	}
	if one.s.Tree().Digest() != two.s.Tree().Digest() {
		t.Error("the roots differ")
	}
	same(t, one.store, two.store)
}

// Code that another canister runs when an installation of it begins is there at its end,
// though the other canister has lost it meanwhile, or in the round before.
func TestLongInstallationOfKnownCode(t *testing.T) {
	e := newEngine(t)
	slow := prog{}.u64('x', 5_000_000/loops)
	for _, restarts := range []bool{false, true} {
		for _, before := range []bool{false, true} {
			w := newWorldOn(t, e)
			id, other := w.universal(alice), w.create(alice)
			w.must(w.install(alice, other, mode{Install: &candid.Unit{}}, heartbeat, nil))
			w.limit(short)
			send := func(to ic.CanisterID, code []byte, arg prog) ic.RequestID {
				return w.send(alice, aaaaa, "install_code", candid.Marshal(installArg{mode{Reinstall: &candid.Unit{}}, to, code, arg}))
			}
			if before {
				send(other, universal, nil)
			}
			call := send(id, heartbeat, slow)
			for rounds := 0; w.s.Canister(id).Long == nil; rounds++ {
				if w.round(); rounds > 50 {
					t.Fatalf("the installation does not rest: %+v", w.s.Status(call))
				}
			}
			if !before {
				w.send(alice, aaaaa, "uninstall_code", idArg(other))
			}
			for w.s.Canister(id).Long != nil {
				if restarts {
					w.restart(e)
				}
				w.round()
			}
			if c := w.s.Status(call); c.State != state.Replied || !w.s.Canister(id).Module.HasHeartbeat {
				t.Errorf("the installation ended with %+v", c)
			}
			w.checkReload()
		}
	}
}
