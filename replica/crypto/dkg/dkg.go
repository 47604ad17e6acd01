// Package dkg makes a threshold key that nobody ever had in one piece, without a
// dialogue: NiDKG after Groth, "Non-interactive distributed key generation and key
// resharing" (ePrint 2021/339), sections 6.4 (sharing) and 6.5 (chunking).
//
//	Config ── NewSession ──> Session
//	   Deal ──> bytes in a block ──> Verify (anybody) ──> Dealing
//	   Combine(f+1 dealings, or t for a resharing) ──> Transcript
//	Transcript ── Group ──> bls.Group          what the world knows
//	Transcript ── Load(DecryptionKey) ──> bls.SecretKey   what one receiver knows
//	Transcript as Config.Previous ──> the same key for other holders
//
// A dealing commits to a polynomial in G2 and carries, for each receiver, the
// polynomial's value in 16 chunks of 16 bits, encrypted under the receiver's key
// by ElGamal in G1, with proofs that anybody can check: receivers may be offline,
// or not yet be members of anything. Packages above decide who deals, which
// dealings enter a block, and when a key becomes active.
//
// All functions are pure: randomness comes in as an argument, and the verdict on a
// dealing depends on its bytes and the session alone, so that all replicas agree.
// docs/crypto-dkg.md has the security argument and what was left out.
package dkg

import "ashlar/replica/crypto/bls"

// The constants of the proofs: those that section 6.5 of the paper analyses.
const (
	chunks      = 16  // of a share
	chunkBits   = 16  // a receiver looks up 2^16 values
	repetitions = 32  // parallel proofs of chunking
	challenge   = 255 // largest challenge of one of them: 8 bits
)

// Limits of a session.
const (
	MaxNodes    = bls.MaxGroup // dealers, or receivers: far above the largest subnet, and bounds every decoder
	maxIDBytes  = 29           // a principal
	maxAttempts = 1000         // of the chunking proof; each succeeds with 61 %
)

// Tag tells the two keys of a subnet apart.
type Tag uint8

// Low signs beacon and tape: f+1 shares, live as long as one honest node is.
// High signs certificates and catch-up packages: n-f shares, more than the faulty
// and a split minority have.
const (
	Low  Tag = 1
	High Tag = 2
)

func (t Tag) String() string {
	switch t {
	case Low:
		return "low"
	case High:
		return "high"
	}
	return "unknown"
}

// Faults is f: how many of n nodes may be faulty.
func Faults(n int) int { return (n - 1) / 3 }

// Threshold of the key with this tag among n nodes.
func (t Tag) Threshold(n int) int {
	if t == High {
		return n - Faults(n)
	}
	return Faults(n) + 1
}

// slack is the paper's S and Z: with honest chunks a response before masking is at
// most S; an accepted response is below Z. 2^42 at MaxNodes: far from overflow.
func slack(receivers int) (s, z uint64) {
	s = uint64(receivers) * chunks * (1<<chunkBits - 1) * challenge
	return s, 2 * repetitions * s
}
