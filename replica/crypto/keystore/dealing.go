package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/durable"
	"ashlar/replica/ic"
)

// ErrNoShare tells that the node holds no share from a transcript.
var ErrNoShare = errors.New("this node holds no share of that key: load its transcript first")

// Transcript of a key, dkg.Transcript, and Session of a key generation, dkg.Session.
type Transcript interface {
	Hash() [32]byte
	Load(random io.Reader, node ic.NodeID, keys ...*dkg.DecryptionKey) (*bls.SecretKey, error)
}

// Session makes dealings.
type Session interface {
	Deal(random io.Reader, dealer int, share *bls.SecretKey) ([]byte, error)
}

// EncryptionKey is the newest dealing key's public half, for the registry.
func (k *Keys) EncryptionKey(random io.Reader) (*dkg.EncryptionKey, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.dealing[len(k.dealing)-1].Public(random, k.NodeID())
}

// Rotate draws the next generation of the dealing key. Save before publishing its
// EncryptionKey; the older ones still open what was dealt to them, until Retire.
func (k *Keys) Rotate(random io.Reader) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.dealing) == maxDealing {
		return fmt.Errorf("rotate the dealing key: %d generations are kept\n  load the transcripts dealt to the oldest, then retire it", maxDealing)
	}
	d, err := dkg.GenerateKey(random, k.dealing[len(k.dealing)-1].Generation+1)
	if err == nil {
		k.dealing = append(k.dealing, d)
	}
	return err
}

// Generations of the dealing key that are kept: the oldest and the newest.
func (k *Keys) Generations() (oldest, newest uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.dealing[0].Generation, k.dealing[len(k.dealing)-1].Generation
}

// Retire erases the dealing keys older than generation, but never the newest: who
// takes this node over afterwards cannot open what was dealt to them. The caller saves.
func (k *Keys) Retire(generation uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	newest := k.dealing[len(k.dealing)-1]
	k.dealing = slices.DeleteFunc(k.dealing, func(d *dkg.DecryptionKey) bool {
		old := d.Generation < generation && d != newest
		if old {
			d.Erase()
		}
		return old
	})
}

// Load decrypts this node's share from a transcript and keeps it. It is slow where
// a dealer cheated (see dkg.Transcript.Load), and signing goes on meanwhile.
func (k *Keys) Load(random io.Reader, t Transcript) error {
	id := t.Hash()
	k.mu.RLock()
	_, have := k.shares[id]
	full := len(k.shares) >= maxShares
	keys := make([]*dkg.DecryptionKey, len(k.dealing))
	for i, d := range k.dealing {
		keys[i] = d.Clone() // Retire may erase the original at any time
		defer keys[i].Erase()
	}
	k.mu.RUnlock()
	if have {
		return nil
	}
	if full {
		return fmt.Errorf("load a share: %d are kept already\n  retain only those in use", maxShares)
	}
	slices.Reverse(keys) // most often the newest fits
	share, err := t.Load(random, k.NodeID(), keys...)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.shares) >= maxShares {
		share.Erase()
		return fmt.Errorf("load a share: %d are kept already\n  retain only those in use", maxShares)
	}
	k.shares[id] = share
	return nil
}

// Holds tells whether a share from the transcript with this hash is loaded.
func (k *Keys) Holds(transcript [32]byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.shares[transcript] != nil
}

// SignWith makes a share of a signature under the key of one transcript.
func (k *Keys) SignWith(transcript [32]byte, message []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s := k.shares[transcript]
	if s == nil {
		return nil, ErrNoShare
	}
	return s.SignShare(message), nil
}

// Deal makes this node's dealing: of the share of the transcript that is reshared,
// or of a fresh secret where previous is zero.
func (k *Keys) Deal(random io.Reader, s Session, dealer int, previous [32]byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var share *bls.SecretKey
	if previous != [32]byte{} {
		if share = k.shares[previous]; share == nil {
			return nil, ErrNoShare
		}
	}
	return s.Deal(random, dealer, share)
}

// Keep has this node's shares of these transcripts, and no others, in dir when it
// returns: the new ones are durable before anything needs them, since they can be
// decrypted again until the dealing key is retired. It tells of those that cannot be
// had, by their place: of the others the node signs none the less.
func (k *Keys) Keep(dir string, random io.Reader, list []Transcript) (lost map[int]error, err error) {
	lost, before := map[int]error{}, k.held()
	ids := make([][32]byte, len(list))
	for i, t := range list {
		ids[i] = t.Hash()
	}
	k.Retain(ids...)
	for i, t := range list {
		if err := k.Load(random, t); err != nil && !errors.Is(err, dkg.ErrNotReceiver) {
			lost[i] = err
		}
	}
	if maps.Equal(before, k.held()) {
		return lost, nil
	}
	return lost, k.Save(dir)
}

// usedName is a file beside the keys of a node that may have signed.
const usedName = "used"

// MarkUsed notes durably that the node signs from now on: its votes come before its
// first share is kept.
func (k *Keys) MarkUsed(dir string) error {
	path := filepath.Join(dir, usedName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), durable.SyncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("note that the node's keys are used: %w", err)
	}
	return nil
}

// Used tells whether the node may have signed before. Where that can not be read, it may.
func (k *Keys) Used(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, usedName))
	return len(k.held()) > 0 || !errors.Is(err, fs.ErrNotExist)
}

func (k *Keys) held() map[[32]byte]bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := map[[32]byte]bool{}
	for id := range k.shares {
		out[id] = true
	}
	return out
}

// Retain erases all shares but those of these transcripts.
func (k *Keys) Retain(transcripts ...[32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, s := range k.shares {
		if !slices.Contains(transcripts, id) {
			s.Erase()
			delete(k.shares, id)
		}
	}
}
