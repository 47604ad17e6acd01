package bls

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

// This file: a*P + b*P for the two parts of a secret, in one pass of 128 doublings.
// The map (x, y) -> (beta x, y) multiplies by lambda = z^2-1, which has half as many
// bits as the order of the group: s = s1 + s2 lambda, with s1 and s2 of 128 bits.
// Both parts are random numbers, and so are the halves of each.

const (
	halfBits = 130 // of a half, its signed digits one more
	window   = 5
)

var lambda, _ = new(big.Int).SetString("228988810152649578064853576960394133503", 10)

var beta = func() (b fp.Element) {
	if _, err := b.SetString("4002409555221667392624310435006688643935503118305586438271171395842971157480381377015405980053539358417135540939436"); err != nil {
		panic(err)
	}
	return b
}()

// digits of a number, odd or zero, and of window neighbours at most one not zero.
type digits struct {
	naf [halfBits]int8
	n   int
}

// set to a number below 2^128-2^window.
func (d *digits) set(k *big.Int) {
	var b [16]byte
	k.FillBytes(b[:])
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	clear(b[:])
	for d.n = 0; hi|lo != 0; d.n++ {
		if lo&1 != 0 {
			u := int64(lo & (1<<window - 1))
			if u >= 1<<(window-1) {
				u -= 1 << window
			}
			d.naf[d.n] = int8(u)
			var borrow uint64
			lo, borrow = bits.Sub64(lo, uint64(u), 0)
			hi, _ = bits.Sub64(hi, uint64(u>>63), borrow)
		}
		lo, hi = lo>>1|hi<<63, hi>>1
	}
}

// multiplySplit is the sum of p times each part. It takes the parts apart, and leaves
// wiping them to the caller.
func multiplySplit(p *curve.G1Affine, parts ...*big.Int) (sum curve.G1Affine) {
	const half = 1 << (window - 2)
	multiples := make([]curve.G1Jac, half) // odd ones
	var twice curve.G1Jac
	multiples[0].FromAffine(p)
	twice.Set(&multiples[0]).DoubleAssign()
	for i := 1; i < half; i++ {
		multiples[i].Set(&multiples[i-1]).AddAssign(&twice)
	}
	odd := [2][]curve.G1Affine{curve.BatchJacobianToAffineG1(multiples), make([]curve.G1Affine, half)} // of p, and of its image
	for i := range half {
		odd[1][i] = odd[0][i]
		odd[1][i].X.Mul(&odd[1][i].X, &beta)
	}
	halves := make([][2]digits, len(parts))
	defer clear(halves)
	top := 0
	for i, s := range parts {
		high, low := new(big.Int).QuoRem(s, lambda, new(big.Int))
		halves[i][0].set(low)
		halves[i][1].set(high)
		wipe(high, low)
		top = max(top, halves[i][0].n, halves[i][1].n)
	}
	var acc curve.G1Jac
	acc.X.SetOne()
	acc.Y.SetOne()
	for bit := top - 1; bit >= 0; bit-- {
		acc.DoubleAssign()
		for i := range halves {
			for half := range odd {
				switch d := halves[i][half].naf[bit]; {
				case d > 0:
					acc.AddMixed(&odd[half][d/2])
				case d < 0:
					neg := odd[half][-d/2]
					acc.AddMixed(neg.Neg(&neg))
				}
			}
		}
	}
	sum.FromJacobian(&acc)
	return sum
}
