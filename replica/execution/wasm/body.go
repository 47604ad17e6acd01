package wasm

import (
	"fmt"
	"sort"
)

// A bodyPass checks one function body and writes its rewritten form, in one walk.
//
//	code ── step ──> pops and pushes typed values ──> out
//	                       │ learns later what an earlier value needs
//	                       └──> inserts: (position in out, bytes), merged at the end
//
// Code that cannot be reached is checked but not written.
type bodyPass struct {
	m     *module
	rw    *rewriter
	r     *reader
	index int // of the body
	typ   funcType

	locals []ValType
	stack  []value
	frames []frame

	out      []byte
	inserts  []insert
	live     bool // out receives what is written
	depth    int  // labels open in out
	temps    map[tempKey]uint32
	tempList []ValType

	// What is known of i64 locals as addresses: see memory.go.
	versions []uint32
	checked  []fact
	epoch    uint32

	charge    charge
	entryCost uint64
	allCost   uint64 // of all instructions
	restores  []int  // positions in out where a tail call gives the depth back

	// For the depth limit.
	calls, refs []uint32 // defined functions called; functions named by ref.func
	indirect    bool     // calls through a table
	loops, bulk bool     // has a loop, calls a helper
	hostCalls   bool
	guard       bool // checks the depth
	frame       uint64

	ops       uint64
	injected  uint64 // instructions that mainnet's metering adds, see metering.go
	weight    uint64
	maxHeight int
	spills    spills
	floats    floats
	alive     liveness
	values    uint64 // alive at branches: see live.go
	squares   uint64
}

// A value on the operand stack. Type 0 is unknown: below a branch that is always taken.
type value struct {
	t       ValType
	nan     nanSet // not 0: may be a NaN of any bits, of this shape
	at      int    // position in out just after the value came on top, -1 where not known
	local   uint32 // 1 + the local whose copy it is, while version matches
	version uint32
	small   bool // an i64 below 2^32
	calm    bool // a float that is no odd NaN
}

type frame struct {
	op              byte
	params, results []ValType
	height          int  // of the stack below the frame's parameters
	unreachable     bool // the rest of the frame cannot be reached
	live            bool // the frame itself is written
	label           int  // of the branch target in out
	table           int  // the last br_table that named it
	wrapped         bool // a loop with its slow path outlined
	cost            uint64
	sets            uint64 // assignments to locals before it
}

type insert struct {
	at   int
	code []byte
}

// Temps of the metering's own, i64.
const (
	counterTemp = -1
	depthTemp   = -2
)

type tempKey struct {
	t ValType
	k int
}

const (
	opUnreachable = 0x00
	opNop         = 0x01
	opBlock       = 0x02
	opLoop        = 0x03
	opIf          = 0x04
	opElse        = 0x05
	opEnd         = 0x0b
	opBr          = 0x0c
	opBrIf        = 0x0d
	opBrTable     = 0x0e
	opReturn      = 0x0f
	opCall        = 0x10
	opCallInd     = 0x11
	opTailCall    = 0x12
	opTailCallInd = 0x13
	opDrop        = 0x1a
	opSelect      = 0x1b
	opSelectT     = 0x1c
	opLocalGet    = 0x20
	opLocalSet    = 0x21
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opTableGet    = 0x25
	opTableSet    = 0x26
	opMemorySize  = 0x3f
	opMemoryGrow  = 0x40
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opRefNull     = 0xd0
	opRefIsNull   = 0xd1
	opRefFunc     = 0xd2
	opPrefixBulk  = 0xfc
	opPrefixSIMD  = 0xfd
	typeEmpty     = 0x40
	opI32Add      = 0x6a
	opI64Add      = 0x7c
	opI64Sub      = 0x7d
	opI64Or       = 0x84
	opI64Eqz      = 0x50
	opI64LtS      = 0x53
	opI64LtU      = 0x54
	opI64GtU      = 0x56
	opI32LtS      = 0x48
	opWrap        = 0xa7
	opExtendS     = 0xac
	opExtendU     = 0xad
	opF32Eq       = 0x5b
	opF64Eq       = 0x61
)

// The labels around a body in out: the function itself, the retry loop, the
// block that a body out of instructions leaves by, the body.
const bodyLabel = 3

func (p *bodyPass) run(index int) error {
	p.index = index
	b := p.m.bodies[index]
	p.typ = p.m.types[p.m.funcs[index]]
	p.r = &reader{b: p.rw.code, pos: b.at, end: b.end}
	p.locals = append(p.locals, p.typ.params...)
	for _, g := range b.locals {
		for range g.n {
			p.locals = append(p.locals, g.typ)
		}
	}
	p.versions = make([]uint32, len(p.locals))
	p.checked = make([]fact, len(p.locals))
	p.spills.lastSet = make([]uint32, len(p.locals))
	p.alive = newLiveness(len(p.locals))
	p.floats.shape = make([]nanSet, len(p.locals))
	p.floats.other = make([]bool, len(p.locals))
	for i := range p.typ.params {
		p.floats.other[i] = true // the caller's, whatever it is
	}
	p.epoch = 1
	p.live = true
	p.depth = bodyLabel + 1
	p.frames = append(p.frames, frame{op: opCall, results: p.typ.results, live: true, label: bodyLabel})
	p.charge = charge{entry: true, cost: 1, live: true}

	for len(p.frames) > 0 && p.r.err == nil {
		p.ops++
		if p.ops > maxBodyOps {
			p.r.refuse(tooLong(index, p.ops))
			break
		}
		p.step(p.r.byte())
		if p.weight > maxBodyWeight {
			p.r.refuse(tooComplex(index, p.weight))
		}
		if p.rw.moved > maxMoved {
			p.r.fail("module is too complex: its calls and branches carry more than %d values", maxMoved)
		}
	}
	if p.r.more() {
		p.r.fail("operators remaining after the end of the function")
	}
	if p.values, p.squares = p.alive.sums(); p.values > maxLiveValues || p.squares > maxLiveSquares {
		p.r.fail("function is too complex: too many values are alive across its branches")
	}
	// What the second step does not need goes: all bodies wait for it.
	p.stack, p.frames, p.versions, p.checked, p.alive = nil, nil, nil, nil, liveness{}
	return p.r.err
}

// assemble puts locals, prologue, body and epilogue together: the shape is in metering.go.
func (p *bodyPass) assemble() []byte {
	b := p.m.bodies[p.index]
	leaf := p.isLeaf()
	head := p.head(leaf)
	code := appendU32(nil, uint32(len(b.locals)+len(p.tempList)))
	for _, g := range b.locals {
		code = append(appendU32(code, g.n), byte(g.typ))
	}
	for _, t := range p.tempList {
		code = append(code, 1, byte(t))
	}
	code = append(append(code, head...), opBlock)
	code = p.rw.resultType(code, p.typ.results)
	if p.guard {
		for _, at := range p.restores {
			p.inserts = append(p.inserts, insert{at, p.rw.leaveFrame(nil, p.frame)})
		}
	}
	sort.SliceStable(p.inserts, func(i, j int) bool { return p.inserts[i].at < p.inserts[j].at })
	from := 0
	for _, i := range p.inserts {
		code = append(code, p.out[from:i.at]...)
		code = append(code, i.code...)
		from = i.at
	}
	code = append(code, p.out[from:]...) // ends with the end of the body block
	if p.guard {
		code = p.rw.leaveFrame(code, p.frame)
	}
	code = append(code, opReturn, opEnd)
	if !leaf {
		code = p.tailOfRetry(code)
	}
	return append(code, opEnd, opUnreachable, opEnd)
}

func (p *bodyPass) emit(b ...byte) {
	if p.live {
		p.out = append(p.out, b...)
	}
}

func (p *bodyPass) emitU32(op byte, v uint32) {
	if p.live {
		p.out = appendU32(append(p.out, op), v)
	}
}

func (p *bodyPass) insertAt(at int, code []byte) {
	if p.live {
		p.inserts = append(p.inserts, insert{at, code})
	}
}

// temp is the index of a local of our own. The code of one instruction uses it
// and is done with it: no value stays in it.
func (p *bodyPass) temp(t ValType, k int) uint32 {
	key := tempKey{t, k}
	if i, ok := p.temps[key]; ok {
		return i
	}
	if p.temps == nil {
		p.temps = map[tempKey]uint32{}
	}
	i := uint32(len(p.locals) + len(p.tempList))
	p.tempList = append(p.tempList, t)
	p.temps[key] = i
	return i
}

func (p *bodyPass) top() *frame { return &p.frames[len(p.frames)-1] }

func (p *bodyPass) push(t ValType) *value {
	p.stack = append(p.stack, value{t: t, at: len(p.out)})
	p.maxHeight = max(p.maxHeight, len(p.stack))
	return &p.stack[len(p.stack)-1]
}

func (p *bodyPass) pushAll(ts []ValType) {
	p.rw.moved += uint64(len(ts))
	for i, t := range ts {
		v := p.push(t)
		if i < len(ts)-1 {
			v.at = -1 // others lie above it
		}
	}
}

// take pops a value of type t; 0 takes any. Its NaN bits stay unobserved.
func (p *bodyPass) take(t ValType) value {
	f := p.top()
	if len(p.stack) == f.height {
		if !f.unreachable {
			if t == 0 {
				p.r.fail("type mismatch: expected a value, found nothing on the stack")
			} else {
				p.r.fail("type mismatch: expected %s, found nothing on the stack", typeName(t))
			}
		}
		return value{t: t, at: -1}
	}
	v := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	p.spills.height = min(p.spills.height, len(p.stack))
	if v.t != t && t != 0 && v.t != 0 {
		p.r.fail("type mismatch: expected %s, found %s", typeName(t), typeName(v.t))
	}
	return v
}

// pop is take for an instruction that can tell one NaN from another.
func (p *bodyPass) pop(t ValType) value {
	v := p.take(t)
	p.observe(&v)
	return v
}

func (p *bodyPass) popAll(ts []ValType) {
	p.rw.moved += uint64(len(ts))
	for i := len(ts) - 1; i >= 0; i-- {
		p.pop(ts[i])
	}
}

// observe makes a value canonical where it was made, if it may be an odd NaN.
func (p *bodyPass) observe(v *value) {
	if v.nan == 0 {
		return
	}
	p.insertAt(v.at, p.canonical(v.nan))
	v.nan, v.calm = 0, true
}

func (p *bodyPass) step(code byte) {
	switch code {
	case opUnreachable, opNop, opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn,
		opCall, opCallInd, opTailCall, opTailCallInd:
		p.control(code)
	case opDrop:
		p.cost(1, 1)
		p.take(0)
		p.emit(code)
	case opSelect, opSelectT:
		p.selectOp(code)
	case opLocalGet, opLocalSet, opLocalTee:
		p.local(code)
	case opGlobalGet, opGlobalSet:
		p.global(code)
	case opTableGet, opTableSet:
		p.tableOp(code)
	case opMemorySize, opMemoryGrow:
		p.memorySize(code)
	case opI32Const, opI64Const, opF32Const, opF64Const:
		p.constant(code)
	case opRefNull, opRefIsNull, opRefFunc:
		p.reference(code)
	case opPrefixBulk:
		p.prefixBulk()
	case opPrefixSIMD:
		p.prefixSIMD()
	default:
		if a := plainAccess[code]; a.ok {
			p.access(a, code)
		} else if o := &plain[code]; o.out != "" {
			p.plain(o, code)
		} else {
			p.unknown(code)
		}
	}
}

func (p *bodyPass) unknown(code byte) {
	switch {
	case p.r.err != nil:
	case code >= 0x06 && code <= 0x0a || code == 0x18 || code == 0x19 || code == 0x1f:
		p.r.fail("exception handling is not supported (opcode 0x%x)", code)
	case code == 0x14 || code == 0x15 || code >= 0xd3 && code <= 0xd6:
		p.r.fail("typed function references are not supported (opcode 0x%x)", code)
	case code == 0xfb:
		p.r.fail("garbage collection is not supported (opcode 0xfb)")
	case code == 0xfe:
		p.r.fail("threads are not supported (opcode 0xfe)")
	default:
		p.r.fail("illegal opcode 0x%x", code)
	}
}

// plain does an instruction of fixed type whose bytes stay as they are.
func (p *bodyPass) plain(o *op, code ...byte) {
	p.cost(uint64(o.cost), uint64(o.weight))
	small := false
	for i := len(o.in) - 1; i >= 0; i-- {
		v := p.take(letter(o.in[i]))
		small = small || v.small
		if v.nan&^o.eats != 0 {
			p.observe(&v)
		}
	}
	p.emit(code...)
	v := p.push(letter(o.out[0]))
	if p.live {
		v.nan = o.makes
	}
	// An address that was a 32-bit value, or was masked by one.
	v.small = code[0] == opExtendU || code[0] == 0x83 && small
	v.calm = len(code) == 1 && calmResult(code[0])
}

func (p *bodyPass) selectOp(code byte) {
	p.cost(1, 2)
	var want ValType
	if code == opSelectT {
		if n := p.r.u32(); p.r.err == nil && n != 1 {
			p.r.fail("invalid result arity: select has %d types", n)
		}
		want = p.r.valType()
	}
	p.pop(I32)
	b := p.take(want)
	if want == 0 {
		want = b.t
	}
	a := p.take(want)
	if want == 0 {
		want = a.t
	}
	if code == opSelect && isRef(want) {
		p.r.fail("type mismatch: select without type takes no references")
	}
	if a.nan != b.nan && !(a.calm || b.calm) || a.nan&b.nan == 0 && a.nan != 0 && b.nan != 0 {
		p.observe(&a) // the other may be a NaN whose bits must stay
		p.observe(&b)
	}
	p.emit(code)
	if code == opSelectT {
		p.emit(1, byte(want))
	}
	v := p.push(want)
	v.nan = a.nan | b.nan
	v.small = a.small && b.small
	v.calm = a.calm && b.calm
}

func (p *bodyPass) local(code byte) {
	p.cost(1, 1)
	i := p.r.u32()
	if p.r.err != nil {
		return
	}
	if int64(i) >= int64(len(p.locals)) {
		p.r.fail("unknown local %d", i)
		return
	}
	t := p.locals[i]
	if code == opLocalGet {
		p.alive.get(i)
		p.emitU32(code, i)
		v := p.push(t)
		v.local, v.version = i+1, p.versions[i]
		v.small = p.isChecked(i)
		if p.live && p.floats.raw != nil {
			v.nan = p.floats.raw[i]
		}
		return
	}
	from := p.take(t)
	if p.live && (t == F32 || t == F64 || t == V128) {
		p.floats.assigned(i, from, p.current(from))
	}
	if from.nan != 0 && (p.floats.raw == nil || p.floats.raw[i] != from.nan) {
		p.observe(&from)
	}
	p.emitU32(code, i)
	p.versions[i]++
	p.spills.set(i)
	p.alive.assign(i)
	if from.small {
		p.markChecked(i)
	}
	if code == opLocalTee {
		v := p.push(t)
		v.local, v.version, v.small = i+1, p.versions[i], from.small
		v.nan, v.calm = from.nan, from.calm
	}
}

func (p *bodyPass) global(code byte) {
	i := p.r.u32()
	if p.r.err == nil && int64(i) >= int64(len(p.m.allGlobals)) {
		p.r.fail("unknown global %d", i)
	}
	if p.r.err != nil {
		return
	}
	g := p.m.allGlobals[i]
	if code == opGlobalGet {
		p.cost(2, 2)
		p.emitU32(code, i)
		p.push(g.typ)
		return
	}
	p.cost(2, 1)
	if !g.mutable {
		p.r.fail("global %d is immutable", i)
	}
	p.pop(g.typ)
	p.emitU32(code, i)
}

func (p *bodyPass) constant(code byte) {
	p.cost(1, 1)
	from := p.r.pos - 1
	var t ValType
	small := false
	switch code {
	case opI32Const:
		p.r.i32()
		t = I32
	case opI64Const:
		t = I64
		small = uint64(p.r.i64()) < 1<<32
	case opF32Const:
		p.r.bytes(4)
		t = F32
	default:
		p.r.bytes(8)
		t = F64
	}
	if p.r.err != nil {
		return
	}
	p.emit(p.r.b[from:p.r.pos]...)
	v := p.push(t)
	v.small, v.calm = small, calmConstant(code, p.r.b[from+1:p.r.pos])
}

func (p *bodyPass) reference(code byte) {
	switch code {
	case opRefNull:
		p.cost(1, 1)
		t := p.r.refType()
		p.emit(code, byte(t))
		p.push(t)
	case opRefIsNull:
		p.cost(5, 6)
		if v := p.pop(0); v.t != 0 && !isRef(v.t) {
			p.r.fail("type mismatch: expected a reference, found %s", typeName(v.t))
		}
		p.emit(code)
		p.push(I32)
	default:
		p.cost(130, 8)
		i := p.r.u32()
		if p.r.err == nil && int64(i) >= int64(len(p.m.funcTypes)) {
			p.r.fail("unknown function %d", i)
		} else if p.r.err == nil && !p.m.declared[i] {
			p.r.fail("undeclared function reference %d", i)
		}
		p.refs = append(p.refs, i)
		p.emitU32(code, p.rw.funcIndex(i))
		p.push(FuncRef)
	}
}

func typeName(t ValType) string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("type 0x%x", byte(t))
}
