package messaging

import (
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// methods of the management canister, with one that does not exist.
var managementMethods = []string{
	"create_canister", "provisional_create_canister_with_cycles", "provisional_top_up_canister", "update_settings", "install_code", "install_chunked_code",
	"upload_chunk", "clear_chunk_store", "stored_chunks", "uninstall_code", "start_canister", "stop_canister", "delete_canister", "canister_status",
	"canister_metrics", "canister_info", "canister_metadata", "deposit_cycles", "raw_rand", "take_canister_snapshot", "load_canister_snapshot",
	"list_canister_snapshots", "delete_canister_snapshot", "read_canister_snapshot_metadata", "read_canister_snapshot_data",
	"upload_canister_snapshot_metadata", "upload_canister_snapshot_data", "fetch_canister_logs", "node_metrics_history", "subnet_info",
	"subnet_metrics", "list_canisters", "sign_with_ecdsa", "vetkd_public_key", "http_request", "bitcoin_get_utxos", "rename_canister", "none",
}

// anyArg has the fields of all methods' arguments, so that it is one for each.
type anyArg struct {
	Canister  ic.CanisterID `candid:"canister_id"`
	Target    ic.CanisterID `candid:"target_canister"`
	Store     ic.CanisterID `candid:"store_canister"`
	Subnet    ic.Principal  `candid:"subnet_id"`
	Start     uint64        `candid:"start_at_timestamp_nanos"`
	Amount    ic.Cycles     `candid:"amount"`
	Mode      mode          `candid:"mode"`
	Code      []byte        `candid:"wasm_module"`
	CodeHash  []byte        `candid:"wasm_module_hash"`
	Arg       []byte        `candid:"arg"`
	Name      string        `candid:"name"`
	Chunk     []byte        `candid:"chunk"`
	Chunks    []anyHash     `candid:"chunk_hashes_list"`
	ID        []byte        `candid:"snapshot_id"`
	Kind      anyKind       `candid:"kind"`
	CodeBytes uint64        `candid:"wasm_module_size"`
	Globals   []anyGlobal   `candid:"globals"`
	Heap      uint64        `candid:"wasm_memory_size"`
	Stable    uint64        `candid:"stable_memory_size"`
	Certified []byte        `candid:"certified_data"`
	Changes   *uint64       `candid:"num_requested_changes"`
	Settings  anySettings   `candid:"settings"`
}

// about is one for a canister; variants have to be some case.
func about(id ic.CanisterID) anyArg {
	return anyArg{Canister: id, Target: id, Store: id, Mode: mode{Reinstall: unit}, Kind: anyKind{Heap: &anyRange{}}}
}

type anyHash struct {
	Hash []byte `candid:"hash"`
}

type anyRange struct {
	Offset uint64 `candid:"offset"`
	Size   uint64 `candid:"size"`
}

type anyKind struct {
	candid.OneOf
	Code   *anyRange `candid:"wasm_module"`
	Heap   *anyRange `candid:"wasm_memory"`
	Stable *anyRange `candid:"stable_memory"`
	Chunk  *anyHash  `candid:"wasm_chunk"`
}

type anyGlobal struct {
	candid.OneOf
	I32  *int32          `candid:"i32"`
	I64  *int64          `candid:"i64"`
	F32  *float32        `candid:"f32"`
	F64  *float64        `candid:"f64"`
	V128 *candid.Natural `candid:"v128"`
}

type anySettings struct {
	Controllers *[]ic.Principal `candid:"controllers"`
	Compute     *candid.Natural `candid:"compute_allocation"`
	Memory      *candid.Natural `candid:"memory_allocation"`
	Freezing    *candid.Natural `candid:"freezing_threshold"`
	Limit       *candid.Natural `candid:"wasm_memory_limit"`
	LogLimit    *candid.Natural `candid:"log_memory_limit"`
}

// slowest is how long one fuzz input may take, on a machine that does other things too.
const slowest = 20 * time.Second

// FuzzManagement sends bytes to each method of the management canister: as a user's
// call, as a canister's, as a query. Each is answered, nothing panics, and the state
// that comes of it is one that can be stored and loaded.
func FuzzManagement(f *testing.F) {
	w := newWorldOn(f, newEngine(f))
	caller := w.universal(alice)
	id := w.create(alice)
	w.must(w.install(alice, id, mode{Install: &candid.Unit{}}, universal, prog{}.u64('w', 2).b("line").op('D')))
	upload := about(id)
	upload.Chunk = universal
	w.must(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(upload)))
	var taken struct {
		ID []byte `candid:"id"`
	}
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "take_canister_snapshot", idArg(id))), &taken); err != nil {
		f.Fatal(err)
	}
	hash := w.s.Canister(id).Module.Hash[:]
	base, at := w.s, w.time
	arg := about(id)
	arg.Subnet, arg.Code, arg.CodeHash, arg.Name, arg.Chunk, arg.Chunks = w.m.cfg.Subnet.ID.Principal, universal, hash, "name", []byte("chunk"), []anyHash{{hash}}
	arg.ID, arg.Kind.Heap.Size, arg.CodeBytes, arg.Heap, arg.Certified, arg.Globals = taken.ID, 10, 100, 65536, []byte("x"), []anyGlobal{{I32: new(int32)}}
	arg.Changes, arg.Settings = new(uint64), anySettings{Freezing: nat64(5), LogLimit: nat64(4096)}
	upgrade := arg
	upgrade.Mode, upgrade.Kind = upgradeMode(), anyKind{Chunk: &anyHash{hash}}
	for i := range managementMethods {
		for way := range 3 {
			f.Add(uint8(i), uint8(way), candid.Marshal(arg))
			f.Add(uint8(i), uint8(way), candid.Marshal(upgrade))
		}
		f.Add(uint8(i), uint8(0), candid.Marshal())
	}
	f.Add(uint8(4), uint8(0), []byte("DIDL\x02\x6c\x02\xa2\xf5\xed\x88\x04\x01\xb3\xc4\xb1\xf2\x04\x68\x6d\x7b\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, which, way uint8, arg []byte) {
		method := managementMethods[int(which)%len(managementMethods)]
		began := time.Now()
		w := &world{t: t, m: w.m, s: base, store: map[string]string{}, time: at}
		w.persist(nil)
		switch way % 3 {
		case 0:
			// What inspection refuses must not be harmful either: another node may let it in.
			w.m.Inspect(base, &ic.Ingress{Sender: alice, Canister: aaaaa, Method: method, Arg: arg, Bytes: 300 + len(arg)}, at)
			r := w.call(alice, aaaaa, method, arg)
			answered(t, method, r)
		case 1:
			r := w.call(alice, caller, "update", prog{}.call(outgoing{method: method, arg: arg, cycles: 1_000_000_000_000, onReply: replyArg, onReject: replyReject}))
			answered(t, method, r)
		default:
			answered(t, method, w.query(alice, aaaaa, method, arg))
			answered(t, method, w.query(alice, caller, "composite", prog{}.call(outgoing{method: method, arg: arg, onReply: replyArg, onReject: replyReject})))
		}
		w.checkReload()
		if took := time.Since(began); took > slowest {
			t.Errorf("%s with %d bytes took %v", method, len(arg), took)
		}
	})
}

func answered(t *testing.T, method string, r ic.Reply) {
	t.Helper()
	if r.Reject == nil && r.Data == nil {
		t.Errorf("%s has no answer", method)
	}
	if r.Reject != nil && len(r.Reject.Message) > 8<<10 {
		t.Errorf("%s is rejected with %d bytes", method, len(r.Reject.Message))
	}
}

// FuzzUploadedSnapshot loads snapshots that nobody took: code, memories and globals
// that need not fit. What is loaded runs, or traps; it harms nobody else.
func FuzzUploadedSnapshot(f *testing.F) {
	w := newWorldOn(f, newEngine(f))
	id := w.universal(alice)
	c := w.s.Canister(id)
	var globals []byte // a byte each: its type
	for _, g := range c.Memory.Globals {
		globals = append(globals, g.Type)
	}
	heap := uint16(c.HeapBytes / wasmPage)
	base, at := w.s, w.time
	f.Add(universal, globals, heap, uint16(1), uint64(65536), []byte("data"))
	f.Add(universal, globals, uint16(0), uint16(0), uint64(0), []byte("data"))
	f.Add(universal, []byte(nil), heap, uint16(3), uint64(0), []byte(nil))
	f.Add(universal, append([]byte{0x7b, 0x7d}, globals...), heap, uint16(65535), uint64(1<<40), []byte("x"))
	f.Add(heartbeat, globals, uint16(65535), uint16(0), uint64(0), []byte("x"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00"), []byte(nil), uint16(0), uint16(0), uint64(0), []byte(nil))
	f.Add([]byte("\x1f\x8b\x08 not zipped"), []byte{0x7f}, uint16(1), uint16(0), uint64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, code, types []byte, heap, stable uint16, offset uint64, data []byte) {
		if len(code) > 1<<20 || len(data) > 1<<20 {
			return
		}
		w := &world{t: t, m: w.m, s: base, store: map[string]string{}, time: at}
		w.persist(nil)
		up := about(id)
		up.CodeBytes, up.Heap, up.Stable, up.Certified = uint64(len(code)), uint64(heap)*wasmPage, uint64(stable)*wasmPage, []byte("c")
		for _, b := range types[:min(len(types), 100)] {
			var g anyGlobal
			switch n := int64(b); b {
			case 0x7e:
				g.I64 = &n
			case 0x7d:
				g.F32 = new(float32)
			case 0x7c:
				g.F64 = new(float64)
			case 0x7b:
				g.V128 = nat64(uint64(b))
			default:
				g.I32 = new(int32)
			}
			up.Globals = append(up.Globals, g)
		}
		var made struct {
			ID []byte `candid:"snapshot_id"`
		}
		r := w.call(alice, aaaaa, "upload_canister_snapshot_metadata", candid.Marshal(up))
		if r.Reject != nil || candid.Unmarshal(r.Data, &made) != nil {
			return // too large, or more than the canister can pay for
		}
		put := func(k anyKind, data []byte) {
			a := about(id)
			a.ID, a.Kind, a.Chunk = made.ID, k, data
			w.call(alice, aaaaa, "upload_canister_snapshot_data", candid.Marshal(a))
		}
		put(anyKind{Code: &anyRange{}}, code)
		put(anyKind{Heap: &anyRange{Offset: offset}}, data)
		put(anyKind{Stable: &anyRange{Offset: offset}}, data)
		load := about(id)
		load.ID = made.ID
		r = w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(load))
		answered(t, "load_canister_snapshot", r)
		if r.Reject == nil {
			answered(t, "update", w.call(bob, id, "update", prog{}.b("x").op('G').reply()))
			answered(t, "query", w.query(bob, id, "query", prog{}.op('g').reply()))
			w.round()
		}
		w.checkReload()
	})
}
