package wasm

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// Every instruction of fixed type gives, after the pass, what it gave before, on
// both engines; only a NaN made by arithmetic becomes the canonical one.
func TestEveryPlainOp(t *testing.T) {
	for name, config := range engines() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, config)
			n := 0
			for code := range 256 {
				if o := &plain[code]; o.out != "" {
					b.checkOp(o, []byte{byte(code)})
					n++
				}
			}
			for i := range truncSat {
				b.checkOp(&truncSat[i], []byte{opPrefixBulk, byte(i)})
				n++
			}
			for i := range vector {
				if o := &vector[i]; o.out != "" {
					b.checkOp(o, appendU32([]byte{opPrefixSIMD}, uint32(i)))
					n++
				}
			}
			const want = 128 + 8 + 198 // numeric, saturating, vector without memory, lanes, shuffle, const
			if n != want {
				t.Errorf("%d instructions checked, the specification has %d", n, want)
			}
		})
	}
}

// checkOp applies an instruction to all combinations of the samples.
func (b *bench) checkOp(o *op, code []byte) {
	d := draft{code: nil}
	var slots []ValType
	for i := range len(o.in) {
		t := letter(o.in[i])
		slots = append(slots, t)
		d = d.takeParam(t)
	}
	d.code = append(d.code, code...)
	out := letter(o.out[0])
	d = d.giveResult(out)
	module := d.bytes()
	original, err := b.open(module)
	if err != nil {
		b.t.Fatalf("op %x: %v", code, err)
	}
	defer original.Close(b.ctx)
	changed := b.rewritten(module)
	defer changed.Close(b.ctx)
	for _, args := range combine(slots) {
		want, wantErr := original.ExportedFunction("f").Call(b.ctx, args...)
		got, used, gotErr := b.call(changed, args...)
		at := fmt.Sprintf("op %x of %x", code, args)
		if sameError(at, b.t, wantErr, gotErr); wantErr != nil {
			continue
		}
		for i := range want {
			if g, w := canonicalBits(0, out, got[i]), canonicalBits(o.makes, out, want[i]); g != w {
				b.t.Errorf("%s: %x, want %x", at, g, w)
			}
		}
		if used == 0 {
			b.t.Errorf("%s: used no instructions", at)
		}
	}
}

// takeParam adds a parameter of type t, pushed by the code; a vector comes in two halves.
func (d draft) takeParam(t ValType) draft {
	n := byte(len(d.params))
	if t != V128 {
		d.params = append(d.params, t)
		d.code = append(d.code, opLocalGet, n)
		return d
	}
	d.params = append(d.params, I64, I64)
	d.code = append(d.code, opLocalGet, n, opPrefixSIMD, 18, opLocalGet, n+1, opPrefixSIMD, 30, 1)
	return d
}

// giveResult returns the value on the stack as bits: floats would be canonicalised
// on their way out anyway, so they go by reinterpretation.
func (d draft) giveResult(t ValType) draft {
	switch t {
	case V128:
		tmp := byte(len(d.params))
		d.locals = append(d.locals, V128)
		d.code = append(d.code, opLocalTee, tmp, opPrefixSIMD, 29, 0, opLocalGet, tmp, opPrefixSIMD, 29, 1)
		d.results = []ValType{I64, I64}
	case F32:
		d.code = append(d.code, 0xbc)
		d.results = []ValType{I32}
	case F64:
		d.code = append(d.code, 0xbd)
		d.results = []ValType{I64}
	default:
		d.results = []ValType{t}
	}
	return d
}

func sameError(at string, t testing.TB, want, got error) {
	t.Helper()
	line := func(err error) string {
		if err == nil {
			return "no trap"
		}
		s, _, _ := strings.Cut(err.Error(), "\n")
		return s
	}
	if line(want) != line(got) {
		t.Errorf("%s: %s, want %s", at, line(got), line(want))
	}
}

// canonicalBits is what the pass must make of v where it may be a NaN of shape makes.
func canonicalBits(makes nanSet, t ValType, v uint64) uint64 {
	half := func(v uint64) uint64 {
		if f := math.Float32frombits(uint32(v)); f != f {
			return 0x7fc00000
		}
		return uint64(uint32(v))
	}
	switch makes {
	case nanF32:
		return half(v)
	case nanF32x4:
		return half(v) | half(v>>32)<<32
	case nanF64, nanF64x2:
		if f := math.Float64frombits(v); f != f {
			return 0x7ff8000000000000
		}
	}
	if t == I32 || t == F32 {
		return uint64(uint32(v))
	}
	return v
}

var samples = map[ValType][]uint64{
	I32: {0, 1, 2, 31, 33, 0x7fffffff, 0x80000000, 0xffffffff, 0x12345678},
	I64: {0, 1, 63, 65, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x123456789abcdef0},
	F32: {0, 0x80000000, 0x3f800000, 0xbfc00000, 0x4f000000, 0xcf000000, 0x4f800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffa00000, 1, 0x7f7fffff, 0x3effffff},
	F64: {0, 1 << 63, 0x3ff0000000000000, 0xbff8000000000000, 0x41e0000000000000, 0xc1e0000000000000, 0x43e0000000000000, 0x43f0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000001, 0x7ff0000000000001, 0xfff4000000000000, 1, 0x7fefffffffffffff, 0x3fdfffffffffffff},
	V128: {0, 0xffffffffffffffff, 0x7fc00000ffc00001, 0x7f800001ff800000, 0xfff8000000000001, 0x7ff0000000000001, 0x3ff0000000000000, 0x3f800000bfc00000,
		0x80017fff00ff8080, 0x0102030405060708, 0xc1e0000000000000, 0x4f000000cf000000},
}

// combine pairs the samples of all slots; a vector takes two values of it.
func combine(slots []ValType) [][]uint64 {
	all := [][]uint64{nil}
	for k, t := range slots {
		var next [][]uint64
		for _, head := range all {
			for i, v := range samples[t] {
				if k > 1 && i%3 != 0 {
					continue // three operands: fewer of the last
				}
				args := append(append([]uint64(nil), head...), v)
				if t == V128 {
					args = append(args, samples[V128][(i+k+3)%len(samples[V128])])
				}
				next = append(next, args)
			}
		}
		all = next
	}
	return all
}

// Every load and store does, after the pass, what it did before; in a memory of
// 64 bits it does the same, and traps for any address of 2^32 or more.
func TestEveryAccess(t *testing.T) {
	for name, config := range engines() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, config)
			for code := range 256 {
				if a := plainAccess[code]; a.ok {
					b.checkAccess(a, []byte{byte(code)}, false)
				}
				if a := vectorAccess[code]; a.ok {
					b.checkAccess(a, appendU32([]byte{opPrefixSIMD}, uint32(code)), code >= 84 && code <= 91)
				}
			}
		})
	}
}

func (b *bench) checkAccess(a access, code []byte, lane bool) {
	const size = 1 << 16
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	make := func(index ValType, offset uint64) []byte {
		d := draft{memory: []byte{1, 1, 1}, data: data}
		if index == I64 {
			d.memory[0] = 5
		}
		d = d.takeParam(index)
		if a.store || lane {
			d = d.takeParam(a.typ)
		}
		d.code = append(append(d.code, code...), 0)
		d.code = appendU64(d.code, offset)
		if lane {
			d.code = append(d.code, 0)
		}
		if a.store { // give back the first bytes of the memory
			zero := byte(opI32Const)
			if index == I64 {
				zero = opI64Const
			}
			d.code = append(d.code, zero, 0, 0x29, 0, 0)
			d.results = []ValType{I64}
		} else {
			d = d.giveResult(a.typ)
		}
		return d.bytes()
	}
	width := uint64(1) << a.log2
	for _, offset := range []uint64{0, 4, 0xffffffff} {
		original, err := b.open(make(I32, offset))
		if err != nil {
			b.t.Fatal(err)
		}
		narrow, wide := b.rewritten(make(I32, offset)), b.rewritten(make(I64, offset))
		for _, addr := range []uint64{0, 1, 5, size - width, size - width + 1, size - width - 4, size - width - 3, size, 0xffffffff, 0xfffffffc} {
			args := []uint64{addr}
			if a.store || lane {
				args = append(args, 0x1122334455667788)
				if a.typ == V128 {
					args = append(args, 0x99aabbccddeeff00)
				}
			}
			want, wantErr := original.ExportedFunction("f").Call(b.ctx, args...)
			for i, mod := range []api.Module{narrow, wide} {
				got, _, gotErr := b.call(mod, args...)
				at := fmt.Sprintf("access %x offset %d to %x (variant %d)", code, offset, args, i)
				if sameError(at, b.t, wantErr, gotErr); gotErr == nil && fmt.Sprint(got) != fmt.Sprint(want) {
					b.t.Errorf("%s: %x, want %x", at, got, want)
				}
			}
			for _, high := range []uint64{1 << 32, 1 << 63} {
				args[0] = addr | high
				if _, _, err := b.call(wide, args...); err == nil || wide.ExportedGlobal(ExportCause).Get() != causeHeap {
					b.t.Errorf("access %x offset %d to %x: %v, want a heap trap", code, offset, args, err)
				}
			}
		}
		if offset == 0xffffffff { // and one beyond 32 bits
			far := b.rewritten(make(I64, 1<<32))
			args := []uint64{0, 0, 0}[:1]
			if a.store || lane {
				args = []uint64{0, 0, 0}[:2]
				if a.typ == V128 {
					args = []uint64{0, 0, 0}
				}
			}
			if _, _, err := b.call(far, args...); err == nil || far.ExportedGlobal(ExportCause).Get() != causeHeap {
				b.t.Errorf("access %x with offset 2^32: %v, want a heap trap", code, err)
			}
			far.Close(b.ctx)
		}
		original.Close(b.ctx)
		narrow.Close(b.ctx)
		wide.Close(b.ctx)
	}
}
