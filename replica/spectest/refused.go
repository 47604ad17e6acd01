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
	missing, elsewhere := ic.CanisterIDFromUint64(0xffff0), ic.CanisterIDFromUint64(1<<64-1) // of this subnet, and of none
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
		{"no_such_method", idArg{id}, ic.CanisterError, "IC0536: Management canister has no method 'no_such_method'"},
		{"list_canisters", idArg{id}, ic.CanisterReject, ""},
		{"start_canister", idArg{missing}, ic.DestinationInvalid, "Canister " + missing.String() + " not found.\nCheck the ICP dashboard"},
		{"start_canister", idArg{elsewhere}, ic.DestinationInvalid, "Unable to route management canister request start_canister: SubnetNotFound(CanisterId(" + elsewhere.String() + "), StartCanister)"},
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

// unreadable: a canister's call that its own side finds fault with.
func (n *net) unreadable() {
	id := n.scripted(script.Options{})
	type versioned struct {
		ID      ic.CanisterID `candid:"canister_id"`
		Version *uint64       `candid:"sender_canister_version"`
	}
	garbage := []byte("garbage")
	wrong := uint64(666)
	for _, c := range []struct {
		method string
		arg    []byte
		class  ic.RejectCode
		text   string
	}{
		{"uninstall_code", candid.Marshal(versioned{id, &wrong}), ic.CanisterError, "IC0504: Management canister call payload includes sender canister version 666 that does not match the actual sender canister version 1."},
		{"install_code", garbage, ic.CanisterError, "IC0408: Error decoding candid: "},
		{"start_canister", garbage, ic.DestinationInvalid, `Unable to route management canister request start_canister: UserError(UserError { code: InvalidManagementPayload, description: "Error decoding candid: `},
		{"raw_rand", garbage, ic.CanisterReject, "Error decoding candid: "},
	} {
		got, err := n.do(id, program().Forwarded(script.Outgoing{To: ic.Management.Bytes(), Method: c.method, Arg: c.arg}))
		if err != nil || len(got) < 8 || word(got) != uint64(c.class) || !strings.HasPrefix(string(got[8:]), c.text) {
			n.Errorf("%s: %q, %v, want rejection %d %q", c.method, got, err, c.class, c.text)
		}
	}
	// The version is that of the message which calls, or no version at all.
	for _, v := range []*uint64{nil, new(uint64)} {
		other := n.scripted(script.Options{})
		if v != nil {
			got, err := n.do(id, program().API("canister_version").ReplyInt())
			if err != nil {
				n.Fatal(err)
			}
			*v = word(got) + 1 // that message was one, too
		}
		got, err := n.do(id, program().Forwarded(script.Outgoing{To: ic.Management.Bytes(), Method: "uninstall_code", Arg: candid.Marshal(versioned{other, v})}))
		if err != nil || len(got) < 8 || word(got) != uint64(ic.CanisterError) || !strings.Contains(string(got[8:]), "Only the controllers of the canister") {
			n.Errorf("with a version that fits: %q, %v, want to be told that it is no controller", got, err)
		}
	}
}
