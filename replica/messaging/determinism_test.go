package messaging

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand"
	"runtime"
	"testing"

	"ashlar/replica/engine"
	"ashlar/replica/execution/scheduler"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// storm makes batches of random messages from a seed: programs that store, trap,
// call each other and the management canister, and are upgraded and stopped.
type storm struct {
	r   *rand.Rand
	ids []ic.CanisterID
	n   uint64
}

func (s *storm) target() ic.CanisterID { return s.ids[s.r.Intn(len(s.ids))] }

func (s *storm) program(depth int) prog {
	p := prog{}
	for range 1 + s.r.Intn(3) {
		switch s.r.Intn(12) {
		case 0:
			p = p.b("text").op('j')
		case 1:
			p = p.u64('w', 1).b("stable").u64('S', uint64(s.r.Intn(3000)))
		case 2:
			p = p.b("log").op('D')
		case 3:
			p = p.u64('t', uint64(1_700_000_000*second)+uint64(s.r.Intn(60))*second).b(string(prog{}.b("t").op('j'))).op('P')
		case 4:
			p = p.b("certified").op('C')
		case 5:
			p = p.u64('x', uint64(s.r.Intn(10000)))
		case 6:
			p = p.u32('q', uint32(s.r.Intn(3)))
		case 7:
			if s.r.Intn(3) == 0 {
				p = p.op('Z')
			}
		case 8:
			p = p.u64('Y', uint64(s.r.Intn(100)))
		default:
			if depth < 3 {
				o := outgoing{to: s.target(), method: "update", arg: s.program(depth + 1), onReply: s.program(depth + 1), onReject: s.program(depth + 1),
					onCleanup: prog{}.b("c").op('j'), cycles: uint64(s.r.Intn(1000))}
				if s.r.Intn(4) == 0 {
					o.timeout = uint32(s.r.Intn(4))
				}
				if s.r.Intn(5) == 0 {
					o.to, o.method, o.arg = aaaaa, "raw_rand", []byte("DIDL\x00\x00")
				}
				p = p.call(o)
			}
		}
	}
	if s.r.Intn(2) == 0 {
		p = p.b("r").reply()
	}
	return p
}

func (s *storm) message(now ic.Time) ic.Ingress {
	s.n++
	m := ic.Ingress{ID: sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.n)), Sender: alice, Canister: s.target(), Method: "update", Arg: s.program(0), Expiry: now + 100*second, Bytes: 500}
	switch s.r.Intn(12) {
	case 0:
		m.Canister, m.Method, m.Arg = aaaaa, "install_code", candid.Marshal(installArg{upgradeMode(), m.Canister, universal, nil})
	case 1:
		m.Canister, m.Method, m.Arg = aaaaa, "stop_canister", idArg(m.Canister)
	case 2, 3:
		m.Canister, m.Method, m.Arg = aaaaa, "start_canister", idArg(m.Canister)
	case 4:
		m.Canister, m.Method, m.Arg = aaaaa, "take_canister_snapshot", idArg(m.Canister)
	case 5:
		m.Canister, m.Method, m.Arg = aaaaa, "uninstall_code", idArg(m.Canister)
	case 6:
		m.Canister, m.Method, m.Arg = aaaaa, "install_code", candid.Marshal(installArg{mode{Install: unit}, m.Canister, universal, nil})
	}
	return m
}

// The same batches give the same states: on another machine, with another number
// of processors, and on a node that restarts from its store now and then.
func TestDeterminism(t *testing.T) {
	e1, e2 := newEngine(t), newEngine(t)
	for seed := range int64(6) {
		one, two := newWorldOn(t, e1), newWorldOn(t, e2)
		if seed%2 == 1 { // slices so short that much rests
			one.limit(scheduler.Limits{Slice: 20_000, Core: 60_000_000})
			two.limit(one.m.cfg.Limits)
		}
		two.m.cfg.Parallel = engine.Parallel
		s := &storm{r: rand.New(rand.NewSource(seed))}
		for range 4 {
			s.ids = append(s.ids, one.universal(alice))
			two.universal(alice)
		}
		for round := range 40 {
			var batch []ic.Ingress
			for range s.r.Intn(6) {
				batch = append(batch, s.message(one.time))
			}
			one.queued, two.queued = batch, append([]ic.Ingress(nil), batch...)
			one.round()
			before := runtime.GOMAXPROCS([]int{1, 2, 8}[round%3])
			two.round()
			runtime.GOMAXPROCS(before)
			if one.s.Tree().Digest() != two.s.Tree().Digest() {
				same(t, one.store, two.store)
				t.Fatalf("seed %d, round %d: the roots differ", seed, round)
			}
			same(t, one.store, two.store)
			if t.Failed() {
				t.Fatalf("seed %d, round %d: the stores differ", seed, round)
			}
			if round%7 == 6 {
				two.restart(e2)
			}
		}
		if one.s.NumCalls() == 0 || one.s.Head().Updates < 10 {
			t.Errorf("seed %d: little happened: %+v", seed, one.s.Head())
		}
		count(t, one.s)
	}
}

func same(t *testing.T, a, b map[string]string) {
	t.Helper()
	for k, v := range a {
		if b[k] != v {
			t.Errorf("key %q: %x and %x", k, v, b[k])
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d and %d keys", len(a), len(b))
	}
}

// count checks what must hold in every state: a canister's open callbacks agree
// with its call contexts.
func count(t *testing.T, s *state.State) {
	t.Helper()
	s.Canisters(func(c *state.Canister) bool {
		open := map[string]uint64{}
		c.Callbacks.Each(func(_ string, cb *state.Callback) bool {
			open[state.ID(cb.Context)]++
			return true
		})
		c.Contexts.Each(func(key string, x *state.CallContext) bool {
			if open[key] != x.Open || x.Open == 0 {
				t.Errorf("canister %s, context %x: %d callbacks, %d said to be open", c.ID, key, open[key], x.Open)
			}
			delete(open, key)
			return true
		})
		if len(open) > 0 {
			t.Errorf("canister %s: callbacks of contexts that are gone: %v", c.ID, open)
		}
		return true
	})
}
