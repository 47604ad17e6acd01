package usersig

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// Identity is a user's key pair: it signs what Verifier accepts.
type Identity struct {
	key  []byte // public, in DER
	sign func(message []byte) ([]byte, error)
}

// PublicKey in DER.
func (i *Identity) PublicKey() []byte { return i.key }

// Sign a message with its domain separator.
func (i *Identity) Sign(message []byte) ([]byte, error) { return i.sign(message) }

// Ed25519 is the identity of a seed of 32 bytes.
func Ed25519(seed []byte) (*Identity, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("Ed25519 seed has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	secret := ed25519.NewKeyFromSeed(seed)
	return &Identity{
		key:  Ed25519Key(secret.Public().(ed25519.PublicKey)),
		sign: func(m []byte) ([]byte, error) { return ed25519.Sign(secret, m), nil },
	}, nil
}

// Ed25519Key is the DER form of a raw public key.
func Ed25519Key(raw []byte) []byte { return derKey(oidEd25519, raw) }

// P256 is the identity of a secret scalar of 32 bytes.
func P256(scalar []byte) (*Identity, error) {
	secret, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, fmt.Errorf("P-256 secret key: %w", err)
	}
	point, err := secret.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("P-256 public key: %w", err)
	}
	return &Identity{key: derCurveKey(oidP256, point), sign: func(m []byte) ([]byte, error) {
		hash := sha256.Sum256(m)
		r, s, err := ecdsa.Sign(rand.Reader, secret, hash[:])
		if err != nil {
			return nil, err
		}
		sig := make([]byte, 2*scalarBytes)
		r.FillBytes(sig[:scalarBytes])
		s.FillBytes(sig[scalarBytes:])
		return sig, nil
	}}, nil
}

// Secp256k1 is the identity of a secret scalar of 32 bytes.
func Secp256k1(scalar []byte) (*Identity, error) {
	var k secp256k1.ModNScalar
	if len(scalar) != scalarBytes || k.SetByteSlice(scalar) || k.IsZero() {
		return nil, fmt.Errorf("secp256k1 secret key must be 32 bytes, above zero and below the order of the group")
	}
	secret := secp256k1.NewPrivateKey(&k)
	return &Identity{key: derCurveKey(oidSecp256k1, secret.PubKey().SerializeUncompressed()), sign: func(m []byte) ([]byte, error) {
		hash := sha256.Sum256(m)
		sig := secpecdsa.Sign(secret, hash[:])
		r, s := sig.R(), sig.S()
		rb, sb := r.Bytes(), s.Bytes()
		return append(rb[:], sb[:]...), nil
	}}, nil
}

func derKey(algorithm asn1.ObjectIdentifier, key []byte) []byte {
	return mustDER(spki{pkix.AlgorithmIdentifier{Algorithm: algorithm}, asn1.BitString{Bytes: key, BitLength: len(key) * 8}})
}

func derCurveKey(curve asn1.ObjectIdentifier, point []byte) []byte {
	return mustDER(spki{pkix.AlgorithmIdentifier{Algorithm: oidECKey, Parameters: asn1.RawValue{FullBytes: mustDER(curve)}},
		asn1.BitString{Bytes: point, BitLength: len(point) * 8}})
}

func mustDER(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err) // our own structures always have a DER form
	}
	return der
}
