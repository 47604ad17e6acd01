package envelope

import "ashlar/replica/ic"

// Claim is a call that somebody says its sender made: to be checked.
type Claim struct {
	Msg  *ic.Ingress
	Raw  []byte    // the envelope
	Read *Envelope // what Raw says, where that is at hand; nil: it is read again
}
