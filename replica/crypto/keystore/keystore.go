// Package keystore keeps a node's secrets in one file that only its owner reads.
//
//	Create ──> DIR/keys (0600, synced) ──> Load ──> Keys ── Erase ──> gone
//
// The file holds the node's Ed25519 key and its share of the subnet's BLS key; it
// ends with a checksum, so that a damaged file is told from a wrong key. Replacing
// a file overwrites the old one before it is unlinked: on most disks that is the
// best a file system offers, and the guest's data disk is encrypted besides.
package keystore

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
)

// FileName under the state directory.
const FileName = "keys"

// magic names the format and its version.
const magic = "ashlar keys 1\n"

const fileBytes = len(magic) + ed25519.SeedSize + bls.SecretKeyBytes + sha256.Size

// Keys of one node. Random and State are the same share as long as one dealer
// makes both; key generation will make two.
type Keys struct {
	node  ed25519.PrivateKey
	share *bls.SecretKey
}

// Generate draws new keys; share may be nil, then it is the whole key of a
// one-node subnet.
func Generate(share *bls.SecretKey) (*Keys, error) {
	_, node, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw a node key: %w", err)
	}
	if share == nil {
		if share, err = bls.GenerateKey(nil); err != nil {
			return nil, err
		}
	}
	return &Keys{node, share}, nil
}

// FromSeeds makes keys that tests and simulations can make again.
func FromSeeds(node [ed25519.SeedSize]byte, share *bls.SecretKey) *Keys {
	return &Keys{ed25519.NewKeyFromSeed(node[:]), share}
}

// Save writes the file so that after a crash either the old or the new one is there.
func (k *Keys) Save(dir string) error {
	data := append([]byte(magic), k.node.Seed()...)
	secret := k.share.Bytes()
	data = append(data, secret...)
	sum := sha256.Sum256(data)
	data = append(data, sum[:]...)
	defer clear(data)
	defer clear(secret)
	path := filepath.Join(dir, FileName)
	if err := write(path+".new", data); err != nil {
		return fmt.Errorf("save the node's keys: %w", err)
	}
	if err := overwrite(path); err != nil {
		return fmt.Errorf("erase the old keys: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save the node's keys: %w", err)
	}
	return syncDir(dir)
}

func write(path string, data []byte) error {
	os.Remove(path) // left by a crash
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// overwrite a file that is about to be replaced. The new one is durable by now,
// but not yet in its place: Load falls back to it.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, fileBytes))
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Load reads what Save wrote; fs.ErrNotExist where there is none.
func Load(dir string) (*Keys, error) {
	path := filepath.Join(dir, FileName)
	k, err := load(path)
	if err == nil || errors.Is(err, errMode) {
		return k, err
	}
	if replaced, e := load(path + ".new"); e == nil { // Save was cut off between overwriting and renaming
		return replaced, nil
	}
	return nil, err
}

var errMode = errors.New("is readable by others")

func load(path string) (*Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the node's keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the node's keys: %s %w (mode %04o)\n  who can read it can sign for the subnet; if nobody has: chmod 600 %s", path, errMode, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the node's keys: %w", err)
	}
	defer clear(data)
	k, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("the node's keys: %s %w\n  restore the file from a backup; without it this node cannot sign for its subnet", path, err)
	}
	return k, nil
}

func parse(data []byte) (*Keys, error) {
	if len(data) != fileBytes || string(data[:len(magic)]) != magic {
		return nil, errors.New("is not a key file of this format")
	}
	body, sum := data[:fileBytes-sha256.Size], data[fileBytes-sha256.Size:]
	if sha256.Sum256(body) != [32]byte(sum) {
		return nil, errors.New("is damaged: its checksum does not match")
	}
	seed, secret := body[len(magic):len(magic)+ed25519.SeedSize], body[len(magic)+ed25519.SeedSize:]
	share, err := bls.ParseSecretKey(secret)
	if err != nil {
		return nil, err
	}
	return &Keys{ed25519.NewKeyFromSeed(seed), share}, nil
}

// Erase overwrites the secrets in memory.
func (k *Keys) Erase() {
	clear(k.node)
	k.share.Erase()
}

// NodeKey is the public half of the node's key.
func (k *Keys) NodeKey() ed25519.PublicKey { return k.node.Public().(ed25519.PublicKey) }

// NodeDER is the form of a node's public key in certificates (RFC 8410).
func NodeDER(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // an Ed25519 key always has a DER form
	}
	return der
}

// NodeDER is the node's public key in DER.
func (k *Keys) NodeDER() []byte { return NodeDER(k.NodeKey()) }

// NodeID is the principal of the node's key.
func (k *Keys) NodeID() ic.NodeID { return ic.NodeID{Principal: ic.SelfAuthenticating(k.NodeDER())} }

// Share is the public half of the node's share.
func (k *Keys) Share() *bls.PublicKey { return k.share.PublicKey() }

// Vote, RandomShare and StateShare sign for consensus; Sign for query responses.
func (k *Keys) Vote(message []byte) []byte { return ed25519.Sign(k.node, message) }

// RandomShare is a share of beacon or tape.
func (k *Keys) RandomShare(message []byte) []byte { return k.share.Sign(message) }

// StateShare is a share of a certificate.
func (k *Keys) StateShare(message []byte) []byte { return k.share.Sign(message) }
