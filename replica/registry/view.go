package registry

import (
	"fmt"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/records"
)

// Subnet is the registry as one subnet's consensus reads it.
type Subnet struct {
	*Store
	ID ic.SubnetID
}

// Record is what one version says of a subnet, for its consensus.
type Record struct {
	Members  []block.Receiver // in order of their names
	Interval uint64           // rounds after a summary, until the next
	Version  string           // of the replica
	Halt     bool             // make no blocks above the next summary
	Admins   []ic.Principal   // of the subnet
	Free     bool             // canisters pay nothing

	MaxCanisters uint64 // on the subnet; 0: the usual
}

// At reads a version.
func (s Subnet) At(version uint64) (*Record, error) {
	var r records.Subnet
	if err := s.Get(records.KeySubnet(s.ID), version, &r); err != nil {
		return nil, err
	}
	out := &Record{Interval: r.Interval, Version: r.Version, Halt: r.Halted || r.HaltAtCUP, Admins: r.Admins, Free: r.CostSchedule == records.FreeOfCost, MaxCanisters: r.MaxCanisters}
	for _, id := range sorted(r.Members) {
		key, err := s.nodeKey(id, version)
		if err != nil {
			return nil, err
		}
		var k records.PublicKey
		if err := s.Get(records.KeyCrypto(id, records.DealingEncryption), version, &k); err != nil {
			return nil, err
		}
		e, err := EncryptionKey(id, &k)
		if err != nil {
			return nil, err
		}
		out.Members = append(out.Members, block.Receiver{Member: block.Member{Node: id, Key: key}, Encryption: e.Bytes()})
	}
	return out, nil
}

func sorted(nodes []ic.NodeID) []ic.NodeID {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, compareNodes)
	return nodes
}

// Node is a member as others reach it.
type Node struct {
	PublicKey []byte // Ed25519, 32 bytes
	P2P, HTTP string // address and port; empty: not said
}

// View is what one version says of one subnet, decoded.
type View struct {
	Version uint64
	ID      ic.SubnetID
	Root    ic.SubnetID
	Subnet  records.Subnet // its members in order of their names
	Nodes   []Node         // in order of Subnet.Members
	Ranges  []ic.CanisterRange

	// From where the subnet begins, or was last recovered.
	CUP       *records.CUP
	Low, High *dkg.Transcript
	Group     *bls.Group // of High
	Genesis   ic.Time
}

// View reads a subnet at a version; a zero id is the root subnet.
func (s *Store) View(version uint64, id ic.SubnetID) (*View, error) {
	v, err := s.Members(version, id)
	if err == nil {
		err = s.begin(v)
	}
	if err == nil {
		err = s.ranges(v)
	}
	return v, err
}

// Members is the part of View that says who they are and where.
func (s *Store) Members(version uint64, id ic.SubnetID) (*View, error) {
	var root records.SubnetID
	if err := s.Get(records.KeyRootSubnet, version, &root); err != nil {
		return nil, err
	}
	if id.Principal == "" {
		id = root.ID
	}
	v := &View{Version: version, ID: id, Root: root.ID}
	if err := s.Get(records.KeySubnet(id), version, &v.Subnet); err != nil {
		return nil, err
	}
	v.Subnet.Members = sorted(v.Subnet.Members)
	for _, m := range v.Subnet.Members {
		n, err := s.node(m, version)
		if err != nil {
			return nil, err
		}
		v.Nodes = append(v.Nodes, n)
	}
	return v, nil
}

func (s *Store) node(id ic.NodeID, version uint64) (n Node, err error) {
	var r records.Node
	if err = s.Get(records.KeyNode(id), version, &r); err != nil {
		return n, err
	}
	if n.PublicKey, err = s.nodeKey(id, version); err != nil {
		return n, err
	}
	for _, f := range r.P2P {
		if n.P2P == "" && f.Endpoint != nil {
			n.P2P = text(f.Endpoint)
		}
	}
	if r.HTTP != nil {
		n.HTTP = text(r.HTTP)
	}
	return n, nil
}

func text(e *records.Endpoint) string {
	at, err := address(e)
	if err != nil {
		return ""
	}
	return at.String()
}

// begin reads from where the subnet begins.
func (s *Store) begin(v *View) (err error) {
	v.CUP = &records.CUP{}
	if err = s.Get(records.KeyCUP(v.ID), v.Version, v.CUP); err != nil {
		return err
	}
	if v.Low, err = transcript(v.CUP.Low, dkg.Low); err == nil {
		v.High, err = transcript(v.CUP.High, dkg.High)
	}
	if err != nil {
		return fmt.Errorf("registry: %s at version %d: %w", records.KeyCUP(v.ID), v.Version, err)
	}
	v.Group, v.Genesis = v.High.Group(), ic.Time(v.CUP.Time)
	return nil
}

func (s *Store) ranges(v *View) error {
	for _, key := range s.Keys(records.PrefixRanges, v.Version) {
		var t records.RoutingTable
		if err := s.Get(key, v.Version, &t); err != nil {
			return err
		}
		for _, e := range t.Entries {
			if e.Subnet == v.ID && e.Range != nil {
				v.Ranges = append(v.Ranges, e.Range.CanisterRange)
			}
		}
	}
	return nil
}

// Index of a node among the members, -1 if it is none.
func (v *View) Index(n ic.NodeID) int { return slices.Index(v.Subnet.Members, n) }
