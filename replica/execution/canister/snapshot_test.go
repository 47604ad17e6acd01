package canister

import (
	"fmt"
	"testing"

	"ashlar/replica/execution/wasm"
	"ashlar/replica/state"
)

// A list of globals is taken with mainnet's counter at its end and without; what does
// not fit the module is refused.
func TestSavedGlobals(t *testing.T) {
	const i32, i64, f64 = byte(wasm.I32), byte(wasm.I64), byte(wasm.F64)
	info := &wasm.Info{Globals: []wasm.Shown{{Type: wasm.I32, Saved: -1, Bits: 9}, {Type: wasm.F64, Saved: 1}, {Type: wasm.I32, Saved: 0}}}
	good := []state.Global{{Type: i32, Lo: 9}, {Type: f64, Lo: 2}, {Type: i32, Lo: 3}}
	want := fmt.Sprint([]state.Global{{Type: i32, Lo: 3}, {Type: f64, Lo: 2}})
	for name, list := range map[string][]state.Global{"as shown": good, "with a counter": append(good[:3:3], state.Global{Type: i64, Lo: 7})} {
		got, ok := savedGlobals(list, info)
		if !ok || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %t, want %s", name, got, ok, want)
		}
	}
	for name, list := range map[string][]state.Global{
		"none": nil, "the mutable ones alone": good[1:], "another type": {good[0], good[2], good[1]}, "one more": append(good[:3:3], state.Global{Type: i32}),
		"two more": append(good[:3:3], state.Global{Type: i64}, state.Global{Type: i64}),
	} {
		if got, ok := savedGlobals(list, info); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
