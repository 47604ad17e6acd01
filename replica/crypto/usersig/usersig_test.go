package usersig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"ashlar/replica/wire/cbor"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identities(t *testing.T) map[string]*Identity {
	t.Helper()
	out := map[string]*Identity{}
	secret := bytes.Repeat([]byte{7}, 32)
	for name, make := range map[string]func([]byte) (*Identity, error){"Ed25519": Ed25519, "P-256": P256, "secp256k1": Secp256k1} {
		i, err := make(secret)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = i
	}
	return out
}

func TestIdentities(t *testing.T) {
	v, message := &Verifier{}, []byte("\x0aic-request and an id")
	for name, i := range identities(t) {
		sig, err := i.Sign(message)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(i.PublicKey(), message, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, c := range map[string][2][]byte{
			"another message":      {[]byte("another"), sig},
			"a changed signature":  {message, flip(sig, 5)},
			"a changed end":        {message, flip(sig, 63)},
			"a short signature":    {message, sig[:63]},
			"a long signature":     {message, append(bytes.Clone(sig), 0)},
			"a signature of zeros": {message, make([]byte, 64)},
			"all ones":             {message, bytes.Repeat([]byte{0xff}, 64)},
			"no signature":         {message, nil},
		} {
			if v.Verify(i.PublicKey(), c[0], c[1]) == nil {
				t.Errorf("%s: %s is accepted", name, what)
			}
		}
		for at := range i.PublicKey() {
			if v.Verify(flip(i.PublicKey(), at), message, sig) == nil {
				t.Errorf("%s: a key with byte %d changed is accepted", name, at)
			}
		}
		if v.Verify(append(bytes.Clone(i.PublicKey()), 0), message, sig) == nil {
			t.Errorf("%s: a key with a byte behind it is accepted", name)
		}
		if err := v.VerifyCanister("", i.PublicKey(), message, sig); err == nil {
			t.Errorf("%s: accepted as a canister signature", name)
		}
	}
}

func flip(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 1
	return out
}

// Test 2 of RFC 8032, section 7.1, and the DER form of RFC 8410.
func TestEd25519Vector(t *testing.T) {
	key := unhex(t, "302a300506032b6570032100 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
	sig := unhex(t, `92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
		085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00`)
	if err := (&Verifier{}).Verify(key, []byte{0x72}, sig); err != nil {
		t.Error(err)
	}
}

// Both values of s that fit a signature are accepted, on both curves.
func TestHighAndLowS(t *testing.T) {
	message := []byte("message")
	orders := map[string]*big.Int{"P-256": elliptic.P256().Params().N,
		"secp256k1": new(big.Int).SetBytes(unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))}
	for name, n := range orders {
		i := identities(t)[name]
		sig, err := i.Sign(message)
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.Clone(sig)
		new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:])).FillBytes(other[32:])
		if err := (&Verifier{}).Verify(i.PublicKey(), message, other); err != nil {
			t.Errorf("%s: the other s: %v", name, err)
		}
		beyond := bytes.Clone(sig)
		copy(beyond[:32], n.FillBytes(make([]byte, 32)))
		if (&Verifier{}).Verify(i.PublicKey(), message, beyond) == nil {
			t.Errorf("%s: r equal to the order is accepted", name)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	p256 := identities(t)["P-256"].PublicKey()
	for name, key := range map[string][]byte{
		"nothing":               {},
		"no DER":                []byte("key"),
		"a raw Ed25519 key":     bytes.Repeat([]byte{1}, 32),
		"Ed25519 of 31 bytes":   derKey(oidEd25519, make([]byte, 31)),
		"a compressed point":    derCurveKey(oidP256, append([]byte{2}, p256[27:59]...)),
		"a point off the curve": derCurveKey(oidP256, append([]byte{4}, bytes.Repeat([]byte{1}, 64)...)),
		"the point at infinity": derCurveKey(oidP256, []byte{0}),
		"the curve P-384":       derCurveKey([]int{1, 3, 132, 0, 34}, p256[26:]),
		"P-256 point on the k1": derCurveKey(oidSecp256k1, p256[26:]),
		"an unknown algorithm":  derKey([]int{1, 2, 3}, p256[26:]),
		"long form of a length": append([]byte{0x30, 0x81, 0x2a}, derKey(oidEd25519, make([]byte, 32))[2:]...),
		"too long":              derKey(oidCanister, make([]byte, 4<<10)),
		"a canister id of 255":  derKey(oidCanister, append([]byte{255}, make([]byte, 300)...)),
		"a canister id cut":     derKey(oidCanister, []byte{10, 1}),
		"a canister key, empty": derKey(oidCanister, nil),
		"COSE that is no CBOR":  derKey(oidCOSE, []byte("cose")),
		"a BLS key":             unhex(t, "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"+strings.Repeat("00", 96)),
	} {
		if err := (&Verifier{}).Verify(key, []byte("m"), make([]byte, 64)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// assertion makes what a browser's authenticator returns for a challenge.
func assertion(message []byte, sign func(signed []byte) []byte) []byte {
	client := fmt.Sprintf(`{"type":"webauthn.get","challenge":%q,"origin":"https://identity.ic0.app","crossOrigin":false}`,
		base64.RawURLEncoding.EncodeToString(message))
	data := bytes.Repeat([]byte{9}, 37)
	hash := sha256.Sum256([]byte(client))
	return cbor.Marshal(webAuthnSig{data, client, sign(append(bytes.Clone(data), hash[:]...))})
}

func TestWebAuthn(t *testing.T) {
	message := []byte("\x0aic-request and an id")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, _ := ec.PublicKey.Bytes()
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed := identities(t)["Ed25519"]
	hashed := func(m []byte) []byte { h := sha256.Sum256(m); return h[:] }
	for name, c := range map[string]struct {
		key  map[int]any
		sign func([]byte) []byte
	}{
		"ES256": {map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}, func(m []byte) []byte {
			s, _ := ecdsa.SignASN1(rand.Reader, ec, hashed(m))
			return s
		}},
		"RS256": {map[int]any{1: 3, 3: -257, -1: rs.N.Bytes(), -2: []byte{1, 0, 1}}, func(m []byte) []byte {
			s, _ := rsa.SignPKCS1v15(rand.Reader, rs, crypto.SHA256, hashed(m))
			return s
		}},
		"EdDSA": {map[int]any{1: 1, 3: -8, -1: 6, -2: ed.PublicKey()[12:]}, func(m []byte) []byte {
			s, _ := ed.Sign(m)
			return s
		}},
	} {
		key := derKey(oidCOSE, cbor.Plain(c.key))
		sig := assertion(message, c.sign)
		if err := (&Verifier{}).Verify(key, message, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (&Verifier{}).Verify(key, []byte("another"), sig) == nil {
			t.Errorf("%s: another message is accepted", name)
		}
		if (&Verifier{}).Verify(key, message, assertion(message, func([]byte) []byte { return c.sign([]byte("x")) })) == nil {
			t.Errorf("%s: a signature on something else is accepted", name)
		}
		c.key[3] = -37
		if (&Verifier{}).Verify(derKey(oidCOSE, cbor.Plain(c.key)), message, sig) == nil {
			t.Errorf("%s: a key of another algorithm is accepted", name)
		}
	}
	weak := map[int]any{1: 3, 3: -257, -1: rs.N.Bytes()[:128], -2: []byte{1, 0, 1}}
	if err := (&Verifier{}).Verify(derKey(oidCOSE, cbor.Plain(weak)), message, assertion(message, hashed)); err == nil || !strings.Contains(err.Error(), "bits") {
		t.Errorf("an RSA key of 1024 bits: %v", err)
	}
	for name, sig := range map[string][]byte{
		"no CBOR":              []byte("sig"),
		"client data, no JSON": cbor.Marshal(webAuthnSig{ClientDataJSON: "challenge"}),
		"no challenge":         cbor.Marshal(webAuthnSig{ClientDataJSON: "{}"}),
		"padded challenge":     cbor.Marshal(webAuthnSig{ClientDataJSON: `{"challenge":"bQ=="}`}),
	} {
		if (&Verifier{}).Verify(derKey(oidCOSE, cbor.Plain(map[int]any{1: 1, 3: -8, -1: 6, -2: ed.PublicKey()[12:]})), []byte("m"), sig) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The example key of the specification parses; its secret is not ours.
func TestCOSEKeyOfTheSpecification(t *testing.T) {
	key := unhex(t, `305E300C060A2B0601040183B8430101034E00A5010203262001215820 7FFD83632072FD1BFEAF3FBAA43146E0EF95C3F55E3994A41BBF2B5174D771DA
		225820 32497EED0A7F6F000928765B8318162CFD80A94E525A6A368C2363063D04E6ED`)
	err := (&Verifier{}).Verify(key, []byte("m"), assertion([]byte("m"), func([]byte) []byte { return []byte{1} }))
	if err != errSignature {
		t.Errorf("want the refusal of the signature alone, got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	secret := bytes.Repeat([]byte{7}, 32)
	for _, make := range []func([]byte) (*Identity, error){Ed25519, P256, Secp256k1} {
		i, _ := make(secret)
		sig, _ := i.Sign([]byte("m"))
		f.Add(i.PublicKey(), []byte("another"), sig)
	}
	f.Add(derKey(oidCOSE, cbor.Plain(map[int]any{1: 1, 3: -8, -1: 6, -2: secret})), []byte("m"), assertion([]byte("m"), func(m []byte) []byte { return m[:64] }))
	f.Add(derKey(oidCanister, []byte{1, 2, 3}), []byte("m"), []byte{0xa0})
	v := &Verifier{BLS: func(_, _, _ []byte) error { return nil }}
	f.Fuzz(func(t *testing.T, key, message, sig []byte) { _ = v.Verify(key, message, sig) })
}
