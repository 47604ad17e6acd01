// Package envelope is the request that a user signs: call, query or read_state.
//
//	bytes ──Parse──> Envelope (shape, limits, request id)
//	                    │ Authenticate(now, keys): expiry, signature, delegations, sender_info
//	                    v
//	      ic.Ingress   ic.Query   Paths          and Targets, what a delegation is limited to
//
// Which canisters a request may reach is the caller's to check against Targets
// and the effective canister id. Signature schemes come in as Verifier (see
// replica/crypto/usersig). Seal makes envelopes: the client's half.
// Specification: https-interface.md, "Authentication".
package envelope

import (
	"fmt"
	"unicode/utf8"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/reprhash"
)

// The request types.
const (
	Call      = "call"
	Query     = "query"
	ReadState = "read_state"
)

// Limits of the specification and of the production network.
const (
	maxNonce       = 32    // bytes, "Authentication"
	maxPaths       = 1000  // "Request: Read state"
	maxLabels      = 127   // labels of a path, same section
	maxDelegations = 20    // "Authentication"
	maxTargets     = 1000  // canisters of a delegation, same section
	maxMethod      = 20000 // bytes of a method name, as for ic0.call_new
	// MaxTTL is how far ahead of the clock an expiry may lie: 5 minutes and the drift of a user's clock.
	MaxTTL = (5*60 + 30) * 1_000_000_000 // nanoseconds
)

// Content is what the signature covers. A field that does not belong to the
// type of the request is absent.
type Content struct {
	Type       string      `cbor:"request_type"`
	Sender     []byte      `cbor:"sender"`
	Nonce      []byte      `cbor:"nonce,omitempty"`
	Expiry     uint64      `cbor:"ingress_expiry"`
	Canister   []byte      `cbor:"canister_id,omitempty"`
	Method     string      `cbor:"method_name,omitempty"`
	Arg        []byte      `cbor:"arg,omitempty"`
	SenderInfo *SenderInfo `cbor:"sender_info,omitempty"`
	Paths      [][][]byte  `cbor:"paths,omitempty"`
}

// SenderInfo is what a canister signs about the sender.
type SenderInfo struct {
	Info   []byte `cbor:"info"`
	Signer []byte `cbor:"signer"`
	Sig    []byte `cbor:"sig"`
}

// required tells which fields a message had, since an empty blob is a value.
type required struct {
	Type     cbor.Raw `cbor:"request_type"`
	Sender   cbor.Raw `cbor:"sender"`
	Expiry   cbor.Raw `cbor:"ingress_expiry"`
	Canister cbor.Raw `cbor:"canister_id"`
	Method   cbor.Raw `cbor:"method_name"`
	Arg      cbor.Raw `cbor:"arg"`
	Paths    cbor.Raw `cbor:"paths"`
}

func (r *required) check(kind string) error {
	need := []struct {
		name string
		raw  cbor.Raw
	}{{"request_type", r.Type}, {"sender", r.Sender}, {"ingress_expiry", r.Expiry}}
	if kind == ReadState {
		need = append(need, []struct {
			name string
			raw  cbor.Raw
		}{{"paths", r.Paths}}...)
	} else {
		need = append(need, []struct {
			name string
			raw  cbor.Raw
		}{{"canister_id", r.Canister}, {"method_name", r.Method}, {"arg", r.Arg}}...)
	}
	for _, f := range need {
		if len(f.raw) == 0 {
			return fmt.Errorf("content has no field %s", f.name)
		}
	}
	return nil
}

func (c *Content) check(kind string) error {
	if c.Type != kind {
		return fmt.Errorf("request_type is %q, this endpoint takes %q", c.Type, kind)
	}
	if len(c.Nonce) > maxNonce {
		return fmt.Errorf("nonce has %d bytes, the limit is %d", len(c.Nonce), maxNonce)
	}
	principals := [][]byte{c.Sender, c.Canister}
	if c.SenderInfo != nil {
		principals = append(principals, c.SenderInfo.Signer)
	}
	for _, p := range principals {
		if _, err := ic.PrincipalFromBytes(p); err != nil {
			return err
		}
	}
	if len(c.Method) > maxMethod || !utf8.ValidString(c.Method) {
		return fmt.Errorf("method_name has %d bytes, the limit is %d", len(c.Method), maxMethod)
	}
	if len(c.Paths) > maxPaths {
		return fmt.Errorf("%d paths are requested, the limit is %d", len(c.Paths), maxPaths)
	}
	for _, p := range c.Paths {
		if len(p) > maxLabels {
			return fmt.Errorf("a path has %d labels, the limit is %d", len(p), maxLabels)
		}
	}
	return nil
}

// RequestID is the representation-independent hash of the content.
func (c *Content) RequestID() ic.RequestID {
	var m reprhash.Map
	m.Text("request_type", c.Type)
	m.Bytes("sender", c.Sender)
	m.Nat("ingress_expiry", c.Expiry)
	if c.Nonce != nil {
		m.Bytes("nonce", c.Nonce)
	}
	if c.Type == ReadState {
		m.Add("paths", reprhash.Lists(c.Paths))
		return m.Sum()
	}
	m.Bytes("canister_id", c.Canister)
	m.Text("method_name", c.Method)
	m.Bytes("arg", c.Arg)
	if s := c.SenderInfo; s != nil {
		var info reprhash.Map
		info.Bytes("info", s.Info)
		info.Bytes("signer", s.Signer)
		info.Bytes("sig", s.Sig)
		m.Add("sender_info", info.Sum())
	}
	return m.Sum()
}
