package management

import (
	"crypto/sha256"
	"math"
	"math/big"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
	"ashlar/replica/wire/candid"
)

// This file: snapshots are read and made piece by piece, so that a canister can
// be taken from one network to another.

// maxSlice is the most bytes of one read or upload.
const maxSlice = 2_000_000

// sliceWork is what each such call costs at least, in instructions.
const sliceWork = 5_000_000

func instructionsOf(n uint64) machine.Instructions { return machine.Instructions(n) }

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

type snapshotMetadata struct {
	Source    snapshotSource `candid:"source"`
	Taken     uint64         `candid:"taken_at_timestamp"`
	Code      uint64         `candid:"wasm_module_size"`
	Globals   []global       `candid:"globals"`
	Heap      uint64         `candid:"wasm_memory_size"`
	Stable    uint64         `candid:"stable_memory_size"`
	Chunks    []chunkHash    `candid:"wasm_chunk_store"`
	Version   uint64         `candid:"canister_version"`
	Certified []byte         `candid:"certified_data"`
	Timer     *timerState    `candid:"global_timer"`
	Hook      *hookState     `candid:"on_low_wasm_memory_hook_status"`
}

type uploadMetadataArgs struct {
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

type uploadMetadataResult struct {
	ID []byte `candid:"snapshot_id"`
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

type readDataArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
	Kind     readKind      `candid:"kind"`
}

type readDataResult struct {
	Chunk []byte `candid:"chunk"`
}

type offset struct {
	Offset uint64 `candid:"offset"`
}

type uploadKind struct {
	candid.OneOf
	Code   *offset      `candid:"wasm_module"`
	Heap   *offset      `candid:"wasm_memory"`
	Stable *offset      `candid:"stable_memory"`
	Chunk  *candid.Unit `candid:"wasm_chunk"`
}

type uploadDataArgs struct {
	Canister ic.CanisterID `candid:"canister_id"`
	ID       []byte        `candid:"snapshot_id"`
	Kind     uploadKind    `candid:"kind"`
	Chunk    []byte        `candid:"chunk"`
}

func globalOf(g state.Global) (out global) {
	switch machineType(g.Type) {
	case "i32":
		v := int32(uint32(g.Lo))
		out.I32 = &v
	case "i64":
		v := int64(g.Lo)
		out.I64 = &v
	case "f32":
		v := math.Float32frombits(uint32(g.Lo))
		out.F32 = &v
	case "f64":
		v := math.Float64frombits(g.Lo)
		out.F64 = &v
	default:
		n := new(big.Int).SetUint64(g.Hi)
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(g.Lo))
		out.V128 = &candid.Natural{Int: n}
	}
	return out
}

// machineType names the Wasm types by their byte in the binary format.
func machineType(b byte) string {
	return map[byte]string{0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128"}[b]
}

func (g *global) state() (state.Global, bool) {
	switch {
	case g.I32 != nil:
		return state.Global{Type: 0x7f, Lo: uint64(uint32(*g.I32))}, true
	case g.I64 != nil:
		return state.Global{Type: 0x7e, Lo: uint64(*g.I64)}, true
	case g.F32 != nil:
		return state.Global{Type: 0x7d, Lo: uint64(math.Float32bits(*g.F32))}, true
	case g.F64 != nil:
		return state.Global{Type: 0x7c, Lo: math.Float64bits(*g.F64)}, true
	}
	c, ok := g.V128.Cycles() // the type of 128-bit numbers at hand
	return state.Global{Type: 0x7b, Lo: c.Lo, Hi: c.Hi}, ok
}

// readable finds a snapshot that the caller may read.
func (x *call) readable(id ic.CanisterID, snapshot []byte) (*state.Canister, *state.Snapshot, *ic.UserError) {
	c, err := x.target(id)
	if err == nil {
		err = x.maySeeSnapshots(c)
	}
	if err != nil {
		return nil, nil, err
	}
	_, s, err := x.ownSnapshot(c, snapshot)
	return c, s, err
}

func readMetadata(x *call) ([]byte, *ic.UserError) {
	var in snapshotArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	_, s, err := x.readable(in.Canister, in.ID)
	if err != nil {
		return nil, err
	}
	out := snapshotMetadata{
		Source: sourceOf(s.Uploaded), Taken: uint64(s.Taken), Code: s.CodeBytes, Globals: []global{}, Heap: s.HeapBytes, Stable: s.StableBytes,
		Chunks: []chunkHash{}, Version: s.Version, Certified: s.Certified,
	}
	for _, g := range x.ShownGlobals(s) {
		out.Globals = append(out.Globals, globalOf(g))
	}
	s.Chunks.Each(func(hash string, _ *state.Chunk) bool {
		out.Chunks = append(out.Chunks, chunkHash{[]byte(hash)})
		return true
	})
	if s.Timer != nil {
		out.Timer = &timerState{Inactive: &candid.Unit{}}
		if at := uint64(*s.Timer); at != 0 {
			out.Timer = &timerState{Active: &at}
		}
	}
	if s.LowMemory != nil {
		out.Hook = &hookState{}
		switch *s.LowMemory {
		case state.HookReady:
			out.Hook.Ready = &candid.Unit{}
		case state.HookExecuted:
			out.Hook.Executed = &candid.Unit{}
		default:
			out.Hook.Idle = &candid.Unit{}
		}
	}
	return candid.Marshal(out), nil
}

func readData(x *call) ([]byte, *ic.UserError) {
	var in readDataArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, s, err := x.readable(in.Canister, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Kind.Chunk != nil {
		if len(in.Kind.Chunk.Hash) != sha256.Size {
			return nil, chunkError("Bytes %s are not a valid WasmChunkHash.", clip(listed("%02x", in.Kind.Chunk.Hash)))
		}
		part, ok := s.Chunks.Get(string(in.Kind.Chunk.Hash))
		if !ok {
			return nil, chunkError("WasmChunkHash %s not found.", listed("%02x", in.Kind.Chunk.Hash))
		}
		return x.paid(c, candid.Marshal(readDataResult{part.Bytes()}), uint64(len(part.Bytes())))
	}
	part, bytes, from := in.Kind.Code, s.CodeBytes, s.Upload
	switch {
	case in.Kind.Heap != nil:
		part, bytes, from = in.Kind.Heap, s.HeapBytes, s.Memory.Heap
	case in.Kind.Stable != nil:
		part, bytes, from = in.Kind.Stable, s.StableBytes, s.Memory.Stable
	}
	if part.Size > maxSlice {
		return nil, ic.Errorf(ic.InvalidManagementPayload, "Requested slice too large: %d > %d", part.Size, maxSlice)
	}
	if part.Offset > bytes || part.Size > bytes-part.Offset {
		return nil, invalidSlice(part.Offset, part.Size)
	}
	out := make([]byte, part.Size)
	if in.Kind.Code != nil && s.Module != nil {
		code, _ := x.Code(s.Module.Hash)
		copy(out, code[part.Offset:])
	} else {
		from.ReadAt(out, part.Offset)
	}
	return x.paid(c, candid.Marshal(readDataResult{out}), part.Size)
}

func invalidSlice(offset, size uint64) *ic.UserError {
	return ic.Errorf(ic.InvalidManagementPayload, "Invalid subslice into wasm module / main memory / stable memory: offset: %d, size: %d", offset, size)
}

// paid lets the canister pay for a slice and answers.
func (x *call) paid(c *state.Canister, reply []byte, bytes uint64) ([]byte, *ic.UserError) {
	if err := x.charge(c, sliceWork+bytes); err != nil {
		return nil, err
	}
	x.Put(c)
	return reply, nil
}

func uploadMetadata(x *call) ([]byte, *ic.UserError) {
	var in uploadMetadataArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	const page = 64 << 10
	if in.Heap%page != 0 || in.Stable%page != 0 || in.Heap > state.MaxHeap || in.Stable > canister.MaxStable || in.Code > canister.MaxModuleBytes || len(in.Certified) > 32 || len(in.Globals) > 1000 {
		return nil, ic.Errorf(ic.InvalidManagementPayload, "Snapshot Metadata contains invalid data: memories have whole pages of 64 KiB and at most %d and %d bytes, a module at most %d, certified data 32", uint64(state.MaxHeap), uint64(canister.MaxStable), canister.MaxModuleBytes)
	}
	if err := x.makeRoom(c, in.Replace); err != nil {
		return nil, err
	}
	s := &state.Snapshot{
		Taken: x.Now, Version: c.Version, Uploaded: true, Certified: in.Certified, HeapBytes: in.Heap, StableBytes: in.Stable, CodeBytes: in.Code,
		Memory: &state.Memory{Heap: pages.Map{}.With(in.Heap, nil), Stable: pages.Map{}.With(in.Stable, nil)}, Upload: pages.Map{}.With(in.Code, nil),
	}
	for i := range in.Globals {
		g, ok := in.Globals[i].state()
		if !ok {
			return nil, ic.Errorf(ic.InvalidManagementPayload, "Snapshot Metadata contains invalid data: a v128 global has more than 128 bits")
		}
		s.Globals = append(s.Globals, g)
	}
	if in.Timer != nil {
		var at ic.Time
		if in.Timer.Active != nil {
			at = ic.Time(*in.Timer.Active)
		}
		s.Timer = &at
	}
	if in.Hook != nil {
		hook := state.HookIdle
		if in.Hook.Ready != nil {
			hook = state.HookReady
		} else if in.Hook.Executed != nil {
			hook = state.HookExecuted
		}
		s.LowMemory = &hook
	}
	key, err := x.store(c, s, false)
	if err != nil {
		return nil, err
	}
	x.Put(c)
	return candid.Marshal(uploadMetadataResult{snapshotID(c.ID, key)}), nil
}

func uploadData(x *call) ([]byte, *ic.UserError) {
	var in uploadDataArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.controlled(in.Canister)
	if err != nil {
		return nil, err
	}
	key, old, err := x.ownSnapshot(c, in.ID)
	if err != nil {
		return nil, err
	}
	if !old.Uploaded {
		return nil, ic.Errorf(ic.CanisterSnapshotImmutable, "Only canister snapshots created by metadata upload can be mutated.")
	}
	if err := x.chunksSlowEnough(c); err != nil {
		return nil, err
	}
	s := *old
	memory := *old.Memory
	s.Memory = &memory
	switch {
	case in.Kind.Chunk != nil:
		hash, fresh, err := insertChunk(s.Chunks, in.Chunk)
		if err != nil {
			return nil, err
		}
		if fresh {
			s.Chunks = s.Chunks.With(hash, state.NewChunk(in.Chunk))
			s.Size += state.ChunkBytes
		}
	case in.Kind.Code != nil:
		err = write(&s.Upload, in.Kind.Code.Offset, in.Chunk)
	case in.Kind.Heap != nil:
		err = write(&memory.Heap, in.Kind.Heap.Offset, in.Chunk)
	default:
		err = write(&memory.Stable, in.Kind.Stable.Offset, in.Chunk)
	}
	if err != nil {
		return nil, err
	}
	c.Snapshots = c.Snapshots.With(key, &s)
	if err := x.fits(c); err != nil {
		return nil, err
	}
	x.Wrote(c, uint64(len(in.Chunk)))
	return x.paid(c, nothing, uint64(len(in.Chunk)))
}

func write(m *pages.Map, at uint64, data []byte) *ic.UserError {
	if at > m.Bytes() || uint64(len(data)) > m.Bytes()-at {
		return invalidSlice(at, uint64(len(data)))
	}
	*m = m.WriteAt(data, at)
	return nil
}

// assemble makes module and memories of an uploaded snapshot, which may be
// anything: the module is checked as at an installation.
func (x *call) assemble(c *state.Canister, s *state.Snapshot) (*state.Module, *state.Memory, *ic.UserError) {
	code := make([]byte, s.CodeBytes)
	s.Upload.ReadAt(code, 0)
	return x.Describe(c.ID, code, s)
}
