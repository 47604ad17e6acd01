package dkg

import (
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

const (
	// sums of points with coefficients 0, 1, -1 are checked instead of the points. The
	// cofactor is odd, so a sum with a point outside is inside for at most one of its
	// three coefficients: all are for 3^-81 < 2^-128 of the hash values. That
	// many must be tried offline, since the coefficients are a hash of the points: so
	// all replicas judge the same.
	subgroupSums = 81
	// fewer points are checked one by one: 81 checks of sums cost more
	subgroupSingly = 110
	threeDigits    = 27 // coefficients of three points: (a, b, c) is a+3b+9c, 2 stands for -1
)

// inSubgroup tells whether all points of the curve are in the group of prime order;
// o has absorbed them.
func inSubgroup(o *oracle, points []curve.G1Affine) bool {
	if len(points) < subgroupSingly {
		for i := range points {
			if !points[i].IsInSubGroup() {
				return false
			}
		}
		return true
	}
	table := combineThrees(points)
	groups := len(table[0])
	digits := o.digits(groups * subgroupSums)
	sums := make([]curve.G1Affine, subgroupSums)
	add := make([]*curve.G1Affine, subgroupSums)
	scratch := make([]fp.Element, subgroupSums)
	for g := range groups {
		for s := range add {
			add[s] = &table[digits[g*subgroupSums+s]][g]
		}
		addEach(sums, add, scratch)
	}
	for i := range sums {
		if !sums[i].IsInSubGroup() {
			return false
		}
	}
	return true
}

// combineThrees computes, for each three points, all 27 sums of coefficients 0, 1, -1.
func combineThrees(points []curve.G1Affine) (t [threeDigits][]curve.G1Affine) {
	groups := (len(points) + 2) / 3
	scratch := make([]fp.Element, groups)
	plus := func(a, b []curve.G1Affine) []curve.G1Affine {
		out := append([]curve.G1Affine(nil), a...)
		add := make([]*curve.G1Affine, groups)
		for i := range add {
			add[i] = &b[i]
		}
		addEach(out, add, scratch)
		return out
	}
	column := func(k int) []curve.G1Affine {
		out := make([]curve.G1Affine, groups) // the last group may lack points: identities
		for g := range out {
			if 3*g+k < len(points) {
				out[g] = points[3*g+k]
			}
		}
		return out
	}
	p, q, r := column(0), column(1), column(2)
	t[0], t[1], t[3] = make([]curve.G1Affine, groups), p, q
	t[2], t[6] = negate(p), negate(q)
	t[4], t[7] = plus(p, q), plus(p, t[6])
	t[8], t[5] = negate(t[4]), negate(t[7])
	opposite := [9]int{0, 2, 1, 6, 8, 7, 3, 5, 4}
	for k := range 9 {
		t[9+k] = plus(r, t[k])
	}
	for k := range 9 {
		t[18+k] = negate(t[9+opposite[k]])
	}
	return t
}

func negate(points []curve.G1Affine) []curve.G1Affine {
	out := make([]curve.G1Affine, len(points))
	for i := range out {
		out[i].Neg(&points[i])
	}
	return out
}

// digits draws numbers below 27, without bias.
func (o *oracle) digits(n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		for _, b := range o.draw("digits", n-len(out)+32) {
			if b < 9*threeDigits && len(out) < n {
				out = append(out, b%threeDigits)
			}
		}
	}
	return out
}
