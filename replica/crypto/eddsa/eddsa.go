// Package eddsa checks Ed25519 signatures by the rules of ZIP 215.
//
// RFC 8032 leaves open which of some odd keys and signatures are valid, and
// libraries differ. All nodes of a subnet must agree, and the Internet Computer's
// rule is ZIP 215's: the equation with the cofactor, points in any encoding, s
// below the order of the group. For whoever signs honestly there is no difference.
// It is also what allows checking many at once, and this implementation takes two
// thirds of the standard library's time. Signing stays with crypto/ed25519.
package eddsa

import (
	"crypto/ed25519"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

var rules = &voi.Options{Verify: voi.VerifyOptionsZIP_215}

// Verify checks a signature. Keys and signatures of a wrong length are wrong.
func Verify(key ed25519.PublicKey, message, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && len(sig) == ed25519.SignatureSize && voi.VerifyWithOptions(voi.PublicKey(key), message, sig, rules)
}
