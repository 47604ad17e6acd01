package wasm

// An op is an instruction of fixed type: what it pops and pushes, what it costs,
// and how it deals with NaN. Control, variable, memory, table and reference
// instructions have their own code in the pass.
type op struct {
	in, out string // letters: i I f F V
	cost    uint16
	weight  uint8  // complexity, see maxBodyWeight
	makes   nanSet // kind of float that the result may hold as a NaN of any bits
	eats    nanSet // kinds of float operand whose NaN bits cannot be observed in the result
}

// nanSet is a set of float shapes.
type nanSet uint8

const (
	nanF32 nanSet = 1 << iota
	nanF64
	nanF32x4
	nanF64x2
	nanAnyScalar = nanF32 | nanF64
)

func letter(c byte) ValType {
	switch c {
	case 'i':
		return I32
	case 'I':
		return I64
	case 'f':
		return F32
	case 'F':
		return F64
	}
	return V128
}

// plain holds opcodes 0x45 to 0xc4, truncSat those of prefix 0xfc, vector those of 0xfd.
var (
	plain    [256]op
	truncSat [8]op
	vector   [256]op
)

func init() {
	set := func(from, to int, sig string, cost uint16, weight uint8) {
		for i := from; i <= to; i++ {
			plain[i] = signature(sig, cost, weight)
		}
	}
	set(0x45, 0x45, "i:i", 1, 2)
	set(0x46, 0x4f, "ii:i", 1, 2)
	set(0x50, 0x50, "I:i", 1, 2)
	set(0x51, 0x5a, "II:i", 1, 2)
	set(0x5b, 0x60, "ff:i", 3, 2)
	set(0x61, 0x66, "FF:i", 3, 2)
	set(0x67, 0x69, "i:i", 1, 1)
	set(0x6a, 0x78, "ii:i", 1, 1)
	set(0x6d, 0x70, "ii:i", 10, 3) // div, rem
	set(0x79, 0x7b, "I:I", 1, 1)
	set(0x7c, 0x8a, "II:I", 1, 1)
	set(0x7f, 0x82, "II:I", 10, 3)
	plain[0x69].weight, plain[0x7b].weight = 2, 2 // popcnt
	set(0x8b, 0x8c, "f:f", 1, 4)                  // abs, neg
	set(0x8d, 0x90, "f:f", 2, 2)                  // ceil, floor, trunc, nearest
	set(0x91, 0x91, "f:f", 5, 2)                  // sqrt
	set(0x92, 0x94, "ff:f", 2, 1)
	set(0x95, 0x95, "ff:f", 3, 1) // div
	set(0x96, 0x97, "ff:f", 18, 1)
	set(0x98, 0x98, "ff:f", 2, 3) // copysign
	set(0x99, 0x9a, "F:F", 1, 4)
	set(0x9b, 0x9e, "F:F", 2, 2)
	set(0x9f, 0x9f, "F:F", 8, 2)
	set(0xa0, 0xa2, "FF:F", 2, 1)
	set(0xa3, 0xa3, "FF:F", 5, 1)
	set(0xa4, 0xa5, "FF:F", 18, 1)
	set(0xa6, 0xa6, "FF:F", 3, 3)
	set(0xa7, 0xa7, "I:i", 1, 2)
	set(0xa8, 0xa9, "f:i", 20, 5)
	set(0xaa, 0xab, "F:i", 20, 5)
	set(0xac, 0xad, "i:I", 1, 5)
	set(0xae, 0xaf, "f:I", 20, 5)
	set(0xb0, 0xb1, "F:I", 20, 5)
	set(0xb2, 0xb2, "i:f", 3, 5)
	set(0xb3, 0xb3, "i:f", 16, 5)
	set(0xb4, 0xb4, "I:f", 3, 5)
	set(0xb5, 0xb5, "I:f", 16, 5)
	set(0xb6, 0xb6, "F:f", 1, 5)
	set(0xb7, 0xb7, "i:F", 3, 5)
	set(0xb8, 0xb8, "i:F", 16, 5)
	set(0xb9, 0xb9, "I:F", 3, 5)
	set(0xba, 0xba, "I:F", 16, 5)
	set(0xbb, 0xbb, "f:F", 1, 2)
	set(0xbc, 0xbc, "f:i", 1, 2)
	set(0xbd, 0xbd, "F:I", 1, 2)
	set(0xbe, 0xbe, "i:f", 1, 2)
	set(0xbf, 0xbf, "I:F", 1, 2)
	set(0xc0, 0xc1, "i:i", 1, 2)
	set(0xc2, 0xc4, "I:I", 1, 2)
	plain[0x61].weight = 3 // f64.eq

	// Arithmetic makes NaNs; arithmetic, comparison and conversion eat them.
	// abs, neg, copysign and reinterpret work on bits and do neither.
	for i := 0x5b; i <= 0x66; i++ {
		plain[i].eats = nanAnyScalar
	}
	for i := 0x8d; i <= 0x97; i++ {
		plain[i].eats, plain[i].makes = nanAnyScalar, nanF32
	}
	for i := 0x9b; i <= 0xa5; i++ {
		plain[i].eats, plain[i].makes = nanAnyScalar, nanF64
	}
	for _, i := range []int{0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1, 0xb6, 0xbb} {
		plain[i].eats = nanAnyScalar
	}
	plain[0xb6].makes, plain[0xbb].makes = nanF32, nanF64

	for i, sig := range []string{"f:i", "f:i", "F:i", "F:i", "f:I", "f:I", "F:I", "F:I"} {
		truncSat[i] = signature(sig, 20, 3)
		truncSat[i].eats = nanAnyScalar
	}
	initVector()
}

func signature(sig string, cost uint16, weight uint8) op {
	for i := range sig {
		if sig[i] == ':' {
			return op{in: sig[:i], out: sig[i+1:], cost: cost, weight: weight}
		}
	}
	panic("op without colon: " + sig)
}

func initVector() {
	set := func(sig string, from, to int) {
		for i := from; i <= to; i++ {
			vector[i] = signature(sig, 1, 1)
		}
	}
	set("VV:V", 14, 14) // swizzle
	set("i:V", 15, 17)
	set("I:V", 18, 18)
	set("f:V", 19, 19)
	set("F:V", 20, 20)
	set("VV:V", 35, 76) // comparisons
	set("V:V", 77, 77)
	set("VV:V", 78, 81)
	set("VVV:V", 82, 82)
	set("V:i", 83, 83)
	set("V:V", 94, 98)
	set("V:i", 99, 100)
	set("VV:V", 101, 102)
	set("V:V", 103, 106)
	set("Vi:V", 107, 109)
	set("VV:V", 110, 115)
	set("V:V", 116, 117)
	set("VV:V", 118, 121)
	set("V:V", 122, 122)
	set("VV:V", 123, 123)
	set("V:V", 124, 129)
	set("VV:V", 130, 130)
	set("V:i", 131, 132)
	set("VV:V", 133, 134)
	set("V:V", 135, 138)
	set("Vi:V", 139, 141)
	set("VV:V", 142, 147)
	set("V:V", 148, 148)
	set("VV:V", 149, 153)
	set("VV:V", 155, 159)
	set("V:V", 160, 161)
	set("V:i", 163, 164)
	set("V:V", 167, 170)
	set("Vi:V", 171, 173)
	set("VV:V", 174, 174)
	set("VV:V", 177, 177)
	set("VV:V", 181, 186)
	set("VV:V", 188, 191)
	set("V:V", 192, 193)
	set("V:i", 195, 196)
	set("V:V", 199, 202)
	set("Vi:V", 203, 205)
	set("VV:V", 206, 206)
	set("VV:V", 209, 209)
	set("VV:V", 213, 223)
	set("V:V", 224, 225)
	set("V:V", 227, 227)
	set("VV:V", 228, 235)
	set("V:V", 236, 237)
	set("V:V", 239, 239)
	set("VV:V", 240, 247)
	set("V:V", 248, 255)

	for cost, list := range map[uint16][]int{
		2: {38, 40, 48, 50, 58, 60, 109, 125, 139, 140, 141, 157, 159, 171, 172, 173, 181, 188, 189, 190, 191, 203, 205,
			103, 104, 105, 106, 224, 225, 228, 229, 230, 116, 117, 122, 148, 236, 237, 240, 241, 242, 248, 252},
		3:  {98, 107, 108, 127, 204, 253},
		4:  {213, 232, 233, 244, 249, 251},
		5:  {227, 245},
		10: {231},
		12: {243},
		14: {239},
	} {
		for _, i := range list {
			vector[i].cost = cost
		}
	}

	f32x4 := []int{103, 104, 105, 106, 227, 228, 229, 230, 231, 232, 233}
	f64x2 := []int{116, 117, 122, 148, 239, 240, 241, 242, 243, 244, 245}
	for _, i := range f32x4 {
		vector[i].eats, vector[i].makes = nanF32x4, nanF32x4
	}
	for _, i := range f64x2 {
		vector[i].eats, vector[i].makes = nanF64x2, nanF64x2
	}
	vector[94].eats, vector[94].makes = nanF64x2, nanF32x4 // demote
	vector[95].eats, vector[95].makes = nanF32x4, nanF64x2 // promote
	for i := 65; i <= 70; i++ {
		vector[i].eats = nanF32x4
	}
	for i := 71; i <= 76; i++ {
		vector[i].eats = nanF64x2
	}
	vector[19].eats, vector[20].eats = 0, 0
	for _, i := range []int{248, 249} {
		vector[i].eats = nanF32x4
	}
	for _, i := range []int{252, 253} {
		vector[i].eats = nanF64x2
	}
}

// access is a memory instruction: the type it loads or stores and its width.
type access struct {
	typ   ValType
	log2  uint8 // of the width in bytes, which is also the largest alignment
	store bool
	ok    bool
}

// plainAccess holds opcodes 0x28 to 0x3e, vectorAccess those of prefix 0xfd.
var plainAccess, vectorAccess = func() (p [256]access, v [256]access) {
	for i, a := range []access{
		{typ: I32, log2: 2}, {typ: I64, log2: 3}, {typ: F32, log2: 2}, {typ: F64, log2: 3},
		{typ: I32, log2: 0}, {typ: I32, log2: 0}, {typ: I32, log2: 1}, {typ: I32, log2: 1},
		{typ: I64, log2: 0}, {typ: I64, log2: 0}, {typ: I64, log2: 1}, {typ: I64, log2: 1}, {typ: I64, log2: 2}, {typ: I64, log2: 2},
		{typ: I32, log2: 2, store: true}, {typ: I64, log2: 3, store: true}, {typ: F32, log2: 2, store: true}, {typ: F64, log2: 3, store: true},
		{typ: I32, log2: 0, store: true}, {typ: I32, log2: 1, store: true},
		{typ: I64, log2: 0, store: true}, {typ: I64, log2: 1, store: true}, {typ: I64, log2: 2, store: true},
	} {
		a.ok = true
		p[0x28+i] = a
	}
	for i, log2 := range []uint8{4, 3, 3, 3, 3, 3, 3, 0, 1, 2, 3} {
		v[i] = access{V128, log2, false, true}
	}
	v[11] = access{V128, 4, true, true}
	v[92], v[93] = access{V128, 2, false, true}, access{V128, 3, false, true}
	for i := range uint8(4) { // load and store of one lane
		v[84+i], v[88+i] = access{V128, i, false, true}, access{V128, i, true, true}
	}
	return p, v
}()
