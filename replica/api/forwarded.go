package api

import (
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// Forwarded checks calls that another node of the subnet accepted, or that a
// block holds, by the rules of this API: a node that lies could send anything.
// The result may be used by many goroutines.
func Forwarded(rootKey []byte) func(msg *ic.Ingress, raw []byte, now ic.Time) error {
	keys := &usersig.Verifier{RootKey: rootKey, BLS: verifyBLS}
	return func(msg *ic.Ingress, raw []byte, now ic.Time) error {
		e, err := envelope.Parse(raw, envelope.Call)
		if err != nil {
			return err
		}
		if _, err := e.Authenticate(now, keys); err != nil {
			return err
		}
		url, callee := msg.Effective.Principal, e.Canister().Principal
		err = checkCallTarget(scope{}, url, callee, e.Content.Method, e.Content.Arg)
		if err != nil && checkCallTarget(scope{subnet: true}, url, callee, e.Content.Method, e.Content.Arg) == nil {
			return nil
		}
		return err
	}
}
