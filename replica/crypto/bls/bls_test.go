package bls

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verify(key, message, sig []byte) error {
	k, err := ParsePublicKey(key)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/verify.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		n++
		err := verify(unhex(t, f[1]), unhex(t, f[2]), unhex(t, f[3]))
		if (err == nil) != (f[0] == "ok") {
			t.Errorf("line %q: %v", line[:20], err)
		}
	}
	if n != 8 {
		t.Errorf("ran %d vectors", n)
	}
}

// The signature that the IC's own implementation makes with this key.
func TestSignVector(t *testing.T) {
	k, err := ParseSecretKey(unhex(t, "6f3977f6051e184b2c412daa1b5c0115ef7ab347cac8d808ffa2c26bd0658243"))
	if err != nil {
		t.Fatal(err)
	}
	message := unhex(t, "50484522ad8aede64ec7f86b9273b7ed3940481acf93cdd40a2b77f2be2734a14012b2492b6363b12adaeaf055c573e4611b085d2e0fe2153d72453a95eaebf350ac3ba6a26ba0bc79f4c0bf5664dfdf5865f69f7fc6b58ba7d068e8")
	want := "8f7ad830632657f7b3eae17fd4c3d9ff5c13365eea8d33fd0a1a6d8fbebc5152e066bb0ad61ab64e8a8541c8e3f96de9"
	for range 3 { // the blinding differs, the signature does not
		if got := hex.EncodeToString(k.Sign(message)); got != want {
			t.Errorf("got %s", got)
		}
	}
	if err := k.PublicKey().Verify(message, unhex(t, want)); err != nil {
		t.Error(err)
	}
}

func key(t testing.TB, seed string) *SecretKey {
	t.Helper()
	k, err := GenerateKey(newStream(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stream is SHA-256 in counter mode: randomness that is the same in each run.
type stream struct{ seed, left []byte }

func newStream(seed string) *stream { return &stream{seed: []byte(seed)} }

func (s *stream) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		if len(s.left) == 0 {
			h := sha256.Sum256(s.seed)
			s.seed, s.left = h[:], append([]byte(nil), h[:]...)
			s.left[0] ^= 1
		}
		m := copy(p[n:], s.left)
		n, s.left = n+m, s.left[m:]
	}
	return len(p), nil
}

func TestDER(t *testing.T) {
	k := key(t, "der").PublicKey()
	var spki struct {
		Algorithm struct{ Algorithm, Curve asn1.ObjectIdentifier }
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(k.DER(), &spki); err != nil || len(rest) != 0 {
		t.Fatal(err, rest)
	}
	if got := spki.Algorithm.Algorithm.String(); got != "1.3.6.1.4.1.44668.5.3.1.2.1" {
		t.Error(got)
	}
	if got := spki.Algorithm.Curve.String(); got != "1.3.6.1.4.1.44668.5.3.2.1" {
		t.Error(got)
	}
	if !bytes.Equal(spki.Key.Bytes, k.Bytes()) {
		t.Error("the key inside differs")
	}
	if back, err := ParseDER(k.DER()); err != nil || !back.Equal(k) {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{
		"cut":      k.DER()[:132],
		"longer":   append(k.DER(), 0),
		"raw":      k.Bytes(),
		"oid":      bytes.Replace(k.DER(), []byte{5, 3, 2, 1}, []byte{5, 3, 2, 2}, 1),
		"identity": append([]byte(derHeader), append([]byte{0xc0}, make([]byte, 95)...)...),
	} {
		if _, err := ParseDER(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// The traps of gnark's decoders and of pairing checks.
func TestRefused(t *testing.T) {
	k := key(t, "refused")
	message := []byte("message")
	pub, sig := k.PublicKey(), k.Sign(message)
	infSig := append([]byte{0xc0}, make([]byte, 47)...)
	p, _ := parseSignature(sig)
	raw := p.RawBytes()
	notReduced := unhex(t, hex.EncodeToString(sig))
	addModulus(notReduced)
	for name, bad := range map[string][]byte{
		"identity":              infSig,
		"uncompressed":          raw[:],
		"uncompressed, cut":     raw[:48],
		"trailing byte":         append(append([]byte(nil), sig...), 0),
		"cut":                   sig[:47],
		"empty":                 nil,
		"x not reduced":         notReduced,
		"identity, wrong bytes": append([]byte{0xc0, 1}, make([]byte, 46)...),
		"outside the subgroup":  outsideSubgroup(t),
		"of another message":    k.Sign([]byte("other")),
		"negated":               append([]byte{sig[0] ^ 0x20}, sig[1:]...),
	} {
		if err := pub.Verify(message, bad); err == nil {
			t.Errorf("signature: %s was accepted", name)
		}
	}
	if err := pub.Verify(message, sig); err != nil {
		t.Error(err)
	}
	q := pub.point.RawBytes()
	for name, bad := range map[string][]byte{
		"identity":      append([]byte{0xc0}, make([]byte, 95)...),
		"uncompressed":  q[:],
		"first half":    q[:96],
		"trailing byte": append(pub.Bytes(), 0),
		"cut":           pub.Bytes()[:95],
	} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("key: %s was accepted", name)
		}
	}
	for name, bad := range map[string][]byte{
		"zero":      make([]byte, 32),
		"the order": unhex(t, "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001"),
		"cut":       make([]byte, 31),
	} {
		if _, err := ParseSecretKey(bad); err == nil {
			t.Errorf("secret: %s was accepted", name)
		}
	}
}

// addModulus makes x into x+p where that fits below 2^381, else into garbage above p.
func addModulus(sig []byte) {
	flags := sig[0] & 0xe0
	sig[0] &= 0x1f
	p := fp.Modulus().Bytes()
	carry := 0
	for i := 47; i >= 0; i-- {
		carry += int(sig[i]) + int(p[i])
		sig[i], carry = byte(carry), carry>>8
	}
	sig[0] = sig[0]&0x1f | flags
}

func outsideSubgroup(t *testing.T) []byte {
	var p curve.G1Affine
	for x := uint64(1); x < 100; x++ {
		p.X.SetUint64(x)
		var y2, four fp.Element
		y2.Square(&p.X).Mul(&y2, &p.X).Add(&y2, four.SetUint64(4))
		if p.Y.Sqrt(&y2) != nil && !p.IsInSubGroup() {
			b := p.Bytes()
			return b[:]
		}
	}
	t.Fatal("no point found")
	return nil
}

func TestErase(t *testing.T) {
	k := key(t, "erase")
	k.Erase()
	if !bytes.Equal(k.Bytes(), make([]byte, 32)) {
		t.Error("the secret is still there")
	}
	defer func() {
		if recover() == nil {
			t.Error("an erased key signed")
		}
	}()
	k.Sign(nil)
}

func TestThreshold(t *testing.T) {
	message := []byte("round 7")
	for _, c := range []struct{ t, n int }{{1, 1}, {2, 3}, {3, 4}, {9, 13}} {
		g, keys, err := Deal(newStream("deal"), c.t, c.n)
		if err != nil {
			t.Fatal(err)
		}
		var shares []Share
		for i, k := range keys {
			shares = append(shares, Share{i, k.Sign(message)})
			if !k.PublicKey().Equal(g.Holders[i]) {
				t.Errorf("holder %d has another key", i)
			}
		}
		first, bad, err := g.Combine(message, shares[:c.t])
		if err != nil || bad != nil || g.Key.Verify(message, first) != nil {
			t.Fatalf("%d of %d: %v, bad %v", c.t, c.n, err, bad)
		}
		last, _, err := g.Combine(message, shares[c.n-c.t:])
		if err != nil || !bytes.Equal(first, last) {
			t.Errorf("%d of %d: other shares give another signature: %v", c.t, c.n, err)
		}
		if _, _, err := g.Combine(message, shares[:c.t-1]); err == nil {
			t.Errorf("%d of %d signed", c.t-1, c.n)
		}
	}
	for _, c := range []struct{ t, n int }{{0, 1}, {2, 1}, {1, 0}, {1, MaxGroup + 1}} {
		if _, _, err := Deal(newStream("x"), c.t, c.n); err == nil {
			t.Errorf("dealt %d of %d", c.t, c.n)
		}
	}
}

func TestCombineFindsBadShares(t *testing.T) {
	message := []byte("round 8")
	g, keys, err := Deal(newStream("bad"), 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	shares := []Share{
		{0, keys[0].Sign(message)}, {1, keys[1].Sign([]byte("other"))}, {2, []byte("garbage")},
		{3, keys[3].Sign(message)}, {4, keys[4].Sign(message)},
	}
	sig, bad, err := g.Combine(message, shares)
	if err != nil || g.Key.Verify(message, sig) != nil {
		t.Fatal(err)
	}
	if len(bad) != 2 || bad[0] != 1 || bad[1] != 2 {
		t.Errorf("bad shares: %v", bad)
	}
	if _, bad, err := g.Combine(message, shares[:4]); err == nil || len(bad) != 2 {
		t.Errorf("two valid shares of three signed: bad %v, %v", bad, err)
	}
	if _, _, err := g.Combine(message, []Share{{5, shares[0].Signature}}); err == nil {
		t.Error("a holder outside of the group was accepted")
	}
	shares[1].Signature, shares[2].Signature = keys[1].Sign(message), outsideSubgroup(t)
	sig, bad, err = g.Combine(message, shares)
	if err != nil || g.Key.Verify(message, sig) != nil || len(bad) != 1 || bad[0] != 2 {
		t.Errorf("with a share outside of the subgroup: bad %v, %v", bad, err)
	}
}

// Hashes that are kept are those of their messages, under each tag.
func TestKeptHashes(t *testing.T) {
	for range 2 {
		for i := range 2 * keptHashes {
			message := []byte{byte(i)}
			for _, tag := range []string{signatureTag, possessionTag} {
				want, err := curve.HashToG1(message, []byte(tag))
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got := hashToCurve(tag, message); !got.Equal(&want) {
						t.Fatalf("message %d has another hash", i)
					}
				}
			}
		}
	}
}

func TestAggregate(t *testing.T) {
	message := []byte("block")
	a, b := key(t, "a"), key(t, "b")
	keys := []*PublicKey{a.PublicKey(), b.PublicKey()}
	for i, k := range []*SecretKey{a, b} {
		if err := keys[i].VerifyPossession(k.Possession()); err != nil {
			t.Error(err)
		}
		if err := keys[i].VerifyPossession(k.Sign(keys[i].Bytes())); err == nil {
			t.Error("an ordinary signature proved possession")
		}
	}
	both, err := AggregateKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Aggregate([][]byte{a.Sign(message), b.Sign(message)})
	if err != nil {
		t.Fatal(err)
	}
	if err := both.Verify(message, sig); err != nil {
		t.Error(err)
	}
	if err := both.Verify(message, a.Sign(message)); err == nil {
		t.Error("one signature passed for two")
	}
	// keys and signatures that cancel each other
	neg := new(PublicKey)
	neg.point.Neg(&keys[0].point)
	if _, err := AggregateKeys([]*PublicKey{keys[0], neg}); err == nil {
		t.Error("keys that cancel each other were aggregated")
	}
	s := a.Sign(message)
	n := append([]byte{s[0] ^ 0x20}, s[1:]...)
	if _, err := Aggregate([][]byte{s, n}); err == nil {
		t.Error("signatures that cancel each other were aggregated")
	}
}

func FuzzVerify(f *testing.F) {
	k := key(f, "fuzz")
	pub := k.PublicKey()
	good := k.Sign([]byte("m"))
	f.Add(pub.Bytes(), good)
	f.Fuzz(func(t *testing.T, key, sig []byte) {
		if verify(key, []byte("m"), sig) == nil && bytes.Equal(key, pub.Bytes()) && !bytes.Equal(sig, good) {
			t.Errorf("a second signature: %x", sig)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := key(b, "bench")
	for b.Loop() {
		k.Sign([]byte("message"))
	}
}

func BenchmarkVerify(b *testing.B) {
	k := key(b, "bench")
	pub, sig := k.PublicKey(), k.Sign([]byte("message"))
	for b.Loop() {
		if err := pub.Verify([]byte("message"), sig); err != nil {
			b.Fatal(err)
		}
	}
}
