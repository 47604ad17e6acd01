package registry

import (
	"bytes"
	"fmt"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

// The canister ids of a new network's root subnet, two ranges. The ids that
// mainnet gives out, from rwlgt-iiaaa-aaaaa-aaaaa-cai on, are made only when
// asked for by name, so that a developer's network can hold a ledger, or a cycles
// ledger, where clients look for it. New canisters get ids from FirstNew on,
// bnz7o-iuaaa-aaaaa-qaaaa-cai, where local networks have always begun.
const (
	LastNamed = 1<<63 - 1
	FirstNew  = 1<<63 + 1<<20
	LastNew   = 1<<63 + 1<<32 - 1
)

// Genesis is the first version of a network: one subnet, its own root, that
// hosts all canister ids of both ranges. It begins with a catch-up package.
func Genesis(cup []byte, group *bls.Group, nodes []Node, ids []ic.NodeID, version string, now ic.Time) (*Store, ic.SubnetID, error) {
	subnet := ic.SubnetID{Principal: ic.SelfAuthenticating(group.Key.DER())}
	threshold := Threshold{Threshold: group.Threshold, Key: group.Key.Bytes()}
	for _, h := range group.Holders {
		threshold.Holders = append(threshold.Holders, h.Bytes())
	}
	if !slices.IsSortedFunc(ids, func(a, b ic.NodeID) int { return bytes.Compare(a.Bytes(), b.Bytes()) }) || len(ids) != len(nodes) {
		return nil, subnet, fmt.Errorf("registry: genesis of %d nodes whose ids are not in order", len(nodes))
	}
	first := []Change{
		{KeySubnetList, cbor.Marshal([]ic.SubnetID{subnet})},
		{KeyRootSubnet, cbor.Marshal(subnet)},
		{KeySubnet(subnet), cbor.Marshal(Subnet{Type: "application", Members: ids, Version: version})},
		{KeyThreshold(subnet), cbor.Marshal(threshold)},
		{KeyCUP(subnet), cbor.Marshal(CUP{Time: now, Raw: cup})},
		{KeyRoutingTable, cbor.Marshal([]Route{
			{Range: ic.CanisterRange{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(LastNamed)}, Subnet: subnet},
			{Range: ic.CanisterRange{First: ic.CanisterIDFromUint64(FirstNew), Last: ic.CanisterIDFromUint64(LastNew)}, Subnet: subnet},
		})},
	}
	for i, n := range nodes {
		first = append(first, Change{KeyNode(ids[i]), cbor.Marshal(n)})
	}
	s := New()
	return s, subnet, s.Apply(first)
}

// View is what one version says of one subnet, decoded and checked.
type View struct {
	Version uint64
	ID      ic.SubnetID
	Root    ic.SubnetID
	Subnet  Subnet
	Nodes   []Node // in order of Subnet.Members
	Group   *bls.Group
	Ranges  []ic.CanisterRange
	Genesis ic.Time
	CUP     []byte // the package to begin with
}

// View reads a subnet at a version; a zero id is the root subnet.
func (s *Store) View(version uint64, id ic.SubnetID) (*View, error) {
	v := &View{Version: version, ID: id}
	if err := s.Get(KeyRootSubnet, version, &v.Root); err != nil {
		return nil, err
	}
	if id.Principal == "" {
		v.ID = v.Root
	}
	if err := s.Get(KeySubnet(v.ID), version, &v.Subnet); err != nil {
		return nil, err
	}
	var cup CUP
	if err := s.Get(KeyCUP(v.ID), version, &cup); err != nil {
		return nil, err
	}
	v.Genesis, v.CUP = cup.Time, cup.Raw
	var err error
	if v.Group, err = s.group(v.ID, version); err != nil {
		return nil, err
	}
	if len(v.Group.Holders) != len(v.Subnet.Members) {
		return nil, fmt.Errorf("registry: subnet %s has %d members and %d holders of its key", v.ID, len(v.Subnet.Members), len(v.Group.Holders))
	}
	for _, m := range v.Subnet.Members {
		var n Node
		if err := s.Get(KeyNode(m), version, &n); err != nil {
			return nil, err
		}
		v.Nodes = append(v.Nodes, n)
	}
	var routes []Route
	if err := s.Get(KeyRoutingTable, version, &routes); err != nil {
		return nil, err
	}
	for _, r := range routes {
		if r.Subnet == v.ID {
			v.Ranges = append(v.Ranges, r.Range)
		}
	}
	return v, nil
}

func (s *Store) group(id ic.SubnetID, version uint64) (*bls.Group, error) {
	var t Threshold
	if err := s.Get(KeyThreshold(id), version, &t); err != nil {
		return nil, err
	}
	key, err := bls.ParsePublicKey(t.Key)
	if err != nil {
		return nil, fmt.Errorf("registry: key of subnet %s: %w", id, err)
	}
	g := &bls.Group{Key: key, Threshold: t.Threshold}
	for _, raw := range t.Holders {
		h, err := bls.ParsePublicKey(raw)
		if err != nil {
			return nil, fmt.Errorf("registry: key share of subnet %s: %w", id, err)
		}
		g.Holders = append(g.Holders, h)
	}
	return g, nil
}

// Index of a node among the members, -1 if it is none.
func (v *View) Index(n ic.NodeID) int { return slices.Index(v.Subnet.Members, n) }
