package management

import (
	"fmt"
	"strconv"
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// This file: methods of features that this subnet does not have, and those that are
// for the network's own canisters, refused in mainnet's words.

var refused = map[string]func(x *call) *ic.UserError{
	"ecdsa_public_key": unknownKey, "sign_with_ecdsa": unknownKey, "schnorr_public_key": unknownKey, "sign_with_schnorr": unknownKey,
	"vetkd_public_key": unknownKey, "vetkd_derive_key": unknownKey,
	"http_request": noOutcalls, "flexible_http_request": noOutcalls,
	"bitcoin_get_balance": noBitcoin, "bitcoin_get_utxos": noBitcoin, "bitcoin_get_block_headers": noBitcoin,
	"bitcoin_get_current_fee_percentiles": noBitcoin, "bitcoin_send_transaction": noBitcoin,
	// The private ones.
	"bitcoin_get_successors": denied, "bitcoin_send_transaction_internal": denied,
	"setup_initial_dkg": onlyNNS, "reshare_chain_key": onlyNNS, "rename_canister": onlyNNS,
}

// notRouted is the answer to a call for which no subnet can be found: what a canister
// sees of it is that the destination is invalid.
func notRouted(method, kind, what string) *ic.UserError {
	return ic.Errorf(ic.CanisterNotFound, "Unable to route management canister request %s: %s(%s)", clip(method), kind, strconv.Quote(clip(what)))
}

func noOutcalls(*call) *ic.UserError {
	return ic.Errorf(ic.CanisterContractViolation, "This API is not enabled on this subnet")
}

func noBitcoin(*call) *ic.UserError {
	return ic.Errorf(ic.CanisterRejectedMessage, "No bitcoin integration on this subnet")
}

func denied(*call) *ic.UserError {
	return ic.Errorf(ic.CanisterRejectedMessage, "Permission denied.")
}

func onlyNNS(x *call) *ic.UserError {
	return ic.Errorf(ic.CanisterContractViolation, "%s is called by %s. It can only be called by NNS.", x.msg.Method, x.caller)
}

// keyArgs are the part of an argument that names a threshold key.
type keyArgs struct {
	Key struct {
		Curve *struct {
			candid.OneOf
			K1 *candid.Unit `candid:"secp256k1"`
			R1 *candid.Unit `candid:"secp256r1"`
			G2 *candid.Unit `candid:"bls12_381_g2"`
		} `candid:"curve"`
		Algorithm *struct {
			candid.OneOf
			BIP340  *candid.Unit `candid:"bip340secp256k1"`
			Ed25519 *candid.Unit `candid:"ed25519"`
		} `candid:"algorithm"`
		Name string `candid:"name"`
	} `candid:"key_id"`
}

// text is the key as mainnet names it: scheme, kind, name.
func (a *keyArgs) text() string {
	kind := "ecdsa:Secp256k1"
	switch c, s := a.Key.Curve, a.Key.Algorithm; {
	case c != nil && c.R1 != nil:
		kind = "ecdsa:Secp256r1"
	case c != nil && c.G2 != nil:
		kind = "vetkd:Bls12_381_G2"
	case s != nil && s.BIP340 != nil:
		kind = "schnorr:Bip340Secp256k1"
	case s != nil && s.Ed25519 != nil:
		kind = "schnorr:Ed25519"
	}
	return kind + ":" + a.Key.Name
}

// unknownKey names the key that was asked for; there is none on this network.
func unknownKey(x *call) *ic.UserError {
	var in keyArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return err
	}
	what := "Requested unknown or disabled threshold key: %s, existing enabled keys: []"
	if strings.HasSuffix(x.msg.Method, "public_key") {
		what = "Requested unknown threshold key: %s, existing keys: []"
	}
	return notRouted(x.msg.Method, "ChainKeyError", fmt.Sprintf(what, clip(in.text())))
}
