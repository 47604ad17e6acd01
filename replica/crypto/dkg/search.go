package dkg

import (
	"errors"
	"math"
	"math/bits"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// maxBaby bounds the table of a search to 2^21 entries of 8 bytes, twice for speed: 32 MiB.
const maxBaby = 1 << 21

var errOutside = errors.New("a verified ciphertext holds no chunk within the bounds that its proof guarantees")

// giant finds chunks of a dealer that cheated. The proof of chunking guarantees for
// a chunk s no more than d*s = v for some d in 1..255 and v with |v| < Z: all d are
// searched side by side, from v = 0 outwards, by baby steps and giant steps. It
// tells by its time what the dealer, who chose s, knows already.
type giant struct {
	baby   uint64
	limit  uint64 // giant steps to each side
	z      uint64
	slots  []uint32 // of babies 1..baby, by their tags; 0 is free
	tags   []uint32
	stride curve.G1Affine // 2*baby+1
}

func newGiant(receivers int) *giant {
	_, z := slack(receivers)
	baby := min(uint64(math.Sqrt(challenge*float64(z))), maxBaby)
	s := &giant{baby: baby, z: z, limit: z/(2*baby+1) + 1}
	size := 1 << bits.Len64(2*baby-1)
	s.slots, s.tags = make([]uint32, size), make([]uint32, size)
	s.fill()
	stride := multipleOf(2*baby + 1)
	s.stride = stride
	return s
}

// multipleOf the generator: a public number.
func multipleOf(n uint64) (p curve.G1Affine) {
	var s fr.Element
	s.SetUint64(n)
	j := one().mul(&s)
	return *p.FromJacobian(&j)
}

// fill walks in lanes, since one inversion serves all lanes.
func (s *giant) fill() {
	const lanes = 512
	step := multipleOf(lanes)
	at, add := make([]curve.G1Affine, lanes), make([]*curve.G1Affine, lanes)
	scratch := make([]fp.Element, lanes)
	for i := range at {
		at[i], add[i] = multipleOf(uint64(i+1)), &step
	}
	for m := uint64(1); m <= s.baby; m += lanes {
		for i := range at {
			if v := m + uint64(i); v <= s.baby {
				s.put(&at[i], uint32(v))
			}
		}
		addEach(at, add, scratch)
	}
}

// spot and check of a point, the same for its negative.
func (s *giant) spot(p *curve.G1Affine) (at uint64, check uint32) {
	h := p.X[0] * 0x9e3779b97f4a7c15
	return h >> 20 & uint64(len(s.slots)-1), uint32(p.X[1])
}

func (s *giant) put(p *curve.G1Affine, v uint32) {
	at, check := s.spot(p)
	for s.slots[at] != 0 {
		at = (at + 1) & uint64(len(s.slots)-1)
	}
	s.slots[at], s.tags[at] = v, check
}

// get returns the babies that p may be, or their negatives.
func (s *giant) get(p *curve.G1Affine, yield func(v uint32) bool) {
	if p.IsInfinity() {
		yield(0)
		return
	}
	at, check := s.spot(p)
	for s.slots[at] != 0 {
		if s.tags[at] == check && !yield(s.slots[at]) {
			return
		}
		at = (at + 1) & uint64(len(s.slots)-1)
	}
}

// solve returns the logarithm of target.
func (s *giant) solve(target *curve.G1Affine) (found fr.Element, err error) {
	// lane 2(d-1) goes down from d*target, lane 2(d-1)+1 goes up
	at, add := make([]curve.G1Affine, 2*challenge), make([]*curve.G1Affine, 2*challenge)
	scratch := make([]fp.Element, len(at))
	var p curve.G1Affine
	var down curve.G1Affine
	down.Neg(&s.stride)
	for d := range challenge {
		p.Add(&p, target)
		at[2*d], at[2*d+1] = p, p
		add[2*d], add[2*d+1] = &down, &s.stride
	}
	for step := uint64(0); step <= s.limit; step++ {
		for lane := range at {
			ok := false
			s.get(&at[lane], func(v uint32) bool {
				found, ok = s.confirm(target, lane, step, int64(v))
				return !ok
			})
			if ok {
				return found, nil
			}
		}
		addEach(at, add, scratch)
	}
	return found, errOutside
}

// confirm that (±baby ± step*stride)/d is the logarithm, and in bounds.
func (s *giant) confirm(target *curve.G1Affine, lane int, step uint64, baby int64) (x fr.Element, ok bool) {
	far := int64(step * (2*s.baby + 1))
	if lane%2 == 1 {
		far = -far
	}
	var d fr.Element
	d.SetUint64(uint64(lane/2 + 1))
	d.Inverse(&d)
	for _, v := range []int64{far + baby, far - baby} {
		if v >= int64(s.z) || v <= -int64(s.z) {
			continue
		}
		x.SetInt64(v)
		x.Mul(&x, &d)
		if isPower(target, &x) {
			return x, true
		}
	}
	return x, false
}
