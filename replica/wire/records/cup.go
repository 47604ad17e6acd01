package records

import "ashlar/replica/ic"

// CUP is CatchUpPackageContents: from where a subnet begins, or goes on after a
// disaster. Transcripts of chain keys (7, 8) and splitting (11) stay in Unknown.
type CUP struct {
	Low, High *Transcript
	Height    uint64 // as in Genesis or Recovery: for older readers
	Time      uint64 // ns
	StateHash []byte
	Registry  *RegistryURI
	Genesis   *Genesis
	Recovery  *Recovery
	Unknown
}

func (p *CUP) fields(c *coder) {
	one(c, 1, &p.Low)
	one(c, 2, &p.High)
	c.uint64(3, &p.Height)
	c.uint64(4, &p.Time)
	c.bytes(5, &p.StateHash)
	one(c, 6, &p.Registry)
	one(c, 9, &p.Genesis)
	one(c, 10, &p.Recovery)
}

// Genesis is GenesisArgs.
type Genesis struct {
	Height uint64
	Unknown
}

func (g *Genesis) fields(c *coder) { c.uint64(1, &g.Height) }

// Recovery is RecoveryArgs.
type Recovery struct {
	Height    uint64
	Time      uint64 // ns
	StateHash []byte
	Unknown
}

func (r *Recovery) fields(c *coder) {
	c.uint64(1, &r.Height)
	c.uint64(2, &r.Time)
	c.bytes(3, &r.StateHash)
}

// RegistryURI is RegistryStoreUri.
type RegistryURI struct {
	URI, Hash string
	Version   uint64
	Unknown
}

func (r *RegistryURI) fields(c *coder) {
	c.string(1, &r.URI)
	c.string(2, &r.Hash)
	c.uint64(3, &r.Version)
}

// Transcript is InitialNiDkgTranscriptRecord; Internal is crypto/dkg's transcript.
type Transcript struct {
	ID        *TranscriptID
	Threshold uint32
	Committee []ic.NodeID
	Registry  uint64
	Internal  []byte
	Unknown
}

func (t *Transcript) fields(c *coder) {
	one(c, 1, &t.ID)
	c.uint32(2, &t.Threshold)
	nodes(c, 3, &t.Committee)
	c.uint64(4, &t.Registry)
	c.bytes(5, &t.Internal)
}

// Tag tells the two keys of a subnet apart.
type Tag int32

// The tags.
const (
	LowThreshold  Tag = 1
	HighThreshold Tag = 2
)

// TranscriptID is NiDkgId.
type TranscriptID struct {
	Start  uint64 // height
	Dealer ic.Principal
	Tag    Tag
	Target []byte // of a subnet that is made; nil: for the dealers' own
	Unknown
}

func (t *TranscriptID) fields(c *coder) {
	c.uint64(1, &t.Start)
	c.principal(2, &t.Dealer)
	enum(c, 4, &t.Tag)
	c.wrappedBytes(5, &t.Target)
}
