package envelope

import (
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/reprhash"
)

// Domain separators of what users sign.
const (
	domainRequest    = "\x0aic-request"
	domainDelegation = "\x1aic-request-auth-delegation"
	domainSenderInfo = "\x0eic-sender-info"
)

// Verifier checks a user's signature of any scheme.
type Verifier interface {
	// Verify returns nil if sig is the signature on message by the public key in DER.
	Verify(key, message, sig []byte) error
	// VerifyCanister is Verify for canister signatures alone: the key must be that of signer.
	VerifyCanister(signer ic.Principal, key, message, sig []byte) error
}

// Envelope is a request with what proves its sender.
type Envelope struct {
	Content     Content
	ID          ic.RequestID
	PubKey      []byte
	Sig         []byte
	Delegations []SignedDelegation
	// Raw is the whole envelope as it came.
	Raw []byte
}

// SignedDelegation passes the right to sign on to another key.
type SignedDelegation struct {
	Delegation Delegation `cbor:"delegation"`
	Signature  []byte     `cbor:"signature"`
}

// Delegation names the key and the limits. A nil Targets is no limit.
type Delegation struct {
	PubKey      []byte   `cbor:"pubkey"`
	Expiration  uint64   `cbor:"expiration"`
	Targets     [][]byte `cbor:"targets,omitempty"`
	Permissions *string  `cbor:"permissions,omitempty"`
}

// Hash is what the delegating key signs, after the domain separator.
func (d *Delegation) Hash() [32]byte {
	var m reprhash.Map
	m.Bytes("pubkey", d.PubKey)
	m.Nat("expiration", d.Expiration)
	if d.Targets != nil {
		m.List("targets", d.Targets)
	}
	if d.Permissions != nil {
		m.Text("permissions", *d.Permissions)
	}
	return m.Sum()
}

// SignedBytes is the message under a delegation's signature.
func (d *Delegation) SignedBytes() []byte {
	h := d.Hash()
	return append([]byte(domainDelegation), h[:]...)
}

// SignedBytes is the message under a request's signature.
func SignedBytes(id ic.RequestID) []byte { return append([]byte(domainRequest), id[:]...) }

type wire struct {
	Content     cbor.Raw           `cbor:"content"`
	PubKey      []byte             `cbor:"sender_pubkey,omitempty"`
	Delegations []SignedDelegation `cbor:"sender_delegation,omitempty"`
	Sig         []byte             `cbor:"sender_sig,omitempty"`
}

// ErrSyntax is part of the error of bytes that are no CBOR, or not of an envelope's form.
var ErrSyntax = errors.New("syntax")

// Parse reads an envelope that must hold a request of the given type, and
// checks all that needs neither clock nor keys. The result holds on to raw.
func Parse(raw []byte, kind string) (*Envelope, error) {
	e, ok := readUsual(raw)
	var has *required
	if !ok {
		var err error
		if e, has, err = readAny(raw); err != nil {
			return nil, fmt.Errorf("envelope: %w", err)
		}
	}
	if err := e.Content.check(kind); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	if has != nil {
		if err := has.check(kind); err != nil {
			return nil, fmt.Errorf("envelope: %w", err)
		}
	}
	if err := e.checkChain(); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	e.ID = e.Content.RequestID()
	return e, nil
}

// readAny reads a request of any form, and tells which fields it has.
func readAny(raw []byte) (*Envelope, *required, error) {
	var w wire
	if err := cbor.Unmarshal(raw, &w); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if len(w.Content) == 0 {
		return nil, nil, errors.New("it has no content")
	}
	e, has := &Envelope{PubKey: w.PubKey, Sig: w.Sig, Delegations: w.Delegations, Raw: raw}, new(required)
	if err := cbor.Unmarshal(w.Content, has); err != nil {
		return nil, nil, fmt.Errorf("content: %w", err)
	}
	if err := cbor.Unmarshal(w.Content, &e.Content); err != nil {
		return nil, nil, fmt.Errorf("content: %w", err)
	}
	return e, has, nil
}

// checkChain checks the shape of the delegations.
func (e *Envelope) checkChain() error {
	if len(e.Delegations) > maxDelegations {
		return fmt.Errorf("chain has %d delegations, the limit is %d", len(e.Delegations), maxDelegations)
	}
	seen := map[string]bool{string(e.PubKey): true}
	for _, d := range e.Delegations {
		if seen[string(d.Delegation.PubKey)] {
			return errors.New("a public key occurs twice in the chain of delegations")
		}
		seen[string(d.Delegation.PubKey)] = true
		if len(d.Delegation.Targets) > maxTargets {
			return fmt.Errorf("a delegation has %d targets, the limit is %d", len(d.Delegation.Targets), maxTargets)
		}
		for _, t := range d.Delegation.Targets {
			if _, err := ic.PrincipalFromBytes(t); err != nil {
				return err
			}
		}
		if p := d.Delegation.Permissions; p != nil && *p != "all" && *p != "queries" {
			return fmt.Errorf("a delegation has permissions %q: only \"all\" and \"queries\" exist", *p)
		}
	}
	return nil
}

// Sender of the request.
func (e *Envelope) Sender() ic.Principal { return ic.Principal(e.Content.Sender) }

// Canister that a call or query is sent to.
func (e *Envelope) Canister() ic.CanisterID {
	return ic.CanisterID{Principal: ic.Principal(e.Content.Canister)}
}

// Ingress is the call for a batch. The caller sets Effective.
func (e *Envelope) Ingress() *ic.Ingress {
	return &ic.Ingress{ID: e.ID, Sender: e.Sender(), Canister: e.Canister(), Method: e.Content.Method, Arg: e.Content.Arg,
		Expiry: ic.Time(e.Content.Expiry), Info: e.info(), Bytes: len(e.Raw)}
}

// Query is the query for the node.
func (e *Envelope) Query() *ic.Query {
	return &ic.Query{ID: e.ID, Sender: e.Sender(), Canister: e.Canister(), Method: e.Content.Method, Arg: e.Content.Arg, Info: e.info()}
}

func (e *Envelope) info() *ic.SenderInfo {
	s := e.Content.SenderInfo
	if s == nil {
		return nil
	}
	return &ic.SenderInfo{Info: s.Info, Signer: ic.Principal(s.Signer)}
}
