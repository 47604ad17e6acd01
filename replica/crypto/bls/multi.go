package bls

import (
	"errors"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// AggregateKeys is the key that checks Aggregate's signature. Each key must have
// proved possession (VerifyPossession): else its maker could have chosen it to
// cancel the others.
func AggregateKeys(keys []*PublicKey) (*PublicKey, error) {
	if len(keys) == 0 {
		return nil, errors.New("no BLS keys to aggregate")
	}
	var sum curve.G2Jac
	sum.FromAffine(&keys[0].point)
	for _, k := range keys[1:] {
		sum.AddMixed(&k.point)
	}
	out := new(PublicKey)
	out.point.FromJacobian(&sum)
	if out.point.IsInfinity() {
		return nil, errIdentityKey
	}
	return out, nil
}

// Aggregate joins signatures of many keys on one message into one.
func Aggregate(sigs [][]byte) ([]byte, error) {
	if len(sigs) == 0 {
		return nil, errors.New("no BLS signatures to aggregate")
	}
	var sum curve.G1Jac
	for i, b := range sigs {
		p, err := parseSignature(b)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			sum.FromAffine(p)
		} else {
			sum.AddMixed(p)
		}
	}
	var out curve.G1Affine
	out.FromJacobian(&sum)
	if out.IsInfinity() {
		return nil, errIdentitySig
	}
	b := out.Bytes()
	return b[:], nil
}
