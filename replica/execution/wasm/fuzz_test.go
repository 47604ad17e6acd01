package wasm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// Any bytes are refused with an error or become a module that the engine takes.
func FuzzPrepare(f *testing.F) {
	f.Add([]byte(header))
	for _, d := range []draft{
		{code: []byte{opNop}},
		{memory: []byte{5, 1, 1}, data: []byte("data"), code: []byte{opI64Const, 0, 0x28, 2, 0, opDrop}},
		{memory: []byte{1, 1, 1}, code: []byte{opLoop, typeEmpty, opI32Const, 1, opBrIf, 0, opEnd}},
		{results: []ValType{V128}, code: []byte{opF32Const, 0, 0, 0, 0, 0x91, opPrefixSIMD, 19}},
		{results: []ValType{I32, F64}, code: []byte{opI32Const, 1, opIf, 0x40, opUnreachable, opElse, opEnd, opI32Const, 1, opF64Const, 0, 0, 0, 0, 0, 0, 0, 0, 0x9f}},
	} {
		f.Add(d.bytes())
	}
	seeds, _ := filepath.Glob("../../engine/testdata/*/*.wasm")
	for _, s := range seeds {
		if b, err := os.ReadFile(s); err == nil && len(b) < 20_000 {
			f.Add(b)
		}
	}
	config := engines()["interpreter"]
	f.Fuzz(func(t *testing.T, code []byte) {
		p, err := prepare(code, options{})
		if err != nil {
			return
		}
		b := newBench(t, config)
		c, err := b.runtime.CompileModule(b.ctx, p.Code)
		if err != nil {
			t.Fatalf("the engine does not take what the pass made: %v", err)
		}
		c.Close(b.ctx)
	})
}

// A program made of random bytes does after the pass what it did before: result,
// trap, memory and globals, on compiler and interpreter, with a memory of 32 bits
// and of 64, and with the same number of instructions everywhere. mk soak fuzz
// asks wasmtime too.
func FuzzSameBehaviour(f *testing.F) {
	for i := range 60 {
		b := make([]byte, 400)
		for k := range b {
			b[k] = byte(i*131 + k*k*7 + k*i*3 + k>>3)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		if len(seed) > 4096 {
			return
		}
		sameBehaviour(t, seed)
	})
}

type behaviour struct {
	trap    string
	results string
	state   string
	used    uint64
}

func sameBehaviour(t *testing.T, seed []byte) {
	plain32, plain64 := makeProgram(seed, false), makeProgram(seed, true)
	var all []behaviour
	var names []string
	for _, name := range []string{"compiler", "interpreter"} {
		b := newBench(t, engines()[name])
		original, err := b.open(plain32)
		if err != nil {
			t.Fatalf("the generator made a module that wazero refuses: %v", err)
		}
		all = append(all, b.observe(original, false))
		names = append(names, name+", original")
		all = append(all, b.observe(b.rewritten(plain32), true))
		names = append(names, name+", rewritten")
		all = append(all, b.observe(b.rewritten(plain64), true))
		names = append(names, name+", rewritten from 64 bits")
	}
	if wasmtime := secondOpinion(t); wasmtime != nil {
		for _, code := range [][]byte{plain32, plain64} {
			all = append(all, wasmtime.original(t, code), wasmtime.rewritten(t, code))
			names = append(names, "wasmtime, original", "wasmtime, rewritten")
		}
	}
	for i := range all {
		if all[i].trap != all[0].trap || all[i].results != all[0].results || all[i].state != all[0].state {
			t.Errorf("%s: %.300v\n%s: %.300v", names[i], all[i], names[0], all[0])
		}
	}
	for _, pair := range [][2]int{{1, 4}, {2, 5}, {1, 7}, {2, 9}} {
		if pair[1] < len(all) && all[pair[0]].used != all[pair[1]].used {
			t.Errorf("%s: %d instructions, %s: %d", names[pair[0]], all[pair[0]].used, names[pair[1]], all[pair[1]].used)
		}
	}
}

var behaviourArgs = []uint64{3, 0x8000000000000005, 0x3fc00000, 0xc008000000000000}

func (b *bench) observe(mod api.Module, metered bool) (o behaviour) {
	var res []uint64
	var err error
	if metered {
		res, o.used, err = b.call(mod, behaviourArgs...)
	} else {
		res, err = mod.ExportedFunction("f").Call(b.ctx, behaviourArgs...)
	}
	if err != nil {
		o.trap = trapLine(err)
		if metered && mod.ExportedGlobal(ExportCause).Get() == causeHeap {
			o.trap = "wasm error: out of bounds memory access"
		}
		return o // what a trap leaves is rolled back
	}
	o.results = fmt.Sprintf("%x", res)
	mem, _ := mod.Memory().Read(0, mod.Memory().Size())
	o.state = fmt.Sprintf("%d %x", len(mem), bytes.TrimRight(mem, "\x00"))
	for i := range 4 {
		g := mod.ExportedGlobal(fmt.Sprint("g", i)).Get()
		if i%2 == 0 {
			g = uint64(uint32(g))
		}
		o.state += fmt.Sprintf(" %x", g)
	}
	return o
}

// generator makes valid programs. Floats never leave the float world but by
// comparison and conversion, as the originals have odd NaNs: those are for TestEveryPlainOp.
type generator struct {
	seed  []byte
	wide  bool
	code  []byte
	loops int // locals used as loop counters
	depth int
	level int // labels open: branches go outwards to blocks only
}

const (
	genLoops = 3 // nested: six rounds each
)

func (g *generator) next() byte {
	if len(g.seed) == 0 {
		return 0
	}
	b := g.seed[0]
	g.seed = g.seed[1:]
	return b
}

func makeProgram(seed []byte, wide bool) []byte {
	g := &generator{seed: seed, wide: wide}
	b := []byte(header)
	types := appendTypes(appendTypes([]byte{2, 0x60}, []ValType{I32, I64, F32, F64}), []ValType{I32, I64})
	b = appendSection(b, secType, append(appendTypes(append(types, 0x60), []ValType{I32}), 1, byte(I32)))
	b = appendSection(b, secFunction, []byte{2, 0, 1})
	b = appendSection(b, secTable, []byte{1, byte(FuncRef), 0, 2})
	limits := byte(1)
	offset := byte(opI32Const)
	if wide {
		limits, offset = 5, opI64Const
	}
	b = appendSection(b, secMemory, []byte{1, limits, 1, 4})
	b = appendSection(b, secGlobal, []byte{4, byte(I32), 1, opI32Const, 5, opEnd, byte(I64), 1, opI64Const, 6, opEnd,
		byte(F32), 1, opF32Const, 0, 0, 0x80, 0x3f, opEnd, byte(F64), 1, opF64Const, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, opEnd})
	exports := append(appendName([]byte{6}, "f"), kindFunc, 0)
	exports = append(appendName(exports, "m"), kindMemory, 0)
	for i := range 4 {
		exports = append(appendName(exports, fmt.Sprint("g", i)), kindGlobal, byte(i))
	}
	b = appendSection(b, secExport, exports)
	b = appendSection(b, secElem, []byte{1, 0, opI32Const, 0, opEnd, 1, 1})

	for range 3 + int(g.next())%12 {
		g.statement()
	}
	g.expr(I32)
	g.expr(I64)
	main := append(append([]byte{1, genLoops, byte(I32)}, g.code...), opEnd)
	g.code = nil
	helper := []byte{0, opLocalGet, 0, opI32Const, 3, opI32Add, opLocalGet, 0, 0x68, 0x73, opEnd}
	code := appendU32([]byte{2}, uint32(len(main)))
	code = append(append(code, main...), byte(len(helper)))
	b = appendSection(b, secCode, append(code, helper...))
	return appendSection(b, secData, append([]byte{1, 0, offset, 0, opEnd, 16}, "0123456789abcdef"...))
}

func (g *generator) emit(b ...byte) { g.code = append(g.code, b...) }

var localTypes = []ValType{I32, I64, F32, F64}

func (g *generator) statement() {
	g.depth++
	defer func() { g.depth-- }()
	choice := g.next() % 14
	if g.depth > 5 {
		choice %= 5
	}
	switch choice {
	case 0, 1:
		k := g.next() % 4
		g.expr(localTypes[k])
		g.emit(opLocalSet, k)
	case 2:
		k := g.next() % 2 // floats as globals would show their NaN
		g.expr(localTypes[k])
		g.emit(opGlobalSet, k)
	case 3, 4:
		g.address()
		if g.next()%2 == 0 {
			g.expr(I32)
			g.emit([]byte{0x36, 0x3a, 0x3b}[g.next()%3], 0)
		} else {
			g.expr(I64)
			g.emit([]byte{0x37, 0x3c, 0x3d, 0x3e}[g.next()%4], 0)
		}
		g.emit(g.next() & 0x7f)
	case 5:
		g.emit(opBlock, typeEmpty)
		g.level++
		for range 1 + g.next()%3 {
			g.statement()
		}
		if g.next()%2 == 0 {
			g.expr(I32)
			g.emit(opBrIf, 0)
			g.statement()
		}
		g.level--
		g.emit(opEnd)
	case 6, 7:
		g.expr(I32)
		g.emit(opIf, typeEmpty)
		g.level++
		g.statement()
		if g.next()%2 == 0 {
			g.emit(opElse)
			g.statement()
		}
		g.level--
		g.emit(opEnd)
	case 8, 9:
		g.loop()
	case 10: // fill, copy
		g.address()
		if g.next()%2 == 0 {
			g.expr(I32)
			g.length()
			g.emit(opPrefixBulk, 11, 0)
		} else {
			g.address()
			g.length()
			g.emit(opPrefixBulk, 10, 0, 0)
		}
	case 11:
		g.emit(opI32Const, 1)
		g.extend()
		g.emit(opMemoryGrow, 0)
		g.wrap()
		g.emit(opGlobalSet, 0)
	case 12: // br_table over three blocks
		g.emit(opBlock, typeEmpty, opBlock, typeEmpty, opBlock, typeEmpty)
		g.expr(I32)
		g.emit(opBrTable, 2, 0, 1, 2, opEnd)
		g.statement()
		g.emit(opEnd)
		g.statement()
		g.emit(opEnd)
	case 13: // rarely the end of it all
		g.expr(I32)
		g.emit(opI32Const, 0xff, 0, 0x71, opI32Const, 7, 0x46, opIf, typeEmpty)
		if g.next()%2 == 0 {
			g.emit(opUnreachable)
		} else {
			g.emit(opI32Const, 1, opI64Const, 2, opReturn)
		}
		g.emit(opEnd)
	}
}

// loop runs a few times, counted by a local of its own.
func (g *generator) loop() {
	if g.loops == genLoops || g.depth > 3 {
		return
	}
	counter := byte(4 + g.loops)
	g.loops++
	g.emit(opI32Const, g.next()%6+1, opLocalSet, counter, opLoop, typeEmpty)
	for range 1 + g.next()%3 {
		g.statement()
	}
	g.emit(opLocalGet, counter, opI32Const, 1, 0x6b, opLocalTee, counter, opBrIf, 0, opEnd)
	g.loops--
}

// extend and wrap stand around what has the width of the memory.
func (g *generator) extend() {
	if g.wide {
		g.emit(opExtendU)
	}
}

func (g *generator) wrap() {
	if g.wide {
		g.emit(opWrap)
	}
}

// address is mostly inside of the first page.
func (g *generator) address() {
	g.expr(I32)
	if g.next()%8 != 0 {
		g.emit(opI32Const, 0xff, 0xff, 1, 0x71)
	}
	g.extend()
}

func (g *generator) length() {
	g.expr(I32)
	g.emit(opI32Const, 0xff, 7, 0x71)
	g.extend()
}

func (g *generator) constant(t ValType) {
	v := uint64(g.next()) | uint64(g.next())<<56
	switch t {
	case I32:
		g.code = appendI64(append(g.code, opI32Const), int64(int32(v>>24|v)))
	case I64:
		g.code = appendI64(append(g.code, opI64Const), int64(v))
	case F32:
		g.code = binary.LittleEndian.AppendUint32(append(g.code, opF32Const), uint32(v>>32|v<<16))
	case F64:
		g.code = binary.LittleEndian.AppendUint64(append(g.code, opF64Const), v)
	}
}

func (g *generator) expr(t ValType) {
	g.depth++
	defer func() { g.depth-- }()
	choice := g.next() % 16
	if g.depth > 8 {
		choice %= 4
	}
	k := byte(0)
	for localTypes[k] != t {
		k++
	}
	switch choice {
	case 0, 1:
		g.constant(t)
	case 2, 3:
		g.emit(opLocalGet, k)
	case 4:
		if k < 2 {
			g.emit(opGlobalGet, k)
		} else {
			g.constant(t)
		}
	case 5:
		g.expr(t)
		g.emit(opLocalTee, k)
	case 6:
		g.expr(t)
		g.expr(t)
		g.expr(I32)
		g.emit(opSelect)
	case 7:
		g.expr(I32)
		g.emit(opIf, byte(t))
		g.expr(t)
		g.emit(opElse)
		g.expr(t)
		g.emit(opEnd)
	case 8:
		if t == I32 || t == I64 {
			g.address()
			if t == I32 {
				g.emit([]byte{0x28, 0x2c, 0x2d, 0x2e, 0x2f}[g.next()%5], 0)
			} else {
				g.emit([]byte{0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35}[g.next()%7], 0)
			}
			g.emit(g.next() & 0x7f)
			return
		}
		g.constant(t)
	case 9:
		g.expr(I32)
		switch {
		case t != I32:
			g.emit(opDrop)
			g.expr(t)
		case g.next()%2 == 0:
			g.emit(opCall, 1)
		default:
			g.emit(opI32Const, g.next()%16/15*2, opCallInd, 1, 0) // rarely out of bounds
		}
	case 10:
		g.emit(opBlock, byte(t))
		g.expr(t)
		g.expr(I32)
		g.emit(opBrIf, 0, opEnd)
	default:
		g.operation(t)
	}
}

// operation picks an instruction that gives t.
func (g *generator) operation(t ValType) {
	from := int(g.next())
	for i := range 256 {
		code := (from*3 + i) % 256
		o := &plain[code]
		if o.out == "" || letter(o.out[0]) != t || code >= 0xbc && code <= 0xbf || code == 0x98 || code == 0xa6 { // bits of a NaN show
			continue
		}
		for _, c := range []byte(o.in) {
			g.expr(letter(c))
		}
		g.emit(byte(code))
		return
	}
}
