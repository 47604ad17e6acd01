package spectest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: the errors of a canister's run, word for word as users know them from
// mainnet: an error, a full stop, and on the next line what to do about it.

const (
	explained   = " See documentation: https://docs.internetcomputer.org/references/execution-errors#"
	handle      = ".\nConsider gracefully handling failures from this canister or altering the canister to handle exceptions." + explained
	byToolchain = ".\nIf you are running this canister in a test environment (e.g., dfx), make sure the test environment is up to date. " +
		"Otherwise, this is likely an error with the compiler/CDK toolchain being used to build the canister. " +
		"Please report the error to IC devs on the forum: https://forum.dfinity.org and include which language/CDK was used to create the canister."
	violated = "Canister violated contract: "
	inUpdate = " mode.\nCheck the ICP documentation to make sure APIs are being called in the correct message types." + explained + "calling-a-system-api-from-the-wrong-mode"
)

// errorTexts: in updates and, where they can fail in the same way, in queries.
func (n *net) errorTexts() {
	id := n.scripted(script.Options{})
	heap := fmt.Sprint(script.Pages << 16)
	far := uint64(script.Pages<<16) - 1
	begun := program().Begin(script.Outgoing{To: id.Bytes(), Method: "do"})
	for _, c := range []struct {
		name string
		do   script.Script
		code ic.ErrorCode
		text string
		both bool // a query fails with the same words
	}{
		{"a trap", program().Trap("ouch"), ic.CanisterCalledTrap, "Canister called `ic0.trap` with message: 'ouch'" + handle + "trapped-explicitly", true},
		{"a trap with bytes that are no text", program().Blob([]byte("a\xffb")).API("trap"), ic.CanisterCalledTrap, "Canister called `ic0.trap` with message: 'a\ufffdb'" + handle + "trapped-explicitly", true},
		{"a trap from beyond the heap", program().Push(far).Push(9).API("trap"), ic.CanisterCalledTrap, "Canister called `ic0.trap` with message: '(trap message out of memory bounds)'" + handle + "trapped-explicitly", true},
		{"unreachable", program().Unreachable(), ic.CanisterTrapped, "Canister trapped: unreachable" + handle + "trapped", true},
		{"stable memory", program().Push(0).Push(0).Push(8).API("stable64_read"), ic.CanisterTrapped, "Canister trapped: stable memory out of bounds" + handle + "trapped", true},
		{"beyond the heap", program().Push(far).Push(9).API("msg_reply_data_append"), ic.CanisterContractViolation, violated + fmt.Sprintf("msg.reply: src=%d + length=9 exceeds the slice size=%s", far, heap) + byToolchain, true},
		{"beyond the argument", program().Push(script.Scratch).Push(1 << 20).Push(1).API("msg_arg_data_copy"), ic.CanisterContractViolation, violated + "ic0.msg_arg_data_copy payload: src=1048576 + length=1 exceeds the slice size=", true},
		{"cycles beyond the heap", program().Push(far).API("canister_cycle_balance128"), ic.CanisterContractViolation,
			violated + fmt.Sprintf("ic0_canister_cycle_balance128 failed because dst + size is out of bounds.Found dst = %d and size = 16 while must be <= %s", far, heap) + byToolchain, true},
		{"the wrong context", program().API("accept_message"), ic.CanisterContractViolation, violated + `"ic0_accept_message" cannot be executed in update` + inUpdate, false},
		{"a certificate in an update", program().API("data_certificate_size"), ic.CanisterContractViolation, violated + `"ic0_data_certificate_size" cannot be executed in update` + inUpdate, false},
		{"replied twice", program().API("msg_reply").API("msg_reply"), ic.CanisterContractViolation, violated + "ic0.msg_reply: the call is already replied" + byToolchain, true},
		{"a long reply", program().Push(0).Push(4 << 20).API("msg_reply_data_append"), ic.CanisterContractViolation,
			violated + "ic0.msg_reply_data_append: application payload size (4194304) cannot be larger than 2097152..\nConsider checking the response size and returning an error if it is too long." + explained + "msg_reply_data_append-payload-too-large", false},
		{"certified data", program().Push(0).Push(33).API("certified_data_set"), ic.CanisterContractViolation,
			violated + "ic0_certified_data_set failed because the passed data must be no larger than 32 bytes. Found 33 bytes..\nTry certifying just the hash of your data instead of the full contents." + explained + "certified_data_set-payload-too-large", false},
		{"a counter", program().Push(2).API("performance_counter"), ic.CanisterContractViolation, violated + "Error getting performance counter type 2", true},
		{"a principal", program().Push(0).Push(30).API("is_controller"), ic.CanisterContractViolation, "Canister provided invalid principal id" + byToolchain, true},
		{"a variable", program().Push(0).API("env_var_name_size"), ic.CanisterContractViolation, "Environment variable index 0 is out of bounds. The number of environment variables is 0.", true},
		{"a variable's name", program().Text("nope").API("env_var_value_size"), ic.CanisterContractViolation, "Environment variable nope not found.", true},
		{"a key's name", program().Blob([]byte{0xff}).Push(0).Push(script.Scratch).API("cost_sign_with_ecdsa"), ic.CanisterContractViolation, violated + "Failed to decode key name \ufffd" + byToolchain, true},
		{"no call begun", program().Push(0).Push(1).API("call_cycles_add128"), ic.CanisterContractViolation, violated + "ic0_call_cycles_add128 called when no call is under construction." + byToolchain, false},
		{"no call to perform", program().API("call_perform"), ic.CanisterContractViolation, violated + "ic0.call_perform called when no call is under construction." + byToolchain, false},
		{"more cycles than there are", begun.Push(1).Push(0).API("call_cycles_add128"), ic.CanisterContractViolation, "Canister " + id.String() + " is out of cycles", false},
		{"a long method name", program().Push(0).Push(0).Push(0).Push(20_001).Push(0).Push(0).Push(0).Push(0).API("call_new"), ic.CanisterContractViolation,
			violated + "Size of method_name 20001 exceeds the allowed limit of 20000..\nSize of method_name {} exceeds the allowed limit of {}." + explained + "canister-made-a-call-with-too-large-method-name", false},
		{"a long argument", begun.Push(0).Push(10<<20 - 1).API("call_data_append"), ic.CanisterContractViolation,
			violated + "Request to " + id.String() + ":do has a payload size of 10485761, which exceeds the allowed limit of 10485760..\nCheck the canister for errors or redesign the target API to allow shorter messages" + explained + "canister-made-a-call-with-too-large-payload", false},
	} {
		_, err := n.do(id, c.do)
		n.words(c.name, id, err, c.code, c.text)
		if c.both {
			_, err = n.ask(id, c.do)
			n.words(c.name+", in a query", id, err, c.code, c.text)
		}
	}
	long := func(size uint64) script.Script {
		return program().Push(64).Grow().Drop().Push(0).Push(size).API("msg_reply_data_append").API("msg_reply")
	}
	for _, c := range []struct {
		name string
		send func(ic.CanisterID, script.Script) ([]byte, error)
		most uint64
	}{{"an update", n.do, 2 << 20}, {"a query", n.ask, 3 << 20}} {
		if got, err := c.send(id, long(c.most)); err != nil || uint64(len(got)) != c.most {
			n.Errorf("%s replies with %d bytes, %v", c.name, len(got), err)
		}
		_, err := c.send(id, long(c.most+1))
		n.words("a longer reply of "+c.name, id, err, ic.CanisterContractViolation, violated+fmt.Sprintf("ic0.msg_reply_data_append: application payload size (%d) cannot be larger than %d..\nConsider checking the response size and returning an error if it is too long.", c.most+1, c.most)+explained+"msg_reply_data_append-payload-too-large")
	}
	_, err := n.agent.Call(n.ctx, id, "nothing", nil)
	n.words("no update method", id, err, ic.CanisterMethodNotFound, "Canister has no update method 'nothing'..\nCheck that the method being called is exported by the target canister."+explained+"method-not-found")
	_, err = n.agent.Query(n.ctx, id, "nothing", nil)
	n.words("no query method", id, err, ic.CanisterMethodNotFound, "Canister has no query method 'nothing'..\nCheck that the method being called is exported by the target canister."+explained+"method-not-found")
	empty := n.create()
	_, err = n.agent.Query(n.ctx, empty, "nothing", nil)
	n.words("no code", empty, err, ic.CanisterWasmModuleNotFound, "Attempted to execute a message, but the canister contains no Wasm module..\nPlease install code to this canister before calling it."+explained+"wasm-module-not-found")
	for text, module := range map[string][]byte{
		"Failed to decode wasm module: unsupported canister module format" + byToolchain:                                                               []byte("text"),
		"Wasm module has an invalid import section. Module imports function 'tide' from 'ic0' that is not exported by the runtime." + byToolchain:      importing("tide"),
		`Wasm module has an invalid export section. Exporting reserved function 'canister_hatch' with "canister_" prefix` + byToolchain:                exporting("canister_hatch"),
		"Wasm module has an invalid custom section. Invalid custom section: Custom section 'icp:a' has no public/private scope defined." + byToolchain: withSection(exporting(), "icp:a", ""),
		"Duplicate function 'a' exported multiple times with different call types: update, query, or composite_query..\n" +
			"Try defining different versions of the function for each call type, e.g. `a_update`, `a_query`, etc." + explained + "wasm-module-duplicate-exports": exporting("canister_update a", "canister_query a"),
	} {
		err := n.ic.InstallCode(n.ctx, empty, agent.Install(), module, nil)
		n.words("a module", empty, err, ic.CanisterInvalidWasm, "Canister's Wasm module is not valid: "+text)
	}
	// A callback that is not in the function table.
	wild := program().Blob(id.Bytes()).Text("do").Push(77_777).Push(0).Push(77_777).Push(0).API("call_new").Blob(replied).API("call_data_append").API("call_perform").Drop()
	_, err = n.do(id, wild)
	n.words("a callback that is none", id, err, ic.CanisterFunctionNotFound, "Canister requested to invoke a non-existent Wasm function 77777 from table 0"+byToolchain)
}

// managementTexts: what the management canister says where it refuses.
func (n *net) managementTexts() {
	id, other := n.scripted(script.Options{}), n.create()
	snap, stranger := n.take(id, nil), n.as(must(agent.Ed25519(key(31))))
	var made struct {
		ID []byte `candid:"snapshot_id"`
	}
	upload := uploadMetadata{Canister: other, Code: 8, Globals: []global{}}
	n.must("metadata", n.manage(other, "upload_canister_snapshot_metadata", upload, &made))
	unknown := append(bytes.Clone(id.Bytes()), 0, 0, 0, 0, 0, 0, 0, 99)
	nat := func(v uint64) *candid.Natural {
		n := candid.Nat64Of(v)
		return &n
	}
	read := func(kind readKind) error {
		return n.manage(id, "read_canister_snapshot_data", readArg{id, snap.ID, kind})
	}
	chunked := func(parts ...chunkHash) error {
		return n.manage(other, "install_chunked_code", chunkedArg{Mode: agent.Install(), Target: other, Chunks: parts, Hash: make([]byte, 32)})
	}
	const (
		byList  = "\nUse the `list_canister_snapshot` API to see which snapshots are present." + explained
		byStore = ".\nUse the `stored_chunks` API to check which hashes are present or top up the canister if it is low on cycles." + explained + "wasm-chunk-store-error"
	)
	zeros := "[" + strings.Repeat("0, ", 31) + "0]"
	for _, c := range []struct {
		name string
		err  error
		code ic.ErrorCode
		text string
	}{
		{"a stranger", stranger.manage(id, "start_canister", idArg{id}), ic.CanisterInvalidController,
			fmt.Sprintf("Only controllers of canister %s can call ic00 method start_canister", id)},
		{"logs in a call", n.manage(id, "fetch_canister_logs", idArg{id}), ic.CanisterRejectedMessage, "ic00 method fetch_canister_logs can not be called via ingress messages"},
		{"randomness", n.manage(id, "raw_rand", struct{}{}), ic.CanisterRejectedMessage, "ic00 method raw_rand can not be called via ingress messages"},
		{"an argument of another type", n.manage(id, "start_canister", struct{}{}), ic.InvalidManagementPayload, "Failed to parse payload for ic00 method start_canister: IC0408: Error decoding candid: "},
		{"information in a call", n.manage(id, "canister_info", idArg{id}), ic.CanisterRejectedMessage, "Only canisters can call ic00 method canister_info"},
		{"no such method", n.manage(id, "raw_rant", idArg{id}), ic.CanisterMethodNotFound, "ic00 interface does not expose method raw_rant"},
		{"not stopped", n.manage(id, "delete_canister", idArg{id}), ic.CanisterNotStopped,
			fmt.Sprintf("Canister %s must be stopped before it is deleted.\nStop the canister before deleting it.%sdelete-canister-not-stopped", id, explained)},
		{"not empty", n.ic.InstallCode(n.ctx, id, agent.Install(), script.Module(script.Options{}), nil), ic.CanisterNonEmpty,
			fmt.Sprintf("Canister %s cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead.\nCheck that you want to overwrite the canister and, if so, use mode='reinstall'.%scanister-not-empty", id, explained)},
		{"a small log", n.settings(id, settings{LogLimit: nat(4095)}), ic.CanisterRejectedMessage, "The canister log memory limit 4095 is too low. It must be at least 4096."},
		{"a large log", n.settings(id, settings{LogLimit: nat(2<<20 + 1)}), ic.CanisterRejectedMessage, "The canister log memory limit 2097153 is too high. It must be at most 2097152."},
		{"compute", n.settings(id, settings{Compute: nat(101)}), ic.CanisterContractViolation, "ComputeAllocation expected to be in the range [0..100], got 101"},
		{"no such snapshot", n.manage(id, "delete_canister_snapshot", snapshotArg{id, unknown}), ic.CanisterSnapshotNotFound,
			fmt.Sprintf("Could not find the snapshot ID %x for canister %s.%scanister-snapshot-not-found", unknown, id, byList)},
		{"no such snapshot of another", n.manage(other, "delete_canister_snapshot", snapshotArg{other, unknown}), ic.CanisterSnapshotNotFound,
			fmt.Sprintf("Could not find the snapshot ID %x for canister %s.%scanister-snapshot-not-found", unknown, other, byList)},
		{"another's snapshot", n.manage(other, "delete_canister_snapshot", snapshotArg{other, snap.ID}), ic.CanisterRejectedMessage,
			fmt.Sprintf("The snapshot %x does not belong to canister %s.%scanister-snapshot-invalid-ownership", snap.ID, other, byList)},
		{"a snapshot of nothing", n.manage(other, "take_canister_snapshot", takeArg{Canister: other}), ic.CanisterRejectedMessage,
			fmt.Sprintf("Failed to create snapshot for empty canister %s:", other)},
		{"a real snapshot", n.manage(id, "upload_canister_snapshot_data", writeArg{id, snap.ID, writeKind{Heap: &place{0}}, []byte("x")}), ic.CanisterSnapshotImmutable,
			"Only canister snapshots created by metadata upload can be mutated."},
		{"a large slice", read(readKind{Heap: &slice{0, 2_000_001}}), ic.InvalidManagementPayload, "Requested slice too large: 2000001 > 2000000"},
		{"a slice beyond", read(readKind{Stable: &slice{5, 6}}), ic.InvalidManagementPayload, "Invalid subslice into wasm module / main memory / stable memory: offset: 5, size: 6"},
		{"half a hash", read(readKind{Chunk: &chunkHash{[]byte{1, 0xab}}}), ic.CanisterContractViolation, "Error from Wasm chunk store: Bytes [01, ab] are not a valid WasmChunkHash." + byStore},
		{"no code in a snapshot", n.manage(other, "load_canister_snapshot", snapshotArg{other, made.ID}), ic.CanisterInvalidWasm,
			fmt.Sprintf("Error from Canister %s: Canister's Wasm module is not valid: Failed to decode wasm module: unsupported canister module format%s", other, byToolchain)},
		{"a large chunk", n.manage(id, "upload_chunk", uploadArg{id, make([]byte, 1<<20+1)}), ic.CanisterContractViolation,
			"Error from Wasm chunk store: Wasm chunk size 1048577 exceeds the maximum chunk size of 1048576" + byStore},
		{"no such chunk", chunked(chunkHash{make([]byte, 32)}), ic.CanisterContractViolation, "Error from Wasm chunk store: Chunk hash " + zeros + " was not found" + byStore},
		{"a short hash", chunked(chunkHash{make([]byte, 31)}), ic.CanisterContractViolation, "Error from Wasm chunk store: Chunk hash is invalid. The length is not 32" + byStore},
	} {
		var r *agent.Rejected
		if errors.As(c.err, &r) && strings.HasSuffix(c.text, ": ") && strings.HasPrefix(r.Message, c.text) {
			r.Message = c.text
		}
		if !errors.As(c.err, &r) || r.ErrorCode != c.code.String() || r.Message != c.text {
			n.Errorf("%s: %v\nwant %s %q", c.name, c.err, c.code, c.text)
		}
	}
}

// words expects a canister's error with this text, or one that goes on where the text
// ends in the middle of a sentence.
func (n *net) words(what string, id ic.CanisterID, err error, code ic.ErrorCode, text string) {
	n.Helper()
	var r *agent.Rejected
	if !errors.As(err, &r) {
		n.Errorf("%s: %v, want a rejection", what, err)
		return
	}
	want := "Error from Canister " + id.String() + ": " + text
	if len(r.Message) > len(want) && want[len(want)-1] == '=' {
		r.Message = r.Message[:len(want)]
	}
	if r.ErrorCode != code.String() || r.Message != want {
		n.Errorf("%s:\n%s %q, want\n%s %q", what, r.ErrorCode, r.Message, code, want)
	}
}
