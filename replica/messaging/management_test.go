package messaging

import (
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

var unit = &candid.Unit{}

type idOnly struct {
	ID ic.CanisterID `candid:"canister_id"`
}

func idArg(id ic.CanisterID) []byte { return candid.Marshal(idOnly{id}) }

// status is the part of canister_status that icp 1.5 cannot do without, and some.
type status struct {
	Status struct {
		candid.OneOf
		Running  *candid.Unit `candid:"running"`
		Stopping *candid.Unit `candid:"stopping"`
		Stopped  *candid.Unit `candid:"stopped"`
	} `candid:"status"`
	Settings struct {
		Controllers []ic.Principal `candid:"controllers"`
		LogLimit    candid.Natural `candid:"log_memory_limit"`
		Minimum     candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
		Freezing    candid.Natural `candid:"freezing_threshold"`
	} `candid:"settings"`
	Hash    *[]byte `candid:"module_hash"`
	Metrics struct {
		Logs candid.Natural `candid:"log_memory_store_size"`
		Heap candid.Natural `candid:"wasm_memory_size"`
	} `candid:"memory_metrics"`
	Cycles  candid.Natural `candid:"cycles"`
	Version uint64         `candid:"version"`
}

func (w *world) status(from ic.Principal, id ic.CanisterID) (s status) {
	w.t.Helper()
	if err := candid.Unmarshal(w.must(w.call(from, aaaaa, "canister_status", idArg(id))), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestLifecycle(t *testing.T) {
	w := newWorld(t)
	id := w.create(alice)
	if s := w.status(alice, id); s.Status.Running == nil || s.Hash != nil || len(s.Settings.Controllers) != 1 || s.Settings.Controllers[0] != alice {
		t.Errorf("new canister: %+v", s)
	}
	w.rejected(w.call(bob, id, "update", nil), ic.CanisterWasmModuleNotFound, "contains no Wasm module")
	w.rejected(w.install(bob, id, mode{Install: unit}, universal, nil), ic.CanisterInvalidController, "Only the controllers of the canister "+id.String()+" can control it.")
	w.rejected(w.install(alice, id, upgradeMode(), universal, nil), ic.CanisterWasmModuleNotFound, "")
	w.rejected(w.install(alice, id, mode{Install: unit}, []byte("\x00asm\x01\x00\x00\x01"), nil), ic.CanisterInvalidWasm, "Wasm module is not valid")
	w.rejected(w.install(alice, id, mode{Install: unit}, universal, prog{}.b("init").op('T')), ic.CanisterCalledTrap, "'init'")
	if w.s.Canister(id).Module != nil {
		t.Error("a failed install left code")
	}
	w.must(w.install(alice, id, mode{Install: unit}, universal, prog{}.b("v1").op('G').u64('w', 1).b("stable").u64('S', 0)))
	if s := w.status(alice, id); s.Hash == nil || [32]byte(*s.Hash) != sha256.Sum256(universal) {
		t.Error("module hash is wrong")
	}
	w.rejected(w.install(alice, id, mode{Install: unit}, universal, nil), ic.CanisterNonEmpty, "not empty")

	// Upgrade: heap goes, stable memory stays; a trap anywhere undoes all of it.
	read := prog{}.u64('s', 0)
	read = append(read, 6, 0, 0, 0).reply()
	w.must(w.call(bob, id, "update", prog{}.b(string(prog{}.b("saved!").u64('S', 0))).op('U').reply()))
	w.rejected(w.install(alice, id, upgradeMode(), universal, prog{}.b("post").op('T')), ic.CanisterCalledTrap, "'post'")
	if got := w.must(w.query(bob, id, "query", read)); string(got) != "stable" {
		t.Errorf("after a failed upgrade: %q", got)
	}
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "v1" {
		t.Errorf("after a failed upgrade the heap has %q", got)
	}
	w.must(w.install(alice, id, upgradeMode(), universal, nil))
	if got := w.must(w.query(bob, id, "query", read)); string(got) != "saved!" {
		t.Errorf("after the upgrade: %q", got)
	}
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "" {
		t.Errorf("after the upgrade the heap has %q", got)
	}
	w.must(w.install(alice, id, mode{Reinstall: unit}, universal, nil))
	w.rejected(w.query(bob, id, "query", read), ic.CanisterTrapped, "stable memory out of bounds")
	w.checkReload()

	w.rejected(w.call(alice, aaaaa, "delete_canister", idArg(id)), ic.CanisterNotStopped, "must be stopped before it is deleted")
	w.must(w.call(alice, aaaaa, "stop_canister", idArg(id)))
	w.rejected(w.call(bob, id, "update", nil), ic.CanisterStopped, "is stopped")
	w.rejected(w.query(bob, id, "query", nil), ic.CanisterStopped, "is stopped")
	w.must(w.call(alice, aaaaa, "start_canister", idArg(id)))
	w.must(w.call(bob, id, "update", prog{}.reply()))
	w.must(w.call(alice, aaaaa, "uninstall_code", idArg(id)))
	w.rejected(w.call(bob, id, "update", prog{}.reply()), ic.CanisterWasmModuleNotFound, "")
	w.must(w.call(alice, aaaaa, "stop_canister", idArg(id)))
	w.must(w.call(alice, aaaaa, "delete_canister", idArg(id)))
	w.rejected(w.call(bob, id, "update", nil), ic.CanisterNotFound, "not found")
	if other := w.create(alice); other == id {
		t.Error("the id of a deleted canister was used again")
	}
	w.checkReload()
}

// A canister that waits for an answer stops only when that has come.
func TestStopWaits(t *testing.T) {
	w := newWorld(t)
	a := w.universal(alice)
	slow := prog{}.call(outgoing{to: aaaaa, method: "raw_rand", arg: []byte("DIDL\x00\x00"), onReply: prog{}.b("done").reply()})
	call := w.send(bob, a, "update", slow)
	stop := w.send(alice, aaaaa, "stop_canister", idArg(a))
	w.round()
	if got := w.s.Canister(a).Run; got != state.Stopping && got != state.Stopped {
		t.Fatalf("it is %s", got)
	}
	for range 3 {
		w.round()
	}
	if c := w.s.Status(call); c.State == state.Replied && string(c.Reply) != "done" {
		t.Errorf("call: %+v", c)
	}
	if c := w.s.Status(stop); c.State != state.Replied {
		t.Errorf("stop: %+v", c)
	}
	if got := w.s.Canister(a).Run; got != state.Stopped {
		t.Errorf("it is %s", got)
	}
	// Each request counts as a change, the end of stopping too.
	idle := w.create(alice)
	before := w.s.Canister(idle).Version
	w.send(alice, aaaaa, "stop_canister", idArg(idle))
	w.send(alice, aaaaa, "stop_canister", idArg(idle))
	for range 3 {
		w.round()
	}
	if c := w.s.Canister(idle); c.Run != state.Stopped || c.Version != before+3 {
		t.Errorf("after two requests to stop it is %s, %d versions later", c.Run, c.Version-before)
	}
}

type chunk struct {
	ID    ic.CanisterID `candid:"canister_id"`
	Chunk []byte        `candid:"chunk"`
}

type hashOnly struct {
	Hash []byte `candid:"hash"`
}

func TestChunks(t *testing.T) {
	w := newWorld(t)
	id := w.create(alice)
	half := len(universal) / 2
	var hashes []hashOnly
	for _, part := range [][]byte{universal[:half], universal[half:]} {
		var h hashOnly
		if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, part}))), &h); err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	before := w.s.Canister(id).Cycles
	w.must(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, universal[:half]})))
	if paid, _ := before.Sub(w.s.Canister(id).Cycles); paid.Less(ic.NewCycles(200_000_000)) {
		t.Errorf("a chunk that is there already costs %s cycles: it was hashed too", paid)
	}
	whole := sha256.Sum256(universal)
	type args struct {
		Mode   mode           `candid:"mode"`
		Target ic.CanisterID  `candid:"target_canister"`
		Store  *ic.CanisterID `candid:"store_canister"`
		Chunks []hashOnly     `candid:"chunk_hashes_list"`
		Hash   []byte         `candid:"wasm_module_hash"`
		Arg    []byte         `candid:"arg"`
	}
	in := args{mode{Install: unit}, id, nil, hashes, make([]byte, 32), nil}
	w.rejected(w.call(alice, aaaaa, "install_chunked_code", candid.Marshal(in)), ic.CanisterContractViolation, "does not match given hash")
	in.Hash = whole[:]
	w.must(w.call(alice, aaaaa, "install_chunked_code", candid.Marshal(in)))
	w.must(w.call(bob, id, "update", prog{}.reply()))
	w.checkReload()
	w.must(w.call(alice, aaaaa, "clear_chunk_store", idArg(id)))
	in.Mode = mode{Reinstall: unit}
	w.rejected(w.call(alice, aaaaa, "install_chunked_code", candid.Marshal(in)), ic.CanisterContractViolation, "was not found")
	w.rejected(w.call(bob, aaaaa, "upload_chunk", candid.Marshal(chunk{id, []byte("x")})), ic.CanisterInvalidController, "")
	w.rejected(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, make([]byte, 1<<20+1)})), ic.CanisterContractViolation, "exceeds the maximum chunk size")
	for i := range 100 {
		w.must(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, []byte{byte(i)}})))
	}
	w.rejected(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, []byte{100}})), ic.CanisterContractViolation, "reached maximum capacity of 104857600 bytes or the maximum number of entries, 100")
	w.must(w.call(alice, aaaaa, "upload_chunk", candid.Marshal(chunk{id, []byte{0}})))
	w.checkReload()
}

type snapshotInfo struct {
	ID   []byte `candid:"id"`
	Size uint64 `candid:"total_size"`
}

type snapshotRef struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
}

func TestSnapshots(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.must(w.call(bob, id, "update", prog{}.b("then").op('G').reply()))
	var s snapshotInfo
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "take_canister_snapshot", idArg(id))), &s); err != nil {
		t.Fatal(err)
	}
	w.must(w.call(bob, id, "update", prog{}.b("now").op('G').reply()))
	w.checkReload()
	w.must(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{id, s.ID})))
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "then" {
		t.Errorf("after loading: %q", got)
	}
	other := w.create(alice)
	w.must(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{other, s.ID})))
	if got := w.must(w.query(bob, other, "query", prog{}.op('g').reply())); string(got) != "then" {
		t.Errorf("on another canister: %q", got)
	}
	// Onto a canister that is smaller, on a subnet that is full.
	tiny, capacity := w.create(alice), w.m.cfg.Capacity
	w.m.cfg.Capacity = w.s.Head().MemoryBytes + wasmPage
	w.rejected(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{tiny, s.ID})), ic.SubnetOversubscribed, "of memory but only 61.55 KiB are available")
	w.m.cfg.Capacity = capacity
	w.rejected(w.call(bob, aaaaa, "list_canister_snapshots", idArg(id)), ic.CanisterInvalidController, "")
	var list []snapshotInfo
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "list_canister_snapshots", idArg(id))), &list); err != nil || len(list) != 1 || list[0].Size != s.Size {
		t.Errorf("list: %+v %v", list, err)
	}
	w.must(w.call(alice, aaaaa, "delete_canister_snapshot", candid.Marshal(snapshotRef{id, s.ID})))
	w.rejected(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{id, s.ID})), ic.CanisterSnapshotNotFound, "Could not find the snapshot ID")
	for range 10 {
		w.must(w.call(alice, aaaaa, "take_canister_snapshot", idArg(id)))
	}
	w.rejected(w.call(alice, aaaaa, "take_canister_snapshot", idArg(id)), ic.CanisterRejectedMessage, "maximum number of snapshots allowed: 10")
	w.checkReload()
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.must(w.call(bob, id, "update", prog{}.b("hello").op('D').reply()))
	w.call(bob, id, "update", prog{}.b("before").op('D').b("fell").op('T'))
	type record struct {
		Index   uint64 `candid:"idx"`
		Content []byte `candid:"content"`
	}
	var out struct {
		Records []record `candid:"canister_log_records"`
	}
	if err := candid.Unmarshal(w.must(w.query(alice, aaaaa, "fetch_canister_logs", idArg(id))), &out); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range out.Records {
		lines = append(lines, string(r.Content))
	}
	if got := strings.Join(lines, "|"); got != "hello|before|[TRAP]: fell\nCanister Backtrace:\nrun\nrun_arg\nupdate\n" {
		t.Errorf("log: %s", got)
	}
	w.rejected(w.query(bob, aaaaa, "fetch_canister_logs", idArg(id)), ic.CanisterRejectedMessage, "is not allowed to access canister logs")
	for range 10 {
		w.must(w.call(bob, id, "update", prog{}.b(strings.Repeat("x", 1000)).op('D').reply()))
	}
	if c := w.s.Canister(id); c.LogBytes > c.Settings.LogLimit || c.Logs.Len() != 4 {
		t.Errorf("%d log bytes in %d records", c.LogBytes, c.Logs.Len())
	}
	w.checkReload()
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	type variable struct {
		Name  string `candid:"name"`
		Value string `candid:"value"`
	}
	type settings struct {
		Controllers *[]ic.Principal `candid:"controllers"`
		Freezing    *candid.Natural `candid:"freezing_threshold"`
		Minimum     *candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
		Environment *[]variable     `candid:"environment_variables"`
		Compute     *candid.Natural `candid:"compute_allocation"`
	}
	type args struct {
		Canister ic.CanisterID `candid:"canister_id"`
		Settings settings      `candid:"settings"`
	}
	set := func(from ic.Principal, s settings) ic.Reply {
		return w.call(from, aaaaa, "update_settings", candid.Marshal(args{id, s}))
	}
	w.rejected(set(bob, settings{}), ic.CanisterInvalidController, "")
	env := []variable{{"PUBLIC_X", "value"}}
	w.must(set(alice, settings{Environment: &env}))
	if got := w.must(w.call(bob, id, "update", prog{}.b("PUBLIC_X").op('o').reply())); string(got) != "value" {
		t.Errorf("variable is %q", got)
	}
	w.rejected(w.call(bob, id, "update", prog{}.b("NONE").op('o').reply()), ic.CanisterContractViolation, "Environment variable NONE not found.")
	many := candid.Nat64Of(101)
	w.rejected(set(alice, settings{Compute: &many}), ic.CanisterContractViolation, "ComputeAllocation expected to be in the range [0..100], got 101")
	min := candid.Nat64Of(1000)
	w.must(set(alice, settings{Minimum: &min}))
	other := w.universal(alice)
	o := outgoing{to: id, method: "update", arg: prog{}.reply(), onReply: replyArg, onReject: replyReject}
	if got := w.must(w.call(bob, other, "update", prog{}.call(o))); !strings.Contains(string(got), "at least 1000 cycles") {
		t.Errorf("a call with too few cycles gives %q", got)
	}
	// Frozen: no message, no query, but its settings can be updated.
	long := candid.Nat64Of(1 << 60)
	w.must(set(alice, settings{Freezing: &long}))
	w.rejected(w.call(bob, id, "update", prog{}.reply()), ic.CanisterOutOfCycles, "is out of cycles")
	w.rejected(w.query(bob, id, "query", prog{}.reply()), ic.CanisterOutOfCycles, "unable to process query calls because it's frozen")
	short := candid.Nat64Of(0)
	owners := []ic.Principal{bob, alice}
	w.must(set(alice, settings{Freezing: &short, Controllers: &owners}))
	w.must(w.call(bob, id, "update", prog{}.reply()))
	if s := w.status(bob, id); len(s.Settings.Controllers) != 2 {
		t.Errorf("controllers: %v", s.Settings.Controllers)
	}
	w.checkReload()
}

// A snapshot is read piece by piece and made again on another canister.
func TestSnapshotTransfer(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.must(w.call(bob, id, "update", prog{}.b("heap").op('G').u64('w', 1).b("stable").u64('S', 5000).reply()))
	var s snapshotInfo
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "take_canister_snapshot", idArg(id))), &s); err != nil {
		t.Fatal(err)
	}
	type global struct {
		candid.OneOf
		I32 *int32 `candid:"i32"`
		I64 *int64 `candid:"i64"`
	}
	var meta struct {
		Code      uint64   `candid:"wasm_module_size"`
		Globals   []global `candid:"globals"`
		Heap      uint64   `candid:"wasm_memory_size"`
		Stable    uint64   `candid:"stable_memory_size"`
		Certified []byte   `candid:"certified_data"`
	}
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "read_canister_snapshot_metadata", candid.Marshal(snapshotRef{id, s.ID}))), &meta); err != nil {
		t.Fatal(err)
	}
	if meta.Code != uint64(len(universal)) || meta.Stable != 64<<10 || meta.Heap == 0 {
		t.Errorf("metadata: %+v", meta)
	}
	other := w.create(alice)
	type upload struct {
		Canister  ic.CanisterID `candid:"canister_id"`
		Code      uint64        `candid:"wasm_module_size"`
		Globals   []global      `candid:"globals"`
		Heap      uint64        `candid:"wasm_memory_size"`
		Stable    uint64        `candid:"stable_memory_size"`
		Certified []byte        `candid:"certified_data"`
	}
	var made struct {
		ID []byte `candid:"snapshot_id"`
	}
	r := w.call(alice, aaaaa, "upload_canister_snapshot_metadata", candid.Marshal(upload{other, meta.Code, meta.Globals, meta.Heap, meta.Stable, meta.Certified}))
	if err := candid.Unmarshal(w.must(r), &made); err != nil {
		t.Fatal(err)
	}
	w.rejected(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{other, made.ID})), ic.CanisterInvalidWasm, "unsupported canister module format")
	type piece struct {
		Offset uint64 `candid:"offset"`
		Size   uint64 `candid:"size"`
	}
	type kind struct {
		candid.OneOf
		Code   *piece `candid:"wasm_module"`
		Heap   *piece `candid:"wasm_memory"`
		Stable *piece `candid:"stable_memory"`
	}
	type read struct {
		Canister ic.CanisterID `candid:"canister_id"`
		ID       []byte        `candid:"snapshot_id"`
		Kind     kind          `candid:"kind"`
	}
	type data struct {
		Canister ic.CanisterID `candid:"canister_id"`
		ID       []byte        `candid:"snapshot_id"`
		Kind     kind          `candid:"kind"`
		Chunk    []byte        `candid:"chunk"`
	}
	transfer := func(bytes uint64, k func(*piece) kind) {
		t.Helper()
		for at := uint64(0); at < bytes; at += 100_001 {
			p := &piece{at, min(100_001, bytes-at)}
			var out struct {
				Chunk []byte `candid:"chunk"`
			}
			if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "read_canister_snapshot_data", candid.Marshal(read{id, s.ID, k(p)}))), &out); err != nil {
				t.Fatal(err)
			}
			w.must(w.call(alice, aaaaa, "upload_canister_snapshot_data", candid.Marshal(data{other, made.ID, k(p), out.Chunk})))
		}
	}
	transfer(meta.Code, func(p *piece) kind { return kind{Code: p} })
	transfer(meta.Heap, func(p *piece) kind { return kind{Heap: p} })
	transfer(meta.Stable, func(p *piece) kind { return kind{Stable: p} })
	w.checkReload()
	w.must(w.call(alice, aaaaa, "load_canister_snapshot", candid.Marshal(snapshotRef{other, made.ID})))
	if got := w.must(w.query(bob, other, "query", append(prog{}.u64('s', 5000), 6, 0, 0, 0).reply())); string(got) != "stable" {
		t.Errorf("stable memory has %q", got)
	}
	if got := w.must(w.query(bob, other, "query", prog{}.op('g').reply())); string(got) != "heap" {
		t.Errorf("heap has %q", got)
	}
	w.checkReload()
	w.rejected(w.call(alice, aaaaa, "upload_canister_snapshot_data", candid.Marshal(data{id, s.ID, kind{Heap: &piece{}}, []byte("x")})), ic.CanisterSnapshotImmutable, "created by metadata upload")
	w.rejected(w.call(alice, aaaaa, "upload_canister_snapshot_data", candid.Marshal(data{other, made.ID, kind{Heap: &piece{Offset: meta.Heap}}, []byte("x")})), ic.InvalidManagementPayload, "Invalid subslice")
	w.rejected(w.call(bob, aaaaa, "read_canister_snapshot_data", candid.Marshal(read{id, s.ID, kind{Heap: &piece{0, 1}}})), ic.CanisterInvalidController, "")
}

// Where a subnet has admins, they make canisters on it, for nothing, and look after
// all of them; nobody else can.
func TestSubnetAdmins(t *testing.T) {
	w := newWorld(t)
	// says applies a batch at which the registry has these admins.
	says := func(admins ...ic.Principal) {
		b := &Batch{Height: w.s.Height() + 1, Time: w.time, Nodes: 1, Members: []state.Node{{ID: ic.NodeID{Principal: "node"}}}, Admins: admins}
		old := w.s
		w.s = w.m.Apply(old, b)
		w.persist(old)
	}
	says(bob)
	type none struct{}
	inspect := func(from ic.Principal) *ic.UserError {
		return w.m.Inspect(w.s, &ic.Ingress{Sender: from, Canister: aaaaa, Method: "create_canister", Arg: candid.Marshal(none{}), Bytes: 100}, w.time)
	}
	if err := inspect(bob); err != nil {
		t.Errorf("an admin: %v", err)
	}
	if err := inspect(alice); err == nil || err.Code != ic.CanisterRejectedMessage {
		t.Errorf("somebody else: %v", err)
	}
	w.rejected(w.call(alice, aaaaa, "create_canister", candid.Marshal(none{})), ic.CanisterRejectedMessage, "ic00 method create_canister can not be called via ingress messages")
	var made struct {
		ID ic.CanisterID `candid:"canister_id"`
	}
	if err := candid.Unmarshal(w.must(w.call(bob, aaaaa, "create_canister", candid.Marshal(none{}))), &made); err != nil {
		t.Fatal(err)
	}
	if c := w.s.Canister(made.ID); c == nil || !c.Settings.Controls(bob) || !c.Cycles.IsZero() || !c.Consumed.Creation.IsZero() {
		t.Errorf("%+v", c)
	}
	other := w.universal(alice)
	for _, method := range []string{"canister_status", "stop_canister", "start_canister", "uninstall_code", "stop_canister", "delete_canister"} {
		w.must(w.call(bob, aaaaa, method, idArg(other)))
	}
	w.rejected(w.call(bob, aaaaa, "canister_status", idArg(other)), ic.CanisterNotFound, "")
	third := w.universal(bob)
	w.rejected(w.call(alice, aaaaa, "canister_status", idArg(third)), ic.CanisterStatusAccessDenied, "Caller "+alice.String()+" is not allowed to read the canister status")
	for _, method := range []string{"start_canister", "uninstall_code", "canister_metrics"} {
		w.rejected(w.call(alice, aaaaa, method, idArg(third)), ic.InvalidControllerOrSubnetAdmin, "or subnet admins can control it.")
	}
	w.must(w.query(bob, aaaaa, "list_canisters", candid.Marshal(none{})))
	w.rejected(w.query(alice, aaaaa, "list_canisters", candid.Marshal(none{})), ic.InvalidSubnetAdmin, "")
	w.checkReload()
	before := w.s.Tree().Digest()
	says()
	if err := inspect(bob); err == nil {
		t.Error("nobody is admin, and may")
	}
	w.rejected(w.query(bob, aaaaa, "list_canisters", candid.Marshal(none{})), ic.CanisterRejectedMessage, "list_canisters is only available on subnets with subnet admins")
	w.rejected(w.call(alice, aaaaa, "start_canister", idArg(third)), ic.CanisterInvalidController, "")
	if w.s.Tree().Digest() == before {
		t.Error("who the admins are is not part of the state")
	}
}

// TestProvisionalAmounts: an amount that no canister can own counts as none.
func TestProvisionalAmounts(t *testing.T) {
	w := newWorld(t)
	many := candid.Natural{Int: new(big.Int).Lsh(big.NewInt(1), 128)}
	var made idOnly
	if err := candid.Unmarshal(w.must(w.call(alice, aaaaa, "provisional_create_canister_with_cycles", candid.Marshal(struct {
		Amount *candid.Natural `candid:"amount"`
	}{&many}))), &made); err != nil {
		t.Fatal(err)
	}
	const usual = 100_000_000_000_000
	before, _ := w.status(alice, made.ID).Cycles.Uint64()
	w.must(w.call(alice, aaaaa, "provisional_top_up_canister", candid.Marshal(struct {
		ID     ic.CanisterID  `candid:"canister_id"`
		Amount candid.Natural `candid:"amount"`
	}{made.ID, many})))
	after, _ := w.status(alice, made.ID).Cycles.Uint64()
	if near := func(n, want uint64) bool { return n <= want && want-n < want/1000 }; !near(before, usual) || !near(after, 2*usual) {
		t.Errorf("%d cycles, then %d", before, after)
	}
}
