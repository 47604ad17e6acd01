package spectest

import (
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: what the management canister refuses, as a subnet without the feature
// does, and in the words that canisters know from mainnet.

type keyCurve struct {
	candid.OneOf
	K1 *candid.Unit `candid:"secp256k1"`
	R1 *candid.Unit `candid:"secp256r1"`
	G2 *candid.Unit `candid:"bls12_381_g2"`
}

type keyAlgorithm struct {
	candid.OneOf
	BIP340  *candid.Unit `candid:"bip340secp256k1"`
	Ed25519 *candid.Unit `candid:"ed25519"`
}

type curveKey struct {
	Key struct {
		Curve keyCurve `candid:"curve"`
		Name  string   `candid:"name"`
	} `candid:"key_id"`
}

type algorithmKey struct {
	Key struct {
		Algorithm keyAlgorithm `candid:"algorithm"`
		Name      string       `candid:"name"`
	} `candid:"key_id"`
}

func byCurve(c keyCurve) any {
	var k curveKey
	k.Key.Curve, k.Key.Name = c, "key_1"
	return k
}

func byAlgorithm(a keyAlgorithm) any {
	var k algorithmKey
	k.Key.Algorithm, k.Key.Name = a, "key_1"
	return k
}

// refusals: each with its reject code; all cycles come back.
func (n *net) refusals() {
	id := n.scripted(script.Options{})
	unit := &candid.Unit{}
	const unknown, disabled = "Requested unknown threshold key: ", "Requested unknown or disabled threshold key: "
	for _, c := range []struct {
		method string
		arg    any
		class  ic.RejectCode
		text   string
	}{
		{"sign_with_ecdsa", byCurve(keyCurve{K1: unit}), ic.DestinationInvalid, `Unable to route management canister request sign_with_ecdsa: ChainKeyError("` + disabled + `ecdsa:Secp256k1:key_1, existing enabled keys: []")`},
		{"sign_with_ecdsa", byCurve(keyCurve{R1: unit}), ic.DestinationInvalid, disabled + "ecdsa:Secp256r1:key_1, existing enabled keys: []"},
		{"ecdsa_public_key", byCurve(keyCurve{K1: unit}), ic.DestinationInvalid, unknown + "ecdsa:Secp256k1:key_1, existing keys: []"},
		{"sign_with_schnorr", byAlgorithm(keyAlgorithm{BIP340: unit}), ic.DestinationInvalid, disabled + "schnorr:Bip340Secp256k1:key_1"},
		{"schnorr_public_key", byAlgorithm(keyAlgorithm{Ed25519: unit}), ic.DestinationInvalid, unknown + "schnorr:Ed25519:key_1"},
		{"vetkd_derive_key", byCurve(keyCurve{G2: unit}), ic.DestinationInvalid, disabled + "vetkd:Bls12_381_G2:key_1"},
		{"vetkd_public_key", byCurve(keyCurve{G2: unit}), ic.DestinationInvalid, unknown + "vetkd:Bls12_381_G2:key_1"},
		{"http_request", idArg{id}, ic.CanisterError, "This API is not enabled on this subnet"},
		{"flexible_http_request", idArg{id}, ic.CanisterError, "This API is not enabled on this subnet"},
		{"bitcoin_get_utxos", idArg{id}, ic.CanisterReject, "No bitcoin integration on this subnet"},
		{"bitcoin_get_successors", idArg{id}, ic.CanisterReject, "Permission denied."},
		{"setup_initial_dkg", idArg{id}, ic.CanisterError, "setup_initial_dkg is called by " + id.String() + ". It can only be called by NNS."},
		{"reshare_chain_key", idArg{id}, ic.CanisterError, "It can only be called by NNS."},
		{"rename_canister", idArg{id}, ic.CanisterError, "It can only be called by NNS."},
		{"no_such_method", idArg{id}, ic.DestinationInvalid, `Unable to route management canister request no_such_method: MethodNotFound("no_such_method")`},
		{"list_canisters", idArg{id}, ic.CanisterReject, ""},
	} {
		refunded := program().AppendCycles("msg_cycles_refunded128").Then(script.Outcome())
		got, err := n.do(id, program().Call(script.Outgoing{Method: c.method, Arg: candid.Marshal(c.arg), Cycles: 1000, OnReply: replied, OnReject: refunded}))
		switch {
		case err != nil || len(got) < 24:
			n.Errorf("%s: %q, %v, want a rejection", c.method, got, err)
		case word(got) != 1000:
			n.Errorf("%s: %d of 1000 cycles come back", c.method, word(got))
		case word(got[16:]) != uint64(c.class) || !strings.Contains(string(got[24:]), c.text):
			n.Errorf("%s: rejected with %d %q, want %d %q", c.method, word(got[16:]), got[24:], c.class, c.text)
		}
	}
}
