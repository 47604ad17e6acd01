package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// fakeEnv is what the fake system below works on.
type fakeEnv struct {
	arg, reply []byte
	replied    bool
	printed    []string
	timer      uint64
}

const a = wasm.Addr

// fakeHost is as much of the system API as a canister without calls needs. The
// real one is replica/execution/sysapi.
func fakeHost() []machine.HostFunc {
	t := func(ts ...wasm.ValType) []wasm.ValType { return ts }
	I32, I64 := wasm.I32, wasm.I64
	env := func(c machine.Caller) *fakeEnv { return c.Env().(*fakeEnv) }
	bytesAt := func(c machine.Caller, at, n uint64) ([]byte, error) {
		h := c.Heap()
		if at > uint64(len(h)) || n > uint64(len(h))-at {
			return nil, errors.New("heap out of bounds")
		}
		return h[at : at+n], nil
	}
	copyOut := func(c machine.Caller, s []uint64, from []byte) error {
		if s[1] > uint64(len(from)) || s[2] > uint64(len(from))-s[1] {
			return errors.New("copy out of range")
		}
		to, err := bytesAt(c, s[0], s[2])
		copy(to, from[s[1]:])
		return err
	}
	f := func(name string, params, results []wasm.ValType, call func(c machine.Caller, s []uint64) error) machine.HostFunc {
		return machine.HostFunc{Name: name, Params: params, Results: results, Call: call}
	}
	none := func(machine.Caller, []uint64) error { return nil }
	zero := func(_ machine.Caller, s []uint64) error { s[0] = 0; return nil }
	self := []byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}
	return []machine.HostFunc{
		f("msg_arg_data_size", nil, t(a), func(c machine.Caller, s []uint64) error { s[0] = uint64(len(env(c).arg)); return nil }),
		f("msg_arg_data_copy", t(a, a, a), nil, func(c machine.Caller, s []uint64) error { return copyOut(c, s, env(c).arg) }),
		f("msg_caller_size", nil, t(a), func(_ machine.Caller, s []uint64) error { s[0] = uint64(len(self)); return nil }),
		f("msg_caller_copy", t(a, a, a), nil, func(c machine.Caller, s []uint64) error { return copyOut(c, s, self) }),
		f("canister_self_size", nil, t(a), func(_ machine.Caller, s []uint64) error { s[0] = uint64(len(self)); return nil }),
		f("canister_self_copy", t(a, a, a), nil, func(c machine.Caller, s []uint64) error { return copyOut(c, s, self) }),
		f("msg_reply_data_append", t(a, a), nil, func(c machine.Caller, s []uint64) error {
			b, err := bytesAt(c, s[0], s[1])
			env(c).reply = append(env(c).reply, b...)
			return err
		}),
		f("msg_reply", nil, nil, func(c machine.Caller, _ []uint64) error { env(c).replied = true; return nil }),
		f("msg_reject", t(a, a), nil, none),
		f("msg_reject_code", nil, t(I32), zero),
		f("msg_reject_msg_size", nil, t(a), zero),
		f("msg_reject_msg_copy", t(a, a, a), nil, none),
		f("msg_cycles_refunded128", t(a), nil, none),
		f("call_new", t(a, a, a, a, a, a, a, a), nil, none),
		f("call_data_append", t(a, a), nil, none),
		f("call_cycles_add128", t(I64, I64), nil, none),
		f("call_with_best_effort_response", t(I32), nil, none),
		f("call_on_cleanup", t(a, a), nil, none),
		f("call_perform", nil, t(I32), zero),
		f("canister_status", nil, t(I32), func(_ machine.Caller, s []uint64) error { s[0] = 1; return nil }),
		f("is_controller", t(a, a), t(I32), zero),
		f("debug_print", t(a, a), nil, func(c machine.Caller, s []uint64) error {
			b, err := bytesAt(c, s[0], s[1])
			env(c).printed = append(env(c).printed, string(b))
			return err
		}),
		f("trap", t(a, a), nil, func(c machine.Caller, s []uint64) error {
			b, err := bytesAt(c, s[0], s[1])
			if err != nil {
				return err
			}
			return fmt.Errorf("trapped explicitly: %s", b)
		}),
		f("performance_counter", t(I32), t(I64), func(c machine.Caller, s []uint64) error { s[0] = uint64(c.Used()); return nil }),
		f("time", nil, t(I64), func(_ machine.Caller, s []uint64) error { s[0] = 1_700_000_000_000_000_000; return nil }),
		f("global_timer_set", t(I64), t(I64), func(c machine.Caller, s []uint64) error {
			s[0], env(c).timer = env(c).timer, s[0]
			return nil
		}),
		f("stable64_size", nil, t(I64), func(c machine.Caller, s []uint64) error { s[0] = c.StableBytes() >> 16; return nil }),
		f("stable64_grow", t(I64), t(I64), func(c machine.Caller, s []uint64) error {
			if old, ok := c.StableGrow(s[0]); ok {
				s[0] = old
			} else {
				s[0] = 1<<64 - 1
			}
			return nil
		}),
		f("stable64_read", t(I64, I64, I64), nil, func(c machine.Caller, s []uint64) error {
			b, err := bytesAt(c, s[0], s[2])
			if err != nil {
				return err
			}
			return c.StableRead(b, s[1])
		}),
		f("stable64_write", t(I64, I64, I64), nil, func(c machine.Caller, s []uint64) error {
			b, err := bytesAt(c, s[1], s[2])
			if err != nil {
				return err
			}
			_, err = c.StableWrite(s[0], b)
			return err
		}),
		f("charge", t(I64), nil, func(c machine.Caller, s []uint64) error { return c.Charge(machine.Instructions(s[0])) }),
	}
}

var wide = machine.Limits{Instructions: 5_000_000_000, HeapBytes: 4 << 30, StableBytes: 500 << 30}

func testEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	if cfg.Host == nil {
		cfg.Host = fakeHost()
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func install(t testing.TB, e *Engine, code []byte) *Instance {
	t.Helper()
	m, err := e.Compile(code)
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.Instantiate(pages.Map{}, pages.Map{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in.(*Instance)
}

// run must end without a trap.
func run(t testing.TB, in machine.Instance, export string, arg []byte) (reply []byte, used machine.Instructions) {
	t.Helper()
	env := &fakeEnv{arg: arg}
	out := in.Run(machine.Entry{Export: export}, env, wide)
	if out.Trap != nil {
		t.Fatalf("%s: trap %d in %q: %v %s", export, out.Trap.Kind, out.Trap.In(), out.Trap.Err, strings.Join(env.printed, "\n"))
	}
	return env.reply, out.Used
}

func candidNat(n uint64) []byte {
	return append([]byte("DIDL\x00\x01\x7d"), binary.AppendUvarint(nil, n)...)
}
