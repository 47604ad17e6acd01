package spectest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// This file: index.md, "Signatures": those of authenticators and of canisters, and
// what a canister attests of a sender.

// signer signs as its function does.
type signer struct {
	key  []byte // DER
	sign func(message []byte) ([]byte, error)
}

func (s signer) PublicKey() []byte                                  { return s.key }
func (s signer) Sign(message []byte) ([]byte, error)                { return s.sign(message) }
func (s signer) Delegations() ([]byte, []envelope.SignedDelegation) { return nil, nil }

// publicKey is the DER form of a key that has no other: OID 1.3.6.1.4.1.56387.1.KIND.
func publicKey(kind int, key []byte) []byte {
	type algorithm struct{ OID asn1.ObjectIdentifier }
	return must(asn1.Marshal(struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{algorithm{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 56387, 1, kind}}, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}}))
}

// authenticator is what a browser gets from a security key.
func authenticator(cose map[int]any, sign func(message []byte) []byte) signer {
	return signer{publicKey(1, cbor.Plain(cose)), func(message []byte) ([]byte, error) {
		client := fmt.Sprintf(`{"type":"webauthn.get","challenge":%q,"origin":"https://spec.test"}`, base64.RawURLEncoding.EncodeToString(message))
		data, hash := bytes.Repeat([]byte{7}, 37), sha256.Sum256([]byte(client))
		return cbor.Marshal(struct {
			Data      []byte `cbor:"authenticator_data"`
			Client    string `cbor:"client_data_json"`
			Signature []byte `cbor:"signature"`
		}{data, client, sign(append(bytes.Clone(data), hash[:]...))}), nil
	}}
}

// canisterSigner signs by what canister id certifies.
func (n *net) canisterSigner(id ic.CanisterID, seed []byte) signer {
	key := append(append([]byte{byte(len(id.Principal))}, id.Principal...), seed...)
	return signer{publicKey(2, key), func(message []byte) ([]byte, error) {
		one := func(label string, sub *hashtree.Tree) *hashtree.Tree { return hashtree.NewLabeled([]byte(label), sub) }
		who, what := sha256.Sum256(seed), sha256.Sum256(message)
		tree := one("sig", one(string(who[:]), one(string(what[:]), hashtree.NewLeaf(nil))))
		root := tree.Digest()
		if _, err := n.do(id, program().Blob(root[:]).API("certified_data_set").Then(replied)); err != nil {
			return nil, err
		}
		certificate, err := n.ask(id, program().ReplyCopied("data_certificate"))
		return cbor.Marshal(struct {
			Certificate []byte         `cbor:"certificate"`
			Tree        *hashtree.Tree `cbor:"tree"`
		}{certificate, tree}), err
	}}
}

// signatures of the schemes that clients in browsers use.
func (n *net) signatures() {
	id := n.scripted(script.Options{})
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	point := must(ec.PublicKey.Bytes())
	rs := must(rsa.GenerateKey(rand.Reader, 2048))
	ed := ed25519.NewKeyFromSeed(key(9))
	hashed := func(m []byte) []byte { h := sha256.Sum256(m); return h[:] }
	identity := n.scripted(script.Options{})
	byCanister := n.canisterSigner(identity, []byte("a seed"))
	for name, by := range map[string]signer{
		"WebAuthn, ES256": authenticator(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}, func(m []byte) []byte {
			return must(ecdsa.SignASN1(rand.Reader, ec, hashed(m)))
		}),
		"WebAuthn, RS256": authenticator(map[int]any{1: 3, 3: -257, -1: rs.N.Bytes(), -2: []byte{1, 0, 1}}, func(m []byte) []byte {
			return must(rsa.SignPKCS1v15(rand.Reader, rs, crypto.SHA256, hashed(m)))
		}),
		"WebAuthn, EdDSA":                 authenticator(map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(ed.Public().(ed25519.PublicKey))}, func(m []byte) []byte { return ed25519.Sign(ed, m) }),
		"a canister":                      byCanister,
		"a canister, with no seed":        n.canisterSigner(identity, nil),
		"a canister, for another session": byCanister,
	} {
		user := n.as(by)
		if name == "a canister, for another session" {
			user = n.as(n.session(by))
		}
		got, err := user.do(id, program().ReplyCopied("msg_caller"))
		n.says("a call by "+name, agent.PrincipalOf(by).Bytes(), got, err)
		got, err = user.ask(id, program().ReplyCopied("msg_caller"))
		n.says("a query by "+name, agent.PrincipalOf(by).Bytes(), got, err)
		other := by
		other.sign = func(message []byte) ([]byte, error) { return by.sign(append(message, 0)) }
		_, err = n.as(other).do(id, replied)
		n.refused("a signature on something else, by "+name, err, http.StatusBadRequest)
	}
	n.attested(id, identity, byCanister)
}

// session is a key for an hour that by delegates to.
func (n *net) session(by signer) envelope.Signer {
	n.Helper()
	session := must(agent.Ed25519(key(77)))
	d := envelope.Delegation{PubKey: session.PublicKey(), Expiration: uint64(time.Now().Add(time.Hour).UnixNano())}
	sig, err := by.Sign(d.SignedBytes())
	if err != nil {
		n.Fatal(err)
	}
	return agent.Delegated{Identity: session, Root: by.PublicKey(), Chain: []envelope.SignedDelegation{{Delegation: d, Signature: sig}}}
}

// attested: sender_info reaches the callee, and only as its canister has signed it.
func (n *net) attested(id, identity ic.CanisterID, by signer) {
	info := []byte("name: somebody")
	sig, err := by.Sign(append([]byte("\x0eic-sender-info"), info...))
	if err != nil {
		n.Fatal(err)
	}
	user := n.as(n.session(by))
	plain := user.agent
	user.agent = plain.Saying(&envelope.SenderInfo{Info: info, Signer: identity.Bytes(), Sig: sig})
	tell := program().AppendCopied("msg_caller_info_data").ReplyCopied("msg_caller_info_signer")
	want := append(bytes.Clone(info), identity.Bytes()...)
	got, err := user.do(id, tell)
	n.says("a call with sender_info", want, got, err)
	got, err = user.ask(id, tell)
	n.says("a query with sender_info", want, got, err)
	// In the callback of its own call it is still the first sender's; the callee does not see it.
	got, err = user.do(id, callback(id, "do", tell, tell.Then(nil), nil, nil))
	n.says("a callback", want, got, err)
	got, err = user.do(id, program().Forwarded(script.Outgoing{To: id.Bytes(), Method: "do", Arg: tell}))
	n.says("a canister's call", nil, got, err)
	for what, bad := range map[string]envelope.SenderInfo{
		"changed info":     {Info: []byte("name: another"), Signer: identity.Bytes(), Sig: sig},
		"another signer":   {Info: info, Signer: id.Bytes(), Sig: sig},
		"a foreign signer": {Info: info, Signer: ic.CanisterIDFromUint64(0xffff0).Bytes(), Sig: sig},
		"no signature":     {Info: info, Signer: identity.Bytes(), Sig: []byte{}},
	} {
		user.agent = plain.Saying(&bad)
		_, err := user.do(id, tell)
		n.refused("sender_info with "+what, err, http.StatusBadRequest)
	}
}
