package bls

import (
	"fmt"
	"sync"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// keptHashes of messages to points. A node signs a message and then checks what it
// and others made of it; hashing to the curve is a quarter of either.
const keptHashes = 16

var hashes struct {
	sync.Mutex
	ring [keptHashes]hashed
	next int
}

type hashed struct {
	tag, message string
	point        curve.G1Affine
}

// hashToCurve is of public things only, so that keeping it tells nothing.
func hashToCurve(tag string, message []byte) curve.G1Affine {
	hashes.Lock()
	for i := range hashes.ring {
		if h := &hashes.ring[i]; h.tag == tag && h.message == string(message) {
			defer hashes.Unlock()
			return h.point
		}
	}
	hashes.Unlock()
	p, err := curve.HashToG1(message, []byte(tag))
	if err != nil {
		panic(fmt.Sprintf("hash to G1 with tag %q: %v", tag, err))
	}
	if len(message) > maxKept {
		return p
	}
	hashes.Lock()
	defer hashes.Unlock()
	hashes.ring[hashes.next] = hashed{tag, string(message), p}
	hashes.next = (hashes.next + 1) % keptHashes
	return p
}

// maxKept is the longest message that is kept, in bytes: those of consensus are short.
const maxKept = 256
