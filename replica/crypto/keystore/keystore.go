// Package keystore keeps a node's secrets in one file that only its owner reads.
//
//	Create ──> DIR/keys (0600, synced) ──> Load ──> Keys ── Erase ──> gone
//
//	node       Ed25519: its name, votes, query answers, its identity to peers
//	committee  BLS: signatures that many nodes aggregate       ─┐ their public halves, with
//	dealing    ElGamal: what dealers encrypt shares to; rotated ─┘ proofs, go to the registry
//	shares     of the subnet's keys, by the transcript they come from
//
// The file ends with a checksum, so that a damaged file is told from a wrong key.
// Replacing a file overwrites the old one before it is unlinked: on most disks that
// is the best a file system offers, and the guest's data disk is encrypted besides.
// What Retire and Retain erase is gone from memory at once, from disk at the next Save.
package keystore

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/durable"
	"ashlar/replica/ic"
)

// FileName under the state directory.
const FileName = "keys"

// Keys of one node.
type Keys struct {
	node      ed25519.PrivateKey
	id        ic.NodeID // of node: asked for with each answer to a query
	committee *bls.SecretKey

	saving  sync.Mutex           // one Save at a time: they share a file name
	mu      sync.RWMutex         // of what follows: intervals change it while others sign
	dealing []*dkg.DecryptionKey // oldest first
	shares  map[[32]byte]*bls.SecretKey
}

// Generate draws new keys.
func Generate() (*Keys, error) {
	_, node, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw a node key: %w", err)
	}
	return complete(rand.Reader, node)
}

// FromSeed makes keys that tests and simulations can make again.
func FromSeed(node [ed25519.SeedSize]byte) *Keys {
	k, err := complete(derived(node[:]), ed25519.NewKeyFromSeed(node[:]))
	if err != nil {
		panic(err) // the derived stream never ends
	}
	return k
}

// complete draws what belongs to a node besides its name.
func complete(random io.Reader, node ed25519.PrivateKey) (*Keys, error) {
	committee, err := bls.GenerateKey(random)
	if err != nil {
		return nil, err
	}
	dealing, err := dkg.GenerateKey(random, 1)
	if err != nil {
		return nil, err
	}
	return assemble(node, committee, []*dkg.DecryptionKey{dealing}, nil), nil
}

func assemble(node ed25519.PrivateKey, committee *bls.SecretKey, dealing []*dkg.DecryptionKey, shares map[[32]byte]*bls.SecretKey) *Keys {
	if shares == nil {
		shares = map[[32]byte]*bls.SecretKey{}
	}
	id := ic.NodeID{Principal: ic.SelfAuthenticating(NodeDER(node.Public().(ed25519.PublicKey)))}
	return &Keys{node: node, id: id, committee: committee, dealing: dealing, shares: shares}
}

// Save writes the file so that after a crash either the old or the new one is there.
func (k *Keys) Save(dir string) error {
	k.saving.Lock()
	defer k.saving.Unlock()
	data := k.encode()
	defer clear(data)
	for _, step := range steps(filepath.Join(dir, FileName), data) {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// step of a save. A crash before, in or after any of them leaves the old keys or the new.
type step struct {
	name string
	do   func() error
}

func steps(path string, data []byte) []step {
	return []step{
		// Durable under its own name before the old one is touched: Load falls back to it.
		{"save the node's keys", func() error { return durable.Write(path+durable.New, data, 0o600) }},
		{"erase the old keys", func() error { return overwrite(path) }},
		{"save the node's keys", func() error { return durable.Rename(path) }},
	}
}

// overwrite a file that is about to be replaced.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, info.Size()))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// Load reads what Save wrote; fs.ErrNotExist where there is none. A file of an older
// format is completed with the keys it lacks, and saved.
func Load(dir string) (*Keys, error) {
	k, old, err := loadEither(dir)
	if err == nil && old {
		err = k.Save(dir)
	}
	return k, err
}

func loadEither(dir string) (k *Keys, old bool, err error) {
	path := filepath.Join(dir, FileName)
	k, old, err = load(path)
	if err == nil || errors.Is(err, errMode) {
		return k, old, err
	}
	if replaced, old, e := load(path + durable.New); e == nil { // Save was cut off between overwriting and renaming
		return replaced, old, durable.Rename(path) // before the next Save takes that name
	}
	return nil, false, err
}

var errMode = errors.New("is readable by others")

func load(path string) (k *Keys, old bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, fmt.Errorf("read the node's keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, false, fmt.Errorf("the node's keys: %s %w (mode %04o)\n  who can read it can sign for the subnet; if nobody has: chmod 600 %s", path, errMode, info.Mode().Perm(), path)
	}
	if info.Size() > maxFileBytes {
		return nil, false, fmt.Errorf("the node's keys: %s has %d bytes, a key file has at most %d", path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("read the node's keys: %w", err)
	}
	defer clear(data)
	k, old, err = parse(data)
	if err != nil {
		return nil, false, fmt.Errorf("the node's keys: %s %w\n  restore the file from a backup; without it this node cannot sign for its subnet", path, err)
	}
	return k, old, nil
}

// Erase overwrites the secrets in memory.
func (k *Keys) Erase() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.node)
	k.committee.Erase()
	for _, d := range k.dealing {
		d.Erase()
	}
	for _, s := range k.shares {
		s.Erase()
	}
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
func (k *Keys) NodeID() ic.NodeID { return k.id }

// Vote signs for consensus, and query responses.
func (k *Keys) Vote(message []byte) []byte { return ed25519.Sign(k.node, message) }

// Committee is the public half of the key whose signatures are aggregated.
func (k *Keys) Committee() *bls.PublicKey { return k.committee.PublicKey() }

// CommitteePossession proves that the committee key was not made from others'.
func (k *Keys) CommitteePossession() []byte { return k.committee.Possession() }

// CommitteeShare is this node's part of an aggregated signature.
func (k *Keys) CommitteeShare(message []byte) []byte { return k.committee.Sign(message) }
