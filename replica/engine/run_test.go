package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// text compiles WebAssembly text by wabt.
func text(t testing.TB, wat string) []byte {
	t.Helper()
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		t.Skip("wat2wasm is not installed: apt-get install wabt")
	}
	in := filepath.Join(t.TempDir(), "in.wat")
	if err := os.WriteFile(in, []byte(wat), 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("wat2wasm", "--enable-memory64", "--enable-tail-call", "--debug-names", in, "-o", in+".wasm").CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm: %s", msg)
	}
	code, err := os.ReadFile(in + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Each trap comes out as its kind, names the function, and says exactly how many
// instructions were used.
func TestTraps(t *testing.T) {
	mapped := testEngine(t, Config{CacheDir: t.TempDir()}) // with all modules at the same time
	for _, c := range []struct {
		name, body string
		kind       machine.TrapKind
		used       machine.Instructions
	}{
		{"unreachable", `(unreachable)`, machine.TrapUnreachable, 2},
		{"load out of bounds", `(drop (i32.load (i32.const 65533)))`, machine.TrapHeapBounds, 4},
		{"fill out of bounds", `(memory.fill (i32.const 65533) (i32.const 0) (i32.const 9))`, machine.TrapHeapBounds, 1 + 3 + 100 + 9},
		{"division by zero", `(drop (i32.div_u (i32.const 1) (global.get $zero)))`, machine.TrapDivideByZero, 1 + 1 + 2 + 10 + 1},
		{"division overflow", `(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))`, machine.TrapIntegerOverflow, 1 + 2 + 10 + 1},
		{"conversion of NaN", `(drop (i32.trunc_f32_s (f32.const nan)))`, machine.TrapBadConversion, 1 + 1 + 20 + 1},
		{"conversion overflow", `(drop (i32.trunc_f32_s (f32.const 1e30)))`, machine.TrapIntegerOverflow, 1 + 1 + 20 + 1},
		{"table out of bounds", `(call_indirect (i32.const 3))`, machine.TrapTableBounds, 12},
		{"wrong signature", `(call_indirect (param i64) (i64.const 1) (i32.const 0))`, machine.TrapIndirectCall, 13},
		{"endless recursion", `(call $boom)`, machine.TrapStackOverflow, 0},
		{"endless loop", `(loop $l (br $l))`, machine.TrapInstructionLimit, 1_000_000},
		{"endless loop of large blocks", `(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 60000)) (br $l))`, machine.TrapInstructionLimit, 1_000_000},
		{"length beyond the limit", `(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))`, machine.TrapInstructionLimit, 1_000_000},
		{"host error", `(call $trap (i32.const 0) (i32.const 2))`, machine.TrapHost, 1 + 7},
		{"host error in the middle", `(nop) (call $trap (i32.const 70000) (i32.const 2)) (nop)`, machine.TrapHost, 1 + 1 + 7 + 1},
		{"host charges too much", `(call $charge (i64.const 1000000))`, machine.TrapInstructionLimit, 1_000_000},
		{"stable memory out of bounds", `(call $read (i64.const 0) (i64.const 65536) (i64.const 1))`, machine.TrapStableBounds, 1 + 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := text(t, `(module (import "ic0" "trap" (func $trap (param i32 i32))) (import "ic0" "charge" (func $charge (param i64)))
				(import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
				(memory 1) (table 3 funcref) (elem (i32.const 0) $ok) (global $zero (mut i32) (i32.const 0)) (data (i32.const 0) "hi")
				(func $ok) (func $boom `+c.body+`) (func (export "canister_update f") (call $boom)))`)
			for how, e := range map[string]*Engine{"compiled": testEngine(t, Config{}), "interpreted": testEngine(t, Config{Interpreter: true}), "mapped": mapped} {
				in := install(t, e, code)
				lim := wide
				lim.Instructions = 1_000_000
				if c.kind == machine.TrapStackOverflow {
					lim.Instructions = 1_000_000_000
				}
				out := in.Run(machine.Entry{Export: "canister_update f"}, &fakeEnv{}, lim)
				if out.Trap == nil || out.Trap.Kind != c.kind {
					t.Fatalf("%s: trap %+v, want kind %d", how, out.Trap, c.kind)
				}
				if out.Trap.In() != "boom" && c.kind != machine.TrapStackOverflow {
					t.Errorf("%s: trap in function %q", how, out.Trap.In())
				}
				want := c.used + 1 + 5 // the caller's block
				if c.kind == machine.TrapInstructionLimit {
					want = c.used
				}
				if c.used != 0 && out.Used != want {
					t.Errorf("%s: %d instructions used, want %d", how, out.Used, want)
				}
				if (c.kind == machine.TrapHost) != (out.Trap.Err != nil) {
					t.Errorf("%s: error %v", how, out.Trap.Err)
				}
				// The instance is usable after a rollback.
				in.Rollback()
				if out := in.Run(machine.Entry{Func: 0, Arg: 1}, &fakeEnv{}, lim); out.Trap == nil || out.Trap.Kind != machine.TrapNoCallback {
					t.Errorf("a callback of the wrong type gives %+v", out.Trap)
				}
			}
		})
	}
}

// A host function that panics is a bug of ours and stops the node.
func TestHostPanicIsNoOutcome(t *testing.T) {
	host := []machine.HostFunc{{Name: "boom", Call: func(machine.Caller, []uint64) error { panic("a bug") }}}
	in := install(t, testEngine(t, Config{Host: host}), text(t, `(module (import "ic0" "boom" (func $b)) (func (export "canister_update f") (call $b)))`))
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "a bug") {
			t.Errorf("recovered %v", r)
		}
	}()
	in.Run(machine.Entry{Export: "canister_update f"}, nil, wide)
	t.Error("the panic of a host function became an outcome")
}

const recursion = `(module (memory 1) (global $n (mut i32) (i32.const 0))
	(func $f (param i64 i64 i64) (result i64) (local i64)
		(global.set $n (i32.add (global.get $n) (i32.const 1)))
		(i32.store (i32.const 0) (global.get $n))
		(local.set 3 (call $f (local.get 1) (local.get 2) (local.get 0)))
		(i64.add (local.get 3) (i64.mul (local.get 0) (local.get 1))))
	(func (export "canister_update f") (drop (call $f (i64.const 1) (i64.const 2) (i64.const 3)))))`

// The depth at which a stack overflows is that of the pass: a figure that only a
// new version of it may change.
func TestDepthIsOurs(t *testing.T) {
	const frame = 96 + 16*8 // parameters, locals, results, operands
	const want = wasm.DepthBudget / frame
	in := install(t, testEngine(t, Config{}), text(t, recursion))
	for range 2 {
		out := in.Run(machine.Entry{Export: "canister_update f"}, nil, wide)
		if out.Trap == nil || out.Trap.Kind != machine.TrapStackOverflow {
			t.Fatalf("outcome %+v", out)
		}
		if got := binary.LittleEndian.Uint32(in.Heap()); got != want {
			t.Errorf("%d calls deep, want %d", got, want)
		}
		in.Rollback()
	}
}

// Slice is called at the first point after SliceAt where a run may rest, and that
// point does not depend on where it has rested before.
func TestSlices(t *testing.T) {
	in := install(t, testEngine(t, Config{}), text(t, `(module (func (export "canister_update f") (local $i i32)
		(loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000000))))))`))
	const all = machine.Instructions(1 + 2_000_000*8)
	rests := func(at ...machine.Instructions) (seen []machine.Instructions) {
		lim := wide
		lim.SliceAt = at[0]
		lim.Slice = func(used machine.Instructions) (machine.Instructions, bool) {
			seen = append(seen, used)
			if at = at[1:]; len(at) == 0 {
				return all, true
			}
			return at[0], true
		}
		if out := in.Run(machine.Entry{Export: "canister_update f"}, nil, lim); out.Trap != nil || out.Used != all {
			t.Fatalf("outcome %+v, want %d instructions", out, all)
		}
		return seen
	}
	seen := rests(0, 1_000_003, 1_000_011, 9_999_999, all-8)
	if len(seen) != 5 {
		t.Fatalf("rests at %v", seen)
	}
	for i, want := range []machine.Instructions{1, 1_000_004, 1_000_012, 10_000_000, all - 7} {
		if seen[i] < want || seen[i] > want+8 {
			t.Errorf("rest %d at %d, want just after %d", i, seen[i], want)
		}
		if alone := rests(seen[i] - 1); alone[0] != seen[i] {
			t.Errorf("rest %d at %d, and at %d where it is the first", i, seen[i], alone[0])
		}
	}
	lim := wide
	lim.SliceAt, lim.Slice = 5_000_000, func(machine.Instructions) (machine.Instructions, bool) { return 0, false }
	out := in.Run(machine.Entry{Export: "canister_update f"}, nil, lim)
	if out.Trap == nil || out.Trap.Kind != machine.TrapStopped {
		t.Errorf("outcome %+v of a run that was ended", out)
	}
	lim = wide
	out.Used = all
	lim.Instructions = out.Used // exactly enough
	if out := in.Run(machine.Entry{Export: "canister_update f"}, nil, lim); out.Trap != nil {
		t.Errorf("trap %+v with exactly enough instructions", out.Trap)
	}
}

// A callback goes through the function table, exported or not, with its argument.
func TestCallbacks(t *testing.T) {
	for _, wide64 := range []bool{false, true} {
		ptr := "i32"
		if wide64 {
			ptr = "i64"
		}
		code := strings.NewReplacer("MEM", map[bool]string{true: "i64", false: ""}[wide64], "PTR", ptr).Replace(`(module
			(import "ic0" "msg_reply_data_append" (func $reply (param PTR PTR))) (memory MEM 1) (table 2 funcref) (elem (i32.const 1) $cb)
			(func $cb (param PTR) (call $reply (local.get 0) (PTR.const 3))) (data (PTR.const 5) "abcdef"))`)
		in := install(t, testEngine(t, Config{}), text(t, code))
		env := &fakeEnv{}
		if out := in.Run(machine.Entry{Func: 1, Arg: 6}, env, wide); out.Trap != nil || string(env.reply) != "bcd" {
			t.Errorf("%s: callback gives %+v %q", ptr, out.Trap, env.reply)
		}
		for _, f := range []uint64{0, 2, 1 << 32, 1<<32 + 1} {
			if out := in.Run(machine.Entry{Func: f, Arg: 6}, env, wide); out.Trap == nil || out.Trap.Kind != machine.TrapNoFunction || out.Trap.Func != min(f, 1<<32-1) {
				t.Errorf("%s: callback %d gives %+v", ptr, f, out.Trap)
			}
		}
	}
}

// Memory, globals and segments after a rollback are those of the last commit, and
// an instance made from what was committed behaves as the one that made it.
func TestCommitAndRollback(t *testing.T) {
	code := text(t, `(module (import "ic0" "msg_reply_data_append" (func $reply (param i32 i32)))
		(import "ic0" "stable64_grow" (func $sgrow (param i64) (result i64))) (import "ic0" "stable64_write" (func $swrite (param i64 i64 i64)))
		(import "ic0" "stable64_read" (func $sread (param i64 i64 i64)))
		(memory 1 8)
		(global $n (mut i64) (i64.const 5)) (global $f (mut f32) (f32.const 1)) (global $v (mut v128) (v128.const i64x2 1 2)) (data (i32.const 100) "data")
		(data $one "\01")
		(func (export "canister_update step")
			(global.set $n (i64.add (global.get $n) (i64.const 1)))
			(global.set $f (f32.add (global.get $f) (f32.const 0.5)))
			(global.set $v (i64x2.add (global.get $v) (v128.const i64x2 10 100)))
			(drop (memory.grow (i32.const 1)))
			(i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 9))
			(i64.store (i32.const 8) (global.get $n))
			(drop (call $sgrow (i64.const 1)))
			(call $swrite (i64.const 70) (i64.const 8) (i64.const 8))
			(data.drop $one))
		(func (export "canister_query state")
			(i64.store (i32.const 16) (global.get $n)) (f32.store (i32.const 24) (global.get $f)) (v128.store (i32.const 32) (global.get $v))
			(i32.store (i32.const 48) (memory.size)) (memory.init $one (i32.const 52) (i32.const 0) (i32.const 1))
			(call $sread (i64.const 56) (i64.const 70) (i64.const 8))
			(call $reply (i32.const 0) (i32.const 104))))`)
	for _, tracker := range []Tracker{TrackScan, TrackPagemap, TrackCompare} {
		if _, err := chooseTracker(tracker); err != nil {
			t.Logf("without tracker %s: %v", tracker, err)
			continue
		}
		in := install(t, testEngine(t, Config{Tracker: tracker}), code)
		state := func(in machine.Instance) string {
			reply, _ := run(t, in, "canister_query state", nil)
			in.Rollback()
			return string(reply)
		}
		var heap, stable pages.Map
		commit := func() []machine.Global {
			d := in.Commit()
			heap, stable = heap.With(d.HeapBytes, d.Heap), stable.With(d.StableBytes, d.Stable)
			return d.Globals
		}
		run(t, in, "canister_update step", nil)
		globals := commit()
		first := state(in)
		if first[100:] != "data" || first[16] != 6 || first[48] != 2 || first[52] != 1 || first[56] != 6 || first[40] != 102 {
			t.Fatalf("state %q", first)
		}
		run(t, in, "canister_update step", nil)
		run(t, in, "canister_update step", nil)
		if in.HeapBytes() != 4<<16 || in.StableBytes() != 3<<16 {
			t.Errorf("%d bytes of heap, %d of stable memory pending", in.HeapBytes(), in.StableBytes())
		}
		in.Rollback()
		if in.HeapBytes() != 2<<16 || in.StableBytes() != 1<<16 {
			t.Errorf("%d bytes of heap, %d of stable memory after the rollback", in.HeapBytes(), in.StableBytes())
		}
		if got := state(in); got != first {
			t.Errorf("after a rollback %q, want %q", got, first)
		}
		again, err := in.module.Instantiate(heap, stable, globals)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := state(again); got != first {
			t.Errorf("new instance: %q, want %q", got, first)
		}
		// The same steps on both give the same changes.
		for _, in := range []machine.Instance{in, again} {
			run(t, in, "canister_update step", nil)
		}
		a, b := in.Commit(), again.Commit()
		if len(a.Heap) != 2 || len(a.Heap) != len(b.Heap) || *a.Heap[0].Page != *b.Heap[0].Page || a.Heap[1].Index != 3*16-1 || len(a.Stable) != 1 || a.Globals[2] != b.Globals[2] {
			t.Errorf("changes differ: %d and %d pages", len(a.Heap), len(b.Heap))
		}
		if d := in.Commit(); len(d.Heap)+len(d.Stable) != 0 {
			t.Errorf("a commit without changes has %d pages", len(d.Heap)+len(d.Stable))
		}
	}
}

// A page that is written with zeros again is reported as nil.
func TestZeroPages(t *testing.T) {
	in := install(t, testEngine(t, Config{}), text(t, `(module (memory 1)
		(func (export "canister_update set") (i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 20480) (i32.const 0)))
		(func (export "canister_update clear") (i32.store (i32.const 4096) (i32.const 0))))`))
	run(t, in, "canister_update set", nil)
	if d := in.Commit(); len(d.Heap) != 1 || d.Heap[0].Index != 1 || d.Heap[0].Page == nil {
		t.Errorf("changes %v", d.Heap)
	}
	run(t, in, "canister_update clear", nil)
	if d := in.Commit(); len(d.Heap) != 1 || d.Heap[0].Index != 1 || d.Heap[0].Page != nil {
		t.Errorf("changes %v", d.Heap)
	}
}

// memory.grow obeys the limit of the run.
func TestHeapLimit(t *testing.T) {
	in := install(t, testEngine(t, Config{}), text(t, `(module (import "ic0" "debug_print" (func $p (param i32 i32))) (memory 1 10)
		(func (export "canister_update f") (local $n i32)
			(loop $l (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l))))
			(i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get $n))) (call $p (i32.const 0) (i32.const 1))))`))
	lim := wide
	for bytes, want := range map[uint64]string{0: "0", 1 << 16: "0", 3 << 16: "2", 1 << 30: "9"} {
		env := &fakeEnv{}
		lim.HeapBytes = bytes
		if out := in.Run(machine.Entry{Export: "canister_update f"}, env, lim); out.Trap != nil || env.printed[0] != want {
			t.Errorf("limit %d: %+v, grew by %q pages, want %s", bytes, out.Trap, env.printed, want)
		}
		in.Rollback()
	}
}

// An upgrade that keeps the heap applies the data segments over it.
func TestKeptHeap(t *testing.T) {
	e := testEngine(t, Config{})
	m, err := e.Compile(text(t, `(module (memory 2 4) (global (mut i32) (i32.const 7)) (data (i32.const 3) "xyz"))`))
	if err != nil {
		t.Fatal(err)
	}
	page := new([pages.Size]byte)
	copy(page[:], "old content")
	heap := pages.Map{}.With(3<<16, []pages.Change{{Index: 0, Page: page}, {Index: 40, Page: page}})
	in, err := m.Instantiate(heap, pages.Map{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	d := in.Commit()
	if d.HeapBytes != 3<<16 || len(d.Heap) != 1 || string(d.Heap[0].Page[:11]) != "oldxyzntent" || d.Globals[0].Lo != 7 {
		t.Errorf("%d bytes, %d pages, globals %v", d.HeapBytes, len(d.Heap), d.Globals)
	}
	for _, bad := range []pages.Map{heap.With(5<<16, nil), heap.With(100, nil)} {
		if _, err := m.Instantiate(bad, pages.Map{}, nil); err == nil {
			t.Errorf("a heap of %d bytes is taken", bad.Bytes())
		}
	}
	if _, err := m.Instantiate(heap, pages.Map{}, []machine.Global{{Type: wasm.I64}}); err == nil {
		t.Error("a global of another type is taken")
	}
}

// A module that is refused is refused again from the cache, with the same words.
func TestCompileErrors(t *testing.T) {
	e := testEngine(t, Config{})
	_, err := e.Compile([]byte("no wasm"))
	_, again := e.Compile([]byte("no wasm"))
	if err == nil || !errors.Is(again, err) {
		t.Errorf("%v, then %v", err, again)
	}
}

// Compiled modules beyond the bound are dropped, oldest first, and an instance
// whose module was dropped goes on.
func TestModuleCache(t *testing.T) {
	e := testEngine(t, Config{CodeBytes: 1, CacheDir: t.TempDir()})
	code := func(n string) []byte {
		return text(t, `(module (memory 1) (func (export "canister_update f") (i32.store (i32.const 0) (i32.const `+n+`))))`)
	}
	first := install(t, e, code("1"))
	for _, n := range []string{"2", "3", "4"} {
		install(t, e, code(n))
	}
	if n := len(e.modules); n != 1 {
		t.Errorf("%d modules in the cache", n)
	}
	run(t, first, "canister_update f", nil)
	if again := install(t, e, code("1")); again.module == first.module {
		t.Error("the module was not dropped")
	} else {
		run(t, again, "canister_update f", nil)
	}
	first.Rollback()
	run(t, first, "canister_update f", nil)

	many := testEngine(t, Config{})
	for n := range maxLoaded + 100 { // refusals are kept, too
		if _, err := many.Compile(fmt.Append(nil, "no module ", n)); err == nil {
			t.Fatal("text is a module")
		}
	}
	if n := len(many.modules); n != maxLoaded || many.order.Len() != n {
		t.Errorf("%d modules are in the cache, %d at most", n, maxLoaded)
	}
}

// Many goroutines compile the same modules and run instances of their own.
func TestParallel(t *testing.T) {
	e := testEngine(t, Config{})
	var codes [][]byte
	for _, n := range []string{"3", "5", "7"} {
		codes = append(codes, text(t, `(module (import "ic0" "msg_reply_data_append" (func $reply (param i32 i32))) (memory 1) (global $n (mut i32) (i32.const 1))
			(func (export "canister_update f") (global.set $n (i32.mul (global.get $n) (i32.const `+n+`)))
				(i32.store (i32.const 0) (global.get $n)) (call $reply (i32.const 0) (i32.const 4))))`))
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			base := uint32([]int{3, 5, 7}[i%3])
			m, err := e.Compile(codes[i%3])
			if err != nil {
				t.Error(err)
				return
			}
			in, err := m.Instantiate(pages.Map{}, pages.Map{}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer in.Close()
			want := uint32(1)
			for k := range 50 {
				env := &fakeEnv{}
				out := in.Run(machine.Entry{Export: "canister_update f"}, env, wide)
				if want *= base; out.Trap != nil || binary.LittleEndian.Uint32(env.reply) != want {
					t.Errorf("goroutine %d, call %d: %+v %x", i, k, out.Trap, env.reply)
					return
				}
				if d := in.Commit(); len(d.Heap) != 1 {
					t.Errorf("goroutine %d, call %d: %d pages changed", i, k, len(d.Heap))
					return
				}
			}
		})
	}
	all.Wait()
	if len(e.modules) != 3 {
		t.Errorf("%d modules were compiled", len(e.modules))
	}
}

// A trap tells which functions led to it, the innermost first, and nothing of the
// helpers that the pass adds; a deep stack only its top.
func TestBacktrace(t *testing.T) {
	code := text(t, `(module (import "ic0" "trap" (func $trap (param i32 i32))) (memory 1) (table 2 funcref) (elem (i32.const 0) $callback)
		(func $deep (param $n i32) (if (local.get $n) (then (call $deep (i32.sub (local.get $n) (i32.const 1)))) (else (call $trap (i32.const 0) (i32.const 1)))))
		(func $_ZN3foo5outer17h0123456789abcdefE (call $deep (i32.const 1)))
		(func $callback (param i32) (call $_ZN3foo5outer17h0123456789abcdefE))
		(func (export "canister_update grow") (drop (memory.grow (i32.const 1))) (memory.fill (i32.const 0) (i32.const 0) (i32.const 1000000000)))
		(func (export "canister_update far") (call $deep (i32.const 1000))))`)
	for _, interpreter := range []bool{false, true} {
		in := install(t, testEngine(t, Config{Interpreter: interpreter}), code)
		for _, c := range []struct {
			entry machine.Entry
			want  string
		}{
			{machine.Entry{Func: 0}, "deep deep foo::outer callback"},
			{machine.Entry{Export: "canister_update grow"}, "#4"},
			{machine.Entry{Export: "canister_update far"}, strings.TrimSpace(strings.Repeat("deep ", 29))}, // the engine's trace has 30, the first is the host's
		} {
			out := in.Run(c.entry, &fakeEnv{}, wide)
			in.Rollback()
			var names []string
			for _, f := range out.Trap.Frames {
				if f.Name == "" {
					f.Name = fmt.Sprintf("#%d", f.Index)
				}
				names = append(names, f.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("interpreter %v, %+v: %s, want %s", interpreter, c.entry, got, c.want)
			}
		}
	}
}

// Installations of one module share the pages that are equal after their first run, and
// the first commit names all pages all the same.
func TestDataIsShared(t *testing.T) {
	m, err := testEngine(t, Config{}).Compile(text(t, `(module (memory 2)
		(data (i32.const 0) "first") (data (i32.const 4096) "second") (data (i32.const 8192) "\00\00")
		(func (export "canister_init") (i32.store8 (i32.const 4096) (i32.const 83)) (i32.store8 (i32.const 65536) (i32.const 1)))
		(func (export "canister_update other") (i32.store8 (i32.const 65537) (i32.const 1)) (i32.store8 (i32.const 0) (i32.const 0))
			(i32.store8 (i32.const 1) (i32.const 0)) (i32.store8 (i32.const 2) (i32.const 0)) (i32.store16 (i32.const 3) (i32.const 0))))`))
	if err != nil {
		t.Fatal(err)
	}
	var deltas []machine.Delta
	for _, more := range []string{"", "canister_update other", ""} {
		in, err := m.Instantiate(pages.Map{}, pages.Map{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		run(t, in.(*Instance), "canister_init", nil)
		if more != "" {
			run(t, in.(*Instance), more, nil)
		}
		deltas = append(deltas, in.Commit())
		if d := in.Commit(); len(d.Heap) != 0 {
			t.Errorf("the second commit names %d pages", len(d.Heap))
		}
	}
	a, b, c := deltas[0], deltas[1], deltas[2]
	for i, d := range []machine.Delta{a, c} {
		if len(d.Heap) != 3 || string(d.Heap[0].Page[:5]) != "first" || string(d.Heap[1].Page[:6]) != "Second" || d.Heap[2].Index != 16 || d.Heap[2].Page[1] != 0 {
			t.Errorf("the first commit of instance %d names %d pages", 2*i, len(d.Heap))
		}
		x, _, _ := d.HeapMap.Sum()
		if y, _, _ := (pages.Map{}).With(d.HeapBytes, d.Heap).Sum(); x != y {
			t.Errorf("the heap of instance %d is not what the commit says", 2*i)
		}
	}
	if len(b.Heap) != 2 || b.HeapMap.Get(0) != nil || b.HeapMap.Get(16)[1] != 1 {
		t.Errorf("the one that clears a page names %d pages", len(b.Heap))
	}
	if a.HeapMap.Get(1) != b.HeapMap.Get(1) || a.HeapMap.Get(1) != c.HeapMap.Get(1) || a.HeapMap.Get(16) == b.HeapMap.Get(16) {
		t.Error("pages are not shared where they are equal")
	}
}
