package usersig

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// canisterSig is a certificate about the canister's certified data, and the
// tree whose digest that data is.
type canisterSig struct {
	Certificate []byte         `cbor:"certificate"`
	Tree        *hashtree.Tree `cbor:"tree"`
}

// canisterKey splits |id|·id·seed.
func canisterKey(k *spki) (id ic.Principal, seed []byte, err error) {
	if err := k.noParameters(); err != nil {
		return "", nil, err
	}
	b := k.Key.Bytes
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, errors.New("canister signature key is shorter than the canister id in it")
	}
	end := 1 + int(b[0])
	id, err = ic.PrincipalFromBytes(b[1:end])
	return id, b[end:], err
}

// CanisterKey is the public key of a canister and seed, in DER.
func CanisterKey(id ic.CanisterID, seed []byte) []byte {
	return derKey(oidCanister, append(append([]byte{byte(len(id.Principal))}, id.Bytes()...), seed...))
}

func (v *Verifier) verifyCanister(k *spki, message, sig []byte) error {
	id, seed, err := canisterKey(k)
	if err != nil {
		return err
	}
	var s canisterSig
	if err := cbor.UnmarshalTree(sig, &s); err != nil {
		return fmt.Errorf("canister signature: %w", err)
	}
	c, err := cert.Decode(s.Certificate)
	if err != nil {
		return fmt.Errorf("canister signature: %w", err)
	}
	if err := c.VerifyFor(ic.CanisterID{Principal: id}, v.RootKey, v.BLS); err != nil {
		return fmt.Errorf("canister signature: %w", err)
	}
	if err := mayHostSigners(c); err != nil {
		return err
	}
	digest := s.Tree.Digest()
	data, status := c.Tree.Lookup(hashtree.P("canister", string(id), "certified_data"))
	if status != hashtree.Found || string(data) != string(digest[:]) {
		return fmt.Errorf("canister signature: certified data of %s is not the digest of the signature's tree", id)
	}
	seedHash, messageHash := sha256.Sum256(seed), sha256.Sum256(message)
	value, status := s.Tree.Lookup(hashtree.Path{[]byte("sig"), seedHash[:], messageHash[:]})
	if status != hashtree.Found || len(value) > 0 {
		return errSignature
	}
	return nil
}

// mayHostSigners refuses subnets of the type cloud_engine: their nodes are not
// chosen by the network.
func mayHostSigners(c *cert.Certificate) error {
	inner, err := c.Inner()
	if err != nil || inner == nil {
		return err
	}
	kind, status := inner.Tree.Lookup(hashtree.Path{[]byte("subnet"), c.Delegation.SubnetID, []byte("type")})
	if status != hashtree.Found {
		return fmt.Errorf("canister signature: the delegation does not show the subnet's type (%s)", status)
	}
	if string(kind) == "cloud_engine" {
		return errors.New("canister signature: subnets of type cloud_engine cannot make them")
	}
	return nil
}
