// Package cert is the certificate: a part of a state's hash tree, signed.
//
//	root key ──signs──> delegation's tree ──/subnet/<id>/public_key──> subnet key ──signs──> tree
//	                                      └─/canister_ranges/<id>/…──> for which canisters
//
// Verify checks the signatures; VerifyFor also that the subnet may speak for a
// canister. The BLS check comes in as an argument (replica/crypto/bls), so that
// this package stays free of the curve. Lookups are hashtree's.
// Specification: certification.md.
package cert

import (
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/hashtree"
)

// Certificate is a tree with the signature on its digest.
type Certificate struct {
	Tree       *hashtree.Tree `cbor:"tree"`
	Signature  []byte         `cbor:"signature"`
	Delegation *Delegation    `cbor:"delegation,omitempty"`
}

// Delegation says that the root subnet knows the signing subnet's key.
type Delegation struct {
	SubnetID    []byte `cbor:"subnet_id"`
	Certificate []byte `cbor:"certificate"`
}

// VerifyBLS returns nil if sig is the signature by key, a BLS key in DER.
type VerifyBLS func(keyDER, message, sig []byte) error

// StateRoot is what a subnet signs for a tree with this digest.
func StateRoot(digest [32]byte) []byte {
	return append([]byte("\x0dic-state-root"), digest[:]...)
}

// usualBytes of a certificate without a delegation: that of a call with a short reply,
// one of a hundred thousand, has 1.2 KB.
const usualBytes = 2 << 10

// Encode is the CBOR form.
func (c *Certificate) Encode() []byte {
	fields := uint64(2)
	if c.Delegation != nil {
		fields++
	}
	out := cbor.AppendHead(cbor.AppendTag(make([]byte, 0, usualBytes)), cbor.Map, fields)
	out = c.Tree.Append(cbor.AppendText(out, "tree"))
	out = cbor.AppendBytes(cbor.AppendText(out, "signature"), c.Signature)
	if c.Delegation != nil {
		out = append(cbor.AppendText(out, "delegation"), cbor.Plain(c.Delegation)...)
	}
	return out
}

// Encode is the form in which a certificate carries it.
func (d *Delegation) Encode() []byte { return cbor.Marshal(d) }

// DecodeDelegation reads what Encode wrote.
func DecodeDelegation(raw []byte) (*Delegation, error) {
	d := new(Delegation)
	if err := cbor.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("delegation: %w", err)
	}
	return d, nil
}

// Decode reads a certificate; its tree is well formed.
func Decode(raw []byte) (*Certificate, error) {
	c := new(Certificate)
	if err := cbor.UnmarshalTree(raw, c); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if c.Tree == nil {
		return nil, errors.New("certificate: it has no tree")
	}
	return c, nil
}

// Verify checks the signature and, with a delegation, the chain up to the root
// key in DER. It says nothing about time and canister ranges.
func (c *Certificate) Verify(rootKey []byte, verify VerifyBLS) error {
	_, err := c.verify(rootKey, verify)
	return err
}

// VerifyFor is Verify for a certificate about a canister: a delegation's subnet must host it.
func (c *Certificate) VerifyFor(canister ic.CanisterID, rootKey []byte, verify VerifyBLS) error {
	d, err := c.verify(rootKey, verify)
	if err != nil || d == nil {
		return err
	}
	ranges, err := Ranges(d.Tree, c.Delegation.SubnetID)
	if err != nil {
		return fmt.Errorf("delegation: %w", err)
	}
	for _, r := range ranges {
		if r.Contains(canister) {
			return nil
		}
	}
	return fmt.Errorf("certificate is by subnet %s, which does not host canister %s", ic.Principal(c.Delegation.SubnetID), canister)
}

// VerifyForSubnet is Verify for a certificate about a subnet: a delegation's subnet must be the one.
func (c *Certificate) VerifyForSubnet(subnet ic.SubnetID, rootKey []byte, verify VerifyBLS) error {
	d, err := c.verify(rootKey, verify)
	if err == nil && d != nil && string(c.Delegation.SubnetID) != string(subnet.Principal) {
		err = fmt.Errorf("certificate is by subnet %s, not by %s", ic.Principal(c.Delegation.SubnetID), subnet)
	}
	return err
}

// verify returns the delegation's certificate, checked, if there is one.
func (c *Certificate) verify(rootKey []byte, verify VerifyBLS) (*Certificate, error) {
	key := rootKey
	var inner *Certificate
	if c.Delegation != nil {
		var err error
		if inner, err = Decode(c.Delegation.Certificate); err != nil {
			return nil, fmt.Errorf("delegation: %w", err)
		}
		if inner.Delegation != nil {
			return nil, errors.New("delegation: its certificate has a delegation of its own, only one level is allowed")
		}
		if _, err = inner.verify(rootKey, verify); err != nil {
			return nil, fmt.Errorf("delegation: %w", err)
		}
		var status hashtree.Status
		key, status = inner.Tree.Lookup(hashtree.Path{[]byte("subnet"), c.Delegation.SubnetID, []byte("public_key")})
		if status != hashtree.Found {
			return nil, fmt.Errorf("delegation: the key of subnet %s is %s in it", ic.Principal(c.Delegation.SubnetID), status)
		}
	}
	if err := verify(key, StateRoot(c.Tree.Digest()), c.Signature); err != nil {
		return nil, fmt.Errorf("signature of the certificate: %w", err)
	}
	return inner, nil
}

// Inner is the delegation's certificate, unchecked; nil without a delegation.
func (c *Certificate) Inner() (*Certificate, error) {
	if c.Delegation == nil {
		return nil, nil
	}
	return Decode(c.Delegation.Certificate)
}

// Time is the state's time at /time.
func (c *Certificate) Time() (ic.Time, error) {
	raw, status := c.Tree.Lookup(hashtree.P("time"))
	if status != hashtree.Found {
		return 0, fmt.Errorf("certificate: /time is %s in it", status)
	}
	n, ok := Natural(raw)
	if !ok {
		return 0, errors.New("certificate: /time is not a number of 64 bits")
	}
	return ic.Time(n), nil
}
