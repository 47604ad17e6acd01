package messaging

import (
	"bytes"
	"strings"
	"testing"

	"ashlar/replica/execution/scheduler"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Messages of one turn run on top of each other, and are run again after one that
// traps: the outcome is that of a round for each.
func TestBatches(t *testing.T) {
	e := newEngine(t)
	add := prog{}.b("+").op('j').op('g').reply()
	grow := prog{}.u64('w', 1).b("stable").u64('S', 7).u32('q', 1).b("+").op('j').reply()
	lines := map[string][]prog{
		"all well":           {add, add, grow, add},
		"a trap":             {add, grow, prog{}.b("-").op('j').op('Z'), add, prog{}.b("-").op('j').u32('q', 2).u64('w', 2).op('Z'), add, add},
		"the first traps":    {prog{}.op('Z'), add, add},
		"no reply":           {add, prog{}.b("n").op('j'), add},
		"a long one":         {add, add, prog{}.u64('x', 5_000_000/loops).b("l").op('j').reply(), add, add},
		"a long one traps":   {add, add, prog{}.u64('x', 5_000_000/loops).b("l").op('j').op('Z'), add, add},
		"a long batch":       {prog{}.u64('x', 2_500_000/loops).reply(), prog{}.u64('x', 2_500_000/loops).reply(), prog{}.u64('x', 2_500_000/loops).b("l").op('j').reply(), add, prog{}.op('Z')},
		"a replicated query": {add, add, nil, add, nil, add},
		"its heap too large": {add, prog{}.u32('q', 1<<16).b("+").op('j').reply(), add},
		"with a log":         {prog{}.b("a").op('D').reply(), prog{}.b("b").op('D').op('Z'), prog{}.b("c").op('D').reply(), add},
	}
	for name, progs := range lines {
		for _, l := range []scheduler.Limits{scheduler.Mainnet, {Slice: 4_000_000, Core: 200_000_000}} {
			one, each := newWorldOn(t, e).limit(l), newWorldOn(t, e).limit(l)
			id := one.universal(alice)
			each.universal(alice)
			var sent []ic.RequestID
			for _, p := range progs {
				method := "update"
				if p == nil {
					method, p = "query", prog{}.b("q").op('j').op('g').reply()
				}
				sent = append(sent, one.send(bob, id, method, p))
				each.send(bob, id, method, p)
				for range 4 {
					each.round()
				}
			}
			for range 4 * len(progs) {
				one.round()
			}
			for i, r := range sent {
				a, b := one.s.Status(r), each.s.Status(r)
				if a.State != b.State || !bytes.Equal(a.Reply, b.Reply) || a.Reject != nil && *a.Reject != *b.Reject {
					t.Errorf("%s: call %d is %+v, in a round of its own %+v", name, i, a, b)
				}
			}
			x, y := one.s.Canister(id), each.s.Canister(id)
			if x.Consumed.Instructions != y.Consumed.Instructions || x.Version != y.Version || x.HeapBytes != y.HeapBytes || x.StableBytes != y.StableBytes || x.NextLog != y.NextLog {
				t.Errorf("%s: %+v, in a round each %+v", name, x.Record, y.Record)
			}
			heaps := func(what string, n uint64, at func(i uint64) (a, b *[4096]byte)) {
				zero := new([4096]byte)
				for i := range n / 4096 {
					a, b := at(i)
					if a == nil {
						a = zero
					}
					if b == nil {
						b = zero
					}
					if *a != *b {
						t.Errorf("%s: page %d of the %s differs", name, i, what)
					}
				}
			}
			heaps("heap", x.HeapBytes, func(i uint64) (a, b *[4096]byte) { return x.Memory.Heap.Get(i), y.Memory.Heap.Get(i) })
			heaps("stable memory", x.StableBytes, func(i uint64) (a, b *[4096]byte) { return x.Memory.Stable.Get(i), y.Memory.Stable.Get(i) })
			one.checkReload()
		}
	}
}

// A callback that is too long for its batch begins again: until then nothing of it has
// been, neither its end nor the cleanup that follows a trap.
func TestALongCallbackIsNotCleanedUp(t *testing.T) {
	w := newWorldOn(t, newEngine(t))
	id := w.universal(alice)
	add := prog{}.b("+").op('j').reply()
	long := prog{}.u64('x', 5_000_000/loops).b("long").op('j').op('g').reply()
	two := prog{} // whose answers come in one turn
	for _, onReply := range []prog{prog{}.b("short").op('j'), long} {
		two = two.call(outgoing{to: id, method: "update", arg: add, onReply: onReply, onCleanup: prog{}.b("cleaned").op('j')})
	}
	call := w.send(bob, id, "update", two)
	for range 4 {
		w.round()
	}
	status := w.s.Status(call)
	if status == nil || status.Reject != nil {
		t.Fatalf("%+v", status)
	}
	if got := string(status.Reply); !strings.Contains(got, "long") || strings.Contains(got, "cleaned") {
		t.Errorf("the canister wrote %q", got)
	}
}

// Hostile neighbours, each in its own way, do not keep a good canister from its turn.
func TestHostileNeighbours(t *testing.T) {
	e := newEngine(t)
	hostile := map[string]func(self ic.CanisterID) prog{
		"loops": func(ic.CanisterID) prog { return prog{}.u64('x', 1<<40) },
		"grows": func(ic.CanisterID) prog { return prog{}.u32('q', 2000).u64('w', 10_000).reply() },
		"logs": func(ic.CanisterID) prog {
			return prog{}.b(string(make([]byte, 30_000))).op('D').op('D').op('D').reply()
		},
		"calls": func(id ic.CanisterID) prog { return callAll(id, prog{}.reply(), 400) },
		"forks": func(id ic.CanisterID) prog { return callAll(id, callAll(id, callAll(id, prog{}.reply(), 4), 4), 4) },
		"traps": func(ic.CanisterID) prog { return prog{}.u64('x', 100_000).op('Z') },
		"heartbeat": func(ic.CanisterID) prog {
			return prog{}.b(string(prog{}.u64('x', 1<<40))).op('H').u64('t', 1).op('P').reply()
		},
	}
	victim := ic.CanisterIDFromUint64(6) // the seventh canister made
	hostile["calls of it"] = func(ic.CanisterID) prog { return callAll(victim, prog{}.reply(), 400) }
	hostile["calls about it"] = func(ic.CanisterID) prog {
		p := prog{}
		for range 400 {
			p = p.call(outgoing{method: "canister_info", arg: idArg(victim)})
		}
		return p.reply()
	}
	for name, attack := range hostile {
		w := newWorldOn(t, e).limit(scheduler.Limits{Slice: 3_000_000, Core: 60_000_000})
		var bad []ic.CanisterID
		attacks := map[ic.CanisterID]prog{}
		for range 6 { // more than there are cores
			id := w.universal(alice)
			bad, attacks[id] = append(bad, id), attack(id)
		}
		good := w.universal(bob)
		if good != victim {
			t.Fatalf("the victim is %s", good)
		}
		worst := 0
		for round := range 12 {
			for _, id := range bad {
				for range 20 {
					w.send(alice, id, "update", attacks[id])
				}
			}
			if round < 2 {
				w.round()
				continue
			}
			call := w.send(bob, good, "update", prog{}.b("+").op('j').reply())
			about := w.send(bob, aaaaa, "canister_status", idArg(good))
			for waited := 0; !ended(w.s, call) || !ended(w.s, about); waited++ {
				w.round()
				worst = max(worst, waited)
			}
		}
		if worst > 1 {
			t.Errorf("beside six canisters with an endless %s, a call waited %d rounds", name, worst)
		}
		w.checkReload()
		w.m.Close()
	}
}

// callAll makes n calls of arg's program.
func callAll(to ic.CanisterID, arg prog, n int) prog {
	p := prog{}
	for range n {
		p = p.call(outgoing{to: to, method: "update", arg: arg})
	}
	return p.b("").reply()
}

func ended(s *state.State, id ic.RequestID) bool {
	c := s.Status(id)
	return c != nil && c.State.Terminal()
}
