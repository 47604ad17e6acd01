package records

import "ashlar/replica/ic"

// Protocol of an endpoint; newer records leave it out.
type Protocol int32

// P2P is the protocol between the nodes of a subnet.
const P2P Protocol = 3

// Endpoint is ConnectionEndpoint: an address of IPv4 or IPv6 without brackets.
type Endpoint struct {
	IP       string
	Port     uint32
	Protocol Protocol
	Unknown
}

func (e *Endpoint) fields(c *coder) {
	c.string(1, &e.IP)
	c.uint32(2, &e.Port)
	enum(c, 4, &e.Protocol)
}

// Flow is FlowEndpoint: where peers connect.
type Flow struct {
	Tag      uint32
	Endpoint *Endpoint
	Unknown
}

func (f *Flow) fields(c *coder) {
	c.uint32(1, &f.Tag)
	one(c, 2, &f.Endpoint)
}

// Node is NodeRecord. Newer nodes of the IC derive the peers' address from HTTP's;
// ours have their own, in the field that the IC had for it.
type Node struct {
	XNet          *Endpoint
	HTTP          *Endpoint
	P2P           []Flow
	Operator      ic.Principal
	ChipID        []byte  // of SEV-SNP; nil: unknown
	HostOSVersion *string // to run
	IPv4          *IPv4
	Domain        *string
	Unknown
}

func (n *Node) fields(c *coder) {
	one(c, 5, &n.XNet)
	one(c, 6, &n.HTTP)
	many(c, 8, &n.P2P)
	c.principal(15, &n.Operator)
	c.optionalBytes(16, &n.ChipID)
	c.optionalString(17, &n.HostOSVersion)
	one(c, 18, &n.IPv4)
	c.optionalString(19, &n.Domain)
}

// IPv4 is IPv4InterfaceConfig.
type IPv4 struct {
	IP       string
	Gateways []string
	Prefix   uint32
	Unknown
}

func (i *IPv4) fields(c *coder) {
	c.string(1, &i.IP)
	c.strings(2, &i.Gateways)
	c.uint32(3, &i.Prefix)
}

// Boundary is ApiBoundaryNodeRecord.
type Boundary struct {
	Version string
	Unknown
}

func (b *Boundary) fields(c *coder) { c.string(1, &b.Version) }
