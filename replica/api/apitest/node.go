// Package apitest is a node for tests of the HTTP interface and its clients: one
// subnet whose canister answers at once.
//
//	Submit ── Hold? ──> held ── Release ──> certified state, watchers woken
//
// It has real keys and a real tree, but neither rounds nor Wasm: methods are
// "echo" (replies its argument), "reject" (IC0406), "trap" (IC0503), and "refuse"
// (not even accepted). Tests only; replica/node is the real Backend.
package apitest

import (
	"context"
	"crypto/ed25519"
	"sync"

	"ashlar/replica/api"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// Node is the backend. Set the fields before its first use.
type Node struct {
	Clock       ic.Time
	Health      string
	Hold        bool  // calls wait for Release
	SubmitError error // what Submit returns, if not nil
	QueryError  error
	Controllers []ic.Principal
	Delegated   bool // certificates are by a subnet below the root

	root, subnet *bls.SecretKey
	nodeKey      ed25519.PrivateKey

	mu       sync.Mutex
	known    map[ic.RequestID]api.Request
	answers  map[ic.RequestID]ic.Reply
	held     []*ic.Ingress
	watchers map[ic.RequestID][]chan struct{}
	state    *api.Certified
	arrived  sync.Cond
	// Submitted are the calls that came, and Queried the queries.
	Submitted []*ic.Ingress
	Queried   []*ic.Query
}

// Canister is the one canister; its public section is "candid:service", its
// private one "motoko:stable".
var Canister = ic.CanisterIDFromUint64(1)

// The canister ids of the subnet.
var ranges = []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(0xfffff)}}

// Other is a subnet that the tree knows, beside the node's own.
const Other = ic.Principal("other subnet")

// New makes a node with fresh keys. It panics without randomness.
func New(delegated bool) *Node {
	n := &Node{Clock: 1_700_000_000_000_000_000, Health: "healthy", Delegated: delegated,
		known: map[ic.RequestID]api.Request{}, answers: map[ic.RequestID]ic.Reply{}, watchers: map[ic.RequestID][]chan struct{}{}}
	n.arrived.L = &n.mu
	n.root, n.subnet = newKey(), newKey()
	if !delegated {
		n.subnet = n.root
	}
	n.nodeKey = ed25519.NewKeyFromSeed(n.root.Bytes())
	n.certify()
	return n
}

func newKey() *bls.SecretKey {
	k, err := bls.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	return k
}

func (n *Node) nodeKeyDER() []byte {
	return usersig.Ed25519Key(n.nodeKey.Public().(ed25519.PublicKey))
}

// SubnetID is that of the subnet's key.
func (n *Node) SubnetID() ic.SubnetID {
	return ic.SubnetID{Principal: ic.SelfAuthenticating(n.subnet.PublicKey().DER())}
}

// RootSubnet is the id of the root subnet, which is the same without delegation.
func (n *Node) RootSubnet() ic.SubnetID {
	return ic.SubnetID{Principal: ic.SelfAuthenticating(n.root.PublicKey().DER())}
}

// NodeID is that of the node's key.
func (n *Node) NodeID() ic.NodeID {
	return ic.NodeID{Principal: ic.SelfAuthenticating(n.nodeKeyDER())}
}

// RootKey in DER.
func (n *Node) RootKey() []byte { return n.root.PublicKey().DER() }

// Now is the Clock.
func (n *Node) Now() ic.Time { return n.Clock }

// Healthy is Health.
func (n *Node) Healthy() string { return n.Health }

// Ranges of the subnet.
func (n *Node) Ranges() []ic.CanisterRange { return ranges }

// SignResponse signs with the node's key.
func (n *Node) SignResponse(message []byte) []byte { return ed25519.Sign(n.nodeKey, message) }

// Submit answers a call, or holds it.
func (n *Node) Submit(_ context.Context, _ []byte, msg *ic.Ingress) error {
	if n.SubmitError != nil {
		return n.SubmitError
	}
	if msg.Method == "refuse" {
		return ic.Errorf(ic.CanisterRejectedMessage, "the canister refused %s", msg.Method)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Submitted = append(n.Submitted, msg)
	n.held = append(n.held, msg)
	n.arrived.Broadcast()
	if !n.Hold {
		n.release()
	}
	return nil
}

// AwaitSubmit returns once a call was submitted.
func (n *Node) AwaitSubmit(id ic.RequestID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for _, m := range n.Submitted {
			if m.ID == id {
				return
			}
		}
		n.arrived.Wait()
	}
}

// Release answers the calls that are held.
func (n *Node) Release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release()
}

// Lose what is held, and let time pass.
func (n *Node) Lose(after ic.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = nil
	n.Clock += after
	n.release()
}

func (n *Node) release() {
	for _, m := range n.held {
		n.known[m.ID] = api.Request{Sender: m.Sender, Callee: m.Canister, Effective: m.Effective}
		n.answers[m.ID] = answer(m.Method, m.Arg)
	}
	n.certifyLocked()
	for _, m := range n.held {
		for _, w := range n.watchers[m.ID] {
			close(w)
		}
		delete(n.watchers, m.ID)
	}
	n.held = nil
}

func answer(method string, arg []byte) ic.Reply {
	switch method {
	case "reject":
		return ic.Reply{Reject: ic.Errorf(ic.CanisterRejectedMessage, "rejected").Reject()}
	case "trap":
		return ic.Reply{Reject: ic.Errorf(ic.CanisterCalledTrap, "trapped").Reject()}
	}
	return ic.Reply{Data: arg}
}

// Query answers as a call would.
func (n *Node) Query(_ context.Context, q *ic.Query) (ic.Reply, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Queried = append(n.Queried, q)
	return answer(q.Method, q.Arg), n.QueryError
}

// Watch is closed by Release.
func (n *Node) Watch(id ic.RequestID) (<-chan struct{}, func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := make(chan struct{})
	if _, done := n.answers[id]; done {
		close(c)
		return c, func() {}
	}
	n.watchers[id] = append(n.watchers[id], c)
	return c, func() {}
}

// Certified is the state after the last Release.
func (n *Node) Certified() *api.Certified {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// Forget removes the state, as in a node that has none yet.
func (n *Node) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = nil
}

func (n *Node) certify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.certifyLocked()
}

func (n *Node) certifyLocked() {
	height := ic.Height(1)
	if n.state != nil {
		height = n.state.Height + 1
	}
	known := map[ic.RequestID]api.Request{}
	for id, r := range n.known {
		known[id] = r
	}
	tree := n.tree()
	n.state = &api.Certified{Height: height, Time: n.Clock, Tree: tree, Signature: n.subnet.Sign(cert.StateRoot(tree.Digest())),
		Request:  func(id ic.RequestID) (api.Request, bool) { r, ok := known[id]; return r, ok },
		Metadata: func(c ic.CanisterID, name string) (public, found bool) { return metadata(c, name) }}
	if n.Delegated {
		n.state.Delegation = n.delegation
	}
}

func metadata(c ic.CanisterID, name string) (public, found bool) {
	return name == "candid:service", c == Canister && (name == "candid:service" || name == "motoko:stable")
}

// delegation is the root subnet's certificate about the node's subnet.
func (n *Node) delegation(shards bool) []byte {
	top := dir("subnet", n.subnets(), "canister_ranges", n.shards(), "time", natural(uint64(n.Clock)))
	id := string(n.SubnetID().Principal)
	paths := []hashtree.Path{hashtree.P("time"), hashtree.P("subnet", id, "public_key"), hashtree.P("subnet", id, "type")}
	if shards {
		paths = append(paths, hashtree.P("canister_ranges", id))
	} else {
		paths = append(paths, hashtree.P("subnet", id, "canister_ranges"))
	}
	c := cert.Certificate{Tree: top.Witness(paths), Signature: n.root.Sign(cert.StateRoot(top.Digest()))}
	d := cert.Delegation{SubnetID: []byte(id), Certificate: c.Encode()}
	return d.Encode()
}
