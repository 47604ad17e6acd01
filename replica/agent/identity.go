package agent

import (
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// Anonymous is the identity without a key.
var Anonymous envelope.Signer = nobody{}

type nobody struct{}

func (nobody) PublicKey() []byte { return nil }
func (nobody) Sign([]byte) ([]byte, error) {
	return nil, errors.New("the anonymous identity signs nothing")
}
func (nobody) Delegations() ([]byte, []envelope.SignedDelegation) { return nil, nil }

// Identity is a key that speaks for itself.
type Identity struct{ *usersig.Identity }

// Delegations of a key that speaks for itself: none.
func (Identity) Delegations() ([]byte, []envelope.SignedDelegation) { return nil, nil }

// Ed25519, P256 and Secp256k1 make identities of 32 secret bytes.
func Ed25519(secret []byte) (Identity, error) { return wrap(usersig.Ed25519(secret)) }

// P256 is an identity on the curve P-256.
func P256(secret []byte) (Identity, error) { return wrap(usersig.P256(secret)) }

// Secp256k1 is an identity on the curve secp256k1.
func Secp256k1(secret []byte) (Identity, error) { return wrap(usersig.Secp256k1(secret)) }

func wrap(i *usersig.Identity, err error) (Identity, error) { return Identity{i}, err }

// Delegated speaks for another key by a chain of delegations.
type Delegated struct {
	Identity
	Root  []byte // the first key, in DER: it names the sender
	Chain []envelope.SignedDelegation
}

// Delegations is the chain.
func (d Delegated) Delegations() ([]byte, []envelope.SignedDelegation) { return d.Root, d.Chain }

// PrincipalOf is the sender that an identity's requests have.
func PrincipalOf(by envelope.Signer) ic.Principal {
	root, chain := by.Delegations()
	if chain != nil {
		return ic.SelfAuthenticating(root)
	}
	if key := by.PublicKey(); key != nil {
		return ic.SelfAuthenticating(key)
	}
	return ic.Anonymous
}

// The forms of secret keys that dfx and the icp CLI write.
type pkcs8 struct {
	Version   int
	Algorithm struct {
		OID   asn1.ObjectIdentifier
		Curve asn1.ObjectIdentifier `asn1:"optional"`
	}
	Key  []byte
	Rest asn1.RawValue `asn1:"optional"` // attributes
	More asn1.RawValue `asn1:"optional"` // the public key
}

type sec1 struct {
	Version int
	Key     []byte
	Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

var (
	oidEd25519   = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidP256      = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

// ParsePEM reads an identity's PEM file: Ed25519 or elliptic curve, PKCS #8 or SEC 1.
func ParsePEM(text []byte) (Identity, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		case "EC PRIVATE KEY":
			return parseSEC1(block.Bytes, nil)
		}
	}
	return Identity{}, errors.New("PEM file has neither a PRIVATE KEY nor an EC PRIVATE KEY; encrypted keys must be decrypted first")
}

func parsePKCS8(der []byte) (Identity, error) {
	var k pkcs8
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return Identity{}, fmt.Errorf("PRIVATE KEY: %w", err)
	}
	if k.Algorithm.OID.Equal(oidEd25519) {
		var seed []byte
		if _, err := asn1.Unmarshal(k.Key, &seed); err != nil {
			return Identity{}, fmt.Errorf("PRIVATE KEY of Ed25519: %w", err)
		}
		return Ed25519(seed)
	}
	return parseSEC1(k.Key, k.Algorithm.Curve)
}

func parseSEC1(der []byte, curve asn1.ObjectIdentifier) (Identity, error) {
	var k sec1
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return Identity{}, fmt.Errorf("EC PRIVATE KEY: %w", err)
	}
	if curve == nil {
		curve = k.Curve
	}
	switch {
	case curve.Equal(oidP256):
		return P256(k.Key)
	case curve.Equal(oidSecp256k1):
		return Secp256k1(k.Key)
	}
	return Identity{}, fmt.Errorf("EC PRIVATE KEY is on the curve %s, which is neither P-256 nor secp256k1", curve)
}
