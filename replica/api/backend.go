// Package api is the node's public HTTP interface.
package api

import (
	"context"

	"ashlar/replica/ic"
	"ashlar/replica/wire/hashtree"
)

// Backend is the node as the API sees it: replica/node implements it.
type Backend interface {
	SubnetID() ic.SubnetID
	NodeID() ic.NodeID
	// RootKey is the root subnet's BLS public key in DER.
	RootKey() []byte
	// Now is this node's clock; expiry is judged by it.
	Now() ic.Time
	// Healthy is "healthy", or the word for what the node waits for (spec: replica_health_status).
	Healthy() string
	// Ranges are the canister ids that this subnet hosts.
	Ranges() []ic.CanisterRange

	// Submit takes a checked call: runs canister_inspect_message, checks that the
	// fee can be paid, and puts it into the ingress pool. A *ic.UserError is a
	// refusal for the user; ErrBusy asks to come again.
	Submit(ctx context.Context, raw []byte, msg *ic.Ingress) error
	// Query runs a checked query on the latest certified state.
	Query(ctx context.Context, q *ic.Query) (ic.Reply, error)
	// SignResponse signs with the node's Ed25519 key, whose public half is at
	// /subnet/<id>/node/<id>/public_key.
	SignResponse(message []byte) []byte

	// Certified is the latest certified state; it never goes back.
	Certified() *Certified
	// Watch returns a channel that is closed once the request is replied or
	// rejected in a certified state, and a function that ends the watch.
	Watch(id ic.RequestID) (done <-chan struct{}, cancel func())
}

// Certified is a state's tree with the subnet's signature on its root.
type Certified struct {
	Height ic.Height
	Time   ic.Time
	Tree   *hashtree.Tree
	// Signature is the 48-byte BLS signature on "\x0Dic-state-root" and the root's digest.
	Signature []byte
	// Delegation is nil on the root subnet: CBOR of the certificate's delegation, one
	// for each of the two forms of canister ranges.
	Delegation func(newRanges bool) []byte
	// Metadata tells whether a canister has the section icp:public or icp:private name.
	Metadata func(c ic.CanisterID, name string) (public, found bool)
}
