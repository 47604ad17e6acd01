package canister

import (
	"ashlar/replica/execution/wasm"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: snapshots list more globals than the state keeps: those that code
// exports too, which never change.

// ShownGlobals are the globals of a snapshot as its metadata has them.
func (r *Room) ShownGlobals(s *state.Snapshot) []state.Global {
	if s.Module == nil {
		return s.Globals // uploaded: as they came
	}
	var out []state.Global
	for _, g := range r.module(s.Module.Hash).Info().Globals {
		if g.Saved < 0 {
			out = append(out, state.Global{Type: byte(g.Type), Lo: g.Bits})
		} else {
			out = append(out, s.Globals[g.Saved])
		}
	}
	return out
}

// savedGlobals are those of an uploaded list that the state keeps. The list may end with
// mainnet's own counter of instructions.
func savedGlobals(list []state.Global, info *wasm.Info) ([]state.Global, bool) {
	want := info.Globals
	if len(list) == len(want)+1 && list[len(want)].Type == byte(wasm.I64) {
		list = list[:len(want)]
	}
	if len(list) != len(want) {
		return nil, false
	}
	mutable := 0
	for _, g := range want {
		mutable = max(mutable, g.Saved+1)
	}
	out := make([]state.Global, mutable)
	for i, g := range want {
		if list[i].Type != byte(g.Type) {
			return nil, false
		}
		if g.Saved >= 0 {
			out[g.Saved] = list[i]
		}
	}
	return out, true
}

// Describe checks the code of an uploaded snapshot and that an instance of it can have
// the snapshot's memories, which it returns with the globals that the state keeps. The
// code is kept.
func (r *Room) Describe(id ic.CanisterID, code []byte, s *state.Snapshot) (*state.Module, *state.Memory, *ic.UserError) {
	m, err := r.Tip.engine.Compile(code)
	if err != nil {
		return nil, nil, invalidModule(id, err)
	}
	globals, ok := savedGlobals(s.Globals, m.Info())
	if !ok {
		return nil, nil, ic.Errorf(ic.InvalidManagementPayload, "Wasm exported globals of canister module and snapshot metadata do not match.")
	}
	inst, err := m.Instantiate(s.Memory.Heap, s.Memory.Stable, engineGlobals(globals))
	if err != nil {
		return nil, nil, ic.Errorf(ic.InvalidManagementPayload, "Canister module and memories of the uploaded snapshot do not match: %.1000s", err)
	}
	inst.Close()
	return r.Tip.describe(r.PutCode(code), uint64(len(code)), m.Info()), &state.Memory{Heap: s.Memory.Heap, Stable: s.Memory.Stable, Globals: globals}, nil
}
