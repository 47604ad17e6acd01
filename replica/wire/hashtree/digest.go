package hashtree

import "crypto/sha256"

// This file: digests of nodes that nobody has made. Each is the hash of the kind's
// domain separator and of what the node has.

const (
	leafSeparator    = "\x10ic-hashtree-leaf"
	labeledSeparator = "\x13ic-hashtree-labeled"
	forkSeparator    = "\x10ic-hashtree-fork"
	// shortBytes are hashed where they are; what is longer is not put together first.
	shortBytes = 256
)

var emptyDigest = sha256.Sum256([]byte("\x11ic-hashtree-empty"))

// DigestLeaf of a content.
func DigestLeaf[B ~string | ~[]byte](data B) [32]byte {
	var room [shortBytes]byte
	if len(leafSeparator)+len(data) <= len(room) {
		return sha256.Sum256(append(append(room[:0], leafSeparator...), data...))
	}
	return long(leafSeparator, []byte(data))
}

// DigestLabeled of a label and the digest of what is below it.
func DigestLabeled[B ~string | ~[]byte](label B, sub [32]byte) [32]byte {
	var room [shortBytes]byte
	if len(labeledSeparator)+len(label)+len(sub) <= len(room) {
		return sha256.Sum256(append(append(append(room[:0], labeledSeparator...), label...), sub[:]...))
	}
	return long(labeledSeparator, []byte(label), sub[:])
}

// DigestFork of two digests.
func DigestFork(left, right *[32]byte) [32]byte {
	var room [len(forkSeparator) + 64]byte
	return sha256.Sum256(append(append(append(room[:0], forkSeparator...), left[:]...), right[:]...))
}

func long(separator string, parts ...[]byte) (d [32]byte) {
	h := sha256.New()
	h.Write([]byte(separator))
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(d[:0])
	return d
}

// Digested is one label of a directory that nobody has made.
type Digested struct {
	Label  string
	Digest [32]byte // of what is below
}

// DigestDir is the digest of Dir for entries that are in order. It uses them up.
func DigestDir(entries []Digested) [32]byte {
	for i := range entries {
		entries[i].Digest = DigestLabeled(entries[i].Label, entries[i].Digest)
	}
	return digestBalanced(entries)
}

func digestBalanced(entries []Digested) [32]byte {
	switch len(entries) {
	case 0:
		return emptyDigest
	case 1:
		return entries[0].Digest
	}
	half := (len(entries) + 1) / 2
	left, right := digestBalanced(entries[:half]), digestBalanced(entries[half:])
	return DigestFork(&left, &right)
}
