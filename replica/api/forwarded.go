package api

import (
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// NewKeys checks users' signatures. What calls of users and of peers share costs less.
func NewKeys(rootKey []byte) *usersig.Crowd {
	return &usersig.Crowd{Verifier: &usersig.Verifier{RootKey: rootKey, BLS: verifyBLS}}
}

// Forwarded checks calls that another node of the subnet accepted, or that a
// block holds, by the rules of this API: a node that lies could send anything.
// There is one result for each. It may be used by many goroutines.
func Forwarded(keys *usersig.Crowd) func(claims []envelope.Claim, now ic.Time) []error {
	return func(claims []envelope.Claim, now ic.Time) []error {
		errs, together := make([]error, len(claims)), keys.NewBatch()
		for i, c := range claims {
			together.Next()
			errs[i] = forwarded(c, now, together)
		}
		for i, err := range together.Wrong() {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}
}

func forwarded(c envelope.Claim, now ic.Time, keys envelope.Verifier) (err error) {
	e := c.Read
	if e == nil {
		if e, err = envelope.Parse(c.Raw, envelope.Call); err != nil {
			return err
		}
	}
	if _, err := e.Authenticate(now, keys); err != nil {
		return err
	}
	url, callee := c.Msg.Effective.Principal, e.Canister().Principal
	err = checkCallTarget(scope{}, url, callee, e.Content.Method, e.Content.Arg)
	if err != nil && checkCallTarget(scope{subnet: true}, url, callee, e.Content.Method, e.Content.Arg) == nil {
		return nil
	}
	return err
}
