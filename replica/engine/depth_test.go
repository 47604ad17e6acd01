package engine

import (
	"fmt"
	"strings"
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// However a function makes wazero's frames large, the pass's limit comes first:
// wazero's own depends on the processor.
func TestDepthLimitComesFirst(t *testing.T) {
	repeat := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)))
		}
		return b.String()
	}
	for _, n := range []int{5, 50, 400} {
		locals := repeat(n, "(local $l# i64)")
		for name, body := range map[string]string{
			"one local over many calls": "(local $a i64)" + repeat(n, "(local.set $a (i64.load offset=# (i32.const 0))) (call $g) (call $use (local.get $a))"),
			"many locals over one call": locals + repeat(n, "(local.set $l# (i64.load offset=# (i32.const 0)))") + "(call $g)" + repeat(n, "(call $use (local.get $l#))"),
			"operands over calls":       repeat(n, "(i64.load offset=# (i32.const 0)) (call $g)") + repeat(n, "(call $use)"),
			"many at once without call": locals + repeat(n, "(local.set $l# (i64.load offset=# (i32.const 0)))") + repeat(n, "(local.set $l# (i64.add (i64.mul (local.get $l#) (local.get $l0)) (i64.load offset=# (i32.const 8))))") +
				repeat(n, "(i64.store offset=# (i32.const 0) (local.get $l#))"),
			"loops":   locals + repeat(min(n, 200), "(loop $x (local.set $l# (i64.add (local.get $l#) (local.get $l0))) (call $g) (br_if $x (i64.eqz (local.get $l#))))") + repeat(n, "(call $use (local.get $l#))"),
			"ifs":     "(local $a i64)" + repeat(n, "(if (i32.load offset=# (i32.const 0)) (then (local.set $a (i64.load offset=# (i32.const 0))))) (call $g) (call $use (local.get $a))"),
			"vectors": "(local $v v128)" + repeat(n, "(local.set $v (v128.load offset=# (i32.const 0))) (call $g) (v128.store offset=# (i32.const 0) (local.get $v))"),
			"floats":  "(local $a f64)" + repeat(n, "(local.set $a (f64.add (f64.load offset=# (i32.const 0)) (local.get $a))) (call $g)") + "(f64.store (i32.const 0) (local.get $a))",
		} {
			locals, code, _ := strings.Cut(body, "(local.set")
			if !strings.HasPrefix(body, "(local $") {
				locals, code = "", body
			} else if i := strings.LastIndex(body, "(local $"); i >= 0 {
				end := i + strings.Index(body[i:], ")") + 1
				locals, code = body[:end], body[end:]
			}
			in := install(t, testEngine(t, Config{}), text(t, `(module (memory 1) (global $s (mut i64) (i64.const 0)) (func $g (global.set $s (i64.const 1)))
				(func $use (param i64) (global.set $s (i64.add (global.get $s) (local.get 0))))
				(func $f `+locals+`
					(global.set $s (i64.add (global.get $s) (i64.const 1)))
					(if (i64.ge_s (global.get $s) (i64.const 0)) (then (call $f)))
					`+code+`)
				(func (export "canister_update f") (call $f)))`))
			out := in.Run(machine.Entry{Export: "canister_update f"}, nil, wide)
			if out.Trap == nil || out.Trap.Kind != machine.TrapStackOverflow || wasm.Cause(in.cause.Get()) != wasm.CauseDepth {
				t.Errorf("%s, %d times: %+v by cause %d", name, n, out.Trap, in.cause.Get())
			}
			in.Close()
		}
	}
}

// Every way to recur is bounded: by name, in a ring, through the table, by tail
// call of another, and from a function far down a chain.
func TestEveryRecursionIsBounded(t *testing.T) {
	for name, funcs := range map[string]string{
		"ring":              `(func $a (call $b) (call $x)) (func $b (call $c) (call $x)) (func $c (call $a) (call $x)) (func $x)`,
		"through the table": `(table 1 funcref) (elem (i32.const 0) $a) (func $a (call_indirect (i32.const 0)) (global.set $n (i32.const 1)))`,
		"ring through the table": `(table 2 funcref) (elem (i32.const 0) $b $c) (func $a (call $b)) (func $b (call_indirect (i32.const 1)) (global.set $n (i32.const 1)))
			(func $c (call $a) (global.set $n (i32.const 2)))`,
		"tail call away": `(func $a (call $b) (global.set $n (i32.const 1))) (func $b (return_call $a))`,
		"down a chain":   `(func $a (call $b)) (func $b (call $c)) (func $c (call $d)) (func $d (call $d) (call $b) (global.set $n (i32.const 1)))`,
	} {
		in := install(t, testEngine(t, Config{}), text(t, `(module (global $n (mut i32) (i32.const 0)) `+funcs+` (func (export "canister_update f") (call $a)))`))
		out := in.Run(machine.Entry{Export: "canister_update f"}, nil, wide)
		if out.Trap == nil || out.Trap.Kind != machine.TrapStackOverflow || wasm.Cause(in.cause.Get()) != wasm.CauseDepth {
			t.Errorf("%s: %+v by cause %d", name, out.Trap, in.cause.Get())
		}
		// The stack is given back: the next run goes as deep, and a short one passes.
		in.Rollback()
		if again := in.Run(machine.Entry{Export: "canister_update f"}, nil, wide); again.Used != out.Used {
			t.Errorf("%s: %d instructions, then %d", name, out.Used, again.Used)
		}
	}
	// A chain that is not recursive passes, however its frames add up.
	var chain strings.Builder
	for i := range 300 {
		fmt.Fprintf(&chain, "(func $f%d (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (call $f%d) (call $f%d))", i, i+1, 300)
	}
	in := install(t, testEngine(t, Config{}), text(t, `(module `+chain.String()+`(func $f300 (nop)) (func (export "canister_update f") (call $f0) (call $f0)))`))
	if out := in.Run(machine.Entry{Export: "canister_update f"}, nil, wide); out.Trap != nil {
		t.Errorf("a chain of calls traps: %+v", out.Trap)
	}
	if got := in.depth.Get(); got != wasm.DepthBudget {
		t.Errorf("depth after the run is %d, want %d", got, wasm.DepthBudget)
	}
}
