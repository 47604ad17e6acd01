package usersig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"ashlar/replica/wire/cbor"
)

// COSE names of RFC 8152 and RFC 8230.
const (
	coseEC2, coseRSA, coseOKP      = 2, 3, 1
	coseES256, coseRS256, coseEdSA = -7, -257, -8
	curveP256, curveEd25519        = 1, 6
	minRSABits, maxRSABits         = 2048, 8192 // below: too weak; above: a check takes over 2 ms
	maxClientData                  = 16 << 10   // bytes of JSON; browsers send about 200
)

// webAuthnSig is what an authenticator returns.
type webAuthnSig struct {
	AuthenticatorData []byte `cbor:"authenticator_data"`
	ClientDataJSON    string `cbor:"client_data_json"`
	Signature         []byte `cbor:"signature"`
}

// coseKey holds the fields of all three kinds of key; -1 is a curve or a modulus.
type coseKey struct {
	Type      int64    `cbor:"1,keyasint"`
	Algorithm int64    `cbor:"3,keyasint"`
	P1        cbor.Raw `cbor:"-1,keyasint"`
	P2        []byte   `cbor:"-2,keyasint"`
	P3        []byte   `cbor:"-3,keyasint"`
}

// verifyWebAuthn checks an assertion whose challenge is the message.
func verifyWebAuthn(cose, message, sig []byte) error {
	var s webAuthnSig
	if err := cbor.Unmarshal(sig, &s); err != nil {
		return fmt.Errorf("WebAuthn signature: %w", err)
	}
	if len(s.ClientDataJSON) > maxClientData {
		return fmt.Errorf("client data has %d bytes, the limit is %d", len(s.ClientDataJSON), maxClientData)
	}
	var client struct {
		Challenge *string `json:"challenge"`
	}
	if err := json.Unmarshal([]byte(s.ClientDataJSON), &client); err != nil || client.Challenge == nil {
		return errors.New("client data is not JSON with a challenge")
	}
	if *client.Challenge != base64.RawURLEncoding.EncodeToString(message) {
		return errors.New("the challenge in the client data is not the message")
	}
	digest := sha256.Sum256([]byte(s.ClientDataJSON))
	return verifyCOSE(cose, append(s.AuthenticatorData[:len(s.AuthenticatorData):len(s.AuthenticatorData)], digest[:]...), s.Signature)
}

func verifyCOSE(raw, message, sig []byte) error {
	var k coseKey
	if err := cbor.Unmarshal(raw, &k); err != nil {
		return fmt.Errorf("COSE key: %w", err)
	}
	hash := sha256.Sum256(message)
	switch {
	case k.Type == coseEC2 && k.Algorithm == coseES256:
		key, err := k.p256()
		if err != nil {
			return err
		}
		if !ecdsa.VerifyASN1(key, hash[:], sig) {
			return errSignature
		}
		return nil
	case k.Type == coseRSA && k.Algorithm == coseRS256:
		key, err := k.rsa()
		if err != nil {
			return err
		}
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], sig) != nil {
			return errSignature
		}
		return nil
	case k.Type == coseOKP && k.Algorithm == coseEdSA:
		if err := k.onCurve(curveEd25519); err != nil {
			return err
		}
		return verifyEd25519(k.P2, message, sig)
	}
	return fmt.Errorf("COSE key has type %d and algorithm %d, which is none of ES256, RS256, EdDSA", k.Type, k.Algorithm)
}

func (k *coseKey) onCurve(want int64) error {
	var curve int64
	if err := cbor.Unmarshal(k.P1, &curve); err != nil || curve != want {
		return fmt.Errorf("COSE key is on curve %d, want %d", curve, want)
	}
	return nil
}

func (k *coseKey) p256() (*ecdsa.PublicKey, error) {
	if err := k.onCurve(curveP256); err != nil {
		return nil, err
	}
	if len(k.P2) != scalarBytes || len(k.P3) != scalarBytes {
		return nil, errors.New("COSE key: x and y must have 32 bytes each")
	}
	point := append(append([]byte{4}, k.P2...), k.P3...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("COSE key: %w", err)
	}
	return key, nil
}

func (k *coseKey) rsa() (*rsa.PublicKey, error) {
	var modulus []byte
	if err := cbor.Unmarshal(k.P1, &modulus); err != nil {
		return nil, fmt.Errorf("COSE key: %w", err)
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(k.P2)
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("COSE key: RSA modulus has %d bits, it must have %d to %d", bits, minRSABits, maxRSABits)
	}
	if e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
		return nil, errors.New("COSE key: RSA exponent must be odd, at least 3 and below 2^31")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}
