package registry

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/wire/records"
)

// dealingKeyVersion tells our dealing keys from the IC's, which have version 0 and
// forward secrecy. The proof holds what the key's own form has around the point.
const (
	dealingKeyVersion = 1
	pointAt, pointEnd = 1 + 8, 1 + 8 + 48
)

// NodeKeys are a node's public keys as records, with their proofs.
func NodeKeys(random io.Reader, k *keystore.Keys) ([]records.Mutation, error) {
	dealing, err := dealingRecord(random, k)
	if err != nil {
		return nil, err
	}
	keys := map[records.Purpose]*records.PublicKey{
		records.NodeSigning:       {Algorithm: records.Ed25519, Key: k.NodeKey()},
		records.CommitteeSigning:  {Algorithm: records.MultiBLS, Key: k.Committee().Bytes(), Proof: k.CommitteePossession()},
		records.DealingEncryption: dealing,
	}
	var out []records.Mutation
	for _, p := range nodeKeys {
		out = append(out, records.Mutation{Key: []byte(records.KeyCrypto(k.NodeID(), p)), Value: records.Encode(keys[p])})
	}
	return out, nil
}

// dealingRecord is the newest generation of a node's dealing key.
func dealingRecord(random io.Reader, k *keystore.Keys) (*records.PublicKey, error) {
	e, err := k.EncryptionKey(random)
	if err != nil {
		return nil, err
	}
	raw := e.Bytes()
	return &records.PublicKey{Version: dealingKeyVersion, Algorithm: records.Groth20, Key: raw[pointAt:pointEnd],
		Proof: append(append([]byte{}, raw[:pointAt]...), raw[pointEnd:]...)}, nil
}

// EncryptionKey is a node's dealing key, its proof checked.
func EncryptionKey(id ic.NodeID, k *records.PublicKey) (*dkg.EncryptionKey, error) {
	if k.Version != dealingKeyVersion || k.Algorithm != records.Groth20 || len(k.Proof) < pointAt {
		return nil, fmt.Errorf("node %s: not a dealing key of a kind that this node knows", id)
	}
	raw := append(append([]byte{}, k.Proof[:pointAt]...), k.Key...)
	return dkg.ParseEncryptionKey(id, append(raw, k.Proof[pointAt:]...))
}

// nodeKey reads a node's signing key at a version.
func (s *Store) nodeKey(id ic.NodeID, version uint64) (ed25519.PublicKey, error) {
	var k records.PublicKey
	if err := s.Get(records.KeyCrypto(id, records.NodeSigning), version, &k); err != nil {
		return nil, err
	}
	return k.Key, nil
}
