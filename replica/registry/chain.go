package registry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/crypto/eddsa"
	"ashlar/replica/wire/records"
)

// What is signed begins with these, so that a signature is good for nothing else.
const domain = "\x17ashlar-registry-version"

const maxAuthority = 16 // keys: a handful of people

// change is a version, decoded.
type change struct {
	version   uint64
	mutations *records.Mutations
	hash      [32]byte
	signed    []byte
}

var errHeld = errors.New("this version is held already")

// link is the hash of the chain up to a version: it names all that went before.
func link(previous [32]byte, version uint64, mutations []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(previous[:])
	h.Write(binary.BigEndian.AppendUint64(nil, version))
	h.Write(mutations)
	return [32]byte(h.Sum(nil))
}

func message(hash [32]byte) []byte { return append([]byte(domain), hash[:]...) }

// Sign makes a version. previous is the Head of the registry that it changes, zero
// for the first.
func Sign(m *records.Mutations, version uint64, previous [32]byte, keys ...ed25519.PrivateKey) []byte {
	raw := records.Encode(m)
	hash := link(previous, version, raw)
	s := &records.Signed{Version: version, Mutations: raw}
	if version > 1 {
		s.Previous = previous[:]
	}
	for _, k := range keys {
		s.Signatures = append(s.Signatures, records.Signature{Key: k.Public().(ed25519.PublicKey), Signature: ed25519.Sign(k, message(hash))})
	}
	return records.Encode(s)
}

// Cosign adds a signature to a version.
func Cosign(signed []byte, key ed25519.PrivateKey) ([]byte, error) {
	var s records.Signed
	if err := records.Decode(signed, &s); err != nil {
		return nil, fmt.Errorf("sign a change of the registry: %w", err)
	}
	var previous [32]byte
	copy(previous[:], s.Previous)
	hash := link(previous, s.Version, s.Mutations)
	s.Signatures = append(s.Signatures, records.Signature{Key: key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(key, message(hash))})
	return records.Encode(&s), nil
}

// Head is the hash of the chain up to the latest version, and that version.
func (s *Store) Head() ([32]byte, uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head, uint64(len(s.signed))
}

// parse reads a version that is the next in the chain and signed by those who may.
func (s *Store) parse(signed []byte) (*change, error) {
	c, sig, err := decode(signed)
	if err != nil {
		return nil, err
	}
	latest := uint64(len(s.signed))
	switch {
	case c.version <= latest && c.version > 0:
		if held, _, err := decode(s.signed[c.version-1]); err == nil && held.hash == c.hash {
			return nil, errHeld
		}
		return nil, fmt.Errorf("registry: another version %d is here already: this change is of another network, or its authority signed two", c.version)
	case c.version != latest+1:
		return nil, fmt.Errorf("registry: version %d does not follow version %d\n  take the versions between them first", c.version, latest)
	case latest >= maxVersions:
		return nil, fmt.Errorf("registry: %d versions are held, the limit", latest)
	case !bytes.Equal(sig.Previous, s.previous()):
		return nil, fmt.Errorf("registry: version %d does not follow the version %d that is here: it is of another network", c.version, latest)
	}
	return c, s.authorized(c, sig)
}

// previous is nothing for the first version.
func (s *Store) previous() []byte {
	if len(s.signed) == 0 {
		return nil
	}
	return s.head[:]
}

func decode(signed []byte) (*change, *records.Signed, error) {
	var s records.Signed
	if err := records.Decode(signed, &s); err != nil {
		return nil, nil, fmt.Errorf("registry: a change that cannot be read: %w", err)
	}
	if len(s.Previous) != 0 && len(s.Previous) != sha256.Size || (len(s.Previous) == 0) != (s.Version == 1) {
		return nil, nil, fmt.Errorf("registry: a change to version %d that names %d bytes of what it follows", s.Version, len(s.Previous))
	}
	m := &records.Mutations{}
	if err := records.Decode(s.Mutations, m); err != nil {
		return nil, nil, fmt.Errorf("registry: a change that cannot be read: %w", err)
	}
	var previous [32]byte
	copy(previous[:], s.Previous)
	return &change{version: s.Version, mutations: m, hash: link(previous, s.Version, s.Mutations), signed: bytes.Clone(signed)}, &s, nil
}

// authorized checks the signatures: by the authority of the version before, or for
// the first version by its own.
func (s *Store) authorized(c *change, sig *records.Signed) error {
	by := s.now
	if c.version == 1 {
		var err error
		if by, err = by.apply(c.mutations, func(string) uint64 { return 0 }); err != nil {
			return fmt.Errorf("registry: the genesis is refused: %w", err)
		}
	}
	a, err := by.authority()
	if err != nil {
		return fmt.Errorf("registry: version %d: %w", c.version, err)
	}
	valid := 0
	for i, one := range sig.Signatures {
		if i >= maxAuthority {
			return fmt.Errorf("registry: version %d has more than %d signatures", c.version, maxAuthority)
		}
		known := false
		for k, key := range a.Keys {
			if known = bytes.Equal(key, one.Key); known {
				a.Keys[k] = nil // counts once
				break
			}
		}
		if !known {
			return fmt.Errorf("registry: version %d is signed by %x, which may not change this registry, or twice", c.version, one.Key)
		}
		if !eddsa.Verify(one.Key, message(c.hash), one.Signature) {
			return fmt.Errorf("registry: the signature of version %d by %x is wrong", c.version, one.Key)
		}
		valid++
	}
	if valid < int(a.Threshold) {
		return fmt.Errorf("registry: version %d has %d signatures of the authority, %d are needed", c.version, valid, a.Threshold)
	}
	return nil
}

// authority of a snapshot, checked.
func (s snapshot) authority() (*records.Authority, error) {
	var a records.Authority
	ok, err := s.get(records.KeyAuthority, &a)
	if err != nil {
		return nil, err
	}
	if !ok || len(a.Keys) == 0 || len(a.Keys) > maxAuthority || a.Threshold < 1 || int(a.Threshold) > len(a.Keys) {
		return nil, fmt.Errorf("%s names %d keys of which %d must sign; there must be 1 to %d, and as many at least as must sign", records.KeyAuthority, len(a.Keys), a.Threshold, maxAuthority)
	}
	for i, k := range a.Keys {
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%s names a key of %d bytes, Ed25519 keys have %d", records.KeyAuthority, len(k), ed25519.PublicKeySize)
		}
		for _, other := range a.Keys[:i] {
			if bytes.Equal(k, other) {
				return nil, fmt.Errorf("%s names %x twice", records.KeyAuthority, k)
			}
		}
	}
	return &a, nil
}
