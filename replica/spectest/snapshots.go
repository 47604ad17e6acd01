package spectest

import (
	"bytes"
	"errors"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: management-canister.md, canister snapshots.

type snapshot struct {
	ID    []byte `candid:"id"`
	Taken uint64 `candid:"taken_at_timestamp"`
	Size  uint64 `candid:"total_size"`
}

type takeArg struct {
	Canister  ic.CanisterID `candid:"canister_id"`
	Replace   *[]byte       `candid:"replace_snapshot"`
	Uninstall *bool         `candid:"uninstall_code"`
}

type snapshotArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
}

type global struct {
	candid.OneOf
	I32  *int32          `candid:"i32"`
	I64  *int64          `candid:"i64"`
	F32  *float32        `candid:"f32"`
	F64  *float64        `candid:"f64"`
	V128 *candid.Natural `candid:"v128"`
}

type timerState struct {
	candid.OneOf
	Inactive *candid.Unit `candid:"inactive"`
	Active   *uint64      `candid:"active"`
}

type hookState struct {
	candid.OneOf
	Idle     *candid.Unit `candid:"condition_not_satisfied"`
	Ready    *candid.Unit `candid:"ready"`
	Executed *candid.Unit `candid:"executed"`
}

type metadata struct {
	Code      uint64      `candid:"wasm_module_size"`
	Globals   []global    `candid:"globals"`
	Heap      uint64      `candid:"wasm_memory_size"`
	Stable    uint64      `candid:"stable_memory_size"`
	Chunks    []chunkHash `candid:"wasm_chunk_store"`
	Version   uint64      `candid:"canister_version"`
	Certified []byte      `candid:"certified_data"`
	Timer     *timerState `candid:"global_timer"`
	Hook      *hookState  `candid:"on_low_wasm_memory_hook_status"`
}

type uploadMetadata struct {
	Canister  ic.CanisterID `candid:"canister_id"`
	Replace   *[]byte       `candid:"replace_snapshot"`
	Code      uint64        `candid:"wasm_module_size"`
	Globals   []global      `candid:"globals"`
	Heap      uint64        `candid:"wasm_memory_size"`
	Stable    uint64        `candid:"stable_memory_size"`
	Certified []byte        `candid:"certified_data"`
	Timer     *timerState   `candid:"global_timer"`
	Hook      *hookState    `candid:"on_low_wasm_memory_hook_status"`
}

type slice struct {
	Offset uint64 `candid:"offset"`
	Size   uint64 `candid:"size"`
}

type readKind struct {
	candid.OneOf
	Code   *slice     `candid:"wasm_module"`
	Heap   *slice     `candid:"wasm_memory"`
	Stable *slice     `candid:"stable_memory"`
	Chunk  *chunkHash `candid:"wasm_chunk"`
}

type readArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
	Kind     readKind      `candid:"kind"`
}

type readResult struct {
	Chunk []byte `candid:"chunk"`
}

type place struct {
	Offset uint64 `candid:"offset"`
}

type writeKind struct {
	candid.OneOf
	Code   *place       `candid:"wasm_module"`
	Heap   *place       `candid:"wasm_memory"`
	Stable *place       `candid:"stable_memory"`
	Chunk  *candid.Unit `candid:"wasm_chunk"`
}

type writeArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
	Kind     writeKind     `candid:"kind"`
	Chunk    []byte        `candid:"chunk"`
}

func (n *net) take(id ic.CanisterID, replace *[]byte) (s snapshot) {
	n.Helper()
	n.must("take_canister_snapshot", n.manage(id, "take_canister_snapshot", takeArg{Canister: id, Replace: replace}, &s))
	return s
}

func (n *net) snapshotsOf(id ic.CanisterID) (l []snapshot) {
	n.Helper()
	n.must("list_canister_snapshots", n.manage(id, "list_canister_snapshots", idArg{id}, &l))
	return l
}

const at = 0x10 // the word that the tests of snapshots look at

func (n *net) set(id ic.CanisterID, v uint64) {
	n.Helper()
	_, err := n.do(id, program().Push(at).Push(v).Store().API("msg_reply"))
	n.must("set", err)
}

func (n *net) has(id ic.CanisterID, v byte) {
	n.Helper()
	got, err := n.ask(id, program().Push(at).Load().ReplyInt())
	n.says("the word", number(v), got, err)
}

// snapshots: take, load, list, replace, delete.
func (n *net) snapshots() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	n.set(id, 1)
	first := n.take(id, nil)
	if first.Size == 0 || first.Taken == 0 || len(n.snapshotsOf(id)) != 1 {
		n.Errorf("a snapshot is %+v", first)
	}
	n.set(id, 2)
	load := func(to ic.CanisterID, snap []byte) error {
		return n.manage(to, "load_canister_snapshot", snapshotArg{to, snap})
	}
	n.must("load", load(id, first.ID))
	n.has(id, 1)
	n.must("load onto another canister", load(other, first.ID))
	n.has(other, 1)
	n.set(id, 3)
	second := n.take(id, &first.ID)
	if l := n.snapshotsOf(id); len(l) != 1 || !bytes.Equal(l[0].ID, second.ID) {
		n.Errorf("after a replacement the list is %+v", l)
	}
	n.rejected("a replaced snapshot", load(id, first.ID), ic.DestinationInvalid, "IC0305")
	stranger := n.as(must(agent.Ed25519(key(24))))
	n.rejected("a stranger takes", stranger.manage(id, "take_canister_snapshot", takeArg{Canister: id}), ic.CanisterError, "IC0512")
	n.rejected("a stranger deletes", stranger.manage(id, "delete_canister_snapshot", snapshotArg{id, second.ID}), ic.CanisterError, "IC0512")
	yes := true
	n.must("take and uninstall", n.manage(id, "take_canister_snapshot", takeArg{Canister: id, Uninstall: &yes}))
	_, err := n.do(id, replied)
	n.rejected("the code is gone", err, ic.CanisterError, "IC0537")
	n.rejected("of an empty canister", n.manage(id, "take_canister_snapshot", takeArg{Canister: id}), ic.CanisterReject, "IC0406")
	n.must("load onto the empty canister", load(id, second.ID))
	n.has(id, 3)
	n.must("delete", n.manage(id, "delete_canister_snapshot", snapshotArg{id, second.ID}))
	n.rejected("delete again", n.manage(id, "delete_canister_snapshot", snapshotArg{id, second.ID}), ic.DestinationInvalid, "IC0305")
	n.rejected("an id that is none", load(id, []byte("x")), ic.DestinationInvalid, "IC0305")
	for range 9 {
		n.take(id, nil)
	}
	n.rejected("an eleventh snapshot", n.manage(id, "take_canister_snapshot", takeArg{Canister: id}), ic.CanisterReject, "IC0406")
	n.must("stop", n.ic.Stop(n.ctx, id))
	n.must("delete a canister with snapshots", n.ic.Delete(n.ctx, id))
}

// transfer: a snapshot is read piece by piece, and made of pieces elsewhere.
func (n *net) transfer() {
	from, to := n.scripted(script.Options{Public: "shown"}), n.create()
	n.set(from, 77)
	if _, err := n.do(from, program().Push(1).API("stable64_grow").Drop().Push(5).Text("stable").API("stable64_write").
		Text("certified").API("certified_data_set").Push(1<<62).API("global_timer_set").Drop().API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	snap := n.take(from, nil)
	var m metadata
	n.must("read_canister_snapshot_metadata", n.manage(from, "read_canister_snapshot_metadata", snapshotArg{from, snap.ID}, &m))
	if m.Stable != 65536 || string(m.Certified) != "certified" || m.Timer == nil || m.Timer.Active == nil || *m.Timer.Active != 1<<62 || len(m.Globals) != 1 {
		n.Fatalf("metadata: %+v", m)
	}
	read := func(k readKind) []byte {
		n.Helper()
		var r readResult
		n.must("read_canister_snapshot_data", n.manage(from, "read_canister_snapshot_data", readArg{from, snap.ID, k}, &r))
		return r.Chunk
	}
	var made struct {
		ID []byte `candid:"snapshot_id"`
	}
	n.must("upload_canister_snapshot_metadata", n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{
		Canister: to, Code: m.Code, Globals: m.Globals, Heap: m.Heap, Stable: m.Stable, Certified: m.Certified, Timer: m.Timer, Hook: m.Hook,
	}, &made))
	write := func(k writeKind, b []byte) error {
		return n.manage(to, "upload_canister_snapshot_data", writeArg{to, made.ID, k, b})
	}
	const step = 1_500_000
	for off := uint64(0); off < m.Code; off += step {
		n.must("code", write(writeKind{Code: &place{off}}, read(readKind{Code: &slice{off, min(step, m.Code-off)}})))
	}
	for off := uint64(0); off < m.Heap; off += step {
		n.must("heap", write(writeKind{Heap: &place{off}}, read(readKind{Heap: &slice{off, min(step, m.Heap-off)}})))
	}
	n.must("stable memory", write(writeKind{Stable: &place{0}}, read(readKind{Stable: &slice{0, m.Stable}})))
	n.must("a chunk", write(writeKind{Chunk: &candid.Unit{}}, []byte("a chunk")))
	n.must("load", n.manage(to, "load_canister_snapshot", snapshotArg{to, made.ID}))
	n.has(to, 77)
	got, err := n.ask(to, program().Push(script.Scratch).Push(5).Push(6).API("stable64_read").Push(script.Scratch).Push(6).API("msg_reply_data_append").API("msg_reply"))
	n.says("stable memory", []byte("stable"), got, err)
	got, err = n.do(to, program().Push(0).API("global_timer_set").ReplyInt())
	n.says("the timer", []byte{0, 0, 0, 0, 0, 0, 0, 0x40}, got, err)

	for what, c := range map[string]struct {
		err  error
		code string
	}{
		"beyond the module":     {n.manage(from, "read_canister_snapshot_data", readArg{from, snap.ID, readKind{Code: &slice{m.Code, 1}}}), "IC0408"},
		"an offset that wraps":  {n.manage(from, "read_canister_snapshot_data", readArg{from, snap.ID, readKind{Heap: &slice{1<<64 - 1, 2}}}), "IC0408"},
		"too much at once":      {n.manage(from, "read_canister_snapshot_data", readArg{from, snap.ID, readKind{Heap: &slice{0, 2_000_001}}}), "IC0408"},
		"no such chunk":         {n.manage(from, "read_canister_snapshot_data", readArg{from, snap.ID, readKind{Chunk: &chunkHash{make([]byte, 32)}}}), "IC0504"},
		"written beyond":        {write(writeKind{Stable: &place{m.Stable}}, []byte("x")), "IC0408"},
		"into one that is real": {n.manage(from, "upload_canister_snapshot_data", writeArg{from, snap.ID, writeKind{Heap: &place{0}}, []byte("x")}), "IC0409"},
		"a heap of half a page": {n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{Canister: to, Heap: 1000}), ""},
		"a heap of 8 GiB":       {n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{Canister: to, Heap: 8 << 30}), ""},
		"a module of 200 MiB":   {n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{Canister: to, Code: 200 << 20}), ""},
	} {
		var r *agent.Rejected
		if !errors.As(c.err, &r) || c.code != "" && r.ErrorCode != c.code {
			n.Errorf("%s: %v, want %s", what, c.err, c.code)
		}
	}
	// The timer is only that of an uploaded snapshot.
	if _, err := n.do(from, program().Push(1<<61).API("global_timer_set").Drop().API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	n.must("load what was taken", n.manage(from, "load_canister_snapshot", snapshotArg{from, snap.ID}))
	got, err = n.do(from, program().Push(0).API("global_timer_set").ReplyInt())
	n.says("the timer after a snapshot that was taken", []byte{0, 0, 0, 0, 0, 0, 0, 0x20}, got, err)
	// A hook that has run, on a heap that is far from its limit.
	n.must("metadata", n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{
		Canister: to, Code: m.Code, Globals: m.Globals, Heap: m.Heap, Hook: &hookState{Executed: &candid.Unit{}},
	}, &made))
	for off := uint64(0); off < m.Code; off += step {
		n.must("code", write(writeKind{Code: &place{off}}, read(readKind{Code: &slice{off, min(step, m.Code-off)}})))
	}
	n.rejected("a hook that cannot be", n.manage(to, "load_canister_snapshot", snapshotArg{to, made.ID}), ic.CanisterReject, "IC0408")
	// Nonsense can be uploaded, but not loaded.
	n.must("metadata of nonsense", n.manage(to, "upload_canister_snapshot_metadata", uploadMetadata{Canister: to, Code: 100, Heap: 65536, Globals: []global{}}, &made))
	if err := n.manage(to, "load_canister_snapshot", snapshotArg{to, made.ID}); err == nil {
		n.Error("nonsense is loaded")
	}
	n.has(to, 77)
}
