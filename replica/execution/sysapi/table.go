package sysapi

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// entry is a row of the table.
type entry struct {
	name    string
	in      Context // contexts that may call it
	params  string  // one letter each: p pointer-wide, i i32, l i64
	results string
	cost    machine.Instructions
	only32  bool
	call    func(e *Env, c machine.Caller, a []uint64) error
}

// The contexts that several functions share.
const (
	callbacks      = Reply | Reject
	compositeBacks = CompositeReply | CompositeReject
	answering      = Update | ReplicatedQuery | Query | Transform | Composite | callbacks | compositeBacks
	calling        = Update | Composite | callbacks | compositeBacks | Task
	withArg        = Init | Update | ReplicatedQuery | Query | Transform | Composite | Reply | CompositeReply | Inspect
	withInfo       = Update | ReplicatedQuery | Query | Composite | callbacks | compositeBacks | Cleanup | CompositeClean | Inspect
	withCycles     = Update | ReplicatedQuery | callbacks
	withRootKey    = Init | PreUpgrade | Update | ReplicatedQuery | callbacks | Cleanup | Task
)

// Prices in instructions, as dfinity's system_api_complexity has them; functions
// that move bytes cost one more for each.
const (
	usual     = 500
	cheap     = 20 // stable memory: called in tight loops
	counter   = 200
	print     = 100
	newCall   = 1_500
	perform   = 5_000
	whoRules  = 1_000
	outcallV2 = 10_000
)

var table = []entry{
	{"msg_arg_data_size", withArg, "", "p", usual, false, argSize},
	{"msg_arg_data_copy", withArg, "ppp", "", usual, false, argCopy},
	{"msg_caller_size", all, "", "p", usual, false, callerSize},
	{"msg_caller_copy", all, "ppp", "", usual, false, callerCopy},
	{"msg_caller_info_data_size", withInfo, "", "p", usual, false, infoSize},
	{"msg_caller_info_data_copy", withInfo, "ppp", "", usual, false, infoCopy},
	{"msg_caller_info_signer_size", withInfo, "", "p", usual, false, signerSize},
	{"msg_caller_info_signer_copy", withInfo, "ppp", "", usual, false, signerCopy},
	{"msg_reject_code", callbacks | compositeBacks | Cleanup, "", "i", usual, false, rejectCode},
	{"msg_reject_msg_size", Reject | CompositeReject, "", "p", usual, false, rejectSize},
	{"msg_reject_msg_copy", Reject | CompositeReject, "ppp", "", usual, false, rejectCopy},
	{"msg_deadline", Update | ReplicatedQuery | Query | Composite | callbacks | compositeBacks, "", "l", usual, false, deadline},
	{"msg_reply_data_append", answering, "pp", "", usual, false, replyAppend},
	{"msg_reply", answering, "", "", usual, false, reply},
	{"msg_reject", answering, "pp", "", usual, false, reject},
	{"msg_cycles_available128", withCycles, "p", "", usual, false, available128},
	{"msg_cycles_refunded128", callbacks, "p", "", usual, false, refunded128},
	{"msg_cycles_accept128", withCycles, "llp", "", usual, false, accept128},
	{"cycles_burn128", Init | PreUpgrade | Update | ReplicatedQuery | callbacks | Cleanup | Task, "llp", "", usual, false, burn128},
	{"msg_cycles_available", withCycles, "", "l", usual, true, available},
	{"msg_cycles_refunded", callbacks, "", "l", usual, true, refunded},
	{"msg_cycles_accept", withCycles, "l", "l", usual, true, accept},

	{"canister_self_size", all, "", "p", usual, false, selfSize},
	{"canister_self_copy", all, "ppp", "", usual, false, selfCopy},
	{"canister_cycle_balance128", all, "p", "", usual, false, balance128},
	{"canister_liquid_cycle_balance128", all, "p", "", usual, false, liquid128},
	{"canister_cycle_balance", all, "", "l", usual, true, balance},
	{"canister_status", all, "", "i", usual, false, status},
	{"canister_version", all, "", "l", usual, false, version},
	{"subnet_self_size", all, "", "p", usual, false, subnetSize},
	{"subnet_self_copy", all, "ppp", "", usual, false, subnetCopy},
	{"subnet_self_node_count", all, "", "i", usual, false, nodeCount},

	{"msg_method_name_size", Inspect, "", "p", usual, false, methodSize},
	{"msg_method_name_copy", Inspect, "ppp", "", usual, false, methodCopy},
	{"accept_message", Inspect, "", "", usual, false, acceptMessage},

	{"call_new", calling, "pppppppp", "", newCall, false, callNew},
	{"call_on_cleanup", calling, "pp", "", usual, false, callOnCleanup},
	{"call_data_append", calling, "pp", "", usual, false, callDataAppend},
	{"call_with_best_effort_response", calling, "i", "", usual, false, callBestEffort},
	{"call_cycles_add128", Update | callbacks | Task, "ll", "", usual, false, callCycles128},
	{"call_cycles_add", Update | callbacks | Task, "l", "", usual, true, callCycles},
	{"call_perform", calling, "", "i", perform, false, callPerform},

	{"stable64_size", everywhere, "", "l", cheap, false, stable64Size},
	{"stable64_grow", everywhere, "l", "l", usual, false, stable64Grow},
	{"stable64_write", everywhere, "lll", "", cheap, false, stable64Write},
	{"stable64_read", everywhere, "lll", "", cheap, false, stable64Read},
	{"stable_size", everywhere, "", "i", cheap, true, stableSize},
	{"stable_grow", everywhere, "i", "i", usual, true, stableGrow},
	{"stable_write", everywhere, "iii", "", cheap, true, stableWrite},
	{"stable_read", everywhere, "iii", "", cheap, true, stableRead},

	{"root_key_size", withRootKey, "", "p", usual, false, rootKeySize},
	{"root_key_copy", withRootKey, "ppp", "", usual, false, rootKeyCopy},
	{"certified_data_set", Init | PreUpgrade | Update | callbacks | Task, "pp", "", usual, false, certifiedSet},
	{"data_certificate_present", all, "", "i", usual, false, certificatePresent},
	{"data_certificate_size", Query | Composite, "", "p", usual, false, certificateSize},
	{"data_certificate_copy", Query | Composite, "ppp", "", usual, false, certificateCopy},

	{"time", all, "", "l", usual, false, timeNow},
	{"global_timer_set", Init | PreUpgrade | Update | callbacks | Cleanup | Task, "l", "l", usual, false, timerSet},
	{"performance_counter", everywhere, "i", "l", counter, false, performanceCounter},
	{"is_controller", everywhere, "pp", "i", whoRules, false, isController},
	{"in_replicated_execution", everywhere, "", "i", usual, false, inReplicated},

	{"cost_call", everywhere, "llp", "", usual, false, costCall},
	{"cost_create_canister", everywhere, "p", "", usual, false, costCreate},
	{"cost_http_request", everywhere, "llp", "", usual, false, costOutcall},
	{"cost_http_request_v2", everywhere, "ppp", "", outcallV2, false, costOutcall2},
	{"cost_sign_with_ecdsa", everywhere, "ppip", "i", usual, false, costECDSA},
	{"cost_sign_with_schnorr", everywhere, "ppip", "i", usual, false, costSchnorr},
	{"cost_vetkd_derive_key", everywhere, "ppip", "i", usual, false, costVetKD},

	{"env_var_count", all, "", "p", usual, false, envCount},
	{"env_var_name_size", all, "p", "p", usual, false, envNameSize},
	{"env_var_name_copy", all, "pppp", "", usual, false, envNameCopy},
	{"env_var_name_exists", all, "pp", "i", usual, false, envExists},
	{"env_var_value_size", all, "pp", "p", usual, false, envValueSize},
	{"env_var_value_copy", all, "ppppp", "", usual, false, envValueCopy},

	{"debug_print", everywhere, "pp", "", print, false, debugPrint},
	{"trap", everywhere, "pp", "", usual, false, trap},
}

// Functions is the System API for an engine.
func Functions() []machine.HostFunc {
	out := make([]machine.HostFunc, len(table))
	for i := range table {
		out[i] = table[i].hostFunc()
	}
	return out
}

func (f *entry) hostFunc() machine.HostFunc {
	return machine.HostFunc{
		Name: f.name, Params: valTypes(f.params), Results: valTypes(f.results), Only32: f.only32,
		Call: func(c machine.Caller, stack []uint64) error {
			e := c.Env().(*Env)
			if err := c.Charge(f.cost); err != nil {
				return err
			}
			if f.in&e.Context == 0 {
				return &Violation{`"ic0_` + f.name + `" cannot be executed in ` + e.Context.String() + ` mode`, wrongContextHelp}
			}
			return f.call(e, c, stack)
		},
	}
}

func valTypes(letters string) []wasm.ValType {
	out := make([]wasm.ValType, len(letters))
	for i, l := range letters {
		out[i] = map[rune]wasm.ValType{'p': wasm.Addr, 'i': wasm.I32, 'l': wasm.I64}[l]
	}
	return out
}
