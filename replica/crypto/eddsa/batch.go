package eddsa

import (
	"crypto/ed25519"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519/extra/cache"
)

// MaxBatch is how many signatures are best checked at once: more of them save little.
const MaxBatch = 256

// keptKeys of users whose tables are kept, 2 KiB each. Who signs once signs again.
const keptKeys = 4096

var keys = cache.NewVerifier(cache.NewLRUCache(keptKeys))

// Batch is a number of signatures, checked in half the time that each would take alone:
// by one equation of all, with factors that this process draws and nobody can know. The
// rules are those of Verify, so that it is no different who checks how many at once.
type Batch struct {
	all *voi.BatchVerifier
	n   int
}

// Add a signature.
func (b *Batch) Add(key ed25519.PublicKey, message, sig []byte) {
	if b.all == nil {
		b.all = voi.NewBatchVerifier()
	}
	keys.AddWithOptions(b.all, voi.PublicKey(key), message, sig, rules)
	b.n++
}

// Len is how many were added.
func (b *Batch) Len() int { return b.n }

// Verify tells of each signature whether it is right, and empties the batch. A wrong one
// makes it look at each alone.
func (b *Batch) Verify() []bool {
	if b.n == 0 {
		return nil
	}
	_, ok := b.all.Verify(nil)
	b.all, b.n = nil, 0
	return ok
}
