package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestDevelopmentKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	set, err := Dev(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Dev(dir)
	if err != nil || !again.Release.Equal(set.Release) || !again.DB.Key.Equal(set.DB.Key) {
		t.Errorf("the second use made other keys, or %v", err)
	}
	for _, name := range []string{"PK.key", "KEK.key", "db.key", "release.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "release.pub"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParsePublic(raw)
	if err != nil || !pub.Equal(&set.Release.PublicKey) {
		t.Errorf("release.pub: %v", err)
	}
}

func TestReleaseRefusesDevelopmentKeys(t *testing.T) {
	dir := t.TempDir()
	set, err := Dev(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.ForRelease(); !errors.Is(err, ErrDevelopment) {
		t.Errorf("development keys for a release: %v", err)
	}
	// A real release key beside development Secure Boot keys, and marks stripped from the PEM headers: the certificates still say it.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writePlain(t, filepath.Join(dir, "release.key"), key)
	for _, s := range []struct {
		name string
		key  any
	}{{"PK", set.PK.Key}, {"KEK", set.KEK.Key}, {"db", set.DB.Key}} {
		writePlain(t, filepath.Join(dir, s.name+".key"), s.key)
	}
	set, err = Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.ForRelease(); !errors.Is(err, ErrDevelopment) {
		t.Errorf("development certificates for a release: %v", err)
	}
	// Certificates without the mark are for a release.
	for _, s := range []*Signer{&set.PK, &set.KEK, &set.DB} {
		s.Cert.Subject.OrganizationalUnit = nil
	}
	for name, s := range map[string]Signer{"PK": set.PK, "KEK": set.KEK, "db": set.DB} {
		template := &x509.Certificate{SerialNumber: s.Cert.SerialNumber, Subject: s.Cert.Subject}
		template.Subject.Names = nil
		der, err := x509.CreateCertificate(rand.Reader, template, template, &s.Key.PublicKey, s.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err = Load(dir)
	if err != nil || set.ForRelease() != nil {
		t.Errorf("release keys refused: %v", err)
	}
	if _, err := Dev(dir); err == nil {
		t.Error("release keys were taken for development")
	}
}

func writePlain(t *testing.T, path string, key any) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"no release key": func(dir string) error { return os.Remove(filepath.Join(dir, "release.key")) },
		"no PEM":         func(dir string) error { return os.WriteFile(filepath.Join(dir, "db.key"), []byte("x"), 0o600) },
		"mixed pair":     func(dir string) error { return os.Rename(filepath.Join(dir, "PK.crt"), filepath.Join(dir, "db.crt")) },
		"RSA release": func(dir string) error {
			return os.Rename(filepath.Join(dir, "db.key"), filepath.Join(dir, "release.key"))
		},
		"huge": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "db.key"), make([]byte, maxFileBytes+1), 0o600)
		},
	} {
		dir := t.TempDir()
		if _, err := Dev(dir); err != nil {
			t.Fatal(err)
		}
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
