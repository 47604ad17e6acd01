package eddsa

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"
)

func pair(seed byte) (ed25519.PublicKey, ed25519.PrivateKey) {
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return k.Public().(ed25519.PublicKey), k
}

func TestVerify(t *testing.T) {
	key, secret := pair(1)
	other, _ := pair(2)
	message := []byte("a message")
	sig := ed25519.Sign(secret, message)
	if !Verify(key, message, sig) {
		t.Fatal("a right signature is refused")
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if Verify(key, message, bad) {
			t.Errorf("byte %d may change", i)
		}
	}
	if Verify(other, message, sig) || Verify(key, []byte("another"), sig) || Verify(key[:31], message, sig) || Verify(nil, message, sig) || Verify(key, message, sig[:63]) || Verify(key, message, nil) {
		t.Error("a wrong signature is accepted")
	}
}

// RFC 8032, 7.1, tests 1 to 3.
func TestVectors(t *testing.T) {
	for _, v := range [][3]string{
		{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "", "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72", "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82", "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	} {
		key, message, sig := unhex(t, v[0]), unhex(t, v[1]), unhex(t, v[2])
		if !Verify(key, message, sig) {
			t.Errorf("%s is refused", v[0])
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Where libraries differ: points of small order, in both of their encodings, sign
// anything with s = 0, and s may not be replaced by s plus the group's order.
func TestOddOnes(t *testing.T) {
	small := []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"0100000000000000000000000000000000000000000000000000000000000080", // not canonical
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // not canonical
	}
	for _, a := range small {
		for _, r := range small {
			if !Verify(unhex(t, a), []byte("Zcash"), append(unhex(t, r), make([]byte, 32)...)) {
				t.Errorf("key %s, R %s: refused, ZIP 215 accepts it", a, r)
			}
		}
	}
	key, secret := pair(3)
	sig := ed25519.Sign(secret, []byte("m"))
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i := range order {
		sum := int(sig[32+i]) + int(order[i]) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	if Verify(key, []byte("m"), sig) {
		t.Error("s may be written in two ways")
	}
}

func BenchmarkVerify(b *testing.B) {
	key, secret := pair(1)
	message := make([]byte, 43)
	sig := ed25519.Sign(secret, message)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			Verify(key, message, sig)
		}
	})
	b.Run("standard library", func(b *testing.B) {
		for b.Loop() {
			ed25519.Verify(key, message, sig)
		}
	})
}
