package wasm

import (
	"strconv"
	"strings"
)

// A rewriter holds what all bodies share and builds the module around them.
//
//	functions   [imports][ashlar's imports][bodies][helpers]
//	globals     [the canister's][counter][depth][cause]
//	types       [the canister's][ours]
type rewriter struct {
	m    *module
	code []byte
	opt  options

	types   []funcType
	bodies  [][]byte
	helpers []helper

	counter, depth, cause uint32 // globals
	outFunc, mayGrow      uint32 // imports
	charge_, grow_        uint32 // helpers, 0 until one is needed

	mutates  bool // tables or segments can change
	usesData bool // memory.init or data.drop occur
	moved    uint64
	exports  []export
}

type helper struct {
	typ  uint32
	body []byte
}

const ownImports = 2

func newRewriter(m *module, code []byte, opt options) *rewriter {
	rw := &rewriter{m: m, code: code, opt: opt, types: append([]funcType(nil), m.types...)}
	n := uint32(len(m.allGlobals))
	rw.counter, rw.depth, rw.cause = n, n+1, n+2
	rw.outFunc = uint32(m.importedFuncs)
	rw.mayGrow = rw.outFunc + 1
	return rw
}

// funcIndex maps a function of the input to one of the output.
func (rw *rewriter) funcIndex(i uint32) uint32 {
	if int64(i) < int64(rw.m.importedFuncs) {
		return i
	}
	return i + ownImports
}

func (rw *rewriter) typeIndex(t funcType) uint32 {
	// Only our own few types are looked for among ours: a module may have a million.
	for i := len(rw.m.types); i < len(rw.types); i++ {
		if rw.types[i].equal(t) {
			return uint32(i)
		}
	}
	rw.types = append(rw.types, t)
	return uint32(len(rw.types) - 1)
}

// resultType is the block type of a block without parameters.
func (rw *rewriter) resultType(b []byte, results []ValType) []byte {
	switch len(results) {
	case 0:
		return append(b, typeEmpty)
	case 1:
		return append(b, byte(results[0]))
	}
	return appendI64(b, int64(rw.typeIndex(funcType{results: results})))
}

func (rw *rewriter) addHelper(t funcType, body []byte) uint32 {
	rw.helpers = append(rw.helpers, helper{rw.typeIndex(t), body})
	return uint32(len(rw.m.funcTypes) + ownImports + len(rw.helpers) - 1)
}

// chargeFunc charges its argument, the length of a bulk operation. A length so
// large that the difference wraps empties the counter.
func (rw *rewriter) chargeFunc() uint32 {
	if rw.charge_ != 0 {
		return rw.charge_
	}
	b := []byte{1, 1, byte(I64)}
	b = appendU32(append(b, opGlobalGet), rw.counter)
	b = append(b, opLocalGet, 0, opI64Sub, opLocalTee, 1)
	b = appendI64(append(b, opI64Const), -1<<63)
	b = append(b, opLocalGet, 1)
	b = appendU32(append(b, opGlobalGet), rw.counter)
	b = append(b, 0x57 /* i64.le_s */, opSelect)
	b = appendU32(append(b, opGlobalSet), rw.counter)
	b = appendU32(append(b, opGlobalGet), rw.counter)
	b = append(b, opI64Const, 0, opI64LtS, opIf, typeEmpty)
	b = appendU32(append(b, opCall), rw.outFunc)
	b = append(b, opEnd, opEnd)
	rw.charge_ = rw.addHelper(funcType{params: []ValType{I64}}, b)
	return rw.charge_
}

func (rw *rewriter) growFunc() uint32 {
	if rw.grow_ != 0 {
		return rw.grow_
	}
	b := []byte{0, opLocalGet, 0}
	b = appendU32(append(b, opCall), rw.mayGrow)
	b = append(b, opIf, byte(I32), opLocalGet, 0, opMemoryGrow, 0, opElse, opI32Const, 0x7f, opEnd, opEnd)
	rw.grow_ = rw.addHelper(funcType{[]ValType{I32}, []ValType{I32}}, b)
	return rw.grow_
}

func (rw *rewriter) export(name string, kind byte, index uint32) {
	rw.exports = append(rw.exports, export{name, kind, index})
}

// build writes the module and fills in what the engine must know of it.
func (rw *rewriter) build(p *Prepared) {
	rw.exportAll(p)
	b := []byte(header)
	b = appendSection(b, secType, rw.typeSection())
	b = appendSection(b, secImport, rw.importSection())
	b = appendSection(b, secFunction, rw.functionSection())
	b = rw.tableSection(b)
	b = rw.memorySection(b, p)
	b = appendSection(b, secGlobal, rw.globalSection())
	b = appendSection(b, secExport, rw.exportSection())
	b = rw.elemSection(b)
	b = rw.dataCountSection(b)
	b = appendSection(b, secCode, rw.codeSection())
	b = rw.dataSection(b)
	p.Code = appendSection(b, secCustom, rw.nameSection())
	p.MutatesTables = rw.mutates
}

func (rw *rewriter) exportAll(p *Prepared) {
	m := rw.m
	for _, e := range m.exports {
		if rw.opt.canister && (e.kind != kindFunc || !strings.HasPrefix(e.name, "canister_")) {
			continue
		}
		index := e.index
		if e.kind == kindFunc {
			index = rw.funcIndex(index)
		}
		rw.export(e.name, e.kind, index)
	}
	if m.start >= 0 {
		rw.export(exportStart, kindFunc, rw.funcIndex(uint32(m.start)))
	}
	rw.export(ExportCounter, kindGlobal, rw.counter)
	rw.export(ExportDepth, kindGlobal, rw.depth)
	rw.export(ExportCause, kindGlobal, rw.cause)
	if len(m.allMemories) > 0 {
		rw.export(ExportMemory, kindMemory, 0)
	}
	if len(m.allTables) > 0 && m.allTables[0].elem == FuncRef {
		p.HasTable = true
		rw.export(ExportCallback, kindFunc, rw.callback())
	}
	imported := len(m.allGlobals) - len(m.globals)
	for i, g := range m.globals {
		if g.mutable {
			p.Globals = append(p.Globals, rw.saveGlobal(uint32(imported+i), g.typ))
		}
	}
}

func (rw *rewriter) saveGlobal(i uint32, t ValType) SavedGlobal {
	n := strconv.Itoa(int(i))
	if t != V128 {
		rw.export(exportGlobal+n, kindGlobal, i)
		return SavedGlobal{Type: t, Export: exportGlobal + n}
	}
	two := []ValType{I64, I64}
	extract := func(b []byte, lane byte) []byte {
		return append(appendU32(append(b, opGlobalGet), i), opPrefixSIMD, 29, lane)
	}
	get := append(extract(extract([]byte{0}, 0), 1), opEnd)
	set := []byte{0, opLocalGet, 0, opPrefixSIMD, 18, opLocalGet, 1, opPrefixSIMD, 30, 1}
	set = append(appendU32(append(set, opGlobalSet), i), opEnd)
	rw.export(exportVecGet+n, kindFunc, rw.addHelper(funcType{results: two}, get))
	rw.export(exportVecSet+n, kindFunc, rw.addHelper(funcType{params: two}, set))
	return SavedGlobal{Type: t, Get: exportVecGet + n, Set: exportVecSet + n}
}

// callback calls an entry of table 0 as the system does for replies: the type is
// (I) -> (), I being the width of the memory.
func (rw *rewriter) callback() uint32 {
	b := []byte{0, opLocalGet, 1}
	arg := I64
	if !rw.m.memory64() {
		arg = I32
		b = append(b, opWrap)
	}
	b = append(b, opLocalGet, 0, opWrap, opCallInd)
	b = appendU32(b, rw.typeIndex(funcType{params: []ValType{arg}}))
	b = append(b, 0, opEnd)
	return rw.addHelper(funcType{params: []ValType{I64, I64}}, b)
}

func (rw *rewriter) typeSection() []byte {
	// Types of ours come to be as the other sections are written: all but this
	// one have been, except for the imports below.
	rw.typeIndex(funcType{})
	rw.typeIndex(funcType{[]ValType{I32}, []ValType{I32}})
	b := appendU32(nil, uint32(len(rw.types)))
	for _, t := range rw.types {
		b = appendTypes(append(b, 0x60), t.params)
		b = appendTypes(b, t.results)
	}
	return b
}

func (rw *rewriter) importSection() []byte {
	b := appendU32(nil, uint32(len(rw.m.imports)+ownImports))
	// Functions first: ours follow theirs in the index space.
	for _, i := range rw.m.imports {
		b = appendName(appendName(b, rw.hostModule(i.module)), i.name)
		b = append(b, i.kind)
		switch i.kind {
		case kindFunc:
			b = appendU32(b, i.typ)
		case kindTable:
			b = appendLimits(append(b, byte(i.table.elem)), i.table.limits)
		case kindMemory:
			b = appendLimits(b, i.memory.limits)
		case kindGlobal:
			b = appendGlobalType(b, i.global)
		}
	}
	own := func(name string, t funcType) {
		b = appendName(appendName(b, EngineModule), name)
		b = appendU32(append(b, kindFunc), rw.typeIndex(t))
	}
	own(ImportOut, funcType{})
	own(ImportGrow, funcType{[]ValType{I32}, []ValType{I32}})
	return b
}

// hostModule names the variant of "ic0" for the width of the memory.
func (rw *rewriter) hostModule(name string) string {
	if rw.opt.canister && rw.m.memory64() {
		return Host64
	}
	return name
}

func appendLimits(b []byte, l limits) []byte {
	if !l.hasMax {
		return appendU64(append(b, 0), l.min)
	}
	return appendU64(appendU64(append(b, 1), l.min), l.max)
}

func appendGlobalType(b []byte, g globalType) []byte {
	if g.mutable {
		return append(b, byte(g.typ), 1)
	}
	return append(b, byte(g.typ), 0)
}

func (rw *rewriter) functionSection() []byte {
	b := appendU32(nil, uint32(len(rw.m.funcs)+len(rw.helpers)))
	for _, t := range rw.m.funcs {
		b = appendU32(b, t)
	}
	for _, h := range rw.helpers {
		b = appendU32(b, h.typ)
	}
	return b
}

func (rw *rewriter) tableSection(b []byte) []byte {
	if len(rw.m.tables) == 0 {
		return b
	}
	s := appendU32(nil, uint32(len(rw.m.tables)))
	for _, t := range rw.m.tables {
		l := t.limits
		if !l.hasMax || l.max > maxTableEntries {
			l.hasMax, l.max = true, max(l.min, maxTableEntries)
		}
		s = appendLimits(append(s, byte(t.elem)), l)
	}
	return appendSection(b, secTable, s)
}

func (rw *rewriter) memorySection(b []byte, p *Prepared) []byte {
	for _, mem := range rw.m.allMemories {
		p.MinPages, p.MaxPages = mem.min, maxLoweredPages
		if mem.hasMax {
			p.MaxPages = min(mem.max, maxLoweredPages)
		}
	}
	if len(rw.m.memories) == 0 {
		return b
	}
	l := limits{min: min(p.MinPages, maxLoweredPages), max: p.MaxPages, hasMax: true}
	return appendSection(b, secMemory, appendLimits([]byte{1}, l))
}

func (rw *rewriter) globalSection() []byte {
	b := appendU32(nil, uint32(len(rw.m.globals)+3))
	for _, g := range rw.m.globals {
		b = append(appendGlobalType(b, g.globalType), rw.constExpr(g.init)...)
	}
	b = append(b, byte(I64), 1, opI64Const, 0, opEnd)
	b = append(b, byte(I64), 1, opI64Const, 0, opEnd)
	return append(b, byte(I32), 1, opI32Const, 0, opEnd)
}

// constExpr renumbers functions; all else stays.
func (rw *rewriter) constExpr(expr []byte) []byte {
	if len(expr) > 0 && expr[0] == opRefFunc {
		r := newReader(expr[1:])
		return append(appendU32([]byte{opRefFunc}, rw.funcIndex(r.u32())), opEnd)
	}
	return expr
}

func (rw *rewriter) exportSection() []byte {
	b := appendU32(nil, uint32(len(rw.exports)))
	for _, e := range rw.exports {
		b = append(appendName(b, e.name), e.kind)
		b = appendU32(b, e.index)
	}
	return b
}

func (rw *rewriter) elemSection(b []byte) []byte {
	if len(rw.m.elems) == 0 {
		return b
	}
	s := appendU32(nil, uint32(len(rw.m.elems)))
	for i := range rw.m.elems {
		s = rw.elem(s, &rw.m.elems[i])
	}
	return appendSection(b, secElem, s)
}

// elem writes every segment in the form with expressions, which has all modes.
func (rw *rewriter) elem(b []byte, e *elem) []byte {
	switch e.mode {
	case segActive:
		b = appendU32(append(b, 6), e.table)
		b = append(b, rw.tableOffset(e)...)
	case segPassive:
		b = append(b, 5)
	default:
		b = append(b, 7)
	}
	b = append(b, byte(e.typ))
	b = appendU32(b, uint32(e.size()))
	for _, f := range e.funcs {
		b = append(appendU32(append(b, opRefFunc), rw.funcIndex(f)), opEnd)
	}
	for _, x := range e.exprs {
		b = append(b, rw.constExpr(x)...)
	}
	return b
}

// tableOffset is the offset of a segment, which is evaluated for 64-bit tables.
func (rw *rewriter) tableOffset(e *elem) []byte {
	t := rw.m.allTables[e.table]
	v, err := rw.m.constant(rw.code, e.at, t.indexType())
	if err != nil || !v.known {
		return e.offset
	}
	return append(appendI64([]byte{opI32Const}, int64(int32(v.bits))), opEnd)
}

func (rw *rewriter) dataCountSection(b []byte) []byte {
	if !rw.usesData {
		return b
	}
	return appendSection(b, secDataCount, appendU32(nil, uint32(len(rw.m.data))))
}

// dataSection keeps passive segments. Active ones are the engine's to apply; an
// empty passive one holds their place, which is what they are after instantiation.
func (rw *rewriter) dataSection(b []byte) []byte {
	if !rw.usesData {
		return b
	}
	s := appendU32(nil, uint32(len(rw.m.data)))
	for _, d := range rw.m.data {
		if d.mode == segActive {
			s = append(s, 1, 0)
			continue
		}
		s = appendU32(append(s, 1), uint32(len(d.bytes)))
		s = append(s, d.bytes...)
	}
	return appendSection(b, secData, s)
}

func (rw *rewriter) codeSection() []byte {
	n := 0
	for _, body := range rw.bodies {
		n += len(body) + 5
	}
	b := appendU32(make([]byte, 0, n+1024), uint32(len(rw.bodies)+len(rw.helpers)))
	for _, body := range rw.bodies {
		b = append(appendU32(b, uint32(len(body))), body...)
	}
	for _, h := range rw.helpers {
		b = append(appendU32(b, uint32(len(h.body))), h.body...)
	}
	return b
}

// nameSection names each function by its index in the original module: that is
// how a trap's trace is read. Helpers have no name of that form.
func (rw *rewriter) nameSection() []byte {
	total := len(rw.m.funcTypes) + ownImports + len(rw.helpers)
	names := appendU32(nil, uint32(total))
	for i := range uint32(total) {
		name := "#"
		if int(i) < rw.m.importedFuncs {
			name = strconv.Itoa(int(i))
		} else if i >= rw.mayGrow+1 && int(i) < len(rw.m.funcTypes)+ownImports {
			name = strconv.Itoa(int(i) - ownImports)
		}
		names = appendName(appendU32(names, i), name)
	}
	b := appendName(nil, "name")
	return appendSection(b, 1, names)
}
