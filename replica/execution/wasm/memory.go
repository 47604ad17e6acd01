package wasm

// Lowering of 64-bit memories and tables: addresses and indices are checked to be
// below 2^32 and cut; the engine's own bounds check does the rest, as no memory is
// larger than 65535 pages. Checks that an earlier one makes needless are left out.

// fact is what a check said about a local: valid for its version, in its epoch.
type fact struct{ version, epoch uint32 }

// forget drops all facts, where control flow joins.
func (p *bodyPass) forget() { p.epoch++ }

func (p *bodyPass) isChecked(local uint32) bool {
	return p.checked[local] == fact{p.versions[local], p.epoch}
}

func (p *bodyPass) markChecked(local uint32) {
	p.checked[local] = fact{p.versions[local], p.epoch}
}

// current tells whether v still equals the local it was read from.
func (p *bodyPass) current(v value) bool {
	return v.local != 0 && p.versions[v.local-1] == v.version
}

func (p *bodyPass) known(v value) bool {
	return v.small || p.current(v) && p.isChecked(v.local-1)
}

// trapAbove traps if the i64 on top of out's stack, which it consumes, is 2^32 or more.
func (p *bodyPass) trapAbove(cause byte) {
	p.emit(opI64Const, 0xff, 0xff, 0xff, 0xff, 0x0f, opI64GtU, opIf, typeEmpty)
	if p.live {
		p.out = p.rw.trap(p.out, cause)
	}
	p.emit(opEnd)
}

// narrow checks and cuts the i64 v on top of the stack.
func (p *bodyPass) narrow(v value, k int, cause byte) {
	if !p.known(v) {
		if p.current(v) {
			p.emitU32(opLocalGet, v.local-1)
			p.trapAbove(cause)
			p.markChecked(v.local - 1)
		} else {
			tmp := p.temp(I64, k)
			p.emitU32(opLocalTee, tmp)
			p.trapAbove(cause)
			p.emitU32(opLocalGet, tmp)
		}
	}
	p.emit(opWrap)
}

// An operand of an instruction that takes several, on their way through locals.
type operand struct {
	v    value
	t    ValType
	wide bool // to be checked and cut
	tmp  uint32
}

// narrowAll checks and cuts the wide ones of the operands on top of the stack.
func (p *bodyPass) narrowAll(cause byte, ops ...operand) {
	wide := false
	for _, o := range ops {
		wide = wide || o.wide
	}
	if !wide {
		return
	}
	for i := len(ops) - 1; i >= 0; i-- {
		ops[i].tmp = p.temp(ops[i].t, i+1)
		p.emitU32(opLocalSet, ops[i].tmp)
	}
	for _, o := range ops {
		if o.wide && !p.known(o.v) {
			p.emitU32(opLocalGet, o.tmp)
			p.trapAbove(cause)
		}
	}
	for _, o := range ops {
		p.emitU32(opLocalGet, o.tmp)
		if o.wide {
			p.emit(opWrap)
		}
	}
}

func (m limits) indexType() ValType {
	if m.is64 {
		return I64
	}
	return I32
}

// mem is memory 0, which must exist.
func (p *bodyPass) mem() memory {
	if len(p.m.allMemories) == 0 {
		p.r.fail("unknown memory 0")
		return memory{}
	}
	return p.m.allMemories[0]
}

func (p *bodyPass) table(i uint32) table {
	if p.r.err == nil && int64(i) >= int64(len(p.m.allTables)) {
		p.r.fail("unknown table %d", i)
	}
	if p.r.err != nil {
		return table{elem: FuncRef}
	}
	return p.m.allTables[i]
}

// memoryIndex reads the index of a memory, which must be one byte of 0: longer
// spellings came with multiple memories.
func (p *bodyPass) memoryIndex() memory {
	if i := p.r.byte(); p.r.err == nil && i != 0 {
		p.r.fail("zero byte expected: multiple memories are not supported")
	}
	return p.mem()
}

// memarg reads alignment and offset.
func (p *bodyPass) memarg(a access) (align uint32, offset uint64, m memory) {
	align = p.r.u32()
	m = p.mem()
	if p.r.err == nil && align >= 32 {
		p.r.fail("malformed memop flags 0x%x", align)
	} else if p.r.err == nil && align > uint32(a.log2) {
		p.r.fail("alignment must not be larger than natural")
	}
	if m.is64 {
		offset = p.r.u64()
	} else {
		offset = uint64(p.r.u32())
	}
	return align, offset, m
}

func (p *bodyPass) access(a access, code byte) {
	weight := uint64(3)
	if a.store {
		weight = 2
	}
	align, offset, m := p.memarg(a)
	if p.r.err != nil {
		return
	}
	p.accessCost(m, weight)
	var val value
	if a.store {
		val = p.pop(a.typ)
	}
	addr := p.pop(m.indexType())
	if m.is64 {
		if a.store {
			p.narrowBelow(addr, val, offset)
		} else {
			p.narrowTop(addr, offset)
		}
	}
	p.emitU32(code, align)
	p.emitOffset(offset)
	if !a.store {
		p.push(a.typ).small = code == 0x31 || code == 0x33 || code == 0x35 // i64.load8_u, 16_u, 32_u
	}
}

func (p *bodyPass) accessCost(m memory, weight uint64) {
	if m.is64 {
		p.cost(2, weight)
	} else {
		p.cost(1, weight)
	}
}

func (p *bodyPass) emitOffset(offset uint64) {
	if p.live {
		p.out = appendU32(p.out, uint32(offset))
	}
}

// narrowTop lowers the address on top of the stack.
func (p *bodyPass) narrowTop(addr value, offset uint64) {
	if offset >= 1<<32 {
		p.trapHere()
		return
	}
	p.narrow(addr, 1, causeHeap)
}

// narrowBelow lowers the address that lies under a value. The check stays where
// the instruction is, as what made the value may trap or call first.
func (p *bodyPass) narrowBelow(addr, val value, offset uint64) {
	if offset >= 1<<32 {
		p.trapHere()
		return
	}
	if addr.at >= 0 && (p.known(addr) || p.current(addr)) {
		p.insertAt(addr.at, []byte{opWrap})
		if !p.known(addr) {
			p.emitU32(opLocalGet, addr.local-1)
			p.trapAbove(causeHeap)
			p.markChecked(addr.local - 1)
		}
		return
	}
	t := val.t
	if t == 0 { // unreachable
		t = I32
	}
	tmp := p.temp(t, 1)
	p.emitU32(opLocalSet, tmp)
	p.narrow(addr, 2, causeHeap)
	p.emitU32(opLocalGet, tmp)
}

// trapHere writes a trap for an access that is out of bounds whatever the
// address. What follows in out is unreachable, and valid for that.
func (p *bodyPass) trapHere() {
	if p.live {
		p.out = p.rw.trap(p.out, causeHeap)
	}
}

func (p *bodyPass) memorySize(code byte) {
	m := p.memoryIndex()
	if code == opMemorySize {
		p.cost(20, 2)
		p.emit(code, 0)
		if m.is64 {
			p.emit(opExtendU)
		}
		p.push(m.indexType()).small = true
		return
	}
	p.cost(300, 50)
	p.injected += injectedGrow
	p.pop(m.indexType())
	if m.is64 {
		p.saturate(1 << 16)
	}
	p.bulk = true
	p.emitU32(opCall, p.rw.growFunc())
	if m.is64 {
		p.emit(opExtendS)
	}
	p.push(m.indexType())
}

// saturate cuts the i64 on top of the stack to 32 bits; limit stands for all that is above.
func (p *bodyPass) saturate(limit int64) {
	tmp := p.temp(I64, 1)
	code := appendI64([]byte{opI64Const}, limit)
	p.emitU32(opLocalTee, tmp)
	p.emit(code...)
	p.emitU32(opLocalGet, tmp)
	p.emit(code...)
	p.emit(opI64LtU, opSelect, opWrap)
}

func (p *bodyPass) tableOp(code byte) {
	i := p.r.u32()
	t := p.table(i)
	if p.r.err != nil {
		return
	}
	it := t.indexType()
	if code == opTableGet {
		p.cost(5, 14)
		v := p.pop(it)
		if t.is64 {
			p.narrow(v, 1, causeTable)
		}
		p.emitU32(code, i)
		p.push(t.elem)
		return
	}
	if p.refusesTables("table.set") {
		return
	}
	p.cost(5, 7)
	p.rw.mutates = true
	val := p.pop(t.elem)
	idx := p.pop(it)
	p.narrowAll(causeTable, operand{v: idx, t: it, wide: t.is64}, operand{v: val, t: t.elem})
	p.emitU32(code, i)
}

func (p *bodyPass) prefixBulk() {
	sub := p.r.u32()
	if p.r.err != nil {
		return
	}
	switch {
	case sub < 8:
		p.plain(&truncSat[sub], opPrefixBulk, byte(sub))
	case sub == 8 || sub == 9:
		p.dataOp(sub)
	case sub == 10:
		p.cost(100, 4)
		dst, src := p.memoryIndex(), p.memoryIndex()
		it := dst.indexType()
		n, s, d := p.pop(it), p.pop(src.indexType()), p.pop(it)
		p.chargeTop(it)
		p.narrowAll(causeHeap, operand{v: d, t: it, wide: dst.is64}, operand{v: s, t: it, wide: dst.is64}, operand{v: n, t: it, wide: dst.is64})
		p.emit(opPrefixBulk, 10, 0, 0)
	case sub == 11:
		p.cost(100, 3)
		m := p.memoryIndex()
		it := m.indexType()
		n, c, d := p.pop(it), p.pop(I32), p.pop(it)
		p.chargeTop(it)
		p.narrowAll(causeHeap, operand{v: d, t: it, wide: m.is64}, operand{v: c, t: I32}, operand{v: n, t: it, wide: m.is64})
		p.emit(opPrefixBulk, 11, 0)
	case sub >= 12 && sub <= 17:
		p.tableBulk(sub)
	default:
		p.r.fail("illegal opcode 0xfc %d", sub)
	}
}

func (p *bodyPass) dataOp(sub uint32) {
	i := p.r.u32()
	if p.r.err == nil && p.m.dataCount < 0 {
		p.r.fail("data count section required")
	} else if p.r.err == nil && int64(i) >= p.m.dataCount {
		p.r.fail("unknown data segment %d", i)
	}
	if p.r.err != nil {
		return
	}
	p.rw.usesData = true
	if sub == 9 {
		p.cost(300, 1)
		p.rw.mutates = true
		p.emitU32(opPrefixBulk, 9)
		p.emit(appendU32(nil, i)...)
		return
	}
	p.cost(100, 1)
	m := p.memoryIndex()
	it := m.indexType()
	n, s, d := p.pop(I32), p.pop(I32), p.pop(it)
	p.chargeTop(I32)
	p.narrowAll(causeHeap, operand{v: d, t: it, wide: m.is64}, operand{v: s, t: I32}, operand{v: n, t: I32})
	p.emit(opPrefixBulk, 8)
	p.emit(appendU32(nil, i)...)
	p.emit(0)
}

func (p *bodyPass) elemIndex() elem {
	i := p.r.u32()
	if p.r.err == nil && int64(i) >= int64(len(p.m.elems)) {
		p.r.fail("unknown element segment %d", i)
	}
	if p.r.err != nil {
		return elem{}
	}
	return p.m.elems[i]
}

// refusesTables ends a canister's code that changes a table.
func (p *bodyPass) refusesTables(instruction string) bool {
	if p.m.canister {
		p.r.refuse(unsupported(p.index, instruction))
	}
	return p.m.canister
}

// changesTable names the instructions of prefix 0xfc that do.
var changesTable = map[uint32]string{12: "table.init", 14: "table.copy", 15: "table.grow", 17: "table.fill"}

func (p *bodyPass) tableBulk(sub uint32) {
	if name := changesTable[sub]; name != "" && p.refusesTables(name) {
		return
	}
	from := p.r.pos
	raw := func() []byte { return append([]byte{opPrefixBulk, byte(sub)}, p.r.b[from:p.r.pos]...) }
	switch sub {
	case 12: // table.init
		p.cost(100, 4)
		e, t := p.elemIndex(), p.table(p.r.u32())
		if p.r.err == nil && e.typ != t.elem {
			p.r.fail("type mismatch: segment of %s, table of %s", typeName(e.typ), typeName(t.elem))
		}
		n, s, d := p.pop(I32), p.pop(I32), p.pop(t.indexType())
		p.chargeTop(I32)
		p.narrowAll(causeTable, operand{v: d, t: t.indexType(), wide: t.is64}, operand{v: s, t: I32}, operand{v: n, t: I32})
		p.emit(raw()...)
	case 13: // elem.drop
		p.cost(300, 1)
		p.elemIndex()
		p.emit(raw()...)
	case 14: // table.copy
		p.cost(100, 4)
		dst, src := p.table(p.r.u32()), p.table(p.r.u32())
		if p.r.err == nil && dst.elem != src.elem {
			p.r.fail("type mismatch: copy from a table of %s to one of %s", typeName(src.elem), typeName(dst.elem))
		}
		nt := I32
		if dst.is64 && src.is64 {
			nt = I64
		}
		n, s, d := p.pop(nt), p.pop(src.indexType()), p.pop(dst.indexType())
		p.chargeTop(nt)
		p.narrowAll(causeTable, operand{v: d, t: dst.indexType(), wide: dst.is64},
			operand{v: s, t: src.indexType(), wide: src.is64}, operand{v: n, t: nt, wide: nt == I64})
		p.emit(raw()...)
	case 15: // table.grow
		p.cost(300, 50)
		t := p.table(p.r.u32())
		p.pop(t.indexType())
		p.pop(t.elem)
		if t.is64 {
			p.saturate(1<<32 - 1)
		}
		p.emit(raw()...)
		if t.is64 {
			p.emit(opExtendS)
		}
		p.push(t.indexType())
	case 16: // table.size
		p.cost(100, 1)
		t := p.table(p.r.u32())
		p.emit(raw()...)
		if t.is64 {
			p.emit(opExtendU)
		}
		p.push(t.indexType())
		return
	case 17: // table.fill
		p.cost(100, 5)
		t := p.table(p.r.u32())
		it := t.indexType()
		n, v, d := p.pop(it), p.pop(t.elem), p.pop(it)
		p.chargeTop(it)
		p.narrowAll(causeTable, operand{v: d, t: it, wide: t.is64}, operand{v: v, t: t.elem}, operand{v: n, t: it, wide: t.is64})
		p.emit(raw()...)
	}
	p.rw.mutates = true
}
