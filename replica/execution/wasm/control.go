package wasm

// Control flow: frames, branches and calls. Labels of the input are mapped to
// those of the output, which has more: see the shapes in metering.go.

func (p *bodyPass) control(code byte) {
	switch code {
	case opUnreachable:
		p.cost(1, 1)
		p.emit(code)
		p.closeCharge()
		p.deadEnd()
	case opNop:
		p.cost(1, 1)
		p.emit(code)
	case opBlock, opLoop, opIf:
		p.open(code)
	case opElse:
		p.elseOp()
	case opEnd:
		p.end()
	case opBr, opBrIf:
		p.branch(code)
	case opBrTable:
		p.branchTable()
	case opReturn:
		p.cost(1, 1)
		p.popAll(p.typ.results)
		p.emitBranch(opBr, 0)
		p.closeCharge()
		p.deadEnd()
	case opCall, opTailCall:
		p.call(code)
	case opCallInd, opTailCallInd:
		p.callIndirect(code)
	}
}

// deadEnd marks the rest of the frame as unreachable.
func (p *bodyPass) deadEnd() {
	f := p.top()
	p.stack = p.stack[:f.height]
	p.spills.height = min(p.spills.height, f.height)
	f.unreachable = true
	p.live = false
	p.openCharge(false)
}

func (p *bodyPass) blockType() (t funcType, raw []byte) {
	from := p.r.pos
	if p.r.more() && p.r.b[from] == typeEmpty {
		p.r.pos++
		return t, p.r.b[from:p.r.pos]
	}
	if p.r.more() && p.r.b[from]&0xc0 == 0x40 { // a negative number of one byte: a value type
		t.results = []ValType{p.r.valType()}
	} else {
		i := p.r.i33()
		if p.r.err == nil && (i < 0 || i >= int64(len(p.m.types))) {
			p.r.fail("unknown type %d", i)
		}
		if p.r.err == nil {
			t = p.m.types[i]
		}
	}
	return t, p.r.b[from:p.r.pos]
}

func (p *bodyPass) open(code byte) {
	t, raw := p.blockType()
	if p.r.err != nil {
		return
	}
	cost := uint64(0)
	if code == opIf {
		cost = 2
		p.pop(I32)
	}
	p.cost(cost, 50)
	p.popAll(t.params)
	f := frame{op: code, params: t.params, results: t.results, height: len(p.stack), live: p.live, sets: p.spills.sets}
	if code == opLoop {
		p.loops = true
		p.alive.branch(len(p.stack), loopWeight)
		p.alive.enterLoop()
		p.spills.call(len(p.stack)) // its slow path
		p.closeCharge()
		p.forget()
		f.wrapped = len(t.params) == 0
		if f.wrapped {
			p.emit(opBlock)
			p.emit(raw...)
			p.emit(opLoop, typeEmpty, opBlock, typeEmpty)
			p.depth += 3
		}
	}
	p.emit(code)
	p.emit(raw...)
	f.label = p.depth
	p.depth++
	p.frames = append(p.frames, f)
	p.pushParams(t.params)
	switch code {
	case opLoop:
		p.openCharge(true)
		p.charge.loop = len(p.frames) - 1
	case opIf:
		p.alive.branch(len(p.stack), 1)
		p.closeCharge()
		p.openCharge(false)
	}
}

// pushParams enters a frame: its parameters lie where they were, so nothing is
// known of where they were made.
func (p *bodyPass) pushParams(ts []ValType) {
	p.pushAll(ts)
	for i := range ts {
		p.stack[len(p.stack)-1-i].at = -1
	}
}

// close checks that the frame leaves exactly its results.
func (p *bodyPass) close() {
	f := p.top()
	p.popAll(f.results)
	if len(p.stack) != f.height {
		p.r.fail("type mismatch: values remaining on the stack at the end of the block")
	}
}

func (p *bodyPass) elseOp() {
	p.cost(0, 1)
	f := p.top()
	if f.op != opIf {
		p.r.fail("else without if")
		return
	}
	p.close()
	p.closeCharge()
	f = p.top()
	f.op, f.unreachable = opElse, false
	p.live = f.live
	p.stack = p.stack[:min(f.height, len(p.stack))]
	p.emit(opElse)
	p.pushParams(f.params)
	p.forget()
	p.openCharge(false)
}

func (p *bodyPass) end() {
	p.cost(0, 1)
	p.close()
	f := p.frames[len(p.frames)-1]
	if f.op == opIf && !equalTypes(f.params, f.results) {
		p.r.fail("type mismatch: if without else must leave its parameters")
	}
	if p.r.err != nil {
		return
	}
	p.closeCharge()
	f = p.frames[len(p.frames)-1] // closeCharge may have set its cost
	p.live = f.live
	p.frames = p.frames[:len(p.frames)-1]
	p.depth = f.label
	p.emit(opEnd)
	if f.wrapped {
		p.depth -= 3
		p.emit(opBr, 2, opEnd)
		if p.live {
			p.out = p.rw.slowPath(p.out, f.cost)
		}
		p.emit(opBr, 0, opEnd, opUnreachable, opEnd)
	}
	p.forget()
	p.alive.branch(len(p.stack), 1)
	if f.op == opLoop {
		p.alive.leaveLoop()
	}
	p.spills.join(p.spills.sets-f.sets, f.op == opLoop)
	if len(p.frames) == 0 {
		return
	}
	p.pushAll(f.results)
	p.openCharge(false)
}

// target is the frame n labels out, with the types a branch to it carries.
func (p *bodyPass) target(n uint32) (index int, types []ValType) {
	if p.r.err == nil && int64(n) >= int64(len(p.frames)) {
		p.r.fail("unknown label: branch depth %d", n)
	}
	if p.r.err != nil {
		return 0, nil
	}
	index = len(p.frames) - 1 - int(n)
	if f := &p.frames[index]; f.op == opLoop {
		return index, f.params
	}
	return index, p.frames[index].results
}

func (p *bodyPass) emitBranch(code byte, frameIndex int) {
	p.emitU32(code, uint32(p.depth-1-p.frames[frameIndex].label))
}

func (p *bodyPass) branch(code byte) {
	p.cost(2, 50)
	p.alive.branch(len(p.stack), 2)
	to, types := p.target(p.r.u32())
	if p.r.err != nil {
		return
	}
	if code == opBrIf {
		p.pop(I32)
	}
	p.popAll(types)
	if code == opBrIf && len(types) == 0 {
		p.branchApart(to)
	} else {
		p.emitBranch(code, to)
	}
	p.closeCharge()
	if code == opBr {
		p.deadEnd()
		return
	}
	p.pushParams(types)
	p.openCharge(false)
}

// branchApart is br_if with a block of its own for the branch. The engine's compiler
// makes one where locals differ at the target, and then no longer sees that the
// condition is a comparison.
func (p *bodyPass) branchApart(to int) {
	p.emit(opIf, typeEmpty)
	p.depth++
	p.emitBranch(opBr, to)
	p.depth--
	p.emit(opEnd)
}

func (p *bodyPass) branchTable() {
	p.cost(2, 50)
	from := p.r.pos
	n := p.r.count("branch targets", maxBranchTable)
	p.pop(I32)
	arity := -1
	var code []byte
	for i := range n + 1 {
		to, types := p.target(p.r.u32())
		if p.r.err != nil {
			return
		}
		if arity >= 0 && arity != len(types) {
			p.r.fail("type mismatch: br_table targets have different numbers of values")
			return
		}
		if arity < 0 || i == n {
			arity = len(types)
		}
		if p.frames[to].table != from { // once per target, of maybe thousands that are equal
			p.frames[to].table = from
			p.peekAll(types)
		}
		code = appendU32(code, uint32(p.depth-1-p.frames[to].label))
		if i == n {
			p.popAll(types)
		}
	}
	p.alive.branch(len(p.stack), n)
	p.emitU32(opBrTable, uint32(n))
	p.emit(code...)
	p.closeCharge()
	p.deadEnd()
}

// peekAll checks the top of the stack against ts and leaves it.
func (p *bodyPass) peekAll(ts []ValType) {
	p.rw.moved += uint64(len(ts))
	f := p.top()
	for i := range ts {
		at := len(p.stack) - 1 - i
		want := ts[len(ts)-1-i]
		if at < f.height {
			if !f.unreachable {
				p.r.fail("type mismatch: expected %s, found nothing on the stack", typeName(want))
			}
			return
		}
		if got := p.stack[at].t; got != want && got != 0 {
			p.r.fail("type mismatch: expected %s, found %s", typeName(want), typeName(got))
			return
		}
	}
}

func (p *bodyPass) call(code byte) {
	i := p.r.u32()
	if p.r.err == nil && int64(i) >= int64(len(p.m.funcTypes)) {
		p.r.fail("unknown function %d", i)
	}
	if p.r.err != nil {
		return
	}
	if own := int(i) - p.m.importedFuncs; own >= 0 {
		p.calls = append(p.calls, uint32(own))
	} else {
		p.hostCalls = true
	}
	t := p.m.typeOf(i)
	if code == opCall {
		p.cost(5, 50)
		p.popAll(t.params)
		p.spills.call(len(p.stack))
		p.emitU32(code, p.rw.funcIndex(i))
		p.pushAll(t.results)
		return
	}
	p.cost(3, 1)
	p.popAll(t.params)
	p.tail(t)
	p.emitU32(code, p.rw.funcIndex(i))
	p.closeCharge()
	p.deadEnd()
}

func (p *bodyPass) tail(t funcType) {
	if !equalTypes(t.results, p.typ.results) {
		p.r.fail("type mismatch: a tail call must return what the function returns")
	}
	if p.live {
		p.restores = append(p.restores, len(p.out))
	}
}

func (p *bodyPass) callIndirect(code byte) {
	typ, tab := p.r.u32(), p.r.u32()
	if p.r.err == nil && int64(typ) >= int64(len(p.m.types)) {
		p.r.fail("unknown type %d", typ)
	}
	t := p.table(tab)
	if p.r.err == nil && t.elem != FuncRef {
		p.r.fail("type mismatch: indirect call through a table of %s", typeName(t.elem))
	}
	if p.r.err != nil {
		return
	}
	p.indirect = true
	ft := p.m.types[typ]
	index := p.pop(t.indexType())
	if t.is64 {
		p.narrow(index, 0, causeTable)
	}
	p.popAll(ft.params)
	if code == opCallInd {
		p.cost(10, 50)
		p.spills.call(len(p.stack))
		p.emitU32(code, typ)
		p.emit(appendU32(nil, tab)...)
		p.pushAll(ft.results)
		return
	}
	p.cost(60, 1)
	p.tail(ft)
	p.emitU32(code, typ)
	p.emit(appendU32(nil, tab)...)
	p.closeCharge()
	p.deadEnd()
}
