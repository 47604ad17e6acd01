package engine

import (
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// savedGlobal reaches one mutable global of the canister: wazero's API has 64
// bits of a global only, so vectors go by a pair of functions.
type savedGlobal struct {
	typ      wasm.ValType
	global   api.MutableGlobal
	get, set api.Function
}

func (in *Instance) bind(g wasm.SavedGlobal) savedGlobal {
	s := savedGlobal{typ: g.Type}
	if g.Export != "" {
		s.global = mutable(in.mod, g.Export)
	} else {
		s.get, s.set = in.mod.ExportedFunction(g.Get), in.mod.ExportedFunction(g.Set)
	}
	return s
}

func (in *Instance) readGlobals() []machine.Global {
	out := make([]machine.Global, len(in.saved))
	for i := range in.saved {
		s := &in.saved[i]
		out[i] = machine.Global{Type: s.typ}
		if s.global != nil {
			out[i].Lo = narrow(s.typ, s.global.Get())
			continue
		}
		var stack [2]uint64
		in.must(s.get.CallWithStack(in.ctx, stack[:]))
		out[i].Lo, out[i].Hi = stack[0], stack[1]
	}
	return out
}

func (in *Instance) writeGlobals(gs []machine.Global) {
	for i, g := range gs {
		s := &in.saved[i]
		if s.global != nil {
			s.global.Set(narrow(s.typ, g.Lo))
			continue
		}
		stack := [2]uint64{g.Lo, g.Hi}
		in.must(s.set.CallWithStack(in.ctx, stack[:]))
	}
}

// narrow drops what wazero may leave above a value of 32 bits.
func narrow(t wasm.ValType, v uint64) uint64 {
	if t == wasm.I32 || t == wasm.F32 {
		return uint64(uint32(v))
	}
	return v
}

func (in *Instance) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("engine: access to a global: %v", err))
	}
}
