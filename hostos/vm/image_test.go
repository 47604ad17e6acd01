package vm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"

	"ashlar/image/authenticode"
	"ashlar/image/pe/petest"
	"ashlar/image/uki"
)

func signer(t *testing.T) (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "db"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestOnlyASignedGuestIsTaken(t *testing.T) {
	key, cert := signer(t)
	other, otherCert := signer(t)
	const line = "ashlar.role=guest ashlar.version=1.2.3 ashlar.root=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff ashlar.blocks=7 quiet"
	build := func(line string) []byte {
		raw, err := uki.Build(petest.Stub(), uki.Parts{OSRelease: "ID=ashlar\n", CommandLine: line, Initrd: []byte("initrd"), Kernel: []byte("kernel")})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	sign := func(raw []byte, key *rsa.PrivateKey, cert *x509.Certificate) []byte {
		signed, err := authenticode.Sign(raw, key, cert)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	good := sign(build(line), key, cert)
	img, err := check(good, cert)
	if err != nil || img.Version != "1.2.3" || img.Digest != sha256.Sum256(good) || img.parts.CommandLine != line {
		t.Fatalf("%+v %v", img, err)
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/3] ^= 1
	for _, tc := range []struct {
		name string
		raw  []byte
		is   error
		says string
	}{
		{"unsigned", build(line), authenticode.ErrUnsigned, ""},
		{"signed by another key", sign(build(line), other, otherCert), authenticode.ErrOtherKey, ""},
		{"one bit changed", flipped, nil, "guest image"},
		{"a host's UKI", sign(build(strings.Replace(line, "role=guest", "role=host", 1)), key, cert), nil, "signed, but as a host"},
		{"a word that is not ours", sign(build(line+" ashlar.debug=1"), key, cert), nil, "unknown word"},
	} {
		img, err := check(tc.raw, cert)
		if err == nil || img != nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
