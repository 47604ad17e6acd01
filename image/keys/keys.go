// Package keys holds the signing keys of a release: who may boot, and what may be installed.
//
//	PK  (platform key)  signs changes of KEK     \
//	KEK (key exchange)  signs changes of db       > RSA-2048, self-signed certificates: UEFI Secure Boot
//	db  (allowed)       signs the UKIs           /
//	release             signs the bundle's manifest: ECDSA P-256
//
// Keys for development are made on first use, in a directory outside of git, and are marked: in their certificates, whose
// names say so, and in the PEM header of the release key. ForRelease refuses marked keys, wherever they were copied to.
package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	rsaBits      = 2048     // what every UEFI firmware verifies; 3072 is optional in EDK2
	maxFileBytes = 64 << 10 // a PEM file of one key is 2 KB
	devUnit      = "ASHLAR DEVELOPMENT KEY - NOT FOR RELEASE"
	devHeader    = "Ashlar-Key-Use"
	devUse       = "development"
	releaseKey   = "release.key"
	releasePub   = "release.pub"
)

// The validity of a development certificate. Firmware does not look at it; sbverify and people do.
var (
	notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2046, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ErrDevelopment says that a release build was given keys that anyone's laptop can make.
var ErrDevelopment = errors.New("these are development keys")

// A Signer is a Secure Boot key with its certificate.
type Signer struct {
	Key  *rsa.PrivateKey
	Cert *x509.Certificate
}

// A Set is every key of a release.
type Set struct {
	PK, KEK, DB Signer
	Release     *ecdsa.PrivateKey
	dev         bool
}

var signers = []string{"PK", "KEK", "db"}

func (s *Set) signer(name string) *Signer {
	return map[string]*Signer{"PK": &s.PK, "KEK": &s.KEK, "db": &s.DB}[name]
}

// Development reports whether any key of the set is marked as a development key.
func (s *Set) Development() bool { return s.dev }

// ForRelease refuses a set in which any key is marked as a development key.
func (s *Set) ForRelease() error {
	if s.dev {
		return fmt.Errorf("build release: %w\n  give the release keys instead:  --keys DIR, with PK, KEK, db (.key and .crt) and %s", ErrDevelopment, releaseKey)
	}
	return nil
}

// Dev loads the development keys of dir, or makes them if dir has none.
func Dev(dir string) (*Set, error) {
	_, err := os.Stat(filepath.Join(dir, releaseKey)) // written last
	if errors.Is(err, fs.ErrNotExist) {
		err = generate(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("make development keys in %s: %w", dir, err)
	}
	set, err := Load(dir)
	if err == nil && !set.dev {
		err = fmt.Errorf("the keys in %s are not development keys: name them as release keys, or choose another directory", dir)
	}
	return set, err
}

// Load reads a set from PK.key, PK.crt, KEK.key, KEK.crt, db.key, db.crt and release.key.
func Load(dir string) (*Set, error) {
	set := &Set{}
	for _, name := range signers {
		s, dev, err := loadSigner(dir, name)
		if err != nil {
			return nil, fmt.Errorf("load keys of %s: %w", dir, err)
		}
		*set.signer(name) = s
		set.dev = set.dev || dev
	}
	block, err := readPEM(filepath.Join(dir, releaseKey))
	if err != nil {
		return nil, fmt.Errorf("load keys of %s: %w", dir, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("load keys of %s: %s: %w", dir, releaseKey, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("load keys of %s: %s is not an ECDSA P-256 key", dir, releaseKey)
	}
	set.Release = ec
	set.dev = set.dev || block.Headers[devHeader] == devUse
	return set, nil
}

func loadSigner(dir, name string) (Signer, bool, error) {
	keyPEM, err := readPEM(filepath.Join(dir, name+".key"))
	if err != nil {
		return Signer{}, false, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyPEM.Bytes)
	if err != nil {
		return Signer{}, false, fmt.Errorf("%s.key: %w", name, err)
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok || rsaKey.N.BitLen() != rsaBits {
		return Signer{}, false, fmt.Errorf("%s.key is not an RSA key of %d bits", name, rsaBits)
	}
	certPEM, err := readPEM(filepath.Join(dir, name+".crt"))
	if err != nil {
		return Signer{}, false, err
	}
	cert, err := x509.ParseCertificate(certPEM.Bytes)
	if err != nil {
		return Signer{}, false, fmt.Errorf("%s.crt: %w", name, err)
	}
	if !rsaKey.PublicKey.Equal(cert.PublicKey) {
		return Signer{}, false, fmt.Errorf("%s.crt is not the certificate of %s.key", name, name)
	}
	dev := keyPEM.Headers[devHeader] == devUse
	for _, unit := range cert.Subject.OrganizationalUnit {
		dev = dev || unit == devUnit
	}
	return Signer{Key: rsaKey, Cert: cert}, dev, nil
}

// generate writes the release key last, so that a set cut short by a power cut is made again.
func generate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, name := range signers {
		if err := generateSigner(dir, name, int64(i+1)); err != nil {
			return err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	pub, err := EncodePublic(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, releasePub), pub, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, releaseKey), key)
}

func generateSigner(dir, name string, serial int64) error {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: "Ashlar development " + name, OrganizationalUnit: []string{devUnit}},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), crt, 0o644); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, name+".key"), key)
}

func writeKey(path string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{devHeader: devUse}, Bytes: der}
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readPEM(path string) (*pem.Block, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes: no key is larger than %d", path, info.Size(), maxFileBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block, nil
}

// EncodePublic writes a release public key as the PEM of /etc/ashlar/release.pub.
func EncodePublic(pub *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode release key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic reads what EncodePublic wrote.
func ParsePublic(raw []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("read release key: no PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read release key: %w", err)
	}
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, errors.New("read release key: it is not an ECDSA P-256 key")
	}
	return pub, nil
}

// KeyID names a release key, as the head of a bundle does: SHA-256 of its PKIX encoding.
func KeyID(pub *ecdsa.PublicKey) ([sha256.Size]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("name release key: %w", err)
	}
	return sha256.Sum256(der), nil
}
