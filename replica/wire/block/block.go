// Package block is what the nodes of a subnet tell each other, and write to disk,
// to agree on the next batch: blocks and the votes and shares about them.
//
//	Block ──Hash──> Artifact{Proposal} {NotarizationShare} ... {Tape}
//	                   Encode ──> bytes ──> Decode
//
// The encoding is ours (nothing outside of a subnet reads it): a version byte,
// then fields in order, numbers as shortest LEB128. There is one encoding of each
// value, and Decode refuses all others, so a hash of bytes is a hash of meaning.
// What a signature covers is Message of the artifact.
package block

import (
	"crypto/sha256"
	"encoding/binary"

	"ashlar/replica/ic"
)

// Limits of a block, as on mainnet (IC: rs/limits, subnet records).
const (
	MaxIngressBytes    = 4 << 20 // all envelopes of one block together
	MaxIngressMessages = 1000    // in one block
	MaxSignatures      = 256     // in one aggregate: more than any committee
	maxSignatureBytes  = 96
)

// Hash names a block, or is the root of a state.
type Hash [32]byte

// Block is one candidate for a height.
type Block struct {
	Height    ic.Height
	Parent    Hash
	Maker     ic.NodeID
	Rank      uint64
	Time      ic.Time // later than the parent's
	Registry  uint64  // registry version the batch runs under
	Certified ic.Height
	Ingress   [][]byte // raw envelopes
}

// Hash covers the header and, through a hash of hashes, each envelope: blocks
// without their envelopes can be checked once they are found elsewhere.
func (b *Block) Hash() Hash {
	payload := sha256.New()
	for _, raw := range b.Ingress {
		h := sha256.Sum256(raw)
		payload.Write(h[:])
	}
	w := writer("\x0cashlar-block")
	w.header(b)
	w.uint(uint64(len(b.Ingress)))
	return sha256.Sum256(payload.Sum(w))
}

// Kind of an artifact.
type Kind uint8

// The artifacts. A share is one node's part of what follows it.
const (
	BeaconShare Kind = iota + 1
	Beacon
	Proposal
	NotarizationShare
	Notarization
	FinalizationShare
	Finalization
	TapeShare
	Tape
	CertificationShare
	Certification
	kinds
)

var kindNames = [kinds]string{"", "beacon share", "beacon", "proposal", "notarization share", "notarization",
	"finalization share", "finalization", "tape share", "tape", "certification share", "certification"}

func (k Kind) String() string {
	if k == 0 || k >= kinds {
		return "unknown artifact"
	}
	return kindNames[k]
}

// IsShare tells whether an artifact is one node's part.
func (k Kind) IsShare() bool {
	switch k {
	case BeaconShare, NotarizationShare, FinalizationShare, TapeShare, CertificationShare:
		return true
	}
	return false
}

// Artifact is one thing that is sent, and stored, and purged below a height.
type Artifact struct {
	Kind   Kind
	Height ic.Height
	// Hash is the block's (proposal, notarization, finalization), the state's root
	// (certification), or of the last beacon (beacon); zero for the tape.
	Hash Hash
	// Signer and Signature of a proposal or share; of a beacon, tape or
	// certification only the Signature, made by the whole group.
	Signer    uint64 // index in the committee
	Signature []byte
	// Votes of a notarization or finalization, by increasing signer.
	Votes []Vote
	// Block of a proposal.
	Block *Block
}

// Vote is a committee member's signature in an aggregate.
type Vote struct {
	Signer    uint64
	Signature []byte
}

// Message is what the signatures of an artifact cover: domain, subnet, height and hash.
// Certifications are different: clients check them, so the specification says what they cover.
func (a *Artifact) Message(subnet ic.SubnetID) []byte {
	if a.Kind == Certification || a.Kind == CertificationShare {
		return append([]byte("\x0dic-state-root"), a.Hash[:]...)
	}
	domain := [kinds]string{
		BeaconShare: "ashlar-beacon", Beacon: "ashlar-beacon",
		Proposal:          "ashlar-proposal",
		NotarizationShare: "ashlar-notarization", Notarization: "ashlar-notarization",
		FinalizationShare: "ashlar-finalization", Finalization: "ashlar-finalization",
		TapeShare: "ashlar-tape", Tape: "ashlar-tape",
	}[a.Kind]
	m := append([]byte{byte(len(domain))}, domain...)
	m = append(append(m, byte(len(subnet.Principal))), subnet.Principal...)
	m = binary.BigEndian.AppendUint64(m, uint64(a.Height))
	return append(m, a.Hash[:]...)
}
