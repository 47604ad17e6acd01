package wasm

import (
	"fmt"
	"testing"
)

// What a compiler for Rust makes: constants that are exported, a stack pointer that is not.
func TestShownGlobals(t *testing.T) {
	p, err := Prepare(compileText(t, `(module (memory 1)
		(global $stack (mut i32) (i32.const 1048576)) (global $end i32 (i32.const 1049000)) (global $hidden i64 (i64.const 3)) (global $base i32 (i32.const 1050000))
		(global $open (mut f64) (f64.const 1)) (global $last (mut i64) (i64.const 4))
		(export "__heap_base" (global $base)) (export "open" (global $open)) (export "__data_end" (global $end)))`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]Shown{{I32, -1, 1050000}, {F64, 1, 0}, {I32, -1, 1049000}, {I32, 0, 0}, {I64, 2, 0}})
	if got := fmt.Sprint(p.Info.Globals); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(p.Globals) != 3 {
		t.Errorf("%d globals are saved", len(p.Globals))
	}
}
