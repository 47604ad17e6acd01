package registry

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
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

// Genesis says what a new network is to be.
type Genesis struct {
	Nodes     [][]records.Mutation // what each node hands in: its record and keys
	Version   string               // of the replica
	Interval  uint64
	Time      ic.Time
	Authority []ed25519.PublicKey
	Threshold int // of the authority; zero: one
}

// Make is the first version of a network: one subnet, its own root, that hosts all
// canister ids of both ranges. The subnet's keys are dealt here: whoever runs this
// could know them, if it kept them.
func (g *Genesis) Make(random io.Reader) (*records.Mutations, ic.SubnetID, error) {
	m := &records.Mutations{Time: uint64(g.Time)}
	keys, err := g.receivers(m)
	if err != nil {
		return nil, ic.SubnetID{}, err
	}
	low, err := deal(random, keys, dkg.Low)
	if err != nil {
		return nil, ic.SubnetID{}, err
	}
	high, err := deal(random, keys, dkg.High)
	if err != nil {
		return nil, ic.SubnetID{}, err
	}
	key := high.Group().Key
	subnet := ic.SubnetID{Principal: ic.SelfAuthenticating(key.DER())}
	a := &records.Authority{Threshold: uint32(max(g.Threshold, 1))}
	for _, k := range g.Authority {
		a.Keys = append(a.Keys, k)
	}
	record := &records.Subnet{Type: records.Application, Members: high.Receivers(), Version: g.Version, Interval: g.Interval, DealingsPerBlock: 1, StartAsNNS: true}
	insert := func(key string, r records.Message) {
		m.Mutations = append(m.Mutations, records.Mutation{Key: []byte(key), Value: records.Encode(r)})
	}
	insert(records.KeyAuthority, a)
	insert(records.KeyVersion(g.Version), &records.Version{})
	insert(records.KeySubnetList, &records.SubnetList{Subnets: []ic.SubnetID{subnet}})
	insert(records.KeyRootSubnet, &records.SubnetID{ID: subnet})
	insert(records.KeySubnet(subnet), record)
	insert(records.KeyThreshold(subnet), &records.PublicKey{Algorithm: records.ThresholdBLS, Key: key.Bytes()})
	insert(records.KeyCUP(subnet), &records.CUP{Low: Wrap(low), High: Wrap(high), Time: uint64(g.Time), Genesis: &records.Genesis{}})
	route := func(first, last uint64) records.Route {
		return records.Route{Subnet: subnet, Range: &records.Range{CanisterRange: ic.CanisterRange{First: ic.CanisterIDFromUint64(first), Last: ic.CanisterIDFromUint64(last)}}}
	}
	insert(records.KeyRanges(ic.CanisterIDFromUint64(0)), &records.RoutingTable{Entries: []records.Route{route(0, LastNamed), route(FirstNew, LastNew)}})
	return m, subnet, nil
}

// receivers takes the nodes' records, and their dealing keys in order of their names.
func (g *Genesis) receivers(m *records.Mutations) (keys []*dkg.EncryptionKey, err error) {
	now := snapshot{}
	for _, n := range g.Nodes {
		m.Mutations = append(m.Mutations, n...)
		for _, one := range n {
			now[string(one.Key)] = one.Value
		}
	}
	var ids []ic.NodeID
	for name := range now.with(records.PrefixNode) {
		p, err := ic.ParsePrincipal(name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, ic.NodeID{Principal: p})
	}
	if len(ids) == 0 || len(ids) != len(g.Nodes) {
		return nil, fmt.Errorf("registry: a network of %d nodes that hand in %d records of nodes", len(g.Nodes), len(ids))
	}
	return now.dealingKeys(sorted(ids))
}

// dealingKeys of nodes, in their order.
func (s snapshot) dealingKeys(ids []ic.NodeID) (keys []*dkg.EncryptionKey, err error) {
	for _, id := range ids {
		var k records.PublicKey
		if ok, err := s.get(records.KeyCrypto(id, records.DealingEncryption), &k); !ok || err != nil {
			return nil, errors.Join(err, fmt.Errorf("registry: node %s has no dealing key", id))
		}
		e, err := EncryptionKey(id, &k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, e)
	}
	return keys, nil
}

// ceremony is the generation of a new network's key: by one dealer, in the name of
// the first node, since none of them can deal before they are a subnet.
func ceremony(keys []*dkg.EncryptionKey, tag dkg.Tag) (*dkg.Session, error) {
	return dkg.NewSession(&dkg.Config{Tag: tag, Registry: 1, Receivers: keys, Dealers: []ic.NodeID{keys[0].Node}})
}

// deal makes a new network's key.
func deal(random io.Reader, keys []*dkg.EncryptionKey, tag dkg.Tag) (*dkg.Transcript, error) {
	s, err := ceremony(keys, tag)
	if err != nil {
		return nil, err
	}
	var dealings []*dkg.Dealing
	for i := range s.Needed() {
		raw, err := s.Deal(random, i, nil)
		if err != nil {
			return nil, err
		}
		d, err := s.Own(i, raw)
		if err != nil {
			return nil, err
		}
		dealings = append(dealings, d)
	}
	t, err := s.Combine(dealings)
	if err == nil {
		proven.add(t, keys)
	}
	return t, err
}

// Wrap is a transcript as the registry holds it.
func Wrap(t *dkg.Transcript) *records.Transcript {
	return &records.Transcript{ID: &records.TranscriptID{Start: uint64(t.Start()), Dealer: t.Subnet().Principal, Tag: records.Tag(t.Tag())},
		Threshold: uint32(t.Threshold()), Committee: t.Receivers(), Registry: t.Registry(), Internal: t.Bytes()}
}
