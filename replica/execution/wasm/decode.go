package wasm

import (
	"errors"
	"fmt"
)

// Sections by their id; order is by rank, as data count (12) stands before code.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElem
	secCode
	secData
	secDataCount
	secTag
)

var sectionRank = [...]int{secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secTag: 6,
	secGlobal: 7, secExport: 8, secStart: 9, secElem: 10, secDataCount: 11, secCode: 12, secData: 13}

const header = "\x00asm\x01\x00\x00\x00"

// decode reads the structure of a module. It is total: any bytes give a module or an error.
func decode(code []byte) (*module, error) {
	if len(code) > MaxModuleBytes {
		return nil, moduleTooLarge(len(code), MaxModuleBytes)
	}
	if len(code) < 4 || string(code[:4]) != header[:4] {
		return nil, undecodable("unsupported canister module format")
	}
	if len(code) < 8 || string(code[4:8]) != header[4:] {
		return nil, errors.New("unknown binary version: only version 1 of core modules is supported")
	}
	m := &module{start: -1, dataCount: -1, names: map[uint32]string{}}
	r := newReader(code)
	r.pos = 8
	rank := 0
	for r.more() {
		id := r.byte()
		s := r.sub(r.u32())
		if r.err != nil {
			break
		}
		if id == secCustom {
			m.custom(s)
		} else if int(id) >= len(sectionRank) {
			r.fail("malformed section id %d", id)
		} else if sectionRank[id] <= rank {
			r.fail("section %d is out of order or occurs twice", id)
		} else {
			rank = sectionRank[id]
			m.section(id, s)
		}
		if s.err != nil {
			return nil, s.err
		}
		if s.more() {
			s.fail("section size mismatch: unexpected data at the end of section %d", id)
			return nil, s.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.funcs) != len(m.bodies) {
		return nil, fmt.Errorf("function and code section have inconsistent lengths: %d and %d", len(m.funcs), len(m.bodies))
	}
	if m.dataCount >= 0 && int(m.dataCount) != len(m.data) {
		return nil, fmt.Errorf("data count and data section have inconsistent lengths: %d and %d", m.dataCount, len(m.data))
	}
	m.index()
	return m, nil
}

func (m *module) section(id byte, r *reader) {
	switch id {
	case secType:
		for range r.count("types", maxTypes) {
			if form := r.byte(); form != 0x60 {
				r.fail("type form 0x%x is not a function type: GC types are not supported", form)
			}
			m.types = append(m.types, funcType{r.valTypes("parameters", maxParams), r.valTypes("results", maxResults)})
			if r.err != nil {
				return
			}
		}
	case secImport:
		for range r.count("imports", maxImports) {
			m.imports = append(m.imports, r.imported())
			if r.err != nil {
				return
			}
		}
	case secFunction:
		n := r.count("functions", maxTypes)
		m.funcs = make([]uint32, n)
		for i := range m.funcs {
			m.funcs[i] = r.u32()
		}
	case secTable:
		for range r.count("tables", 100) {
			m.tables = append(m.tables, r.definedTable())
		}
	case secMemory:
		for range r.count("memories", 100) {
			m.memories = append(m.memories, memory{r.limits("memory")})
		}
	case secTag:
		r.fail("exception handling is not supported")
	case secGlobal:
		for range r.count("globals", maxTypes) {
			t := r.globalType()
			at := r.pos
			m.globals = append(m.globals, global{globalType: t, init: r.constExpr(), at: at})
			if r.err != nil {
				return
			}
		}
	case secExport:
		for range r.count("exports", maxExports) {
			m.exports = append(m.exports, export{r.name(), r.byte(), r.u32()})
			if r.err != nil {
				return
			}
			if k := m.exports[len(m.exports)-1].kind; k > kindGlobal {
				r.fail("export kind %d is not supported", k)
			}
		}
	case secStart:
		m.start = int64(r.u32())
	case secElem:
		for range r.count("element segments", maxSegments) {
			m.elems = append(m.elems, r.elem())
			if r.err != nil {
				return
			}
		}
	case secDataCount:
		m.dataCount = int64(r.u32())
	case secCode:
		if r.end-r.pos > maxCodeBytes {
			r.refuse(codeTooLarge(r.end - r.pos))
		}
		n := r.count("function bodies", maxTypes)
		for i := range n {
			m.bodies = append(m.bodies, r.body(i))
			if r.err != nil {
				return
			}
		}
	case secData:
		m.dataBytes = uint64(r.end - r.pos)
		for range r.count("data segments", maxSegments) {
			m.data = append(m.data, r.dataSegment())
			if r.err != nil {
				return
			}
		}
	}
}

func (r *reader) valType() ValType {
	t := ValType(r.byte())
	switch t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return t
	}
	if r.err == nil {
		r.fail("malformed or unsupported value type 0x%x", byte(t))
	}
	return I32
}

func (r *reader) valTypes(what string, limit uint32) []ValType {
	n := r.count(what, limit)
	if n == 0 {
		return nil
	}
	ts := make([]ValType, n)
	for i := range ts {
		ts[i] = r.valType()
	}
	return ts
}

func (r *reader) refType() ValType {
	t := r.valType()
	if r.err == nil && !isRef(t) {
		r.fail("malformed reference type 0x%x", byte(t))
	}
	return t
}

func isRef(t ValType) bool { return t == FuncRef || t == ExternRef }

func (r *reader) limits(what string) limits {
	flags := r.byte()
	l := limits{hasMax: flags&1 != 0, is64: flags&4 != 0}
	if flags&2 != 0 {
		r.fail("shared memories are not supported")
	} else if flags&8 != 0 {
		r.fail("custom page sizes are not supported")
	} else if flags > 7 {
		r.fail("malformed limits flags 0x%x of %s", flags, what)
	}
	read := func() uint64 {
		if l.is64 {
			return r.u64()
		}
		return uint64(r.u32())
	}
	l.min = read()
	if l.hasMax {
		l.max = read()
	}
	return l
}

func (r *reader) table() table {
	return table{elem: r.refType(), limits: r.limits("table")}
}

func (r *reader) definedTable() table {
	if r.more() && r.b[r.pos] == 0x40 {
		r.fail("tables with an initial value are not supported")
	}
	return r.table()
}

func (r *reader) globalType() globalType {
	g := globalType{typ: r.valType()}
	switch mut := r.byte(); mut {
	case 0:
	case 1:
		g.mutable = true
	default:
		r.fail("malformed mutability 0x%x", mut)
	}
	return g
}

func (r *reader) imported() imported {
	i := imported{module: r.name(), name: r.name(), kind: r.byte()}
	switch i.kind {
	case kindFunc:
		i.typ = r.u32()
	case kindTable:
		i.table = r.table()
	case kindMemory:
		i.memory = memory{r.limits("memory")}
	case kindGlobal:
		i.global = r.globalType()
	case kindTag:
		r.fail("exception handling is not supported")
	default:
		r.fail("malformed import kind %d", i.kind)
	}
	return i
}

// constExpr skips a constant expression and returns its bytes with the end.
// What it may contain is checked when its type is known.
func (r *reader) constExpr() []byte {
	from := r.pos
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b:
			return r.b[from:r.pos]
		case 0x41:
			r.i32()
		case 0x42:
			r.i64()
		case 0x43:
			r.bytes(4)
		case 0x44:
			r.bytes(8)
		case 0x23, 0xd2:
			r.u32()
		case 0xd0:
			r.refType()
		case 0xfd:
			if r.u32() != 12 {
				r.fail("constant expression required")
			}
			r.bytes(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		default:
			if r.err == nil {
				r.fail("constant expression required, opcode 0x%x is none", op)
			}
		}
	}
	return nil
}

func (r *reader) elem() elem {
	flags := r.u32()
	if flags > 7 {
		r.fail("malformed element segment flags %d", flags)
		return elem{}
	}
	e := elem{typ: FuncRef}
	switch {
	case flags&1 == 0:
		e.mode = segActive
	case flags&2 == 0:
		e.mode = segPassive
	default:
		e.mode = segDeclared
	}
	if e.mode == segActive {
		if flags&2 != 0 {
			e.table = r.u32()
		}
		e.at = r.pos
		e.offset = r.constExpr()
	}
	if flags&4 == 0 {
		if flags&3 != 0 {
			if kind := r.byte(); kind != 0 {
				r.fail("malformed element kind %d", kind)
			}
		}
		n := r.count("elements", maxElemItems)
		e.funcs = make([]uint32, n)
		for i := range e.funcs {
			e.funcs[i] = r.u32()
		}
		return e
	}
	if flags&3 != 0 {
		e.typ = r.refType()
	}
	for range r.count("elements", maxElemItems) {
		e.exprAt = append(e.exprAt, r.pos)
		e.exprs = append(e.exprs, r.constExpr())
		if r.err != nil {
			break
		}
	}
	return e
}

func (r *reader) dataSegment() dataSegment {
	var d dataSegment
	switch flags := r.u32(); flags {
	case 0:
	case 1:
		d.mode = segPassive
	case 2:
		d.memory = r.u32()
	default:
		r.fail("malformed data segment flags %d", flags)
	}
	if d.mode == segActive {
		d.at = r.pos
		d.offset = r.constExpr()
	}
	d.bytes = r.bytes(r.u32())
	return d
}

func (r *reader) body(index int) body {
	s := r.sub(r.u32())
	var b body
	total := uint64(0)
	for range s.count("local groups", maxLocals) {
		n := s.u32()
		total += uint64(n)
		if total > maxLocals {
			s.fail("function body %d has too many locals: the limit is %d", index, maxLocals)
		}
		t := s.valType()
		if n > 0 {
			b.locals = append(b.locals, localGroup{n, t})
		}
		if s.err != nil {
			break
		}
	}
	b.count = uint32(total)
	b.at, b.end = s.pos, s.end
	if s.err != nil && r.err == nil {
		r.err = s.err
	}
	return b
}

// custom keeps icp: sections and the names of functions; others do not matter.
func (m *module) custom(r *reader) {
	name := r.name()
	if r.err != nil {
		return
	}
	content := r.bytes(uint32(r.end - r.pos))
	if name == "name" {
		m.functionNames(content)
		return
	}
	m.customs = append(m.customs, custom{name, content})
}

// functionNames reads what it can of the name section: a fault in it is no fault of the module.
func (m *module) functionNames(content []byte) {
	const functionsID = 1
	for r := newReader(content); r.more(); {
		id := r.byte()
		s := r.sub(r.u32())
		if id != functionsID || s.err != nil {
			continue
		}
		for range s.count("names", maxTypes) {
			i, n := s.u32(), s.name()
			if s.err != nil {
				return
			}
			m.names[i] = n
		}
	}
}
