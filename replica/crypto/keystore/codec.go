package keystore

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
)

// The formats. The first had no committee key, no dealing keys and one share; the second
// still that share, which nothing is signed with.
const (
	magic1 = "ashlar keys 1\n"
	magic2 = "ashlar keys 2\n"
	magic3 = "ashlar keys 3\n"
)

// Limits of a file.
const (
	maxDealing = 8  // generations: a rotation is retired when the transcripts dealt to it are loaded, two intervals later
	maxShares  = 64 // low and high of each interval that a catch-up package may lag behind, if they are short

	sharesBytes  = 32 + bls.SecretKeyBytes
	fixedBytes   = len(magic3) + ed25519.SeedSize + bls.SecretKeyBytes + 2 + sha256.Size
	maxFileBytes = int64(fixedBytes + bls.SecretKeyBytes + maxDealing*dkg.DecryptionKeyBytes + maxShares*sharesBytes)
)

// encode is: magic, node seed, committee, count and dealing keys, count and shares by
// transcript in order, checksum.
func (k *Keys) encode() []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	data := make([]byte, 0, maxFileBytes) // never moved: no copy is left behind
	secret := func(b []byte) {
		data = append(data, b...)
		clear(b)
	}
	data = append(data, magic3...)
	secret(k.node.Seed())
	secret(k.committee.Bytes())
	data = append(data, byte(len(k.dealing)))
	for _, d := range k.dealing {
		secret(d.Bytes())
	}
	data = append(data, byte(len(k.shares)))
	for _, id := range slices.SortedFunc(maps.Keys(k.shares), compare) {
		data = append(data, id[:]...)
		secret(k.shares[id].Bytes())
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func compare(a, b [32]byte) int { return slices.Compare(a[:], b[:]) }

var (
	errFormat  = errors.New("is not a key file of a format that this program knows")
	errDamaged = errors.New("is damaged: its checksum does not match")
)

// parse reads any format; old tells that it was not the last.
func parse(data []byte) (k *Keys, old bool, err error) {
	if len(data) < len(magic3)+sha256.Size {
		return nil, false, errFormat
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	magic := string(body[:len(magic3)])
	if magic != magic1 && magic != magic2 && magic != magic3 {
		return nil, false, errFormat
	}
	if sha256.Sum256(body) != [32]byte(sum) {
		return nil, false, errDamaged
	}
	body = body[len(magic3):]
	if magic == magic1 {
		k, err = parseFirst(body)
		return k, true, err
	}
	k, err = parseWhole(body, magic == magic2)
	return k, magic == magic2, err
}

func parseFirst(body []byte) (*Keys, error) {
	if len(body) != ed25519.SeedSize+bls.SecretKeyBytes {
		return nil, errFormat
	}
	return complete(rand.Reader, ed25519.NewKeyFromSeed(body[:ed25519.SeedSize]))
}

// parseWhole reads the last format, or the second, whose share is passed over.
func parseWhole(body []byte, second bool) (*Keys, error) {
	take := func(n int) []byte {
		if n > len(body) {
			body = nil
			return nil
		}
		b := body[:n]
		body = body[n:]
		return b
	}
	count := func(limit int) (int, error) {
		b := take(1)
		if len(b) == 0 || int(b[0]) > limit {
			return 0, errFormat
		}
		return int(b[0]), nil
	}
	seed := take(ed25519.SeedSize)
	if seed == nil {
		return nil, errFormat
	}
	committee, err := bls.ParseSecretKey(take(bls.SecretKeyBytes))
	if err != nil {
		return nil, fmt.Errorf("has a bad committee key: %w", err)
	}
	if second {
		take(bls.SecretKeyBytes)
	}
	var dealing []*dkg.DecryptionKey
	n, err := count(maxDealing)
	for range n {
		d, err := dkg.ParseDecryptionKey(take(dkg.DecryptionKeyBytes))
		if err != nil {
			return nil, fmt.Errorf("has a bad dealing key: %w", err)
		}
		dealing = append(dealing, d)
	}
	if err != nil || n == 0 {
		return nil, errFormat
	}
	shares := map[[32]byte]*bls.SecretKey{}
	n, err = count(maxShares)
	for range n {
		var id [32]byte
		copy(id[:], take(32))
		if shares[id], err = bls.ParseSecretKey(take(bls.SecretKeyBytes)); err != nil {
			return nil, fmt.Errorf("has a bad share: %w", err)
		}
	}
	if err != nil || len(body) > 0 {
		return nil, errFormat
	}
	return assemble(ed25519.NewKeyFromSeed(seed), committee, dealing, shares), nil
}

// derived is the randomness of keys that are made again from a seed.
func derived(seed []byte) io.Reader {
	h := sha3.NewCSHAKE256(nil, []byte("ashlar keys from seed"))
	h.Write(seed)
	return h
}
