package bls

import (
	"math/big"
	"slices"
	"sync"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// Limits of Agree: beyond them a pairing costs less.
const (
	maxAgree    = 16      // shares
	maxSpare    = 4       // of them more than the threshold
	maxFactor   = 1 << 20 // that a share is multiplied by
	maxAccounts = 64      // sets of holders whose factors are kept
)

// MayAgree tells whether it is worth waiting for so many shares more than a threshold.
func MayAgree(threshold, spare int) bool {
	return spare >= 1 && spare <= maxSpare && threshold+spare <= maxAgree
}

// Agree joins shares that prove each other. The shares of a message are values of one
// polynomial of degree Threshold-1. Where Threshold+spare values lie on such a
// polynomial, and at most spare of them are false, at least Threshold are right, and
// only one polynomial goes through these: so all are right, and what they make is the
// signature. That takes some additions, where a check by Combine takes a pairing.
//
// It is up to the caller that at most spare holders are faulty, and that each share
// comes from its holder. ok is false where that many shares are not there, do not
// agree, or are too many for this to be worth it: then Combine tells which are bad. The
// one holder of a group agrees with itself.
// The message is not looked at: whoever does not sign it is faulty.
func (g *Group) Agree(shares []Share, spare int) (sig []byte, ok bool) {
	n := g.Threshold + spare
	if len(g.Holders) == 1 && len(shares) == 1 && shares[0].Index == 0 {
		return whole(shares[0].Signature)
	}
	if !MayAgree(g.Threshold, spare) || len(shares) < n {
		return nil, false
	}
	shares = slices.Clone(shares)
	slices.SortFunc(shares, func(a, b Share) int { return a.Index - b.Index })
	shares = shares[:n]
	holders, points := make([]byte, n), make([]*curve.G1Affine, n)
	for i, s := range shares {
		if s.Index < 0 || s.Index >= len(g.Holders) || i > 0 && s.Index == shares[i-1].Index {
			return nil, false
		}
		p, err := parseShare(s.Signature)
		if err != nil {
			return nil, false
		}
		holders[i], points[i] = byte(s.Index), p // MaxGroup fits
	}
	acc := g.accounts.of(holders, spare)
	if acc == nil {
		return nil, false
	}
	for _, factors := range acc.checks {
		if zero := weigh(points, factors); !zero.Z.IsZero() {
			return nil, false
		}
	}
	sum := weigh(points, acc.join)
	out := new(curve.G1Affine).FromJacobian(&sum)
	// A false share may be right but for a part outside of the subgroup, which some
	// factors make vanish: the sum has none.
	if out.IsInfinity() || !out.IsInSubGroup() {
		return nil, false
	}
	b := out.Bytes()
	return b[:], true
}

// whole is a share as a signature.
func whole(share []byte) ([]byte, bool) {
	p, err := parseShare(share)
	if err != nil || !p.IsInSubGroup() {
		return nil, false
	}
	b := p.Bytes()
	return b[:], true
}

// weigh is the sum of points times factors, which are small.
func weigh(points []*curve.G1Affine, factors []int64) (sum curve.G1Jac) {
	sum.X.SetOne()
	sum.Y.SetOne() // and Z is zero: infinity
	for bit := int64(maxFactor); bit > 0; bit >>= 1 {
		if !sum.Z.IsZero() {
			sum.DoubleAssign()
		}
		for i, f := range factors {
			switch {
			case f > 0 && f&bit != 0:
				sum.AddMixed(points[i])
			case f < 0 && -f&bit != 0:
				var neg curve.G1Affine
				sum.AddMixed(neg.Neg(points[i]))
			}
		}
	}
	return sum
}

// account of a set of holders: what their shares are multiplied by.
type account struct {
	checks [][]int64 // each sum is zero if the shares agree
	join   []int64   // the sum is the signature
}

// accounts are few: mostly the same holders are there.
type accounts struct {
	mu  sync.Mutex
	all map[string]*account // nil: not worth it
}

func (a *accounts) of(holders []byte, spare int) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc, ok := a.all[string(holders)]
	if !ok {
		acc = newAccount(holders, spare)
		if a.all == nil || len(a.all) >= maxAccounts {
			a.all = map[string]*account{}
		}
		a.all[string(holders)] = acc
	}
	return acc
}

// newAccount of holders i, whose places are i+1; nil where a factor is large.
func newAccount(holders []byte, spare int) *account {
	acc := &account{join: joinFactors(holders, spare)}
	for power := range spare {
		acc.checks = append(acc.checks, checkFactors(holders, power))
	}
	if acc.join == nil || slices.ContainsFunc(acc.checks, func(c []int64) bool { return c == nil }) {
		return nil
	}
	return acc
}

func place(holder byte) *big.Int { return big.NewInt(int64(holder) + 1) }

// checkFactors: values y of a polynomial of degree below len-spare at places x have
// sum(y x^power / product(x - the other x)) = 0, for each power below spare; and
// where all of these are zero, the values are of such a polynomial. The factors are
// these quotients, multiplied so that they are whole.
func checkFactors(holders []byte, power int) []int64 {
	list := make([]*big.Rat, len(holders))
	for i, h := range holders {
		x, product := place(h), big.NewInt(1)
		for j, o := range holders {
			if j != i {
				product.Mul(product, new(big.Int).Sub(x, place(o)))
			}
		}
		list[i] = new(big.Rat).SetFrac(new(big.Int).Exp(x, big.NewInt(int64(power)), nil), product)
	}
	whole := big.NewInt(1)
	for _, f := range list {
		d := f.Denom()
		whole.Mul(whole, new(big.Int).Div(d, new(big.Int).GCD(nil, nil, whole, d)))
	}
	for _, f := range list {
		f.Mul(f, new(big.Rat).SetInt(whole))
	}
	return small(list)
}

// joinFactors are Lagrange's at zero over some neighbours for which they are whole, as
// they are for places without a gap. The others have factor 0.
func joinFactors(holders []byte, spare int) []int64 {
	t := len(holders) - spare
	for first := range spare + 1 {
		list := make([]*big.Rat, len(holders))
		for i := range list {
			list[i] = new(big.Rat)
		}
		for i := first; i < first+t; i++ {
			list[i].SetInt64(1)
			for j := first; j < first+t; j++ {
				if x, o := place(holders[i]), place(holders[j]); j != i {
					list[i].Mul(list[i], new(big.Rat).SetFrac(o, new(big.Int).Sub(o, x)))
				}
			}
		}
		if out := small(list); out != nil {
			return out
		}
	}
	return nil
}

// small factors, nil if one is large or not whole.
func small(list []*big.Rat) []int64 {
	out := make([]int64, len(list))
	for i, f := range list {
		if !f.IsInt() || f.Num().BitLen() > 20 {
			return nil
		}
		out[i] = f.Num().Int64()
	}
	return out
}
