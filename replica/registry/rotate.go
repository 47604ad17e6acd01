package registry

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

// This file: the next generation of a node's dealing key, on its way into the registry.
//
//	GET DealingPath ── node draws it, keeps it, signs it ──> Offer ── authority ──> a version
//	dealings of the next intervals are made to it; what was dealt to the old one is loaded,
//	and once nothing in use is of a version before, the node erases the old one

// DealingPath is where a node offers the next generation of its dealing key.
const DealingPath = "/_/dealing-key"

// Offer of a dealing key, as JSON. Its proof of possession says that somebody knows the
// key; the signature says that it is the node.
type Offer struct {
	Node      string `json:"node"`
	Key       []byte `json:"key"` // records.PublicKey
	Signature []byte `json:"signature"`
}

func offerMessage(id ic.NodeID, key []byte) []byte {
	m := append([]byte("\x12ashlar-dealing-key"), byte(len(id.Principal)))
	return append(append(m, id.Principal...), key...)
}

// MakeOffer of the newest generation, which the caller has kept.
func MakeOffer(random io.Reader, k *keystore.Keys) (*Offer, error) {
	r, err := dealingRecord(random, k)
	if err != nil {
		return nil, err
	}
	key := records.Encode(r)
	return &Offer{Node: k.NodeID().String(), Key: key, Signature: k.Vote(offerMessage(k.NodeID(), key))}, nil
}

// TakeOffer is the change that puts an offer into the registry: it must be signed by the
// node, which the registry knows, and be newer than what that has; ErrOffered otherwise.
func (s *Store) TakeOffer(o *Offer) (id ic.NodeID, m records.Mutation, err error) {
	p, err := ic.ParsePrincipal(o.Node)
	if err != nil {
		return id, m, fmt.Errorf("an offer of a dealing key: %w", err)
	}
	id = ic.NodeID{Principal: p}
	signer, err := s.nodeKey(id, s.Latest())
	if err != nil {
		return id, m, err
	}
	if !ed25519.Verify(signer, offerMessage(id, o.Key), o.Signature) {
		return id, m, fmt.Errorf("the dealing key that is offered for node %s is not signed by it", id)
	}
	var k records.PublicKey
	if err := records.Decode(o.Key, &k); err != nil {
		return id, m, fmt.Errorf("the dealing key that node %s offers: %w", id, err)
	}
	next, err := EncryptionKey(id, &k)
	if err != nil {
		return id, m, err
	}
	now, err := s.Generation(id, s.Latest())
	if err != nil {
		return id, m, err
	}
	if next.Generation <= now {
		return id, m, fmt.Errorf("node %s, generation %d: %w", id, next.Generation, ErrOffered)
	}
	return id, records.Mutation{Type: records.Update, Key: []byte(records.KeyCrypto(id, records.DealingEncryption)), Value: o.Key}, nil
}

// ErrOffered is an offer of what the registry has already.
var ErrOffered = errors.New("the registry has this dealing key, or a newer one, already")

// Generation of a node's dealing key at a version.
func (s *Store) Generation(id ic.NodeID, version uint64) (uint64, error) {
	var k records.PublicKey
	if err := s.Get(records.KeyCrypto(id, records.DealingEncryption), version, &k); err != nil {
		return 0, err
	}
	e, err := EncryptionKey(id, &k)
	if err != nil {
		return 0, err
	}
	return e.Generation, nil
}
