package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"ashlar/replica/wire/cert"
)

// rememberedSignatures is how many good signatures are kept: a page's files come
// with the certificates of some rounds. 32 bytes each, twice.
const rememberedSignatures = 1024

// remember is a BLS check that does the 1 ms of pairings once for each signature:
// all files that are loaded in one round have the same.
func remember(verify cert.VerifyBLS) cert.VerifyBLS {
	m := &memory{known: map[[32]byte]bool{}}
	return func(key, message, sig []byte) error {
		id := digestOf(key, message, sig)
		if m.has(id) {
			return nil
		}
		if err := verify(key, message, sig); err != nil {
			return err
		}
		m.add(id)
		return nil
	}
}

func digestOf(parts ...[]byte) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// memory forgets the oldest.
type memory struct {
	mu    sync.Mutex
	known map[[32]byte]bool
	ring  [rememberedSignatures][32]byte
	at    int
}

func (m *memory) has(id [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[id]
}

func (m *memory) add(id [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[id] {
		return
	}
	delete(m.known, m.ring[m.at])
	m.ring[m.at] = id
	m.known[id] = true
	m.at = (m.at + 1) % len(m.ring)
}
