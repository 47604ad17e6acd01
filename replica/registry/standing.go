package registry

import "ashlar/replica/ic"

// StandingPath is where a node says where it is.
const StandingPath = "/_/standing"

// Standing of a node, as JSON: what a recovery is made of (admin.Recover).
type Standing struct {
	Node      string    `json:"node"`
	Version   uint64    `json:"version"` // of the registry
	Height    ic.Height `json:"height"`  // of its newest state, 0: none
	Root      []byte    `json:"root"`    // of that state, 32 bytes
	Time      ic.Time   `json:"time"`    // of that state
	Certified ic.Height `json:"certified"`
	Forgot    ic.Time   `json:"forgot,omitempty"`  // when the node lost what it had signed
	Package   []byte    `json:"package,omitempty"` // the newest catch-up package, as replica/wire/block encodes it
}
