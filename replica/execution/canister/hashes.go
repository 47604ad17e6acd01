package canister

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// hashes are those of modules that were installed lately: to compare a module with
// one of the same length takes a tenth of the time that its SHA-256 takes, and
// whoever installs one on many canisters sends the same again and again.
type hashes struct {
	codes []hashed // the one used last first
	bytes int      // of all of them
}

type hashed struct {
	code []byte // nobody writes to it
	hash [32]byte
}

// Limits of what is remembered.
const (
	maxHashes     = 8
	maxHashedCode = 64 << 20 // bytes of modules, together
)

// Hash is the SHA-256 of a module. It keeps the module, which must not change any more.
func (t *Tip) Hash(code []byte) [32]byte {
	h := &t.hashes
	for i, k := range h.codes {
		if bytes.Equal(k.code, code) {
			copy(h.codes[1:], h.codes[:i])
			h.codes[0] = k
			return k.hash
		}
	}
	k := hashed{code, sha256.Sum256(code)}
	if len(code) > maxHashedCode {
		return k.hash
	}
	h.codes = slices.Insert(h.codes, 0, k)
	h.bytes += len(code)
	for len(h.codes) > maxHashes || h.bytes > maxHashedCode {
		last := len(h.codes) - 1
		h.bytes -= len(h.codes[last].code)
		h.codes = slices.Delete(h.codes, last, last+1)
	}
	return k.hash
}
