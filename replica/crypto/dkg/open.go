package dkg

import (
	"errors"
	"fmt"
	"io"
	"sync"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
)

// ErrNotReceiver and ErrNoKey are why Load may find nothing to load.
var (
	ErrNotReceiver = errors.New("the node is not a receiver of this key")
	ErrNoKey       = errors.New("no decryption key fits: the one this transcript was dealt to has been erased, or was never this node's")
)

// Load decrypts the node's share with that of its keys which the dealers used. It
// takes milliseconds for each dealing, but minutes if a dealer cheated: keep it off
// the path of consensus.
func (t *Transcript) Load(random io.Reader, node ic.NodeID, keys ...*DecryptionKey) (*bls.SecretKey, error) {
	i, ok := t.Index(node)
	if !ok {
		return nil, ErrNotReceiver
	}
	for _, k := range keys {
		if ok, err := k.matches(random, t.keys[i]); err != nil {
			return nil, err
		} else if ok {
			return t.load(random, i, k)
		}
	}
	return nil, ErrNoKey
}

func (t *Transcript) load(random io.Reader, i int, key *DecryptionKey) (*bls.SecretKey, error) {
	shares := make([]fr.Element, len(t.dealings))
	defer clear(shares)
	search := sync.OnceValue(func() *giant { return newGiant(len(t.nodes)) }) // only if a dealer cheated
	for a, d := range t.dealings {
		s, err := t.decrypt(random, d.raw, i, key, search, false)
		if err != nil {
			return nil, fmt.Errorf("share %d of dealer %d: %w", i, d.dealer, err)
		}
		shares[a] = s
	}
	secret, err := t.join(i, shares)
	if err == nil {
		return secret, nil
	}
	for a, d := range t.dealings { // a chunk that only looked right: look at all of them exactly
		s, err := t.decrypt(random, d.raw, i, key, search, true)
		if err != nil {
			return nil, fmt.Errorf("share %d of dealer %d: %w", i, d.dealer, err)
		}
		shares[a] = s
	}
	return t.join(i, shares)
}

// join sums the weighted shares and holds the result against the public share.
func (t *Transcript) join(i int, shares []fr.Element) (*bls.SecretKey, error) {
	var sum, product fr.Element
	weights := t.weights()
	for a := range shares {
		sum.Add(&sum, product.Mul(&shares[a], &weights[a]))
	}
	b := sum.Bytes()
	defer clear(b[:])
	sum.SetZero()
	product.SetZero()
	secret, err := bls.ParseSecretKey(b[:])
	if err != nil {
		return nil, err
	}
	if !secret.PublicKey().Equal(t.group.Holders[i]) {
		secret.Erase()
		return nil, fmt.Errorf("the decrypted share %d does not fit its public share", i)
	}
	return secret, nil
}

// decrypt the chunks of receiver i in one dealing, and join them.
func (t *Transcript) decrypt(random io.Reader, raw []byte, i int, key *DecryptionKey, search func() *giant, exact bool) (share fr.Element, err error) {
	sh := t.shape()
	points, err := decodeG1(append(append([]byte(nil), raw[sh.randomizers():sh.ciphertexts()]...), raw[sh.row(i):sh.row(i+1)]...), 2*chunks)
	if err != nil {
		return share, err
	}
	jac := make([]curve.G1Jac, chunks)
	for j := range chunks {
		// a point outside of the group would let its maker learn the key modulo small primes
		if !points[j].IsInSubGroup() {
			return share, errSubgroup
		}
		m, err := key.multiply(random, &points[j])
		if err != nil {
			return share, err
		}
		jac[j].FromAffine(&points[chunks+j])
		jac[j].SubAssign(&m)
	}
	targets := curve.BatchJacobianToAffineG1(jac)
	defer clear(targets)
	clear(jac)
	values, found := chunkTable().lookup(targets)
	defer clear(values)
	weights := chunkWeights()
	for j := range targets {
		var v fr.Element
		v.SetUint64(uint64(values[j]))
		if exact && found[j] {
			found[j] = isPower(&targets[j], &v)
		}
		if !found[j] {
			if v, err = search().solve(&targets[j]); err != nil {
				return share, fmt.Errorf("chunk %d: %w", j, err)
			}
		}
		share.Add(&share, v.Mul(&v, &weights[j]))
	}
	return share, nil
}

func isPower(p *curve.G1Affine, v *fr.Element) bool {
	var q curve.G1Affine
	j := one().mul(v)
	return q.FromJacobian(&j).Equal(p)
}

// tags of the 2^16 chunks an honest dealer encrypts. Looking one up reads the
// whole table: what is read and when says nothing of the chunk.
type tags []uint64

var chunkTable = sync.OnceValue(func() tags {
	t := make(tags, 0, 1<<chunkBits)
	g, _ := generators()
	var p curve.G1Jac
	row := make([]curve.G1Jac, 1<<12)
	for range 1 << (chunkBits - 12) {
		for i := range row {
			row[i] = p
			p.AddMixed(&g)
		}
		for _, q := range curve.BatchJacobianToAffineG1(row) {
			t = append(t, tag(&q))
		}
	}
	return t
})

// tag is 64 bits of a point, other for its negative.
func tag(p *curve.G1Affine) uint64 { return p.X[0] ^ (p.Y[0]<<32 | p.Y[0]>>32) }

func (t tags) lookup(points []curve.G1Affine) (values []uint32, found []bool) {
	values, found = make([]uint32, len(points)), make([]bool, len(points))
	for j := range points {
		want := tag(&points[j])
		var value, hit uint64
		for i, have := range t {
			d := have ^ want
			same := ((d | -d) >> 63) - 1 // all ones where equal
			value |= uint64(i) & same
			hit |= same
		}
		values[j], found[j] = uint32(value), hit != 0
	}
	return values, found
}
