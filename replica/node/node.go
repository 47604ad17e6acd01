// Package node joins the core into one node.
//
//	Submit ──> pool ──> consensus ──Persist, synced──> batches ──> Apply ──> state h
//	                       ^                                                  │ root
//	                       └──────────────── Executed ────────────────────────┤
//	            Certified ──> view (what queries and answers see) ──> watchers│
//	                       └──> save, when the disk has time <────────────────┘
//
// Three things happen at their own pace, and Run gives each a goroutine: rounds
// of consensus (Step), execution (Execute), saving (Save). A simulation calls the
// same three in the order its seed chooses. What readers see is one pointer to an
// immutable certified state, so queries never wait for rounds.
//
// The node names the Net, Store and Clock it needs; replica/cmd/replica brings
// the real ones.
package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/messaging"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// Limits of what waits at one time.
const (
	maxUnsaved   = 500 // rounds that a crash makes us execute again, at most
	maxInspects  = 4   // calls that are inspected at once, for each processor
	maxQueries   = 2   // queries that run at once, for each processor; half as many of one canister
	maxWaiting   = 512 // queries that run or wait for their turn; half as many of one canister
	maxWatchers  = 50_000
	inboxBacklog = 1024 // artifacts from peers that wait for consensus
	history      = 1000 // heights that are kept for peers that lag, below what this node may need itself
)

// ErrBusy asks to come again: the node is starting, or has its hands full.
var ErrBusy = errors.New("the node is busy: try again in a second")

// Machine is the replicated state machine: replica/messaging.
type Machine interface {
	Apply(s *state.State, b *messaging.Batch) *state.State
	Query(s *state.State, q *ic.Query, now ic.Time, certificate func() []byte, late func() bool) *canister.Answer
	Recall(s *state.State, q *ic.Query, now ic.Time) *canister.Answer
	Inspect(s *state.State, msg *ic.Ingress, now ic.Time) *ic.UserError
}

// Store keeps blocks and state: replica/store.
type Store interface {
	// Persist writes; with sync, that and all before it is durable when it returns.
	Persist(artifacts []*block.Artifact, sync bool) error
	Flush() error // makes durable all that was written before
	Purge(below ic.Height) error
	// EachArtifact yields what was persisted of a span of heights, by height and kind.
	EachArtifact(from, to ic.Height, yield func(*block.Artifact) bool) error
	// SaveState writes a state; old is the one saved before, or that LoadState gave.
	SaveState(next, old *state.State) error
	// LoadState is the saved state, nil before the first.
	LoadState() (*state.State, error)
	Failed() <-chan struct{}
	Err() error
}

// Clock is this node's own time.
type Clock interface{ Now() ic.Time }

// Keys are the node's secrets: replica/crypto/keystore.
type Keys interface {
	consensus.Keys
	NodeID() ic.NodeID
	Share() *bls.PublicKey
}

// Config of a node.
type Config struct {
	Subnet  state.Subnet // as the registry says at Registry
	Members []consensus.Member
	Group   *bls.Group
	// Registry is the version of which the above is read.
	Registry uint64
	Genesis  ic.Time
	Keys     Keys
	Scheme   consensus.Scheme // nil: the real one
	Machine  Machine
	Store    Store
	Net      Net // nil: a one-node network
	Clock    Clock
	Pace     consensus.Pace
	Limits   ingress.Limits
	Log      func(line string)
	// Whole is how many bytes of calls go out with their block, instead of their
	// hashes: 0 for the usual, -1 for none.
	Whole int
	// Parse reads an envelope of a final block, checked before.
	Parse func(raw []byte) (*ic.Ingress, error)
	// Check tells whether an envelope, parsed as msg, is its sender's and may go to
	// msg.Effective, at a time: for calls that come by way of a peer. Many
	// goroutines call it.
	Check func(msg *ic.Ingress, raw []byte, now ic.Time) error
}

// Node is one member of a subnet.
type Node struct {
	Config
	core *consensus.Core // used by Step alone
	wake ic.Time         // when Step wants a Tick; 0: not by itself
	pull pull            // used by Step alone
	read *reader

	drafts drafts // used by Step alone

	mu          sync.Mutex
	pool        *ingress.Pool
	batches     []consensus.Deliver         // final, not executed
	results     []consensus.Executed        // executed, not yet told to consensus
	answers     []answer                    // of peers, not yet read by Step
	callAnswers []answer                    // the same, for drafts
	blocks      map[block.Hash]*block.Block // new ones, whose calls peers may ask for
	states      map[ic.Height]*state.State  // executed, not certified
	saved       ic.Height                   // told by Save, not yet to consensus
	halted      error

	tip    *state.State                // used by Execute alone
	latest atomic.Pointer[state.State] // tip, for others
	disk   *state.State                // used by Save alone: what the store has
	onDisk atomic.Uint64               // its height
	loose  atomic.Bool                 // artifacts are written and not durable
	view   atomic.Pointer[View]
	floor  ic.Height // no view below: readers may have seen it before a crash

	ready    chan struct{}
	watchers *watchers
	inspects chan struct{}
	queries  *turns
	queried  queried
	inbox    chan parcel
	kick     chan struct{} // something for Step
	work     chan struct{} // something for Execute
	dirty    chan struct{} // something for Save
	metrics  counters
}

// New opens a node on what its store has: a saved state and the blocks above it.
func New(cfg Config) (*Node, error) {
	n := &Node{Config: cfg, pool: ingress.New(cfg.Limits), states: map[ic.Height]*state.State{}, blocks: map[block.Hash]*block.Block{}, watchers: newWatchers(), ready: make(chan struct{}),
		inspects: make(chan struct{}, maxInspects*runtime.GOMAXPROCS(0)), queries: newTurns(maxQueries*runtime.GOMAXPROCS(0), maxQueries*runtime.GOMAXPROCS(0)/2, maxWaiting, maxWaiting/2),
		inbox: make(chan parcel, inboxBacklog), kick: make(chan struct{}, 1), work: make(chan struct{}, 1), dirty: make(chan struct{}, 1)}
	n.pull, n.read = newPull(), newReader()
	if n.Whole == 0 {
		n.Whole = wholeBytes
	}
	if n.Log == nil {
		n.Log = func(string) {}
	}
	index := -1
	for i, m := range cfg.Members {
		if m.Node == cfg.Keys.NodeID() {
			index = i
		}
	}
	if index < 0 {
		return nil, fmt.Errorf("this node (%s) is no member of subnet %s at registry version %d", cfg.Keys.NodeID(), cfg.Subnet.ID, cfg.Registry)
	}
	if !cfg.Keys.Share().Equal(cfg.Group.Holders[index]) {
		return nil, fmt.Errorf("the key share of this node is not the one that the registry names: keys and registry belong to different networks\n  restore both from the same backup")
	}
	if err := n.load(); err != nil {
		return nil, err
	}
	artifacts, err := n.restored()
	if err != nil {
		return nil, err
	}
	n.core, err = consensus.New(consensus.Config{
		Subnet: cfg.Subnet.ID, Self: index, Members: cfg.Members, Random: cfg.Group, State: cfg.Group,
		Keys: cfg.Keys, Scheme: cfg.Scheme, Payload: (*payload)(n), Pace: cfg.Pace, Registry: cfg.Registry, Genesis: cfg.Genesis,
		Saved: n.tip.Height(), Restored: artifacts,
	})
	if err != nil {
		return nil, err
	}
	n.floor = n.core.Whole()
	if behind := n.floor - n.tip.Height(); behind > 0 {
		n.Log(fmt.Sprintf("state of height %d is saved, %d rounds are executed again", n.tip.Height(), behind))
	}
	n.latest.Store(n.tip)
	n.onDisk.Store(uint64(n.tip.Height()))
	// The saved state gets its certificate back first: the store has it, or it is made again.
	n.states[n.tip.Height()] = n.tip
	n.results = append(n.results, n.executed(n.tip))
	return n, nil
}

// restored are the artifacts that consensus may still need; below are those kept for peers.
func (n *Node) restored() (out []*block.Artifact, err error) {
	from := n.tip.Height() - min(n.tip.Height(), 2*maxSpan)
	err = n.Store.EachArtifact(from, ^ic.Height(0), func(a *block.Artifact) bool {
		out = append(out, a)
		return true
	})
	return out, err
}

// load finds the saved state, or makes the one at height 0.
func (n *Node) load() (err error) {
	if n.tip, err = n.Store.LoadState(); err != nil {
		return err
	}
	if n.disk = n.tip; n.tip == nil {
		n.tip = state.New(state.Genesis{Subnet: n.Subnet, Time: n.Genesis})
	}
	return nil
}

// Ready is closed at the first certified state with a block of this or an earlier life.
func (n *Node) Ready() <-chan struct{} { return n.ready }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// SubnetID, NodeID, RootKey, Ranges and Now are the node's constants and clock.
func (n *Node) SubnetID() ic.SubnetID { return n.Config.Subnet.ID }

// NodeID is this node's.
func (n *Node) NodeID() ic.NodeID { return n.Keys.NodeID() }

// RootKey is the root subnet's BLS public key in DER.
func (n *Node) RootKey() []byte { return n.Config.Subnet.RootKey }

// Ranges are the canister ids that this subnet hosts.
func (n *Node) Ranges() []ic.CanisterRange { return n.Config.Subnet.Ranges }

// Now is this node's clock.
func (n *Node) Now() ic.Time { return n.Clock.Now() }

// Healthy is "healthy", or what the node waits for.
func (n *Node) Healthy() string {
	switch v := n.view.Load(); {
	case n.Halted() != nil:
		return "halted"
	case v == nil:
		return "waiting_for_certified_state"
	case v.Height == 0:
		return "waiting_for_first_block"
	}
	return "healthy"
}

// Halted is why the node stopped by itself, nil as long as it did not.
func (n *Node) Halted() error {
	if err := n.Store.Err(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.halted
}

// SignResponse signs with the node's Ed25519 key.
func (n *Node) SignResponse(message []byte) []byte { return n.Keys.Vote(message) }

// Submit takes a call whose envelope was checked into the pool.
func (n *Node) Submit(ctx context.Context, raw []byte, msg *ic.Ingress) error {
	v := n.view.Load()
	if v == nil {
		return ErrBusy
	}
	if v.State.Status(msg.ID) != nil {
		return nil // known already: its answer is, or will be, at read_state
	}
	select {
	case n.inspects <- struct{}{}:
		defer func() { <-n.inspects }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := n.Machine.Inspect(v.State, msg, n.Clock.Now()); err != nil {
		n.metrics.refused.Add(1)
		return err
	}
	call := envelope(msg.Effective, raw)
	n.read.remember(call, msg)
	n.mu.Lock()
	err := n.pool.Add(ingress.Message{ID: msg.ID, Sender: msg.Sender, Expiry: msg.Expiry, Raw: call}, n.Clock.Now())
	n.mu.Unlock()
	if errors.Is(err, ingress.ErrFull) {
		n.metrics.busy.Add(1)
		return ErrBusy
	}
	if err == nil {
		n.metrics.submitted.Add(1)
		if n.Net != nil {
			n.Net.Gossip(call)
		}
		poke(n.kick)
	}
	return err
}
