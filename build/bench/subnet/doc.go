// Package subnet measures a subnet of real processes beside CometBFT's.
//
//	order ──> ours:     replicas ── HTTP call ──> certificate at the client
//	      └─> CometBFT: validators ── transaction ──> event of its block at the client
//
// One order is given to each side in turn: so many messages a second, or so many
// in flight; at all nodes; every message signed with Ed25519 and checked by all.
// Latency is what a client sees, CPU that of all nodes' processes together.
package subnet
