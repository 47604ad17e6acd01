package wasm

import "encoding/binary"

// Vector instructions, and NaN made canonical.

func (p *bodyPass) prefixSIMD() {
	sub := p.r.u32()
	if p.r.err != nil {
		return
	}
	if sub > 255 {
		p.r.fail("relaxed SIMD is not supported (opcode 0xfd %d)", sub)
		return
	}
	code := appendU32([]byte{opPrefixSIMD}, sub)
	switch a := vectorAccess[sub]; {
	case a.ok:
		p.vectorAccess(a, sub, code)
	case sub == 12: // v128.const
		p.cost(1, 1)
		p.emit(append(code, p.r.bytes(16)...)...)
		p.push(V128)
	case sub == 13: // i8x16.shuffle
		p.cost(3, 1)
		lanes := p.r.bytes(16)
		for _, l := range lanes {
			if l >= 32 {
				p.r.fail("invalid lane index %d", l)
			}
		}
		p.pop(V128)
		p.pop(V128)
		p.emit(append(code, lanes...)...)
		p.push(V128)
	case sub >= 21 && sub <= 34:
		p.lane(sub, code)
	case vector[sub].out != "":
		p.plain(&vector[sub], code...)
	default:
		p.r.fail("illegal opcode 0xfd %d", sub)
	}
}

// lane does extract_lane and replace_lane.
func (p *bodyPass) lane(sub uint32, code []byte) {
	p.cost(1, 1)
	shapes := [...]struct {
		lanes   byte
		t       ValType
		replace bool
	}{{16, I32, false}, {16, I32, false}, {16, I32, true}, {8, I32, false}, {8, I32, false}, {8, I32, true},
		{4, I32, false}, {4, I32, true}, {2, I64, false}, {2, I64, true}, {4, F32, false}, {4, F32, true}, {2, F64, false}, {2, F64, true}}
	s := shapes[sub-21]
	l := p.r.byte()
	if p.r.err == nil && l >= s.lanes {
		p.r.fail("invalid lane index %d", l)
	}
	if s.replace {
		p.pop(s.t)
		p.pop(V128)
	} else {
		p.pop(V128)
	}
	p.emit(append(code, l)...)
	if s.replace {
		p.push(V128)
	} else {
		p.push(s.t)
	}
}

func (p *bodyPass) vectorAccess(a access, sub uint32, code []byte) {
	align, offset, m := p.memarg(a)
	lane := sub >= 84 && sub <= 91
	var l byte
	if lane {
		if l = p.r.byte(); p.r.err == nil && l >= 16>>a.log2 {
			p.r.fail("invalid lane index %d", l)
		}
	}
	if p.r.err != nil {
		return
	}
	p.accessCost(m, 1)
	var val value
	if a.store || lane {
		val = p.pop(V128)
	}
	addr := p.pop(m.indexType())
	if m.is64 {
		if a.store || lane {
			p.narrowBelow(addr, val, offset)
		} else {
			p.narrowTop(addr, offset)
		}
	}
	p.emit(appendU32(code, align)...)
	p.emitOffset(offset)
	if lane {
		p.emit(l)
	}
	if !a.store {
		p.push(V128)
	}
}

// canonical is code that makes the NaNs in the value on top of the stack canonical:
// positive, quiet, no payload.
func (p *bodyPass) canonical(shape nanSet) []byte {
	var t ValType
	var canon, equal, choose []byte
	const nan32, nan64 = 0x7fc00000, 0x7ff8000000000000
	switch shape {
	case nanF32:
		t, equal, choose = F32, []byte{opF32Eq}, []byte{opSelect}
		canon = binary.LittleEndian.AppendUint32([]byte{opF32Const}, nan32)
	case nanF64:
		t, equal, choose = F64, []byte{opF64Eq}, []byte{opSelect}
		canon = binary.LittleEndian.AppendUint64([]byte{opF64Const}, nan64)
	case nanF32x4:
		t, equal, choose = V128, []byte{opPrefixSIMD, 65}, []byte{opPrefixSIMD, 82}
		canon = []byte{opPrefixSIMD, 12}
		for range 4 {
			canon = binary.LittleEndian.AppendUint32(canon, nan32)
		}
	default:
		t, equal, choose = V128, []byte{opPrefixSIMD, 71}, []byte{opPrefixSIMD, 82}
		canon = []byte{opPrefixSIMD, 12}
		for range 2 {
			canon = binary.LittleEndian.AppendUint64(canon, nan64)
		}
	}
	tmp := p.temp(t, 0)
	b := appendU32([]byte{opLocalTee}, tmp)
	b = append(b, canon...)
	b = appendU32(append(b, opLocalGet), tmp)
	b = appendU32(append(b, opLocalGet), tmp)
	b = append(b, equal...)
	return append(b, choose...)
}
