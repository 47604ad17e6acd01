package records

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ashlar/replica/ic"
)

// SubnetType says what a subnet is for.
type SubnetType int32

// The types.
const (
	Application         SubnetType = 1
	System              SubnetType = 2
	VerifiedApplication SubnetType = 4
	CloudEngine         SubnetType = 5
)

// String is the name that the HTTP interface and canisters see.
func (t SubnetType) String() string {
	switch t {
	case Application:
		return "application"
	case System:
		return "system"
	case VerifiedApplication:
		return "verified_application"
	case CloudEngine:
		return "cloud_engine"
	}
	return "unknown"
}

// CostSchedule says whether canisters pay.
type CostSchedule int32

// The schedules; zero is Normal.
const (
	NormalCost CostSchedule = 1
	FreeOfCost CostSchedule = 2
)

// Subnet is SubnetRecord. Chain keys (29), SSH keys (25, 26) and resource limits
// (34) are not read yet and stay in Unknown.
type Subnet struct {
	Members            []ic.NodeID
	MaxIngressBytes    uint64 // of one message
	UnitDelay          uint64 // ms
	NotaryDelay        uint64 // ms
	Version            string // of the replica
	Interval           uint64 // rounds after a summary, until the next
	StartAsNNS         bool
	Type               SubnetType
	DealingsPerBlock   uint64
	Halted             bool
	MaxIngressMessages uint64 // in a block
	MaxPayloadBytes    uint64 // of a block on the wire
	Features           *Features
	MaxCanisters       uint64
	HaltAtCUP          bool
	CostSchedule       CostSchedule
	Admins             []ic.Principal
	MaxIngressBlock    uint64   // bytes of messages in a block
	Recalled           []string // versions that nodes must not start
	Unknown
}

func (s *Subnet) fields(c *coder) {
	nodes(c, 3, &s.Members)
	c.uint64(5, &s.MaxIngressBytes)
	c.uint64(7, &s.UnitDelay)
	c.uint64(8, &s.NotaryDelay)
	c.string(9, &s.Version)
	c.uint64(10, &s.Interval)
	c.bool(14, &s.StartAsNNS)
	enum(c, 15, &s.Type)
	c.uint64(16, &s.DealingsPerBlock)
	c.bool(17, &s.Halted)
	c.uint64(18, &s.MaxIngressMessages)
	c.uint64(19, &s.MaxPayloadBytes)
	one(c, 23, &s.Features)
	c.uint64(24, &s.MaxCanisters)
	c.bool(28, &s.HaltAtCUP)
	enum(c, 30, &s.CostSchedule)
	admins := make([]principalID, len(s.Admins))
	for i, a := range s.Admins {
		admins[i].Raw = a
	}
	many(c, 31, &admins)
	for _, a := range admins[len(s.Admins):] {
		s.Admins = append(s.Admins, a.Raw)
	}
	c.uint64(32, &s.MaxIngressBlock)
	c.strings(33, &s.Recalled)
}

// nodes is a list of raw ids.
func nodes(c *coder, n protowire.Number, v *[]ic.NodeID) {
	ids := make([][]byte, len(*v))
	for i, id := range *v {
		ids[i] = id.Bytes()
	}
	c.blobs(n, &ids)
	for _, b := range ids[len(*v):] {
		*v = append(*v, ic.NodeID{Principal: c.parse(n, b)})
	}
}

// Features of a subnet.
type Features struct {
	Sandboxing   bool
	HTTPRequests bool
	SEV          *bool
	Unknown
}

func (f *Features) fields(c *coder) {
	c.bool(2, &f.Sandboxing)
	c.bool(3, &f.HTTPRequests)
	c.optionalBool(9, &f.SEV)
}

// SubnetList is SubnetListRecord.
type SubnetList struct {
	Subnets []ic.SubnetID
	Unknown
}

func (l *SubnetList) fields(c *coder) {
	ids := make([][]byte, len(l.Subnets))
	for i, id := range l.Subnets {
		ids[i] = id.Bytes()
	}
	c.blobs(2, &ids)
	for _, b := range ids[len(l.Subnets):] {
		l.Subnets = append(l.Subnets, ic.SubnetID{Principal: c.parse(2, b)})
	}
}

// SubnetID is types.v1.SubnetId as a record of its own: the root subnet's.
type SubnetID struct {
	ID ic.SubnetID
	Unknown
}

func (s *SubnetID) fields(c *coder) {
	var p *principalID
	if s.ID.Principal != "" {
		p = &principalID{Raw: s.ID.Principal}
	}
	if one(c, 1, &p); c.reading && p != nil {
		s.ID.Principal = p.Raw
	}
}
