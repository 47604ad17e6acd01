package envelope

import (
	"fmt"

	"ashlar/replica/ic"
)

// Targets is the set of canisters that a chain of delegations allows; nil is all.
type Targets map[ic.Principal]bool

// Allow tells whether a request may be sent to a canister.
func (t Targets) Allow(c ic.Principal) bool { return t == nil || t[c] }

// refuse makes an error whose text clients know, capitals included.
func refuse(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Authenticate checks expiry, sender and signatures at the given time. The
// texts follow those that clients recognise, such as "Invalid request expiry: ".
func (e *Envelope) Authenticate(now ic.Time, keys Verifier) (Targets, error) {
	if err := e.checkExpiry(now); err != nil {
		return nil, err
	}
	if e.Sender().IsAnonymous() {
		if e.PubKey != nil || e.Sig != nil || e.Delegations != nil {
			return nil, refuse("Signature is not allowed for the anonymous user")
		}
		if e.Content.SenderInfo != nil {
			return nil, refuse("Invalid sender info: the anonymous user has none")
		}
		return nil, nil
	}
	if e.Sig == nil || e.PubKey == nil {
		return nil, refuse("Missing signature from user: %s", e.Sender())
	}
	if ic.SelfAuthenticating(e.PubKey) != e.Sender() {
		return nil, refuse("The user id %s does not match the public key %x", e.Sender(), e.PubKey)
	}
	targets, signer, err := e.delegated(now, keys)
	if err != nil {
		return nil, err
	}
	if err := keys.Verify(signer, SignedBytes(e.ID), e.Sig); err != nil {
		return nil, refuse("Invalid signature: %w", err)
	}
	if err := e.checkInfo(keys); err != nil {
		return nil, err
	}
	if e.Content.Type != ReadState && !targets.Allow(e.Canister().Principal) {
		return nil, refuse("Canister %s is not one of the delegation targets", e.Canister())
	}
	return targets, nil
}

// checkExpiry lets anonymous queries and reads carry any expiry, so that they
// can be cached.
func (e *Envelope) checkExpiry(now ic.Time) error {
	if e.Content.Type != Call && e.Sender().IsAnonymous() {
		return nil
	}
	at := ic.Time(e.Content.Expiry)
	if at < now || at > now+MaxTTL {
		return refuse("Invalid request expiry: Specified ingress_expiry not within expected range: "+
			"Minimum allowed expiry: %d, Maximum allowed expiry: %d, Provided expiry: %d", now, now+MaxTTL, at)
	}
	return nil
}

// delegated walks down the chain to the key that signs the request.
func (e *Envelope) delegated(now ic.Time, keys Verifier) (Targets, []byte, error) {
	var targets Targets
	signer := e.PubKey
	for i := range e.Delegations {
		d := &e.Delegations[i].Delegation
		if ic.Time(d.Expiration) < now {
			return nil, nil, refuse("Invalid delegation expiry: Specified sender delegation has expired: Provided expiry: %d, Local time: %d", d.Expiration, now)
		}
		if d.Permissions != nil && *d.Permissions == "queries" && e.Content.Type == Call {
			return nil, nil, refuse("Invalid delegation: it permits queries only, not calls")
		}
		if err := keys.Verify(signer, d.SignedBytes(), e.Delegations[i].Signature); err != nil {
			return nil, nil, refuse("Invalid delegation: %w", err)
		}
		targets = targets.narrow(d.Targets)
		signer = d.PubKey
	}
	return targets, signer, nil
}

func (t Targets) narrow(to [][]byte) Targets {
	if to == nil {
		return t
	}
	out := Targets{}
	for _, b := range to {
		if p := ic.Principal(b); t.Allow(p) {
			out[p] = true
		}
	}
	return out
}

// checkInfo checks the signature that a canister made on the sender's info.
func (e *Envelope) checkInfo(keys Verifier) error {
	s := e.Content.SenderInfo
	if s == nil {
		return nil
	}
	message := append([]byte(domainSenderInfo), s.Info...)
	if err := keys.VerifyCanister(ic.Principal(s.Signer), e.PubKey, message, s.Sig); err != nil {
		return refuse("Invalid sender info: %w", err)
	}
	return nil
}
