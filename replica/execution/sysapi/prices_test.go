package sysapi

import (
	"testing"

	"ashlar/replica/execution/machine"
)

// What calls cost in instructions, as mainnet charges them.
func TestPrices(t *testing.T) {
	const log = 1000 // bytes
	for _, c := range []struct {
		name string
		args []uint64
		want machine.Instructions
	}{
		{"time", nil, 500},
		{"msg_arg_data_size", nil, 500},
		{"msg_arg_data_copy", []uint64{0, 0, 8}, 500 + 8},
		{"msg_caller_copy", []uint64{0, 0, 6}, 500 + 6},
		{"msg_reply_data_append", []uint64{0, 10}, 500 + 50*10},
		{"msg_reject", []uint64{0, 10}, 500 + 50*10},
		{"msg_reply", nil, 500},
		{"call_new", []uint64{0, 6, 6, 10}, 1500 + 6 + 10},
		{"call_data_append", []uint64{0, 10}, 500 + 50*10},
		{"call_perform", nil, 5000},
		{"call_on_cleanup", nil, 500},
		{"certified_data_set", []uint64{0, 32}, 500 + 32},
		{"is_controller", []uint64{0, 10}, 1000 + 10},
		{"env_var_name_copy", []uint64{0, 0, 0, 1}, 500 + 1},
		{"env_var_name_exists", []uint64{0, 20}, 500},
		{"env_var_value_size", []uint64{0, 20}, 500},
		{"env_var_value_copy", []uint64{0, 1, 2, 0, 1}, 500 + 1},
		{"cost_sign_with_ecdsa", []uint64{0, 5, 0, 0}, 500 + 5},
		{"cost_call", []uint64{1 << 20, 1 << 20, 0}, 500},
		{"cost_http_request_v2", []uint64{0, 20, 0}, 10_000},
		{"cycles_burn128", []uint64{0, 0, 0}, 500},
		{"performance_counter", []uint64{0}, 200},
		{"stable64_size", nil, 0},
		{"stable64_grow", []uint64{1}, 100},
		{"stable64_read", []uint64{0, 0, 30}, 20 + 30},
		{"stable64_write", []uint64{0, 0, 30}, 20 + 30 + 2*1000},
		{"stable64_write", []uint64{1 << 60, 1 << 60, 0}, 20},
		{"stable_write", []uint64{0, 0, 30}, 20 + 30 + 2*1000},
		{"debug_print", []uint64{0, 40}, 100 + (2+50)*40},
		{"debug_print", []uint64{0, 1100}, 100 + (2+50)*log}, // what the log can hold
		{"trap", []uint64{0, 40}, 500 + 40 + (2+50)*40},
	} {
		e := newEnv(Update)
		e.Settings.LogLimit = log
		e.building = &Call{Callee: "callee"}
		f := &fakeCaller{env: e, heap: make([]byte, 2000), stable: make([]byte, wasmPage), fresh: 2}
		_, err := call(t, f, c.name, c.args...)
		if f.used != c.want {
			t.Errorf("%s %v: %d instructions, want %d (%v)", c.name, c.args, f.used, c.want, err)
		}
	}
	// A second line in the same run is sent only as far as the log has room, and a
	// canister with a 64-bit heap pays four times for its pages.
	e := newEnv(Update)
	e.Settings.LogLimit, e.Memory64, e.Replicated = log, true, true
	f := &fakeCaller{env: e, heap: make([]byte, 2000), stable: make([]byte, wasmPage), fresh: 2}
	for _, c := range []struct {
		name string
		args []uint64
		want machine.Instructions
	}{
		{"debug_print", []uint64{0, 900}, 100 + (2+50)*900},
		{"debug_print", []uint64{0, 100}, 100 + 2*100 + 50*(log-900-logLine)},
		{"stable64_write", []uint64{0, 0, 30}, 20 + 30 + 4*2*1000},
	} {
		before := f.used
		if _, err := call(t, f, c.name, c.args...); err != nil || f.used-before != c.want {
			t.Errorf("%s: %d instructions, want %d (%v)", c.name, f.used-before, c.want, err)
		}
	}
}

// No length is so large that its price wraps around.
func TestPricesOfWildLengths(t *testing.T) {
	for i := range table {
		args := make([]uint64, 10)
		for j := range args {
			args[j] = 1<<64 - 1
		}
		got := table[i].price()(args)
		if got < table[i].cost || got > 10*perSentByte*maxLength {
			t.Errorf("%s costs %d", table[i].name, got)
		}
	}
}
