package envelope

import (
	"unicode/utf8"

	"ashlar/replica/wire/cbor"
)

// Nearly all requests have one form, with heads as short as they may be. These are read
// in one go and without a copy; all others, and all that is wrong, by the library,
// which takes five times as long. FuzzUsual holds both to the same result.

// usual reads what is left of a request.
type usual struct{ left []byte }

// head of an item of a major type: its length or value.
func (u *usual) head(major byte) (n uint64, ok bool) {
	is, n, size := cbor.ReadHead(u.left)
	if size == 0 || is != major || size != cbor.HeadBytes(n) {
		return 0, false
	}
	u.left = u.left[size:]
	return n, true
}

func (u *usual) string(major byte) (out []byte, ok bool) {
	n, ok := u.head(major)
	if !ok || n > uint64(len(u.left)) {
		return nil, false
	}
	out, u.left = u.left[:n:n], u.left[n:]
	return out, true
}

func (u *usual) blob(to *[]byte) (ok bool) {
	*to, ok = u.string(cbor.Bytes)
	return ok
}

func (u *usual) text(to *string) bool {
	b, ok := u.string(cbor.Text)
	*to = string(b)
	return ok && utf8.Valid(b)
}

func (u *usual) nat(to *uint64) (ok bool) {
	*to, ok = u.head(cbor.Nat)
	return ok
}

// fields of a map, each of them once. field reads the value, and tells of which bit the
// name is.
func (u *usual) fields(field func(name []byte) (bit uint, ok bool)) (has uint, ok bool) {
	n, ok := u.head(cbor.Map)
	for ; ok && n > 0; n-- {
		name, isText := u.string(cbor.Text)
		if !isText {
			return has, false
		}
		bit, known := field(name)
		if !known || has&bit != 0 {
			return has, false
		}
		has |= bit
	}
	return has, ok
}

// The fields of a content, as bits.
const (
	hasType uint = 1 << iota
	hasSender
	hasNonce
	hasExpiry
	hasCanister
	hasMethod
	hasArg

	hasAll = hasType | hasSender | hasExpiry | hasCanister | hasMethod | hasArg
)

func (u *usual) content(c *Content) bool {
	has, ok := u.fields(func(name []byte) (bit uint, ok bool) {
		switch string(name) {
		case "request_type":
			return hasType, u.text(&c.Type)
		case "sender":
			return hasSender, u.blob(&c.Sender)
		case "nonce":
			return hasNonce, u.blob(&c.Nonce)
		case "ingress_expiry":
			return hasExpiry, u.nat(&c.Expiry)
		case "canister_id":
			return hasCanister, u.blob(&c.Canister)
		case "method_name":
			return hasMethod, u.text(&c.Method)
		case "arg":
			return hasArg, u.blob(&c.Arg)
		}
		return 0, false
	})
	return ok && has&hasAll == hasAll && c.Type != ReadState
}

func (u *usual) delegations(to *[]SignedDelegation) bool {
	n, ok := u.head(cbor.Array)
	if !ok || n > maxDelegations {
		return false
	}
	*to = make([]SignedDelegation, n)
	for i := range *to {
		d := &(*to)[i]
		_, ok := u.fields(func(name []byte) (bit uint, ok bool) {
			switch string(name) {
			case "delegation":
				_, ok = u.fields(func(name []byte) (bit uint, ok bool) {
					switch string(name) {
					case "pubkey":
						return 1, u.blob(&d.Delegation.PubKey)
					case "expiration":
						return 2, u.nat(&d.Delegation.Expiration)
					}
					return 0, false
				})
				return 1, ok
			case "signature":
				return 2, u.blob(&d.Signature)
			}
			return 0, false
		})
		if !ok {
			return false
		}
	}
	return true
}

// readUsual reads a call or query of the usual form. ok is false for any other, and e is
// to be thrown away then. The envelope holds on to raw.
func readUsual(raw []byte) (e *Envelope, ok bool) {
	e = &Envelope{Raw: raw}
	u := &usual{cbor.TrimTag(raw)}
	const content = 1
	has, ok := u.fields(func(name []byte) (bit uint, ok bool) {
		switch string(name) {
		case "content":
			return content, u.content(&e.Content)
		case "sender_pubkey":
			return 2, u.blob(&e.PubKey)
		case "sender_sig":
			return 4, u.blob(&e.Sig)
		case "sender_delegation":
			return 8, u.delegations(&e.Delegations)
		}
		return 0, false
	})
	return e, ok && has&content != 0 && len(u.left) == 0
}
