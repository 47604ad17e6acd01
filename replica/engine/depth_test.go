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
	for _, n := range []int{5, 50, 1000} {
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
