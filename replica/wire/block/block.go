// Package block is what the nodes of a subnet tell each other, and write to disk,
// to agree on the next batch: blocks and the votes and shares about them.
//
//	Block ──Hash──> Artifact{Proposal} {NotarizationShare} ... {Tape} {CUP}
//	  └ Sections: Summary (opens an interval) or Dealings (of keys), and others
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
	MaxIngressBytes    = 4 << 20   // all envelopes of one block together
	MaxIngressMessages = 1000      // in one block
	MaxSignatures      = 256       // in one aggregate: more than any committee
	MaxDealingBytes    = 256 << 10 // 41 KB at 40 nodes, 240 KB at 256
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
	Ingress   [][]byte  // raw envelopes
	Sections  []Section // by increasing kind
}

// Hash covers the header, the sections and, through a hash of hashes, each
// envelope: blocks without their envelopes can be checked once these are found
// elsewhere.
func (b *Block) Hash() Hash {
	calls := make([]Hash, len(b.Ingress))
	for i, raw := range b.Ingress {
		calls[i] = CallHash(raw)
	}
	return b.hash(calls)
}

func (b *Block) hash(calls []Hash) Hash {
	payload := sha256.New()
	for i := range calls {
		payload.Write(calls[i][:])
	}
	w := writer("\x0cashlar-block")
	w.header(b)
	w.uint(uint64(len(b.Sections)))
	for _, s := range b.Sections {
		w = append(w, byte(s.Kind))
		h := sha256.Sum256(s.Data)
		w = append(w, h[:]...)
	}
	w.uint(uint64(len(calls)))
	return sha256.Sum256(payload.Sum(w))
}

// Section of a kind, nil if the block has none.
func (b *Block) Section(k SectionKind) []byte {
	for _, s := range b.Sections {
		if s.Kind == k {
			return s.Data
		}
	}
	return nil
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
	CUPShare
	CUP          // catch-up package: where a node can begin
	Dealing      // one node's part of the key generation of an interval
	Equivocation // proof that a maker signed two blocks of one height
	kinds
)

var kindNames = [kinds]string{"", "beacon share", "beacon", "proposal", "notarization share", "notarization",
	"finalization share", "finalization", "tape share", "tape", "certification share", "certification",
	"catch-up package share", "catch-up package", "dealing", "equivocation proof"}

func (k Kind) String() string {
	if k == 0 || k >= kinds {
		return "unknown artifact"
	}
	return kindNames[k]
}

// IsShare tells whether an artifact is one node's part.
func (k Kind) IsShare() bool {
	switch k {
	case BeaconShare, NotarizationShare, FinalizationShare, TapeShare, CertificationShare, CUPShare:
		return true
	}
	return false
}

// Signed tells whether an artifact is of one signer, that Signer names.
func (k Kind) Signed() bool {
	return k.IsShare() || k == Proposal || k == Dealing || k == Equivocation
}

// Artifact is one thing that is sent, and stored, and purged below a height.
type Artifact struct {
	Kind   Kind
	Height ic.Height
	// Hash is the block's (proposal, notarization, finalization), the state's root
	// (certification), of the last beacon (beacon), of the package's content (CUP),
	// or names what is dealt (dealing); zero for the tape. Of an equivocation it is
	// the first block's.
	Hash Hash
	// Signer and Signature of a proposal, share, dealing or equivocation; of a beacon,
	// tape, certification or CUP only the Signature, made by the whole group.
	Signer    uint64 // index in the committee
	Signature []byte
	// Votes of a notarization or finalization, by increasing signer.
	Votes []Vote
	// Block of a proposal; the summary of a CUP.
	Block *Block
	// Data is the dealing of a dealing; the beacon in a CUP.
	Data []byte
	// Other is the state's root in a CUP, the second block's hash in an equivocation,
	// with OtherSignature.
	Other          Hash
	OtherSignature []byte
}

// Vote is a committee member's signature in an aggregate.
type Vote struct {
	Signer    uint64
	Signature []byte
}

// domains of signatures.
var domains = [kinds]string{
	BeaconShare: "ashlar-beacon", Beacon: "ashlar-beacon",
	Proposal: "ashlar-proposal", Equivocation: "ashlar-proposal",
	NotarizationShare: "ashlar-notarization", Notarization: "ashlar-notarization",
	FinalizationShare: "ashlar-finalization", Finalization: "ashlar-finalization",
	TapeShare: "ashlar-tape", Tape: "ashlar-tape",
	CUPShare: "ashlar-cup-1", CUP: "ashlar-cup-1",
	Dealing: "ashlar-dealing",
}

// Message is what the signatures of an artifact cover: domain, subnet, era, height
// and hash. The era changes with each version of the protocol and each recovery, so
// that nothing signed before is taken for something signed after. Certifications
// are different: clients check them, so the specification says what they cover;
// and a CUP is checked by who knows nothing but the subnet's key.
func (a *Artifact) Message(subnet ic.SubnetID, era Hash) []byte {
	if a.Kind == Certification || a.Kind == CertificationShare {
		return append([]byte("\x0dic-state-root"), a.Hash[:]...)
	}
	domain := domains[a.Kind]
	m := append([]byte{byte(len(domain))}, domain...)
	m = append(append(m, byte(len(subnet.Principal))), subnet.Principal...)
	if a.Kind != CUP && a.Kind != CUPShare {
		m = append(m, era[:]...)
	}
	m = binary.BigEndian.AppendUint64(m, uint64(a.Height))
	m = append(m, a.Hash[:]...)
	if a.Kind == Dealing {
		h := sha256.Sum256(a.Data)
		m = append(m, h[:]...)
	}
	return m
}

// Second is the artifact that an equivocation contradicts itself with.
func (a *Artifact) Second() *Artifact {
	return &Artifact{Kind: Equivocation, Height: a.Height, Hash: a.Other, Signer: a.Signer, Signature: a.OtherSignature}
}

// CUPHash names the content of a catch-up package: a summary block, the beacon of
// its height and the root of the state after it.
func CUPHash(summary Hash, beacon []byte, root Hash) Hash {
	b := sha256.Sum256(beacon)
	m := append([]byte("\x12ashlar-cup-content"), summary[:]...)
	return sha256.Sum256(append(append(m, b[:]...), root[:]...))
}
