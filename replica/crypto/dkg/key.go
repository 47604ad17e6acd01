package dkg

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math/big"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"ashlar/replica/ic"
)

const (
	keyVersion = 1
	// EncryptionKeyBytes is the registry's form: version, generation, key, proof.
	EncryptionKeyBytes = 1 + 8 + 2*g1Bytes + 2*fr.Bytes
	// DecryptionKeyBytes is the form of the key store.
	DecryptionKeyBytes = 8 + fr.Bytes

	possessionTag = "ASHLAR_NIDKG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_1"
)

// EncryptionKey is where dealers encrypt a node's shares to. It cannot be had but
// with a proof, for this node and generation, that somebody knows the secret: else
// a receiver could make its key from another's and have that one's shares
// encrypted so that both together are weaker.
type EncryptionKey struct {
	Node       ic.NodeID
	Generation uint64 // counts the rotations
	point      curve.G1Affine
	raw        []byte
}

// DecryptionKey is the secret half.
type DecryptionKey struct {
	Generation uint64
	x          fr.Element
}

// GenerateKey draws a key.
func GenerateKey(random io.Reader, generation uint64) (*DecryptionKey, error) {
	x, err := drawScalar(random)
	if err != nil {
		return nil, err
	}
	return &DecryptionKey{generation, x}, nil
}

// ParseDecryptionKey reads what Bytes made.
func ParseDecryptionKey(b []byte) (*DecryptionKey, error) {
	if len(b) != DecryptionKeyBytes {
		return nil, fmt.Errorf("decryption key has %d bytes, it must have %d", len(b), DecryptionKeyBytes)
	}
	r := &reader{left: b}
	k := &DecryptionKey{Generation: r.u64()}
	if err := k.x.SetBytesCanonical(r.left); err != nil || k.x.IsZero() {
		return nil, errors.New("decryption key is zero or not below the order of the group")
	}
	return k, nil
}

// Bytes is the secret itself: for the key store only; clear it after use.
func (k *DecryptionKey) Bytes() []byte {
	b := k.x.Bytes()
	defer clear(b[:])
	var w writer
	w.u64(k.Generation)
	w.raw(b[:])
	return w
}

// Clone is a copy for a decryption that takes its time; erase it too.
func (k *DecryptionKey) Clone() *DecryptionKey { return &DecryptionKey{k.Generation, k.x} }

// Erase overwrites the secret. The key decrypts no more.
func (k *DecryptionKey) Erase() { k.x.SetZero() }

// multiply is x times point. The curve library's time depends on the scalar, so x
// is split at random each time.
func (k *DecryptionKey) multiply(random io.Reader, point *curve.G1Affine) (p curve.G1Jac, err error) {
	if k.x.IsZero() {
		panic("dkg: use of an erased decryption key")
	}
	b, err := drawScalar(random)
	if err != nil {
		return p, err
	}
	var a fr.Element
	a.Sub(&k.x, &b)
	na, nb := a.BigInt(new(big.Int)), b.BigInt(new(big.Int))
	defer wipe(na, nb)
	var base, q curve.G1Jac
	base.FromAffine(point)
	p.ScalarMultiplication(&base, na)
	q.ScalarMultiplication(&base, nb)
	a.SetZero()
	b.SetZero()
	return *p.AddAssign(&q), nil
}

func (k *DecryptionKey) public(random io.Reader) (p curve.G1Affine, err error) {
	g, _ := generators()
	y, err := k.multiply(random, &g)
	if err != nil {
		return p, err
	}
	p.FromJacobian(&y)
	return p, nil
}

// Public makes the node's encryption key with its proof: equality of logarithms of
// key to generator and of pop to a point hashed from all that the proof is for.
func (k *DecryptionKey) Public(random io.Reader, node ic.NodeID) (*EncryptionKey, error) {
	y, err := k.public(random)
	if err != nil {
		return nil, err
	}
	e := &EncryptionKey{Node: node, Generation: k.Generation, point: y}
	h := e.hashed()
	product, err := k.multiply(random, &h)
	if err != nil {
		return nil, err
	}
	var pop, t1, t2 curve.G1Affine
	pop.FromJacobian(&product)
	mask, err := GenerateKey(random, 0)
	if err != nil {
		return nil, err
	}
	defer mask.Erase()
	if t1, err = mask.public(random); err != nil {
		return nil, err
	}
	if product, err = mask.multiply(random, &h); err != nil {
		return nil, err
	}
	t2.FromJacobian(&product)
	c := e.challenge(&pop, &t1, &t2)
	var z fr.Element
	z.Mul(&c, &k.x).Add(&z, &mask.x)
	var w writer
	w.raw(e.head())
	p, cb, zb := pop.Bytes(), c.Bytes(), z.Bytes()
	w.raw(p[:])
	w.raw(cb[:])
	w.raw(zb[:])
	e.raw = w
	return e, nil
}

// ParseEncryptionKey reads a node's key and checks the proof.
func ParseEncryptionKey(node ic.NodeID, b []byte) (*EncryptionKey, error) {
	if len(b) != EncryptionKeyBytes {
		return nil, fmt.Errorf("encryption key of %s has %d bytes, it must have %d", node, len(b), EncryptionKeyBytes)
	}
	if b[0] != keyVersion {
		return nil, fmt.Errorf("encryption key of %s has format version %d, this node knows %d", node, b[0], keyVersion)
	}
	r := &reader{left: b[1:]}
	e := &EncryptionKey{Node: node, Generation: r.u64(), raw: append([]byte(nil), b...)}
	points, err := decodeG1(r.take(2*g1Bytes), 2)
	if err == nil && (!points[0].IsInSubGroup() || !points[1].IsInSubGroup()) {
		err = errSubgroup
	}
	if err != nil {
		return nil, fmt.Errorf("encryption key of %s: %w", node, err)
	}
	scalars, err := decodeScalars(r.left, 2)
	if err != nil {
		return nil, fmt.Errorf("encryption key of %s: %w", node, err)
	}
	e.point = points[0]
	if err := e.checkPossession(&points[1], &scalars[0], &scalars[1]); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *EncryptionKey) checkPossession(pop *curve.G1Affine, c, z *fr.Element) error {
	g, _ := generators()
	h := e.hashed()
	var minus fr.Element
	minus.Neg(c)
	pair := []fr.Element{*z, minus}
	j1 := msm([]curve.G1Affine{g, e.point}, pair)
	j2 := msm([]curve.G1Affine{h, *pop}, pair)
	var t1, t2 curve.G1Affine
	t1.FromJacobian(&j1)
	t2.FromJacobian(&j2)
	if want := e.challenge(pop, &t1, &t2); !want.Equal(c) {
		return fmt.Errorf("encryption key of %s has no valid proof of possession for this node and generation %d", e.Node, e.Generation)
	}
	return nil
}

// Bytes is the registry's form.
func (e *EncryptionKey) Bytes() []byte { return append([]byte(nil), e.raw...) }

// matches tells whether k is the secret half of a compressed key.
func (k *DecryptionKey) matches(random io.Reader, point []byte) (bool, error) {
	y, err := k.public(random)
	if err != nil {
		return false, err
	}
	b := y.Bytes()
	return subtle.ConstantTimeCompare(b[:], point) == 1, nil
}

// head is what the proof is for, but for the node.
func (e *EncryptionKey) head() []byte {
	var w writer
	w.u8(keyVersion)
	w.u64(e.Generation)
	p := e.point.Bytes()
	w.raw(p[:])
	return w
}

func (e *EncryptionKey) hashed() curve.G1Affine {
	var w writer
	w.name(e.Node.Bytes())
	w.raw(e.head())
	h, err := curve.HashToG1(w, []byte(possessionTag))
	if err != nil {
		panic(fmt.Sprintf("hash to G1 with tag %q: %v", possessionTag, err))
	}
	return h
}

func (e *EncryptionKey) challenge(pop, t1, t2 *curve.G1Affine) fr.Element {
	o := newOracle("possession")
	o.add("node", e.Node.Bytes())
	o.add("key", e.head())
	for _, p := range []*curve.G1Affine{pop, t1, t2} {
		b := p.Bytes()
		o.add("point", b[:])
	}
	return o.scalar("challenge")
}

func wipe(ns ...*big.Int) {
	for _, n := range ns {
		clear(n.Bits()[:cap(n.Bits())])
	}
}
