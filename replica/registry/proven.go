package registry

import (
	"crypto/sha256"
	"sync"

	"ashlar/replica/crypto/dkg"
)

// proven are the new networks' keys that this process has made itself or verified:
// one that makes a network writes it for each of its nodes, and verifies it for none.
var proven = &transcripts{known: map[[32]byte]bool{}}

const maxProven = 64 // keys: beyond that all are forgotten, and verified again

// transcripts remembers what dkg.Session.Recheck said yes to; it depends on nothing
// but the transcript and its receivers' keys.
type transcripts struct {
	mu    sync.Mutex
	known map[[32]byte]bool
}

func (p *transcripts) has(t *dkg.Transcript, keys []*dkg.EncryptionKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[name(t, keys)]
}

func (p *transcripts) add(t *dkg.Transcript, keys []*dkg.EncryptionKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxProven {
		clear(p.known)
	}
	p.known[name(t, keys)] = true
}

// name of a transcript with the keys that it was dealt to. The parts have one length each.
func name(t *dkg.Transcript, keys []*dkg.EncryptionKey) [32]byte {
	h := sha256.New()
	whole := t.Hash()
	h.Write(whole[:])
	for _, k := range keys {
		one := sha256.Sum256(append([]byte(k.Node.Principal), k.Bytes()...))
		h.Write(one[:])
	}
	return [32]byte(h.Sum(nil))
}
