package wasm

import (
	"errors"
	"fmt"
	"math/bits"
)

// validate checks all of a module but its bodies, which bodyPass does.
func (m *module) validate(code []byte) error {
	for i, t := range m.funcTypes {
		if int64(t) >= int64(len(m.types)) {
			return fmt.Errorf("function %d has unknown type %d", i, t)
		}
	}
	if len(m.allMemories) > 1 {
		return fmt.Errorf("module has %d memories: multiple memories are not supported", len(m.allMemories))
	}
	for _, mem := range m.allMemories {
		if err := mem.check("memory size", mem.pageLimit()); err != nil {
			return err
		}
	}
	for _, t := range m.allTables {
		limit := uint64(1<<32 - 1)
		if t.is64 {
			limit = 1<<64 - 1
		}
		if err := t.check("table size", limit); err != nil {
			return err
		}
		if t.min > 1<<32-1 {
			return fmt.Errorf("a table of %d elements is not supported", t.min)
		}
	}
	m.declare()
	for i, g := range m.globals {
		if _, err := m.constant(code, g.at, g.typ); err != nil {
			return fmt.Errorf("global %d: %w", len(m.allGlobals)-len(m.globals)+i, err)
		}
	}
	if err := m.validateExports(); err != nil {
		return err
	}
	if m.start >= 0 {
		if m.start >= int64(len(m.funcTypes)) {
			return fmt.Errorf("start names unknown function %d", m.start)
		}
		if t := m.typeOf(uint32(m.start)); len(t.params)+len(t.results) > 0 {
			return errors.New("start function must have no parameters and no results")
		}
	}
	for i := range m.elems {
		if err := m.validateElem(code, &m.elems[i]); err != nil {
			return fmt.Errorf("element segment %d: %w", i, err)
		}
	}
	for i, d := range m.data {
		if d.mode != segActive {
			continue
		}
		if int64(d.memory) >= int64(len(m.allMemories)) {
			return fmt.Errorf("data segment %d: unknown memory %d", i, d.memory)
		}
		if _, err := m.constant(code, d.at, m.allMemories[d.memory].indexType()); err != nil {
			return fmt.Errorf("data segment %d: %w", i, err)
		}
	}
	return nil
}

func (m memory) pageLimit() uint64 {
	if m.is64 {
		return maxPages64
	}
	return maxPages32
}

func (l limits) check(what string, limit uint64) error {
	if l.min > limit || l.hasMax && l.max > limit {
		return fmt.Errorf("%s must be at most %d", what, limit)
	}
	if l.hasMax && l.min > l.max {
		return fmt.Errorf("%s: minimum must not be greater than maximum", what)
	}
	return nil
}

func (m *module) validateExports() error {
	seen := make(map[string]bool, len(m.exports))
	for _, e := range m.exports {
		if seen[e.name] {
			return fmt.Errorf("duplicate export name %q", e.name)
		}
		seen[e.name] = true
		n := [...]int{len(m.funcTypes), len(m.allTables), len(m.allMemories), len(m.allGlobals)}[e.kind]
		if int64(e.index) >= int64(n) {
			return fmt.Errorf("export %q names unknown %s %d", e.name, [...]string{"function", "table", "memory", "global"}[e.kind], e.index)
		}
	}
	return nil
}

func (m *module) validateElem(code []byte, e *elem) error {
	if e.mode == segActive {
		if int64(e.table) >= int64(len(m.allTables)) {
			return fmt.Errorf("unknown table %d", e.table)
		}
		t := m.allTables[e.table]
		if t.elem != e.typ {
			return fmt.Errorf("type mismatch: segment of %s, table of %s", typeName(e.typ), typeName(t.elem))
		}
		if _, err := m.constant(code, e.at, t.indexType()); err != nil {
			return err
		}
	}
	for _, f := range e.funcs {
		if int64(f) >= int64(len(m.funcTypes)) {
			return fmt.Errorf("unknown function %d", f)
		}
	}
	for i := range e.exprs {
		if _, err := m.constant(code, e.exprAt[i], e.typ); err != nil {
			return err
		}
	}
	return nil
}

// declare collects the functions that ref.func in bodies may name: those that
// occur in the module outside of bodies and start.
func (m *module) declare() {
	m.declared = map[uint32]bool{}
	for _, e := range m.exports {
		if e.kind == kindFunc {
			m.declared[e.index] = true
		}
	}
	note := func(expr []byte) {
		walkConst(expr, func(op byte, index uint32) {
			if op == opRefFunc {
				m.declared[index] = true
			}
		})
	}
	for _, g := range m.globals {
		note(g.init)
	}
	for _, e := range m.elems {
		for _, f := range e.funcs {
			m.declared[f] = true
		}
		for _, x := range e.exprs {
			note(x)
		}
	}
}

// walkConst calls do for the instructions of a constant expression that have an index.
func walkConst(expr []byte, do func(op byte, index uint32)) {
	for r := newReader(expr); r.more(); {
		switch op := r.byte(); op {
		case opI32Const:
			r.i32()
		case opI64Const:
			r.i64()
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opRefNull:
			r.byte()
		case opPrefixSIMD:
			r.u32()
			r.bytes(16)
		case opGlobalGet, opRefFunc:
			do(op, r.u32())
		}
	}
}

// constValue is what a constant expression gives. known is false where it
// depends on an imported global.
type constValue struct {
	t     ValType
	bits  uint64
	known bool
}

// constant checks and evaluates the constant expression at the offset at. It may
// read imported globals only, as on mainnet, where others would need the GC proposal.
func (m *module) constant(code []byte, at int, want ValType) (constValue, error) {
	visible := len(m.allGlobals) - len(m.globals)
	r := &reader{b: code, pos: at, end: len(code)}
	var stack []constValue
	push := func(t ValType, v uint64) { stack = append(stack, constValue{t, v, true}) }
	for r.err == nil {
		switch op := r.byte(); op {
		case opI32Const:
			push(I32, uint64(uint32(r.i32())))
		case opI64Const:
			push(I64, uint64(r.i64()))
		case opF32Const:
			push(F32, little(r.bytes(4)))
		case opF64Const:
			push(F64, little(r.bytes(8)))
		case opPrefixSIMD:
			r.u32()
			r.bytes(16)
			push(V128, 0)
		case opRefNull:
			push(ValType(r.byte()), 0)
		case opRefFunc:
			if f := r.u32(); int64(f) >= int64(len(m.funcTypes)) {
				r.fail("unknown function %d", f)
			}
			push(FuncRef, 0)
		case opGlobalGet:
			g := r.u32()
			if int64(g) >= int64(visible) {
				r.fail("unknown global %d in a constant expression", g)
			} else if m.allGlobals[g].mutable {
				r.fail("constant expression required: global %d is mutable", g)
			} else {
				stack = append(stack, constValue{t: m.allGlobals[g].typ})
			}
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
			if m.canister {
				r.fail("constant expression required: arithmetic in it is not supported")
				break
			}
			stack = constArithmetic(r, op, stack)
		case opEnd:
			if len(stack) != 1 || stack[0].t != want {
				r.fail("type mismatch: constant expression must leave one %s", typeName(want))
				return constValue{}, r.err
			}
			return stack[0], nil
		default:
			r.fail("constant expression required")
		}
	}
	return constValue{}, r.err
}

func constArithmetic(r *reader, op byte, stack []constValue) []constValue {
	t := I32
	if op >= 0x7c {
		t = I64
		op -= 0x7c - 0x6a
	}
	n := len(stack)
	if n < 2 || stack[n-1].t != t || stack[n-2].t != t {
		r.fail("type mismatch in a constant expression")
		return stack
	}
	a, b := stack[n-2], stack[n-1]
	v := constValue{t: t, known: a.known && b.known}
	switch op {
	case 0x6a:
		v.bits = a.bits + b.bits
	case 0x6b:
		v.bits = a.bits - b.bits
	default:
		_, v.bits = bits.Mul64(a.bits, b.bits)
	}
	if t == I32 {
		v.bits = uint64(uint32(v.bits))
	}
	return append(stack[:n-2], v)
}

func little(b []byte) (v uint64) {
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}
