package bls

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// MaxGroup is the largest number of holders: the largest subnets have 40 nodes,
// and a bound lets decoders refuse nonsense.
const MaxGroup = 256

// Group is a key of which n holders have shares: any Threshold of them sign.
// Holder i has the polynomial's value at i+1.
type Group struct {
	Key       *PublicKey
	Holders   []*PublicKey // the public halves of the shares
	Threshold int

	accounts accounts // of Agree
}

// Share of a signature, by holder Index: what SignShare, or Sign, made.
type Share struct {
	Index     int
	Signature []byte
}

// Deal makes a key of threshold t and its n shares, by a dealer that is trusted
// to forget: genesis of a one-node network, and tests. Larger networks use
// replica/crypto/dkg.
func Deal(random io.Reader, t, n int) (*Group, []*SecretKey, error) {
	if t < 1 || t > n || n > MaxGroup {
		return nil, nil, fmt.Errorf("a threshold of %d of %d: it must be 1..%d of at most %d", t, n, n, MaxGroup)
	}
	poly := make([]fr.Element, t)
	defer clear(poly)
	for i := range poly {
		c, err := drawScalar(random)
		if err != nil {
			return nil, nil, err
		}
		poly[i] = c
	}
	g := &Group{Key: (&SecretKey{poly[0]}).PublicKey(), Threshold: t}
	shares := make([]*SecretKey, n)
	for i := range shares {
		var x, y fr.Element
		x.SetUint64(uint64(i + 1))
		for j := t - 1; j >= 0; j-- {
			y.Mul(&y, &x).Add(&y, &poly[j])
		}
		if y.IsZero() { // 2^-255 with honest randomness; a broken source must not pass
			return nil, nil, errors.New("dealt a share that is zero: the source of randomness is broken")
		}
		shares[i] = &SecretKey{y}
		g.Holders = append(g.Holders, shares[i].PublicKey())
	}
	return g, shares, nil
}

// Combine makes the group's signature of the shares: it combines first and
// checks the result once, subgroup included; only where that fails it looks for
// the bad shares, which it returns, and tries again without them.
func (g *Group) Combine(message []byte, shares []Share) (sig []byte, bad []int, err error) {
	points := map[int]*curve.G1Affine{}
	for _, s := range shares {
		if s.Index < 0 || s.Index >= len(g.Holders) {
			return nil, nil, fmt.Errorf("a share of holder %d in a group of %d", s.Index, len(g.Holders))
		}
		if p, err := parseShare(s.Signature); err != nil {
			bad = append(bad, s.Index)
		} else {
			points[s.Index] = p
		}
	}
	if sig, err := g.interpolate(points); err != nil {
		return nil, bad, err
	} else if sig.IsInSubGroup() && g.Key.check(signatureTag, message, sig) == nil {
		b := sig.Bytes()
		return b[:], bad, nil
	}
	for i, p := range points {
		if !p.IsInSubGroup() || g.Holders[i].check(signatureTag, message, p) != nil {
			delete(points, i)
			bad = append(bad, i)
		}
	}
	slices.Sort(bad)
	p, err := g.interpolate(points)
	if err != nil {
		return nil, bad, err
	}
	if err := g.Key.check(signatureTag, message, p); err != nil {
		return nil, bad, fmt.Errorf("all shares are valid and their combination is not: the group's public keys do not belong together: %w", err)
	}
	b := p.Bytes()
	return b[:], bad, nil
}

// interpolate at zero, over the Threshold smallest indices.
func (g *Group) interpolate(points map[int]*curve.G1Affine) (*curve.G1Affine, error) {
	if len(points) < g.Threshold {
		return nil, fmt.Errorf("%d valid shares of a signature, %d are needed", len(points), g.Threshold)
	}
	index := make([]int, 0, len(points))
	for i := range points {
		index = append(index, i)
	}
	slices.Sort(index)
	index = index[:g.Threshold]
	bases := make([]curve.G1Affine, len(index))
	for j, i := range index {
		bases[j] = *points[i]
	}
	sum := new(curve.G1Affine)
	if _, err := sum.MultiExp(bases, lagrange(index), ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		return nil, fmt.Errorf("combine shares: %w", err)
	}
	if sum.IsInfinity() {
		return nil, errIdentitySig
	}
	return sum, nil
}

// lagrange coefficients at zero for the points index+1.
func lagrange(index []int) []fr.Element {
	out := make([]fr.Element, len(index))
	for j, i := range index {
		var num, den, xi, xk, d fr.Element
		num.SetOne()
		den.SetOne()
		xi.SetUint64(uint64(i + 1))
		for _, k := range index {
			if k == i {
				continue
			}
			xk.SetUint64(uint64(k + 1))
			num.Mul(&num, &xk)
			den.Mul(&den, d.Sub(&xk, &xi))
		}
		out[j].Mul(&num, den.Inverse(&den))
	}
	return out
}
