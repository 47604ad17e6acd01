// Package api is the node's public HTTP interface.
//
//	client ── cors ── limits ── envelope.Parse, Authenticate ── effective id ─┬─ call ─────── Backend.Submit, Watch
//	                                                                          ├─ query ────── Backend.Query, SignResponse
//	                                                                          └─ read_state ─ Certified.Tree.Witness
//
// New returns the handler, Run serves it until its context ends. Whatever a
// client sends costs bounded time and memory; see Limits. What runs and
// certifies is the Backend's. Specification: https-interface.md; implementation
// details of errors follow what agents know (docs of each handler).
package api

import (
	"context"
	"errors"

	"ashlar/replica/ic"
	"ashlar/replica/wire/hashtree"
)

// ErrBusy is Submit's and Query's answer when a queue is full: come again later.
var ErrBusy = errors.New("too many requests are under way, try again later")

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
	// Request tells who sent a request whose status the state holds. Without it the
	// API refuses to show the status of any request.
	Request func(id ic.RequestID) (r Request, found bool)
	// Metadata tells whether a canister has the section icp:public or icp:private name.
	Metadata func(c ic.CanisterID, name string) (public, found bool)
}

// Request is what read_state must know of a request to show its status.
type Request struct {
	Sender ic.Principal
	// Callee is the canister that was called, Effective the id in the URL of the call.
	Callee, Effective ic.CanisterID
}
