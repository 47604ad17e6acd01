package messaging

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"ashlar/replica/execution/scheduler"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// results appends to the kept bytes what a call gives, for each of n calls.
func results(n int, o outgoing) prog {
	p := prog{}.b("").op('G')
	for range n {
		p = p.call(o).op('j')
	}
	return p.op('g').reply()
}

// A call whose response is guaranteed keeps room for it; where there is none left,
// only best-effort calls can be made.
func TestGuaranteedCallsNeedRoom(t *testing.T) {
	w := newWorld(t).limit(scheduler.Limits{Guaranteed: 2*state.ResponseBytes + 1})
	a, b := w.universal(alice), w.universal(alice)
	to := outgoing{to: b, method: "update", arg: prog{}.reply(), onReply: prog{}, onReject: prog{}}
	count := func(r ic.Reply) (made, refused int) {
		got := w.must(r)
		return strings.Count(string(got), "\x00\x00\x00\x00\x00\x00\x00\x00"), strings.Count(string(got), "\x02\x00\x00\x00\x00\x00\x00\x00")
	}
	for range 2 { // the room is there again when the calls are over
		if made, refused := count(w.call(bob, a, "update", results(4, to))); made != 2 || refused != 2 {
			t.Errorf("%d calls made, %d refused", made, refused)
		}
		w.round()
		if h := w.s.Head(); h.Guaranteed != 0 {
			t.Errorf("%d bytes are kept for nobody", h.Guaranteed)
		}
	}
	to.timeout = 100
	if made, refused := count(w.call(bob, a, "update", results(4, to))); made != 4 || refused != 0 {
		t.Errorf("%d best-effort calls made, %d refused", made, refused)
	}
	// A large argument counts as far as it exceeds the response's room.
	large := outgoing{to: b, method: "update", arg: make([]byte, state.ResponseBytes+state.ResponseBytes/2), onReply: prog{}, onReject: prog{}}
	if made, refused := count(w.call(bob, a, "update", results(2, large))); made != 1 || refused != 1 {
		t.Errorf("%d large calls made, %d refused", made, refused)
	}
	w.checkReload()
}

// Messages of best-effort calls are dropped where they take too much room, the
// largest first: their callers hear it at once, and get their cycles back.
func TestShedding(t *testing.T) {
	const kb = 1 << 10
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	// The callee is in the middle of something else, so that messages wait.
	busy := func(limit uint64) {
		const slice = 25_000_000
		w.limit(scheduler.Limits{Slice: slice, BestEffort: limit})
		w.send(bob, b, "update", prog{}.u64('x', 6*slice/loops).reply())
		w.round()
	}
	busy(250 * kb)
	arg := func(n int) []byte { return append(prog{}.b(strings.Repeat("x", n)), prog{}.reply()...) }
	note := prog{}.op('m').op('j')
	p := prog{}.b("").op('G')
	for _, n := range []int{100, 70, 90, 60} {
		p = p.call(outgoing{to: b, method: "update", arg: arg(n * kb), timeout: 200, cycles: 1000, onReply: prog{}.b("+").op('j'), onReject: note})
	}
	id := w.send(bob, a, "update", p.reply())
	w.round()
	if c := w.s.Status(id); c == nil || c.State != state.Replied {
		t.Fatalf("%+v", c)
	}
	if h := w.s.Head(); h.BestEffort > 250*kb || h.BestEffort < 220*kb {
		t.Errorf("%d bytes of messages are left, the limit is %d", h.BestEffort, 250*kb)
	}
	if n := w.s.Canister(b).Queue.Len(); n != 1+3 { // the one being executed is among them
		t.Errorf("%d messages are left", n)
	}
	w.checkReload()
	before := w.s.Canister(a).Cycles
	for range 8 {
		w.round()
	}
	got := string(w.must(w.query(bob, a, "query", prog{}.op('g').reply())))
	if strings.Count(got, "+") != 3 || strings.Count(got, "Response was dropped.") != 1 {
		t.Errorf("the caller heard %q", got)
	}
	if h := w.s.Head(); h.BestEffort != 0 || h.Guaranteed != 0 {
		t.Errorf("%d and %d bytes are held by no message", h.BestEffort, h.Guaranteed)
	}
	if after := w.s.Canister(a).Cycles; after.Less(before) && len(got) == 0 {
		t.Error("the cycles of the dropped call are gone")
	}
	// A response is dropped too; what takes its place is small.
	w.must(w.call(bob, a, "update", prog{}.b("").op('G').reply()))
	w.send(bob, a, "update", prog{}.call(outgoing{to: b, method: "update", arg: prog{}.b(strings.Repeat("y", 45*kb)).op('r').op('r').op('R'), timeout: 200, onReply: prog{}.b("+").op('j'), onReject: note}).reply())
	w.send(bob, a, "update", prog{}.u64('x', 150_000_000/loops).reply()) // its slices end before the response is there
	w.limit(scheduler.Limits{Slice: 25_000_000, BestEffort: 50 * kb})
	for range 8 {
		w.round()
	}
	if got := string(w.must(w.query(bob, a, "query", prog{}.op('g').reply()))); got != "Response was dropped." {
		t.Errorf("the caller of a call whose response was dropped heard %.60q", got)
	}
	w.checkReload()
}

// mainnet is the same subnet where nobody makes canisters from nothing.
func (w *world) mainnet() *world {
	w.m.cfg.Provisional = false
	return w
}

// Who installs code without pause waits until the rounds have paid for it.
func TestInstallationsAreRationed(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.mainnet()
	upgrade := candid.Marshal(installArg{upgradeMode(), id, universal, prog{}})
	first, second := w.send(alice, aaaaa, "install_code", upgrade), w.send(alice, aaaaa, "install_code", upgrade)
	w.round()
	if c := w.s.Status(first); c.State != state.Replied {
		t.Errorf("the first upgrade: %+v", c)
	}
	if c := w.s.Status(second); c.State != state.Rejected || c.Reject.Code != ic.CanisterInstallCodeRateLimited || c.Reject.Class != ic.SysTransient {
		t.Errorf("an upgrade in the same round: %+v", c)
	}
	w.must(w.call(alice, aaaaa, "install_code", upgrade))
	// One that took 5 rounds' instructions: so many rounds later.
	c := *w.s.Canister(id)
	c.InstallDebit, c.DebitAt = 9_000_000_000, w.s.Height()
	d := w.s.Draft()
	d.Put(&c)
	w.s = d.Seal()
	for i := range 5 {
		r := w.call(alice, aaaaa, "install_code", upgrade)
		if i < 4 {
			w.rejected(r, ic.CanisterInstallCodeRateLimited, "executed too many instructions in the previous install_code messages")
		} else {
			w.must(r)
		}
	}
}

// Who writes more than a subnet can keep up with waits; others do not.
func TestWritesAreRationed(t *testing.T) {
	w := newWorld(t)
	id, other := w.universal(alice), w.universal(alice)
	w.must(w.call(bob, id, "update", prog{}.u64('w', 200<<20/wasmPage).reply()))
	w.mainnet()
	take := candid.Marshal(struct {
		ID ic.CanisterID `candid:"canister_id"`
	}{id})
	w.must(w.call(alice, aaaaa, "take_canister_snapshot", take)) // 200 MiB, of which a round pays 75
	w.rejected(w.call(alice, aaaaa, "take_canister_snapshot", take), ic.CanisterHeapDeltaRateLimited, "is heap delta rate limited: current delta debit is")
	waiting, running := w.send(bob, id, "update", prog{}.reply()), w.send(bob, other, "update", prog{}.reply())
	w.round()
	if c := w.s.Status(running); c.State != state.Replied {
		t.Errorf("another canister: %+v", c)
	}
	w.round()
	if c := w.s.Status(waiting); c.State != state.Replied {
		t.Errorf("after the debt was paid: %+v", c)
	}
	// What a run writes counts.
	c := *w.s.Canister(id)
	c.HeapDebit, c.DebitAt = 300<<20, w.s.Height()
	d := w.s.Draft()
	d.Put(&c)
	w.s = d.Seal()
	call := w.send(bob, id, "update", prog{}.reply())
	for i := range 4 {
		if c := w.s.Status(call); c != nil && c.State == state.Replied {
			t.Errorf("it ran %d rounds after it had written 300 MiB", i)
		}
		w.round()
	}
	if c := w.s.Status(call); c.State != state.Replied {
		t.Errorf("it does not run again: %+v", c)
	}
	if c := w.s.Canister(id); c.HeapDebit == 0 {
		t.Error("a run that wrote left no debit")
	}
	w.store = map[string]string{}
	w.persist(nil)
	w.checkReload()
}

// Answers to users take no more than their room: the oldest are dropped, and it stays
// known that their calls have ended.
func TestOldAnswersAreDropped(t *testing.T) {
	const size, room = 10_000, 45_000
	w := newWorld(t)
	w.m.cfg.Answers = room
	id := w.universal(alice)
	w.time += 6 * 60 * second // what it took to install is forgotten
	var ids []ic.RequestID
	for i := range 6 {
		if i == 4 { // what a caller is told of a trap takes room too
			ids = append(ids, w.send(bob, id, "update", prog{}.b(strings.Repeat("x", size-500)).op('T')))
		} else {
			ids = append(ids, w.send(bob, id, "update", prog{}.b(strings.Repeat("x", size)).reply()))
		}
		w.round()
	}
	states := func() (all []state.CallState) {
		for _, id := range ids {
			c := w.s.Status(id)
			if all = append(all, c.State); (c.State == state.Done) != (c.Reply == nil && c.Reject == nil) {
				t.Errorf("a call that is %s has an answer of %d bytes and %+v", c.State, len(c.Reply), c.Reject)
			}
		}
		return all
	}
	want := []state.CallState{state.Done, state.Done, state.Replied, state.Replied, state.Rejected, state.Replied}
	if got := states(); !slices.Equal(got, want) {
		t.Errorf("the calls are %v, want %v", got, want)
	}
	if n := w.s.Head().Answers; n > room || n < room-size {
		t.Errorf("%d bytes of answers are kept", n)
	}
	w.checkReload()
	w.s = w.reload() // and goes on the same
	w.must(w.call(bob, id, "update", prog{}.b(strings.Repeat("y", size)).reply()))
	if got := states(); got[2] != state.Done || got[3] != state.Replied {
		t.Errorf("after a further call they are %v", got)
	}
	w.time += 6 * 60 * second
	w.round()
	if h := w.s.Head(); h.Answers != 0 || w.s.NumCalls() != 0 {
		t.Errorf("%d bytes of answers of %d calls are left", h.Answers, w.s.NumCalls())
	}
	w.checkReload()
}

// Beyond the subnet's number of open calls each canister has some of its own.
func TestOpenCalls(t *testing.T) {
	w := newWorld(t)
	ids := []ic.CanisterID{w.universal(alice), w.universal(alice)}
	busy := w.universal(alice)
	w.limit(scheduler.Limits{Slice: 25_000_000, Calls: 140})
	w.send(bob, busy, "update", prog{}.u64('x', 10*25_000_000/loops).reply()) // so that all calls stay open
	w.round()
	to := outgoing{to: busy, method: "update", arg: prog{}.reply(), timeout: 200, onReply: prog{}, onReject: prog{}}
	made := func(i, tries int) int {
		return strings.Count(string(w.must(w.call(bob, ids[i], "update", results(tries, to)))), "\x00\x00\x00\x00\x00\x00\x00\x00")
	}
	// The other message has a core for itself, and so half of what is left.
	for step, c := range []struct{ canister, made int }{{0, 70}, {1, 50}, {0, 10}, {1, 5}} {
		if got := made(c.canister, 80); got != c.made {
			t.Errorf("step %d: canister %d makes %d calls, want %d", step, c.canister, got, c.made)
		}
	}
	if n := w.s.Head().Open; n != 135 {
		t.Errorf("%d calls are open", n)
	}
	w.checkReload()
	for range 16 {
		w.round()
	}
	if n := w.s.Head().Open; n != 0 {
		t.Errorf("%d calls are open at the end", n)
	}
	if got := made(1, 60); got != 60 {
		t.Errorf("with room again it makes %d calls", got)
	}
}

// Custom sections have their own room on the subnet.
func TestCustomSectionsNeedRoom(t *testing.T) {
	w := newWorld(t)
	section := func(n int) []byte { // a module more with one of n bytes, its name included
		name := "icp:public x"
		size := 1 + len(name) + n - 1
		return append(append(append(slices.Clone(universal), 0, byte(size&0x7f|0x80), byte(size>>7), byte(len(name))), name...), make([]byte, n-1)...)
	}
	a, b := w.create(alice), w.create(alice)
	bare := func() uint64 { return w.s.Head().Sections }
	w.must(w.install(alice, a, mode{Install: unit}, universal, nil))
	own := bare() // of the module itself
	w.limit(scheduler.Limits{Sections: 3*own + 1500})
	w.must(w.install(alice, a, mode{Reinstall: unit}, section(1000), nil))
	w.rejected(w.install(alice, b, mode{Install: unit}, section(1000), nil), ic.SubnetOversubscribed, "of Wasm custom sections memory but only")
	if c := w.s.Canister(b); c.Module != nil || bare() != own+1000 {
		t.Errorf("the module is %v, sections take %d bytes", c.Module, bare())
	}
	w.must(w.install(alice, b, mode{Install: unit}, section(500), nil))
	w.must(w.install(alice, a, mode{Reinstall: unit}, section(900), nil)) // less is always possible
	w.checkReload()
	w.must(w.call(alice, aaaaa, "uninstall_code", idArg(a)))
	w.must(w.install(alice, b, mode{Reinstall: unit}, section(1000), nil))
	w.checkReload()
}

// Some memory of a full subnet is there for callbacks alone.
func TestCallbacksHaveMemory(t *testing.T) {
	w := newWorld(t)
	id, other := w.universal(alice), w.universal(alice)
	const reserve = 20 * wasmPage
	w.m.cfg.Capacity = (w.s.Head().Taken + reserve) / (1024 - 5) * 1024 // so that only the reserve is left, nearly
	grow := func(n uint64) prog { return prog{}.u64('w', n).reply() }
	full := func(got []byte) bool { return binary.LittleEndian.Uint64(got) == math.MaxUint64 }
	if free := w.m.most().Memory - w.s.Head().Taken; free < w.m.most().Reserve {
		t.Fatalf("%d bytes are left", free)
	}
	n := (w.m.most().Memory - w.s.Head().Taken) / wasmPage
	if !full(w.must(w.call(bob, id, "update", grow(n)))) {
		t.Error("an update takes the reserve")
	}
	back := outgoing{to: other, method: "update", arg: prog{}.reply(), onReply: grow(n)}
	if full(w.must(w.call(bob, id, "update", prog{}.call(back)))) {
		t.Error("a callback has no memory")
	}
	if !full(w.must(w.call(bob, id, "update", prog{}.call(back)))) {
		t.Error("a callback finds memory that is not there")
	}
	w.checkReload()
}

// A subnet has a number of canisters that is never exceeded.
func TestCanistersAreCounted(t *testing.T) {
	w := newWorld(t)
	says := func(most uint64) { // what the registry says
		old := w.s
		w.s = w.m.Apply(old, &Batch{Height: old.Height() + 1, Time: w.time, Nodes: 1, Members: []state.Node{{ID: ic.NodeID{Principal: "node"}}}, MaxCanisters: most})
		w.persist(old)
	}
	says(2)
	id := w.create(alice)
	w.create(alice)
	type none struct{}
	make1 := func() ic.Reply {
		return w.call(alice, aaaaa, "provisional_create_canister_with_cycles", candid.Marshal(none{}))
	}
	w.rejected(make1(), ic.MaxNumberOfCanistersReached, "Subnet "+w.m.cfg.Subnet.ID.String()+" has reached the allowed canister limit of 2 canisters.")
	w.must(w.call(alice, aaaaa, "stop_canister", idArg(id)))
	w.must(w.call(alice, aaaaa, "delete_canister", idArg(id)))
	w.must(make1())
	w.rejected(make1(), ic.MaxNumberOfCanistersReached, "")
	w.checkReload()
	w.s = w.reload() // it is part of the state
	w.rejected(make1(), ic.MaxNumberOfCanistersReached, "")
	says(3)
	w.must(make1())
}
