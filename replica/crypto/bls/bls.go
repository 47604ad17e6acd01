// Package bls is the signature scheme of certificates: BLS on BLS12-381 with
// 48-byte signatures in G1 and 96-byte keys in G2, suite
// BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_ (interface spec, "Signature
// algorithms"; section 1 of the draft irtf-cfrg-bls-signature).
//
//	SecretKey ── Sign ──> signature ── PublicKey.Verify ──> nil or why not
//	Deal ──> n shares ── Sign ──> shares of a signature ── Group.Combine ──> signature
//	keys with proof of possession ── Aggregate ──> one signature by many
//
// The curve is gnark-crypto's, which promises no constant time: every
// multiplication by a secret is split at random (secret.go), and secrets stay in
// this package. What gnark's decoders let through (uncompressed points, trailing
// bytes, the identity) is refused here.
package bls

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// Sizes on the wire, in bytes.
const (
	SignatureBytes = 48
	ShareBytes     = 96 // of a share with both coordinates
	PublicKeyBytes = 96
	SecretKeyBytes = 32
	DERBytes       = len(derHeader) + PublicKeyBytes
)

// derHeader is SEQUENCE { SEQUENCE { OID 1.3.6.1.4.1.44668.5.3.1.2.1, OID
// 1.3.6.1.4.1.44668.5.3.2.1 }, BIT STRING of 96 bytes }: all keys share it.
const derHeader = "\x30\x81\x82\x30\x1d\x06\x0d\x2b\x06\x01\x04\x01\x82\xdc\x7c\x05\x03\x01\x02\x01\x06\x0c\x2b\x06\x01\x04\x01\x82\xdc\x7c\x05\x03\x02\x01\x03\x61\x00"

// The domain separation tags: of signatures, and of proofs of possession.
const (
	signatureTag  = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
	possessionTag = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
)

// compressed is the flag of a compressed point in the first byte.
const (
	compressed = 0x80
	flags      = 0xe0 // all: compressed, infinity, sign
)

var (
	errIdentityKey = errors.New("BLS public key is the identity: it would accept the identity as signature of everything")
	errIdentitySig = errors.New("BLS signature is the identity")
	errWrong       = errors.New("BLS signature does not match key and message")
)

type lines = [2][len(curve.LoopCounter) - 1]curve.LineEvaluationAff

// PublicKey is a checked point of the group, never the identity.
type PublicKey struct {
	point curve.G2Affine
	once  sync.Once
	lines *lines // of the Miller loop, made at the first Verify: 24 KiB, saves a fifth of each check
}

// ParsePublicKey reads the compressed form and checks curve and subgroup.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	if len(b) != PublicKeyBytes {
		return nil, fmt.Errorf("BLS public key has %d bytes, it must have %d", len(b), PublicKeyBytes)
	}
	if b[0]&compressed == 0 {
		return nil, errors.New("BLS public key is not in compressed form")
	}
	k := new(PublicKey)
	if _, err := k.point.SetBytes(b); err != nil {
		return nil, fmt.Errorf("BLS public key is not a point of the group: %w", err)
	}
	if k.point.IsInfinity() {
		return nil, errIdentityKey
	}
	return k, nil
}

// ParseDER reads the form in which status and certificates show keys.
func ParseDER(der []byte) (*PublicKey, error) {
	if len(der) != DERBytes || !bytes.HasPrefix(der, []byte(derHeader)) {
		return nil, fmt.Errorf("not the DER form of a BLS12-381 public key (%d bytes, it must have %d and the two object identifiers of the IC)", len(der), DERBytes)
	}
	return ParsePublicKey(der[len(derHeader):])
}

// Bytes is the compressed form.
func (k *PublicKey) Bytes() []byte { b := k.point.Bytes(); return b[:] }

// DER is the form of /subnet/<id>/public_key and of the status root_key.
func (k *PublicKey) DER() []byte { return append([]byte(derHeader), k.Bytes()...) }

// Equal tells whether two keys are the same point.
func (k *PublicKey) Equal(o *PublicKey) bool { return k.point.Equal(&o.point) }

// Verify returns nil if sig is the key's signature on message.
func (k *PublicKey) Verify(message, sig []byte) error {
	return k.verify(signatureTag, message, sig)
}

func (k *PublicKey) verify(tag string, message, sig []byte) error {
	s, err := parseSignature(sig)
	if err != nil {
		return err
	}
	return k.check(tag, message, s)
}

func (k *PublicKey) check(tag string, message []byte, s *curve.G1Affine) error {
	if k.point.IsInfinity() { // an aggregate of keys may be
		return errIdentityKey
	}
	h := hashToCurve(tag, message)
	k.once.Do(func() { l := curve.PrecomputeLines(k.point); k.lines = &l })
	ok, err := curve.PairingCheckFixedQ([]curve.G1Affine{*s, h}, []lines{*negGenerator(), *k.lines})
	if err != nil {
		return fmt.Errorf("pairing check: %w", err)
	}
	if !ok {
		return errWrong
	}
	return nil
}

func parseSignature(b []byte) (*curve.G1Affine, error) {
	s, err := parsePoint(b)
	if err == nil && !s.IsInSubGroup() {
		return nil, errors.New("BLS signature is not a point of the group: it lies outside of the subgroup")
	}
	return s, err
}

// parsePoint leaves the subgroup to the caller.
func parsePoint(b []byte) (*curve.G1Affine, error) {
	if len(b) != SignatureBytes {
		return nil, fmt.Errorf("BLS signature has %d bytes, it must have %d", len(b), SignatureBytes)
	}
	if b[0]&compressed == 0 {
		return nil, errors.New("BLS signature is not in compressed form")
	}
	s := new(curve.G1Affine)
	if err := curve.NewDecoder(bytes.NewReader(b), curve.NoSubgroupChecks()).Decode(s); err != nil {
		return nil, fmt.Errorf("BLS signature is not a point of the group: %w", err)
	}
	if s.IsInfinity() {
		return nil, errIdentitySig
	}
	return s, nil
}

// parseShare reads what SignShare made, or a signature; it leaves the subgroup to the
// caller. A point that is not on the curve is none.
func parseShare(b []byte) (*curve.G1Affine, error) {
	if len(b) != ShareBytes {
		return parsePoint(b)
	}
	if b[0]&flags != 0 {
		return nil, errors.New("BLS share of two coordinates has a flag of another form")
	}
	s := new(curve.G1Affine)
	if s.X.SetBytesCanonical(b[:ShareBytes/2]) != nil || s.Y.SetBytesCanonical(b[ShareBytes/2:]) != nil || s.IsInfinity() || !s.IsOnCurve() {
		return nil, errors.New("BLS share is not a point of the curve")
	}
	return s, nil
}

var negGenerator = sync.OnceValue(func() *lines {
	_, _, _, g2 := curve.Generators()
	g2.Neg(&g2)
	l := curve.PrecomputeLines(g2)
	return &l
})
