package wasm

// Shown is a global as snapshots of canisters list them (management-canister.md,
// read_canister_snapshot_metadata): those that are exported, in the order of their
// exports, then the mutable ones that are not, in order of index.
type Shown struct {
	Type ValType
	// Saved is its index among the mutable globals, -1 for a constant, whose bits are Bits.
	Saved int
	Bits  uint64
}

func (m *module) shown(code []byte) ([]Shown, error) {
	saved := make([]int, len(m.globals))
	mutable := 0
	for i, g := range m.globals {
		saved[i] = -1
		if g.mutable {
			saved[i] = mutable
			mutable++
		}
	}
	imported := len(m.allGlobals) - len(m.globals)
	var out []Shown
	exported := map[int]bool{}
	for _, e := range m.exports {
		i := int(e.index) - imported
		if e.kind != kindGlobal || i < 0 {
			continue
		}
		g := &m.globals[i]
		s := Shown{Type: g.typ, Saved: saved[i]}
		if s.Saved < 0 {
			v, err := m.constant(code, g.at, g.typ)
			if err != nil {
				return nil, err
			}
			s.Bits = v.bits
		}
		exported[i] = true
		out = append(out, s)
	}
	for i, g := range m.globals {
		if g.mutable && !exported[i] {
			out = append(out, Shown{Type: g.typ, Saved: saved[i]})
		}
	}
	return out, nil
}
