package dkg

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/consensys/gnark-crypto/ecc"
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

var (
	errBroken   = errors.New("the source of randomness is broken: it gave the same unusable value again and again")
	errIdentity = errors.New("is the identity")
	errForm     = errors.New("is not in compressed form")
	errSubgroup = errors.New("is not in the group of prime order")
)

const (
	g1Bytes = curve.SizeOfG1AffineCompressed
	g2Bytes = curve.SizeOfG2AffineCompressed

	flagCompressed = 0x80 // of the first byte of a point
	flagIdentity   = 0x40
)

// generators of G1 and G2.
var generators = sync.OnceValues(func() (curve.G1Affine, curve.G2Affine) {
	_, _, g1, g2 := curve.Generators()
	return g1, g2
})

// one is the multiplication by G1's generator: 400 KiB, a tenth of the time.
var one = sync.OnceValue(func() *comb {
	g, _ := generators()
	return newComb(&g, 8)
})

// decodeG1 reads points one after the other, and checks all but the subgroup:
// inSubgroup does that for many at once.
func decodeG1(data []byte, n int) ([]curve.G1Affine, error) {
	out := make([]curve.G1Affine, n)
	r := &slicer{data}
	dec := curve.NewDecoder(r, curve.NoSubgroupChecks())
	for i := range out {
		if err := checkForm(r.left, g1Bytes); err != nil {
			return nil, fmt.Errorf("point %d in G1 %w", i, err)
		}
		if err := dec.Decode(&out[i]); err != nil {
			return nil, fmt.Errorf("point %d in G1: %w", i, err)
		}
	}
	return out, nil
}

// decodeG2 reads points and checks all, the subgroup too: there are few.
func decodeG2(data []byte, n int) ([]curve.G2Affine, error) {
	out := make([]curve.G2Affine, n)
	for i := range out {
		b := data[i*g2Bytes : (i+1)*g2Bytes]
		if err := checkForm(b, g2Bytes); err != nil {
			return nil, fmt.Errorf("point %d in G2 %w", i, err)
		}
		if _, err := out[i].SetBytes(b); err != nil {
			return nil, fmt.Errorf("point %d in G2: %w", i, err)
		}
	}
	return out, nil
}

// checkForm refuses what gnark's decoder would take: uncompressed points and the identity.
func checkForm(b []byte, size int) error {
	switch {
	case len(b) < size || b[0]&flagCompressed == 0:
		return errForm
	case b[0]&flagIdentity != 0:
		return errIdentity
	}
	return nil
}

func decodeScalars(data []byte, n int) ([]fr.Element, error) {
	out := make([]fr.Element, n)
	for i := range out {
		if err := out[i].SetBytesCanonical(data[i*fr.Bytes : (i+1)*fr.Bytes]); err != nil {
			return nil, fmt.Errorf("scalar %d is not below the order of the group", i)
		}
	}
	return out, nil
}

type slicer struct{ left []byte }

func (s *slicer) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// msm is the sum of scalars times points. The scalars are public.
func msm(points []curve.G1Affine, scalars []fr.Element) (sum curve.G1Jac) {
	if _, err := sum.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic(fmt.Sprintf("dkg: %d points, %d scalars: %v", len(points), len(scalars), err))
	}
	return sum
}

func msm2(points []curve.G2Affine, scalars []fr.Element) (sum curve.G2Jac) {
	if _, err := sum.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic(fmt.Sprintf("dkg: %d points, %d scalars: %v", len(points), len(scalars), err))
	}
	return sum
}

// evaluate a committed polynomial at x, by Horner: x is small.
func evaluate(coefficients []curve.G2Affine, x uint64) (sum curve.G2Jac) {
	n := new(big.Int).SetUint64(x)
	for k := len(coefficients) - 1; k >= 0; k-- {
		if k < len(coefficients)-1 {
			sum.ScalarMultiplication(&sum, n)
		}
		sum.AddMixed(&coefficients[k])
	}
	return sum
}

// comb multiplies one point by many scalars: table[w][d-1] is d*2^(bits*w) times
// the point, so a product is one addition for each digit, and takes the same steps
// for all scalars but those with zero digits.
type comb struct {
	bits  int
	table [][]curve.G1Affine
}

func newComb(base *curve.G1Affine, bits int) *comb {
	windows, half := 256/bits, 1<<(bits-1)
	flat := make([]curve.G1Jac, windows*half)
	var b curve.G1Jac
	b.FromAffine(base)
	for w := range windows {
		row := flat[w*half : (w+1)*half]
		row[0] = b
		for d := 1; d < half; d++ {
			row[d] = row[d-1]
			row[d].AddAssign(&b)
		}
		b = row[half-1]
		b.DoubleAssign()
	}
	affine := curve.BatchJacobianToAffineG1(flat)
	c := &comb{bits: bits}
	for w := range windows {
		c.table = append(c.table, affine[w*half:(w+1)*half])
	}
	return c
}

// mul is s times the point: digits from -half+1 to half. The order is below
// 0x74*2^248, so the carry never leaves the last window.
func (c *comb) mul(s *fr.Element) (sum curve.G1Jac) {
	words := s.Bits()
	half := uint64(1) << (c.bits - 1)
	carry := uint64(0)
	for w, row := range c.table {
		at := w * c.bits
		d := words[at/64]>>(at%64)&(2*half-1) + carry
		carry = 0
		if d > half {
			d, carry = 2*half-d, 1
		}
		if d == 0 {
			continue
		}
		p := row[d-1]
		if carry == 1 {
			p.Neg(&p)
		}
		sum.AddMixed(&p)
	}
	clear(words[:])
	return sum
}

// addEach adds add[i] to acc[i] in affine coordinates with one inversion for all:
// half the price of Jacobian ones. A nil adds nothing.
func addEach(acc []curve.G1Affine, add []*curve.G1Affine, scratch []fp.Element) {
	product := fp.One()
	for i, q := range add {
		scratch[i] = product
		if d, ok := slopeDenominator(&acc[i], q); ok {
			product.Mul(&product, &d)
		}
	}
	product.Inverse(&product)
	for i := len(add) - 1; i >= 0; i-- {
		p, q := &acc[i], add[i]
		d, ok := slopeDenominator(p, q)
		if !ok {
			if q != nil {
				p.Add(p, q) // the identity, the same point, its negative
			}
			continue
		}
		var inverse, slope, x, y fp.Element
		inverse.Mul(&product, &scratch[i])
		product.Mul(&product, &d)
		slope.Sub(&q.Y, &p.Y).Mul(&slope, &inverse)
		x.Square(&slope).Sub(&x, &p.X).Sub(&x, &q.X)
		y.Sub(&p.X, &x).Mul(&y, &slope).Sub(&y, &p.Y)
		p.X, p.Y = x, y
	}
}

func slopeDenominator(p, q *curve.G1Affine) (d fp.Element, ok bool) {
	if q == nil || q.IsInfinity() || p.IsInfinity() {
		return d, false
	}
	d.Sub(&q.X, &p.X)
	return d, !d.IsZero()
}
