// Package usersig checks the signatures of users, in every scheme that the
// interface specification knows.
//
//	public key in DER ── algorithm ─┬─ Ed25519            r‖s, RFC 8032
//	                                ├─ P-256, secp256k1   r‖s over SHA-256
//	                                ├─ COSE (WebAuthn)    ES256, RS256, EdDSA over what a browser signs
//	                                └─ canister           a certificate about the canister's certified data
//
// The message includes its domain separator. ECDSA signatures are accepted with
// a low and a high s: no id depends on the signature. Specification: index.md, "Signatures".
package usersig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"ashlar/replica/crypto/eddsa"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
)

// Limits on keys and signatures; the envelope around them is bounded already.
const (
	maxKeyBytes = 2 << 10 // an RSA key of 8192 bits takes 1,060 bytes; a canister's seed is short
	scalarBytes = 32      // each of r and s
)

// Verifier checks signatures. Canister signatures need the root key.
type Verifier struct {
	RootKey []byte // in DER
	BLS     cert.VerifyBLS
}

var (
	oidEd25519   = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidECKey     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256      = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	oidCOSE      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 56387, 1, 1}
	oidCanister  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 56387, 1, 2}
)

// spki is SubjectPublicKeyInfo of RFC 5280.
type spki struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

var errSignature = errors.New("the signature is not by this key on this message")

// parseSPKI accepts the one DER form of a key.
func parseSPKI(der []byte) (*spki, error) {
	if len(der) > maxKeyBytes {
		return nil, fmt.Errorf("public key has %d bytes, the limit is %d", len(der), maxKeyBytes)
	}
	k := new(spki)
	rest, err := asn1.Unmarshal(der, k)
	if err != nil {
		return nil, fmt.Errorf("public key is not DER: %w", err)
	}
	if len(rest) > 0 || k.Key.BitLength%8 != 0 {
		return nil, errors.New("public key is not DER: it has bytes or bits behind its end")
	}
	if again, err := asn1.Marshal(*k); err != nil || !bytes.Equal(again, der) {
		return nil, errors.New("public key is not in the canonical form of DER")
	}
	return k, nil
}

func (k *spki) noParameters() error {
	if len(k.Algorithm.Parameters.FullBytes) > 0 {
		return errors.New("public key has parameters, its algorithm has none")
	}
	return nil
}

// Verify returns nil if sig is the signature on message by the key.
func (v *Verifier) Verify(key, message, sig []byte) error {
	k, err := parseSPKI(key)
	if err != nil {
		return err
	}
	switch algorithm := k.Algorithm.Algorithm; {
	case algorithm.Equal(oidECKey):
		return verifyEC(k, message, sig)
	case algorithm.Equal(oidEd25519):
		if err := k.noParameters(); err != nil {
			return err
		}
		return verifyEd25519(k.Key.Bytes, message, sig)
	case algorithm.Equal(oidCOSE):
		if err := k.noParameters(); err != nil {
			return err
		}
		return verifyWebAuthn(k.Key.Bytes, message, sig)
	case algorithm.Equal(oidCanister):
		return v.verifyCanister(k, message, sig)
	}
	return fmt.Errorf("public key has the algorithm %s, which is not one of Ed25519, ECDSA, WebAuthn, canister signature", k.Algorithm.Algorithm)
}

// VerifyCanister is Verify for canister signatures alone; the key is that of signer.
func (v *Verifier) VerifyCanister(signer ic.Principal, key, message, sig []byte) error {
	k, err := parseSPKI(key)
	if err != nil {
		return err
	}
	if !k.Algorithm.Algorithm.Equal(oidCanister) {
		return errors.New("public key is not that of a canister signature")
	}
	id, _, err := canisterKey(k)
	if err != nil {
		return err
	}
	if id != signer {
		return fmt.Errorf("public key is that of canister %s, not of the signer %s", id, signer)
	}
	return v.verifyCanister(k, message, sig)
}

func ed25519Form(key, sig []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("Ed25519 key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	if len(sig) != ed25519.SignatureSize {
		return fmt.Errorf("Ed25519 signature has %d bytes, want %d", len(sig), ed25519.SignatureSize)
	}
	return nil
}

func verifyEd25519(key, message, sig []byte) error {
	if err := ed25519Form(key, sig); err != nil {
		return err
	}
	if !eddsa.Verify(key, message, sig) {
		return errSignature
	}
	return nil
}

func verifyEC(k *spki, message, sig []byte) error {
	var curve asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 {
		return errors.New("public key names no curve")
	}
	if len(sig) != 2*scalarBytes {
		return fmt.Errorf("ECDSA signature has %d bytes, want r and s of %d each", len(sig), scalarBytes)
	}
	if len(k.Key.Bytes) != 65 || k.Key.Bytes[0] != 4 {
		return errors.New("public key is not an uncompressed point of 65 bytes")
	}
	hash := sha256.Sum256(message)
	switch {
	case curve.Equal(oidP256):
		return verifyP256(k.Key.Bytes, hash[:], sig)
	case curve.Equal(oidSecp256k1):
		return verifySecp256k1(k.Key.Bytes, hash[:], sig)
	}
	return fmt.Errorf("public key is on the curve %s, which is neither P-256 nor secp256k1", curve)
}

func verifyP256(point, hash, sig []byte) error {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return fmt.Errorf("P-256 key: %w", err)
	}
	r, s := new(big.Int).SetBytes(sig[:scalarBytes]), new(big.Int).SetBytes(sig[scalarBytes:])
	if !ecdsa.Verify(key, hash, r, s) {
		return errSignature
	}
	return nil
}

func verifySecp256k1(point, hash, sig []byte) error {
	key, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return fmt.Errorf("secp256k1 key: %w", err)
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:scalarBytes]) || s.SetByteSlice(sig[scalarBytes:]) {
		return errSignature // not below the order of the group
	}
	if r.IsZero() || s.IsZero() || !secpecdsa.NewSignature(&r, &s).Verify(hash, key) {
		return errSignature
	}
	return nil
}
