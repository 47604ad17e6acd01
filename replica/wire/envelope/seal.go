package envelope

import (
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

// Signer makes a user's signatures: the client's side of Verifier.
type Signer interface {
	// PublicKey in DER; nil for the anonymous user.
	PublicKey() []byte
	// Sign returns the signature on message.
	Sign(message []byte) ([]byte, error)
	// Delegations from the key that names the sender to PublicKey; the first one's
	// signer is root. Both are nil where the signer speaks for itself.
	Delegations() (root []byte, chain []SignedDelegation)
}

// Seal signs a request and returns its bytes and id. It sets the sender.
func Seal(c Content, by Signer) ([]byte, ic.RequestID, error) {
	key := by.PublicKey()
	w := wire{}
	if key == nil {
		c.Sender = ic.Anonymous.Bytes()
	} else {
		root, chain := by.Delegations()
		if chain == nil {
			root = key
		}
		c.Sender = ic.SelfAuthenticating(root).Bytes()
		w.PubKey, w.Delegations = root, chain
	}
	id := c.RequestID()
	if key != nil {
		sig, err := by.Sign(SignedBytes(id))
		if err != nil {
			return nil, id, err
		}
		w.Sig = sig
	}
	w.Content = cbor.Plain(contentFields(&c))
	return cbor.Marshal(w), id, nil
}

// contentFields keeps fields that are empty but required.
func contentFields(c *Content) map[string]any {
	m := map[string]any{"request_type": c.Type, "sender": c.Sender, "ingress_expiry": c.Expiry}
	if c.Nonce != nil {
		m["nonce"] = c.Nonce
	}
	if c.Type == ReadState {
		paths := c.Paths
		if paths == nil {
			paths = [][][]byte{}
		}
		m["paths"] = paths
		return m
	}
	m["canister_id"], m["method_name"], m["arg"] = orEmpty(c.Canister), c.Method, orEmpty(c.Arg)
	if c.SenderInfo != nil {
		m["sender_info"] = c.SenderInfo
	}
	return m
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
