package sysapi

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// entry is a row of the table.
type entry struct {
	name    string
	in      Context // contexts that may call it
	params  string  // one letter each, see letters
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

// Prices in instructions, as mainnet charges them (dfinity's system_api_complexity
// and its linker); functions that copy bytes cost one more for each, those that hand
// them to others perSentByte.
const (
	usual     = 500
	cheap     = 20  // stable memory: called in tight loops
	grow      = 100 // stable memory
	free      = 0   // the size of stable memory, which is an instruction there; minting
	counter   = 200
	print     = 100
	newCall   = 1_500
	perform   = 5_000
	whoRules  = 1_000
	outcallV2 = 10_000

	perSentByte   = 50    // of replies, rejections and arguments of calls
	perLoggedByte = 2     // a record is added, and an old one goes
	perDirtyPage  = 1_000 // the first write of a run to a page of stable memory
	wideDirtyPage = 4     // times that, of canisters with a 64-bit heap
)

var table = []entry{
	{"msg_arg_data_size", withArg, "", "p", usual, false, argSize},
	{"msg_arg_data_copy", withArg, "ppn", "", usual, false, argCopy},
	{"msg_caller_size", all, "", "p", usual, false, callerSize},
	{"msg_caller_copy", all, "ppn", "", usual, false, callerCopy},
	{"msg_caller_info_data_size", withInfo, "", "p", usual, false, infoSize},
	{"msg_caller_info_data_copy", withInfo, "ppn", "", usual, false, infoCopy},
	{"msg_caller_info_signer_size", withInfo, "", "p", usual, false, signerSize},
	{"msg_caller_info_signer_copy", withInfo, "ppn", "", usual, false, signerCopy},
	{"msg_reject_code", callbacks | compositeBacks | Cleanup, "", "i", usual, false, rejectCode},
	{"msg_reject_msg_size", Reject | CompositeReject, "", "p", usual, false, rejectSize},
	{"msg_reject_msg_copy", Reject | CompositeReject, "ppn", "", usual, false, rejectCopy},
	{"msg_deadline", Update | ReplicatedQuery | Query | Composite | callbacks | compositeBacks, "", "l", usual, false, deadline},
	{"msg_reply_data_append", answering, "ps", "", usual, false, replyAppend},
	{"msg_reply", answering, "", "", usual, false, reply},
	{"msg_reject", answering, "ps", "", usual, false, reject},
	{"msg_cycles_available128", withCycles, "p", "", usual, false, available128},
	{"msg_cycles_refunded128", callbacks, "p", "", usual, false, refunded128},
	{"msg_cycles_accept128", withCycles, "llp", "", usual, false, accept128},
	{"cycles_burn128", Init | PreUpgrade | Update | ReplicatedQuery | callbacks | Cleanup | Task, "llp", "", usual, false, burn128},
	{"mint_cycles128", Update | callbacks | Task, "llp", "", free, false, mint128},
	{"msg_cycles_available", withCycles, "", "l", usual, true, available},
	{"msg_cycles_refunded", callbacks, "", "l", usual, true, refunded},
	{"msg_cycles_accept", withCycles, "l", "l", usual, true, accept},

	{"canister_self_size", all, "", "p", usual, false, selfSize},
	{"canister_self_copy", all, "ppn", "", usual, false, selfCopy},
	{"canister_cycle_balance128", all, "p", "", usual, false, balance128},
	{"canister_liquid_cycle_balance128", all, "p", "", usual, false, liquid128},
	{"canister_cycle_balance", all, "", "l", usual, true, balance},
	{"canister_status", all, "", "i", usual, false, status},
	{"canister_version", all, "", "l", usual, false, version},
	{"subnet_self_size", all, "", "p", usual, false, subnetSize},
	{"subnet_self_copy", all, "ppn", "", usual, false, subnetCopy},
	{"subnet_self_node_count", all, "", "i", usual, false, nodeCount},

	{"msg_method_name_size", Inspect, "", "p", usual, false, methodSize},
	{"msg_method_name_copy", Inspect, "ppn", "", usual, false, methodCopy},
	{"accept_message", Inspect, "", "", usual, false, acceptMessage},

	{"call_new", calling, "pnpnpppp", "", newCall, false, callNew},
	{"call_on_cleanup", calling, "pp", "", usual, false, callOnCleanup},
	{"call_data_append", calling, "ps", "", usual, false, callDataAppend},
	{"call_with_best_effort_response", calling, "i", "", usual, false, callBestEffort},
	{"call_cycles_add128", Update | callbacks | Task, "ll", "", usual, false, callCycles128},
	{"call_cycles_add", Update | callbacks | Task, "l", "", usual, true, callCycles},
	{"call_perform", calling, "", "i", perform, false, callPerform},

	{"stable64_size", everywhere, "", "l", free, false, stable64Size},
	{"stable64_grow", everywhere, "l", "l", grow, false, stable64Grow},
	{"stable64_write", everywhere, "llN", "", cheap, false, stable64Write},
	{"stable64_read", everywhere, "llN", "", cheap, false, stable64Read},
	{"stable_size", everywhere, "", "i", free, true, stableSize},
	{"stable_grow", everywhere, "i", "i", grow, true, stableGrow},
	{"stable_write", everywhere, "iim", "", cheap, true, stableWrite},
	{"stable_read", everywhere, "iim", "", cheap, true, stableRead},

	{"root_key_size", withRootKey, "", "p", usual, false, rootKeySize},
	{"root_key_copy", withRootKey, "ppn", "", usual, false, rootKeyCopy},
	{"certified_data_set", Init | PreUpgrade | Update | callbacks | Task, "pn", "", usual, false, certifiedSet},
	{"data_certificate_present", all, "", "i", usual, false, certificatePresent},
	{"data_certificate_size", Query | Composite, "", "p", usual, false, certificateSize},
	{"data_certificate_copy", Query | Composite, "ppn", "", usual, false, certificateCopy},

	{"time", all, "", "l", usual, false, timeNow},
	{"global_timer_set", Init | PreUpgrade | Update | callbacks | Cleanup | Task, "l", "l", usual, false, timerSet},
	{"performance_counter", everywhere, "i", "l", counter, false, performanceCounter},
	{"is_controller", everywhere, "pn", "i", whoRules, false, isController},
	{"in_replicated_execution", everywhere, "", "i", usual, false, inReplicated},

	{"cost_call", everywhere, "llp", "", usual, false, costCall},
	{"cost_create_canister", everywhere, "p", "", usual, false, costCreate},
	{"cost_http_request", everywhere, "llp", "", usual, false, costOutcall},
	{"cost_http_request_v2", everywhere, "ppp", "", outcallV2, false, costOutcall2},
	{"cost_sign_with_ecdsa", everywhere, "pnip", "i", usual, false, costECDSA},
	{"cost_sign_with_schnorr", everywhere, "pnip", "i", usual, false, costSchnorr},
	{"cost_vetkd_derive_key", everywhere, "pnip", "i", usual, false, costVetKD},

	{"env_var_count", all, "", "p", usual, false, envCount},
	{"env_var_name_size", all, "p", "p", usual, false, envNameSize},
	{"env_var_name_copy", all, "pppn", "", usual, false, envNameCopy},
	{"env_var_name_exists", all, "pp", "i", usual, false, envExists},
	{"env_var_value_size", all, "pp", "p", usual, false, envValueSize},
	{"env_var_value_copy", all, "ppppn", "", usual, false, envValueCopy},

	{"debug_print", everywhere, "pp", "", print, false, debugPrint},
	{"trap", everywhere, "pn", "", usual, false, trap},
}

// Functions is the System API for an engine.
func Functions() []machine.HostFunc {
	out := make([]machine.HostFunc, len(table))
	for i := range table {
		out[i] = table[i].hostFunc()
	}
	return out
}

// letters of parameters and results: a type, and what each byte costs where it is a length.
var letters = map[rune]struct {
	t       wasm.ValType
	perByte machine.Instructions
}{
	'p': {wasm.Addr, 0}, 'i': {wasm.I32, 0}, 'l': {wasm.I64, 0},
	'n': {wasm.Addr, 1}, 'm': {wasm.I32, 1}, 'N': {wasm.I64, 1}, // bytes that are copied
	's': {wasm.Addr, perSentByte},
}

// maxLength is more bytes than any limit of instructions pays for.
const maxLength = 1 << 42

// price is what a call costs, before it is looked at whether it may be made.
func (f *entry) price() func(a []uint64) machine.Instructions {
	type length struct {
		at      int
		perByte machine.Instructions
	}
	var lengths []length
	for i, l := range f.params {
		if n := letters[l].perByte; n > 0 {
			lengths = append(lengths, length{i, n})
		}
	}
	return func(a []uint64) machine.Instructions {
		n := f.cost
		for _, l := range lengths {
			n += l.perByte * machine.Instructions(min(a[l.at], maxLength))
		}
		return n
	}
}

// shown is the function's name in the error of a wrong context, mainnet's slips included.
func (f *entry) shown() string {
	if f.name == "root_key_copy" || f.name == "subnet_self_copy" {
		return "ic0." + f.name
	}
	return "ic0_" + f.name
}

func (f *entry) hostFunc() machine.HostFunc {
	price := f.price()
	return machine.HostFunc{
		Name: f.name, Params: valTypes(f.params), Results: valTypes(f.results), Only32: f.only32,
		Call: func(c machine.Caller, stack []uint64) error {
			e := c.Env().(*Env)
			if err := c.Charge(price(stack)); err != nil {
				return err
			}
			if f.in&e.Context == 0 {
				return wrongContext(f.shown(), e.Context)
			}
			return f.call(e, c, stack)
		},
	}
}

func valTypes(of string) []wasm.ValType {
	out := make([]wasm.ValType, len(of))
	for i, l := range of {
		out[i] = letters[l].t
	}
	return out
}
