package canister

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// What is remembered is what would be computed, whichever came before, and it is bounded.
func TestHashes(t *testing.T) {
	tip := NewTip(nil, 0)
	rnd := rand.New(rand.NewPCG(1, 2))
	codes := make([][]byte, 3*maxHashes)
	for i := range codes {
		codes[i] = make([]byte, 100) // of the same length: only the content tells them apart
		codes[i][99] = byte(i)
	}
	codes[0] = make([]byte, maxHashedCode/2+1)
	codes[1] = make([]byte, maxHashedCode/2+2)
	codes[2] = make([]byte, maxHashedCode+1)
	codes[3] = nil
	for range 500 {
		code := codes[rnd.IntN(len(codes))]
		if len(code) > 100 && rnd.IntN(10) > 0 {
			continue
		}
		if tip.Hash(append([]byte(nil), code...)) != sha256.Sum256(code) {
			t.Fatalf("the hash of %d bytes is another one's", len(code))
		}
		sum := 0
		for _, k := range tip.hashes.codes {
			sum += len(k.code)
		}
		if len(tip.hashes.codes) > maxHashes || sum > maxHashedCode || sum != tip.hashes.bytes {
			t.Fatalf("%d modules of %d bytes are kept, %d are counted", len(tip.hashes.codes), sum, tip.hashes.bytes)
		}
	}
}
