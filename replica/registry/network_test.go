package registry

import (
	"crypto/ed25519"
	"crypto/sha3"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

func stream(seed string) io.Reader {
	h := sha3.NewSHAKE128()
	h.Write([]byte(seed))
	return h
}

// trial is a network in the making.
type trial struct {
	t         testing.TB
	nodes     []*keystore.Keys // members first, then spare ones
	authority ed25519.PrivateKey
	genesis   []byte
	subnet    ic.SubnetID
	store     *Store
}

func person(seed byte) *keystore.Keys { return keystore.FromSeed([32]byte{seed}) }

// found makes a network of n nodes, and two spare ones.
func found(t testing.TB, n int) *trial {
	t.Helper()
	tr := &trial{t: t, authority: ed25519.NewKeyFromSeed(make([]byte, 32))}
	for i := range n + 2 {
		tr.nodes = append(tr.nodes, person(byte(i)))
	}
	g := &Genesis{Version: "0.1", Interval: 50, Time: 77, Authority: []ed25519.PublicKey{tr.authority.Public().(ed25519.PublicKey)}}
	for i := range n {
		g.Nodes = append(g.Nodes, tr.handIn(i))
	}
	m, subnet, err := g.Make(stream("ceremony"))
	if err != nil {
		t.Fatal(err)
	}
	tr.genesis, tr.subnet, tr.store = Sign(m, 1, [32]byte{}, tr.authority), subnet, New()
	if err := tr.store.Take(tr.genesis); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr *trial) handIn(i int) []records.Mutation {
	tr.t.Helper()
	at := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("127.0.0.%d", i+1)), port)
	}
	m, err := HandIn(stream("hand in"), tr.nodes[i], at(4100), at(4943))
	if err != nil {
		tr.t.Fatal(err)
	}
	return m
}

// sign makes the next version.
func (tr *trial) sign(m ...records.Mutation) []byte {
	head, version := tr.store.Head()
	return Sign(&records.Mutations{Mutations: m}, version+1, head, tr.authority)
}

func upsert(key string, r records.Message) records.Mutation {
	return records.Mutation{Type: records.Upsert, Key: []byte(key), Value: records.Encode(r)}
}

func remove(key string) records.Mutation {
	return records.Mutation{Type: records.Delete, Key: []byte(key)}
}

// record is the subnet's, for a test to change.
func (tr *trial) record() *records.Subnet {
	tr.t.Helper()
	r := &records.Subnet{}
	if err := tr.store.Get(records.KeySubnet(tr.subnet), tr.store.Latest(), r); err != nil {
		tr.t.Fatal(err)
	}
	return r
}

func (tr *trial) take(m ...records.Mutation) {
	tr.t.Helper()
	if err := tr.store.Take(tr.sign(m...)); err != nil {
		tr.t.Fatal(err)
	}
}
