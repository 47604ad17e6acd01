package authenticode_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ashlar/image/authenticode"
	"ashlar/image/pe"
	"ashlar/image/pe/petest"
)

func signer(t testing.TB, name string) (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Date(2046, 1, 1, 0, 0, 0, 0, time.UTC)}
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

func image(t testing.TB) []byte {
	im, err := pe.Parse(petest.Stub())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := im.Append([]pe.Payload{{Name: ".linux", Data: bytes.Repeat([]byte("kernel"), 1000)}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSignAndVerify(t *testing.T) {
	key, cert := signer(t, "db")
	_, other := signer(t, "other")
	_, sameName := signer(t, "db")
	raw := image(t)
	signed, err := authenticode.Sign(raw, key, cert)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := authenticode.Sign(signed, key, cert); !bytes.Equal(signed, again) {
		t.Error("signing the signed image again gave other bytes")
	}
	for _, c := range []struct {
		name string
		raw  []byte
		cert *x509.Certificate
		want error
	}{
		{"signed", signed, cert, nil},
		{"unsigned", raw, cert, authenticode.ErrUnsigned},
		{"other key", signed, other, authenticode.ErrOtherKey},
		{"other key of the same name", signed, sameName, authenticode.ErrOtherKey},
	} {
		if err := authenticode.Verify(c.raw, c.cert); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := authenticode.Sign(raw, key, other); err == nil {
		t.Error("signed with a certificate of another key")
	}
}

func TestEveryFlippedByteIsSeen(t *testing.T) {
	key, cert := signer(t, "db")
	signed, err := authenticode.Sign(image(t), key, cert)
	if err != nil {
		t.Fatal(err)
	}
	content := len(image(t))
	for i := range content {
		if i >= 0x58+64 && i < 0x58+68 { // the checksum, which no one signs
			continue
		}
		signed[i] ^= 1
		if authenticode.Verify(signed, cert) == nil {
			t.Errorf("byte %#x flipped, and the signature is still good", i)
		}
		signed[i] ^= 1
	}
	for cut := range len(signed) - content {
		if authenticode.Verify(signed[:len(signed)-cut-1], cert) == nil {
			t.Errorf("cut by %d bytes, and the signature is still good", cut+1)
		}
	}
}

// sbverify is the second opinion, by sbsigntool.
func TestSbverify(t *testing.T) {
	sbverify, err := exec.LookPath("sbverify")
	if err != nil {
		t.Skip("sbverify is not installed: apt-get install sbsigntool")
	}
	key, cert := signer(t, "db")
	_, other := signer(t, "other")
	signed, err := authenticode.Sign(image(t), key, cert)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(signed)
	changed[0x900] ^= 1
	dir := t.TempDir()
	check := func(raw []byte, cert *x509.Certificate) error {
		crt, efi := filepath.Join(dir, "crt"), filepath.Join(dir, "efi")
		if err := errors.Join(os.WriteFile(efi, raw, 0o600),
			os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(sbverify, "--cert", crt, efi).CombinedOutput()
		t.Logf("%s", out)
		return err
	}
	if err := check(signed, cert); err != nil {
		t.Errorf("sbverify refused our signature: %v", err)
	}
	if check(changed, cert) == nil || check(signed, other) == nil || check(image(t), cert) == nil {
		t.Error("sbverify accepted a changed, wrongly signed or unsigned image: it does not see what it should")
	}
}

func FuzzVerify(f *testing.F) {
	key, cert := signer(f, "db")
	raw := image(f)
	signed, err := authenticode.Sign(raw, key, cert)
	if err != nil {
		f.Fatal(err)
	}
	im, err := pe.Parse(signed)
	if err != nil {
		f.Fatal(err)
	}
	blobs, err := im.Signatures()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blobs[0])
	changed := bytes.Clone(raw)
	changed[len(changed)-1] ^= 1
	im, err = pe.Parse(changed)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		if authenticode.Verify(im.WithSignature(blob), cert) == nil {
			t.Error("a forged signature was accepted")
		}
	})
}
