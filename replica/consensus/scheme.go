package consensus

import (
	"crypto/ed25519"
	"errors"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/eddsa"
)

// Scheme is how signatures are checked and joined. Networks have Real; replica/sim
// plays millions of rounds with one that costs less and keeps its structure: who
// lacks a key can not sign, and a group signs with enough of its holders only.
type Scheme interface {
	// Vote checks a member's signature.
	Vote(key ed25519.PublicKey, message, sig []byte) error
	// Verify checks a group's signature.
	Verify(key *bls.PublicKey, message, sig []byte) error
	// Combine joins shares of a group, and names those that do not match.
	Combine(g *bls.Group, message []byte, shares []bls.Share) (sig []byte, bad []int, err error)
}

// Real is Ed25519 and BLS.
type Real struct{}

var errVote = errors.New("the signature does not match")

// Vote checks an Ed25519 signature.
func (Real) Vote(key ed25519.PublicKey, message, sig []byte) error {
	if !eddsa.Verify(key, message, sig) {
		return errVote
	}
	return nil
}

// Verify checks a BLS signature.
func (Real) Verify(key *bls.PublicKey, message, sig []byte) error { return key.Verify(message, sig) }

// Combine joins shares of a BLS signature.
func (Real) Combine(g *bls.Group, message []byte, shares []bls.Share) ([]byte, []int, error) {
	return g.Combine(message, shares)
}
