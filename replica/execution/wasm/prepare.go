package wasm

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Names of what the rewritten module exports besides canister_* functions, and of
// the module it imports the engine's own functions from. They cannot clash: other
// exports of the canister are dropped, and it may only import from "ic0".
const (
	EngineModule = "ashlar"
	Host32       = "ic0"    // what canisters import, with 32-bit addresses
	Host64       = "ic0 64" // the same with 64-bit addresses
	// ImportOut is () -> (): the counter fell below zero. Grant more or trap.
	ImportOut = "out_of_instructions"
	// ImportGrow is (pages i32) -> i32: may the heap grow by that? 0: no.
	ImportGrow = "may_grow"

	ExportCounter  = "ashlar counter"  // global i64: instructions left
	ExportDepth    = "ashlar depth"    // global i64: stack left; set DepthBudget before each run
	ExportCause    = "ashlar cause"    // global i32: why unreachable was reached; set 0 before each run
	ExportMemory   = "ashlar memory"   // where there is a memory
	ExportCallback = "ashlar callback" // (index i64, argument i64) -> (): where there is a function table
	exportGlobal   = "ashlar global "  // + index: each saved global; for a v128 the functions below
	exportVecGet   = "ashlar get "     // + index: () -> (i64, i64)
	exportVecSet   = "ashlar set "     // + index: (i64, i64) -> ()
	exportStart    = "canister_start"
)

// Cause is the value of ExportCause after a trap by unreachable.
type Cause uint32

// The causes. CauseNone is the canister's own unreachable.
const (
	CauseNone  Cause = 0
	CauseHeap  Cause = causeHeap  // address of 2^32 or more
	CauseTable Cause = causeTable // table index of 2^32 or more
	CauseDepth Cause = causeDepth // DepthBudget is used up
)

// Prepared is a module that was checked and rewritten.
type Prepared struct {
	Info Info
	Code []byte // the rewritten module
	// Globals are the mutable globals of the canister, in order of index.
	Globals []SavedGlobal
	// Data are the active data segments, to be applied in order at install.
	Data []Segment
	// MinPages and MaxPages bound the heap, in Wasm pages of 64 KiB.
	MinPages, MaxPages uint64
	// MutatesTables is set where the code can change a table or drop a segment:
	// then a fresh instance is needed for each message.
	MutatesTables bool
	HasTable      bool

	names map[uint32]string
}

// SavedGlobal is a mutable global of the canister and how to reach it.
type SavedGlobal struct {
	Type     ValType
	Export   string // the global, for all but V128
	Get, Set string // the functions, for V128
}

// Segment is an active data segment.
type Segment struct {
	Offset uint64
	Bytes  []byte
}

// FuncName is the name of function i of the original module, from its name
// section, cut to a sane length; "" where it has none.
func (p *Prepared) FuncName(i uint32) string {
	n := Demangle(p.names[i])
	if len(n) > maxTraceName {
		n = n[:maxTraceName]
	}
	return n
}

// Prepare checks code against WebAssembly's and the Internet Computer's rules and
// rewrites it. The error is a sentence for the author of code.
func Prepare(code []byte, allowed []Import) (*Prepared, error) {
	return prepare(code, options{imports: allowed, canister: true})
}

// options let the spec's tests run modules that are no canisters.
type options struct {
	imports  []Import
	canister bool // the Internet Computer's rules, and only canister_* stay exported
}

func prepare(code []byte, opt options) (*Prepared, error) {
	m, err := decode(code)
	if err != nil {
		return nil, err
	}
	m.canister = opt.canister
	if err := m.validate(code); err != nil {
		return nil, err
	}
	p := &Prepared{names: m.names}
	if opt.canister {
		if err := m.rules(opt.imports, &p.Info); err != nil {
			return nil, err
		}
	}
	rw := newRewriter(m, code, opt)
	bodies := make([]*bodyPass, len(m.bodies))
	var values, squares uint64
	for i := range m.bodies {
		if bodies[i], err = rw.walk(i); err != nil {
			return nil, m.inFunction(uint32(m.importedFuncs+i), err)
		}
		p.Info.Instructions += bodies[i].ops + bodies[i].injected
		if values, squares = values+bodies[i].values, squares+bodies[i].squares; values > maxLiveValuesTotal || squares > maxLiveSquaresTotal {
			return nil, fmt.Errorf("module is too complex: too many values are alive across the branches of its functions")
		}
	}
	rw.planDepth(bodies)
	for i, b := range bodies {
		rw.bodies = append(rw.bodies, b.assemble())
		bodies[i] = nil
	}
	p.Info.Instructions += 2 * uint64(len(m.globals)) // an initialiser and its end
	p.Info.Hash = sha256.Sum256(code)
	p.Info.Memory64 = m.memory64()
	p.Info.HasHeap = len(m.allMemories) > 0
	p.Info.HasStart = m.start >= 0
	p.Info.DataBytes = m.dataBytes
	if p.Info.Globals, err = m.shown(code); err != nil {
		return nil, err
	}
	if err := m.segments(code, p); err != nil {
		return nil, err
	}
	rw.build(p)
	return p, nil
}

// walk checks a body, twice where its floats gain by it: see nan.go.
func (rw *rewriter) walk(index int) (*bodyPass, error) {
	b := &bodyPass{m: rw.m, rw: rw}
	err := b.run(index)
	if err != nil {
		return nil, err
	}
	if raw := b.floats.result(); raw != nil {
		b = &bodyPass{m: rw.m, rw: rw, floats: floats{raw: raw}}
		err = b.run(index)
	}
	return b, err
}

func (m *module) inFunction(i uint32, err error) error {
	if errors.As(err, new(*Refused)) {
		return err
	}
	if n := m.names[i]; n != "" {
		if len(n) > maxTraceName {
			n = n[:maxTraceName]
		}
		return fmt.Errorf("function %d (%s): %w", i, n, err)
	}
	return fmt.Errorf("function %d: %w", i, err)
}

// segments evaluates the active segments and checks that they fit: what is known
// at install is an error then, not a trap later.
func (m *module) segments(code []byte, p *Prepared) error {
	for i, d := range m.data {
		if d.mode != segActive {
			continue
		}
		v, err := m.constant(code, d.at, m.allMemories[0].indexType())
		if err != nil {
			return fmt.Errorf("data segment %d: %w", i, err)
		}
		size := m.allMemories[0].min << 16
		if !v.known {
			return fmt.Errorf("data segment %d: offset from an imported global", i)
		}
		if imported := len(m.memories) == 0; imported {
			// Its size is known when it is linked.
		} else if v.bits > size || uint64(len(d.bytes)) > size-v.bits {
			return fmt.Errorf("data segment %d: out of bounds: %d bytes at offset %d of a memory of %d", i, len(d.bytes), v.bits, size)
		}
		if len(d.bytes) > 0 {
			p.Data = append(p.Data, Segment{v.bits, d.bytes})
		}
	}
	for i := range m.elems {
		e := &m.elems[i]
		if e.mode != segActive {
			continue
		}
		t := m.allTables[e.table]
		v, err := m.constant(code, e.at, t.indexType())
		if err != nil {
			return fmt.Errorf("element segment %d: %w", i, err)
		}
		if imported := len(m.allTables) - len(m.tables); v.known && int(e.table) >= imported && (v.bits > t.min || uint64(e.size()) > t.min-v.bits) {
			return fmt.Errorf("element segment %d: out of bounds: %d elements at offset %d of a table of %d", i, e.size(), v.bits, t.min)
		}
	}
	return nil
}
