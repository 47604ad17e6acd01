package wasm

import (
	"os/exec"
	"testing"
)

// compileText makes a module of WebAssembly text by wabt, with more proposals where flags say so.
func compileText(t testing.TB, text string, flags ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		t.Skip("wat2wasm is not installed: apt-get install wabt")
	}
	file := t.TempDir() + "/in.wat"
	writeFile(t, file, text)
	out := file + ".wasm"
	if msg, err := exec.Command("wat2wasm", append([]string{"--enable-memory64", "--enable-tail-call", "--enable-extended-const", file, "-o", out}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm: %s", msg)
	}
	return readFile(t, out)
}

// The instructions charged are those of mainnet's rule, counted by hand: 1 for
// the function, then each basic block as a whole when it begins.
func TestInstructionCounts(t *testing.T) {
	for _, c := range []struct {
		name, body string // of (func (export "f") (param $x i32) (result i32)
		arg        uint64
		want       uint64
		traps      bool
	}{
		{"constant", `(i32.const 7)`, 0, 1 + 1, false},
		{"add", `(i32.add (local.get $x) (i32.const 7))`, 0, 1 + 3, false},
		{"division", `(i32.div_u (i32.const 7) (local.get $x))`, 7, 1 + 12, false},
		{"division by zero traps after its block was charged", `(i32.div_u (i32.const 7) (local.get $x)) (drop) (i32.const 1)`, 0, 1 + 14, true},
		{"if taken", `(if (result i32) (local.get $x) (then (i32.const 1)) (else (nop) (nop) (i32.const 2)))`, 1, 1 + 1 + 2 + 1, false},
		{"if not taken", `(if (result i32) (local.get $x) (then (i32.const 1)) (else (nop) (nop) (i32.const 2)))`, 0, 1 + 1 + 2 + 3, false},
		{"loop", `(loop $l (local.set $x (i32.sub (local.get $x) (i32.const 1))) (br_if $l (local.get $x))) (i32.const 0)`,
			10, 1 + 10*(4+1+2) + 1, false},
		{"br_if over", `(block $b (br_if $b (local.get $x)) (nop) (nop) (nop)) (i32.const 0)`, 1, 1 + 1 + 2 + 1, false},
		{"br_if through", `(block $b (br_if $b (local.get $x)) (nop) (nop) (nop)) (i32.const 0)`, 0, 1 + 1 + 2 + 3 + 1, false},
		{"br_table", `(block $a (block $b (br_table $a $b (local.get $x))) (nop)) (i32.const 0)`, 1, 1 + 1 + 2 + 1 + 1, false},
		{"return", `(nop) (return (i32.const 1)) (nop)`, 0, 1 + 1 + 1 + 1, false},
		{"unreachable", `(nop) (unreachable)`, 0, 1 + 1 + 1, true},
		{"call", `(call $g (local.get $x))`, 0, 1 + 1 + 5 + (1 + 3), false},
		{"call_indirect", `(call_indirect (param i32) (result i32) (local.get $x) (i32.const 0))`, 0, 1 + 1 + 1 + 10 + (1 + 3), false},
		{"return_call", `(return_call $g (local.get $x))`, 0, 1 + 1 + 3 + (1 + 3), false},
		{"return_call_indirect", `(return_call_indirect (param i32) (result i32) (local.get $x) (i32.const 0))`, 0, 1 + 2 + 60 + (1 + 3), false},
		{"globals", `(global.set $n (global.get $n)) (global.get $n)`, 0, 1 + 6, false},
		{"load and store", `(i32.store (i32.const 0) (local.get $x)) (i32.load (i32.const 0))`, 0, 1 + 3 + 2, false},
		{"memory.size", `(memory.size)`, 0, 1 + 20, false},
		{"memory.grow", `(memory.grow (local.get $x))`, 1, 1 + 1 + 300, false},
		{"memory.fill by length", `(memory.fill (i32.const 0) (i32.const 0) (local.get $x)) (i32.const 0)`, 5000, 1 + 3 + 100 + 5000 + 1, false},
		{"memory.fill out of bounds is charged first", `(memory.fill (i32.const 0) (i32.const 0) (local.get $x)) (i32.const 0)`, 70000, 1 + 3 + 100 + 70000 + 1, true},
		{"memory.copy by length", `(memory.copy (i32.const 0) (i32.const 9) (local.get $x)) (i32.const 0)`, 50, 1 + 3 + 100 + 50 + 1, false},
		{"memory.init by length", `(memory.init $d (i32.const 0) (i32.const 0) (local.get $x)) (i32.const 0)`, 3, 1 + 3 + 100 + 3 + 1, false},
		{"data.drop", `(data.drop $d) (i32.const 0)`, 3, 1 + 300 + 1, false},
		{"table.fill by length", `(table.fill $t (i32.const 0) (ref.null func) (local.get $x)) (i32.const 0)`, 3, 1 + 3 + 100 + 3 + 1, false},
		{"table.copy by length", `(table.copy (i32.const 0) (i32.const 0) (local.get $x)) (i32.const 0)`, 2, 1 + 3 + 100 + 2 + 1, false},
		{"table.get", `(ref.is_null (table.get $t (local.get $x)))`, 0, 1 + 1 + 5 + 5, false},
		{"ref.func", `(ref.is_null (ref.func $g))`, 0, 1 + 130 + 5, false},
		{"float", `(i32.trunc_f64_s (f64.div (f64.sqrt (f64.convert_i32_u (local.get $x))) (f64.const 2)))`, 9, 1 + 1 + 16 + 8 + 1 + 5 + 20, false},
		{"vector", `(i8x16.extract_lane_s 0 (i8x16.shl (i8x16.splat (local.get $x)) (i32.const 1)))`, 9, 1 + 1 + 1 + 1 + 3 + 1, false},
		{"dead code is not charged", `(block (br 0) (i32.const 1) (i32.div_u (i32.const 1)) (drop)) (i32.const 0)`, 0, 1 + 2 + 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := compileText(t, `(module (type $f (func (param i32) (result i32))) (memory 1) (table $t 3 funcref) (elem (i32.const 0) func $g) (data $d "abc")
				(global $n (mut i32) (i32.const 3))
				(func $g (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
				(func (export "f") (param $x i32) (result i32) `+c.body+`))`)
			for name, config := range engines() {
				b := newBench(t, config)
				_, used, err := b.call(b.rewritten(code), c.arg)
				if (err != nil) != c.traps {
					t.Errorf("%s: trap %v, want one: %v", name, err, c.traps)
				}
				if used != c.want {
					t.Errorf("%s: %d instructions, want %d", name, used, c.want)
				}
			}
		})
	}
}

// With a memory of 64 bits, loads and stores cost two.
func TestInstructionCounts64(t *testing.T) {
	code := compileText(t, `(module (memory i64 1) (func (export "f") (param $x i64) (result i32)
		(i32.store (local.get $x) (i32.const 5)) (memory.fill (i64.const 0) (i32.const 0) (local.get $x)) (i32.load (local.get $x))))`)
	for name, config := range engines() {
		b := newBench(t, config)
		res, used, err := b.call(b.rewritten(code), 100)
		if err != nil || res[0] != 5 {
			t.Fatalf("%s: %v %v", name, res, err)
		}
		if want := uint64(1 + 2 + 2 + 3 + 100 + 100 + 1 + 2); used != want {
			t.Errorf("%s: %d instructions, want %d", name, used, want)
		}
	}
}

// Compiling is charged by the instructions of the code as mainnet's metering leaves it.
func TestInstructionsToCompile(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       uint64
	}{
		{"nothing", ``, 1 + 10}, // end; the function's charge with its check
		{"a block that costs nothing", `(block)`, 3 + 10},
		{"a loop", `(loop $l (br_if $l (i32.const 0)))`, 5 + 10 + 10},
		{"an if", `(if (i32.const 1) (then (nop)) (else (nop)))`, 7 + 10 + 2*4},
		{"a copy", `(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))`, 5 + 10 + 3},
		{"a growing", `(drop (memory.grow (i32.const 1)))`, 4 + 10 + 3},
		{"dead code is compiled too", `(return) (drop (i32.const 1))`, 4 + 10 + 4},
	} {
		p, err := Prepare(compileText(t, `(module (memory 1) (func `+c.body+`))`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Info.Instructions != c.want {
			t.Errorf("%s: %d instructions, want %d", c.name, p.Info.Instructions, c.want)
		}
	}
}
