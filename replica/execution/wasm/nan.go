package wasm

import "encoding/binary"

// NaN made canonical: positive, quiet, no payload. Processors differ in the NaN
// that arithmetic gives. Only what could be seen is made canonical: arithmetic on
// an odd NaN gives a NaN whatever its bits, a comparison does not tell them apart.
//
//	sqrt ── mul ── add ── local.set s ... local.get s ── f64.store
//	 not    not    not     not, where all                  here
//	                       of s is arithmetic
//
// Bits that were moved, not computed, stay: a NaN with a payload that was loaded
// is stored as it was.

// canonical is code that does it to the value on top of the stack. A branch never
// taken costs half of what a select does, as the constant is not loaded; and x >= x
// is one flag of the processor, where x == x is two.
func (p *bodyPass) canonical(shape nanSet) []byte {
	const nan32, nan64 = 0x7fc00000, 0x7ff8000000000000
	vector := func(bits uint64, equal byte) []byte {
		tmp := p.temp(V128, 0)
		b := append(appendU32([]byte{opLocalTee}, tmp), opPrefixSIMD, 12)
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, bits), bits)
		b = appendU32(append(b, opLocalGet), tmp)
		b = appendU32(append(b, opLocalGet), tmp)
		return append(b, opPrefixSIMD, equal, opPrefixSIMD, 82)
	}
	scalar := func(t ValType, orders byte, canon []byte) []byte {
		tmp := p.temp(t, 0)
		b := appendU32([]byte{opLocalTee}, tmp)
		b = appendU32(append(b, opLocalGet), tmp)
		b = append(append(b, orders, opIf, typeEmpty, opElse), canon...)
		b = appendU32(append(b, opLocalSet), tmp)
		return appendU32(append(b, opEnd, opLocalGet), tmp)
	}
	switch shape {
	case nanF32:
		return scalar(F32, 0x60, binary.LittleEndian.AppendUint32([]byte{opF32Const}, nan32))
	case nanF64:
		return scalar(F64, 0x66, binary.LittleEndian.AppendUint64([]byte{opF64Const}, nan64))
	case nanF32x4:
		return vector(nan32<<32|nan32, 65)
	}
	return vector(nan64, 71)
}

// calmResult tells whether an instruction makes floats from integers: no NaN at all.
func calmResult(code byte) bool { return code >= 0xb2 && code <= 0xb5 || code >= 0xb7 && code <= 0xba }

// calmConstant tells whether the bits of a float constant are no odd NaN.
func calmConstant(code byte, raw []byte) bool {
	switch v := little(raw); code {
	case opF32Const:
		return v&0x7fffffff <= 0x7f800000 || v == 0x7fc00000
	case opF64Const:
		return v&^(1<<63) <= 0x7ff0000000000000 || v == 0x7ff8000000000000
	}
	return false
}

// floats learns in a first walk over a body which locals only ever hold results of
// arithmetic. In a second walk those may hold odd NaNs, made canonical where read.
type floats struct {
	shape  []nanSet // by local: shape of the arithmetic it holds
	other  []bool   // by local: it also holds something else
	copies [][2]uint32
	raw    []nanSet // given to the second walk: the shape of locals that may be odd
}

// assigned notes what goes into a local.
func (f *floats) assigned(local uint32, v value, copied bool) {
	switch {
	case v.nan != 0:
		f.other[local] = f.other[local] || f.shape[local]&^v.nan != 0
		f.shape[local] |= v.nan
	case copied:
		f.copies = append(f.copies, [2]uint32{local, v.local - 1})
	case !v.calm:
		f.other[local] = true
	}
}

// result says which locals may be odd in a second walk; nil: none gain by it.
func (f *floats) result() []nanSet {
	for changed := true; changed; {
		changed = false
		for _, c := range f.copies {
			to, from := c[0], c[1]
			if !f.other[to] && (f.other[from] || f.shape[to] != 0 && f.shape[from]&^f.shape[to] != 0) {
				f.other[to], changed = true, true
			}
			if s := f.shape[to] | f.shape[from]; !f.other[to] && s != f.shape[to] {
				f.shape[to], changed = s, true
			}
		}
	}
	var raw []nanSet
	for i, s := range f.shape {
		if s != 0 && !f.other[i] {
			if raw == nil {
				raw = make([]nanSet, len(f.shape))
			}
			raw[i] = s
		}
	}
	return raw
}
