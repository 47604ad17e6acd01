// Package ingress holds the rules that a user's message obeys on its way into a
// block and out of it.
//
//	user ── Admissible(now) ──> pool ── Admissible(block time) ──> block ── induction
//
// Checking signatures belongs to wire/envelope, keeping the pool to the node.
package ingress

import (
	"fmt"

	"ashlar/replica/ic"
)

// Limits of users' messages (https-interface.md; resource-limits.md).
const (
	// MaxTTL is how far ahead a message's expiry may lie, in ns.
	MaxTTL = 5 * 60 * 1e9
	// Drift is how much a node's clock may differ from a user's, in ns.
	Drift = 30 * 1e9
	// MaxBytes of one message, and of one on a system subnet.
	MaxBytes       = 2 << 20
	SystemMaxBytes = 7 << 19
	// MaxStatuses is how many calls' statuses a state keeps: 1000 a second for 300
	// seconds, twice.
	MaxStatuses = 600_000
	// MaxNonce is the most bytes of a nonce.
	MaxNonce = 32
)

// Admissible tells whether a message may be accepted at a time: that it has not
// expired and does not live longer than nodes remember it.
func Admissible(expiry, now ic.Time) error {
	if expiry <= now {
		return fmt.Errorf("the message expired at %d, it is %d now", expiry, now)
	}
	if expiry > now+MaxTTL+Drift {
		return fmt.Errorf("the expiry %d lies more than %d seconds ahead of %d", expiry, uint64((MaxTTL+Drift)/1e9), now)
	}
	return nil
}
