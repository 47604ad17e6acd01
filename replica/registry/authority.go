package registry

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ashlar/replica/durable"
)

// AuthorityFile is where the network's authority keeps its key: an Ed25519 key as
// PKCS#8 in PEM, as other programs make them too.
const AuthorityFile = "authority.pem"

// DefaultInterval is the IC's: 499 rounds after each summary.
const DefaultInterval = 499

// MakeAuthority draws a key that may change a network, and keeps it in DIR. One that
// is there already is taken.
func MakeAuthority(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, AuthorityFile)
	if key, err := ReadAuthority(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw the network's authority: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = durable.Replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the network's authority: %w", err)
	}
	return key, nil
}

// ReadAuthority reads the key from a file.
func ReadAuthority(path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the network's authority: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("the network's authority: %s is not a key in PEM", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the network's authority: %s is not an Ed25519 key", path)
	}
	return key, nil
}
