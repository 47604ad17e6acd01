package registry

import (
	"io"
	"net/netip"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/wire/records"
)

// HandIn is what a node hands in to become part of a network: its record and its
// keys, with their proofs. An invalid address is left out.
func HandIn(random io.Reader, k *keystore.Keys, p2p, http netip.AddrPort) ([]records.Mutation, error) {
	keys, err := NodeKeys(random, k)
	if err != nil {
		return nil, err
	}
	r := &records.Node{}
	if p2p.IsValid() {
		r.P2P = []records.Flow{{Endpoint: endpoint(p2p, records.P2P)}}
	}
	if http.IsValid() {
		r.HTTP = endpoint(http, 0)
	}
	return append(keys, records.Mutation{Key: []byte(records.KeyNode(k.NodeID())), Value: records.Encode(r)}), nil
}

func endpoint(at netip.AddrPort, p records.Protocol) *records.Endpoint {
	return &records.Endpoint{IP: at.Addr().String(), Port: uint32(at.Port()), Protocol: p}
}
