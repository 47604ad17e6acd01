package bls

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// SecretKey is a scalar that never leaves this package but by Bytes, for the
// key file, and is gone after Erase.
type SecretKey struct{ s fr.Element }

// GenerateKey draws a key from random; a nil random is the system's.
func GenerateKey(random io.Reader) (*SecretKey, error) {
	s, err := drawScalar(random)
	if err != nil {
		return nil, err
	}
	return &SecretKey{s}, nil
}

// drawScalar reduces 64 bytes, so that the bias is below 2^-256, and never returns zero.
func drawScalar(random io.Reader) (s fr.Element, err error) {
	if random == nil {
		random = rand.Reader
	}
	var wide [64]byte
	defer clear(wide[:])
	for s.IsZero() {
		if _, err := io.ReadFull(random, wide[:]); err != nil {
			return s, fmt.Errorf("draw a BLS secret: %w", err)
		}
		n := new(big.Int).SetBytes(wide[:])
		s.SetBigInt(n)
		wipe(n)
	}
	return s, nil
}

// ParseSecretKey reads 32 big-endian bytes below the order of the group.
func ParseSecretKey(b []byte) (*SecretKey, error) {
	if len(b) != SecretKeyBytes {
		return nil, fmt.Errorf("BLS secret key has %d bytes, it must have %d", len(b), SecretKeyBytes)
	}
	k := new(SecretKey)
	if err := k.s.SetBytesCanonical(b); err != nil {
		return nil, errors.New("BLS secret key is not below the order of the group")
	}
	if k.s.IsZero() {
		return nil, errors.New("BLS secret key is zero")
	}
	return k, nil
}

// Bytes is the secret itself: for the key file only; clear it after use.
func (k *SecretKey) Bytes() []byte { b := k.s.Bytes(); return b[:] }

// Erase overwrites the secret. The key signs no more.
func (k *SecretKey) Erase() { k.s.SetZero() }

// PublicKey of the secret.
func (k *SecretKey) PublicKey() *PublicKey {
	a, b := k.split()
	defer wipe(a, b)
	_, _, _, g2 := curve.Generators()
	var p, q curve.G2Affine
	p.ScalarMultiplication(&g2, a)
	q.ScalarMultiplication(&g2, b)
	p.Add(&p, &q)
	return &PublicKey{point: p}
}

// Sign returns the 48 bytes of the one valid signature on message.
func (k *SecretKey) Sign(message []byte) []byte { return k.sign(signatureTag, message) }

// SignShare signs as one holder of many: what Agree and Combine take. It is the point
// with both coordinates, since finding the second one takes them longer than all else.
func (k *SecretKey) SignShare(message []byte) []byte {
	p := k.point(signatureTag, message)
	out := p.RawBytes()
	return out[:]
}

// Possession proves that the holder of the public key knows the secret, against
// keys that were made up to cancel others in an aggregate.
func (k *SecretKey) Possession() []byte {
	return k.sign(possessionTag, k.PublicKey().Bytes())
}

// VerifyPossession checks what Possession made.
func (k *PublicKey) VerifyPossession(proof []byte) error {
	if err := k.verify(possessionTag, k.Bytes(), proof); err != nil {
		return fmt.Errorf("proof of possession of a BLS key: %w", err)
	}
	return nil
}

func (k *SecretKey) sign(tag string, message []byte) []byte {
	p := k.point(tag, message)
	out := p.Bytes()
	return out[:]
}

func (k *SecretKey) point(tag string, message []byte) curve.G1Affine {
	if k.s.IsZero() {
		panic("bls: sign with an erased key")
	}
	h := hashToCurve(tag, message)
	a, b := k.split()
	defer wipe(a, b)
	return multiplySplit(&h, a, b)
}

// split returns a fresh random b and a = s-b: the time of a multiplication by
// either tells nothing of s.
func (k *SecretKey) split() (a, b *big.Int) {
	r, err := drawScalar(nil)
	if err != nil {
		panic(err) // the system has no randomness: nothing secret can be done
	}
	var d fr.Element
	d.Sub(&k.s, &r)
	a, b = d.BigInt(new(big.Int)), r.BigInt(new(big.Int))
	d.SetZero()
	r.SetZero()
	return a, b
}

func wipe(ns ...*big.Int) {
	for _, n := range ns {
		clear(n.Bits()[:cap(n.Bits())])
	}
}
