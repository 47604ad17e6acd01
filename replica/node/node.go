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
	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/messaging"
	"ashlar/replica/node/join"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/envelope"
)

// Limits of what waits at one time.
const (
	maxUnsaved   = 500 // rounds that a crash makes us execute again, at most
	maxInspects  = 4   // calls that are inspected at once, for each processor
	maxQueries   = 2   // queries that run at once, for each processor; half as many of one canister
	maxWaiting   = 512 // queries that run or wait for their turn; half as many of one canister
	maxWatchers  = 50_000
	inboxBacklog = 1024 // artifacts from peers that wait for consensus
	history      = 50   // heights below the catch-up package that are kept for peers that lag a little (replica.md B.4)
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
	// Begin, Persist and CUP of the package to begin with: replica/store says what they mean.
	Begin(cup *block.Artifact, all bool) error
	CUP() (cup *block.Artifact, waits bool, err error)
	// Forgot is when the node lost what it had signed before, 0: never.
	Forgot() (ic.Time, error)
	SetForgot(at ic.Time) error
	// Checkpoint keeps the saved state until it is dropped, for peers that begin with it.
	Checkpoint() error
	HasCheckpoint(ic.Height) bool
	OpenCheckpoint(ic.Height) (*state.Lease, error)
	DropCheckpoints(below ic.Height) error
	Failed() <-chan struct{}
	Err() error
}

// Clock is this node's own time.
type Clock interface{ Now() ic.Time }

// Keys are the node's secrets: FileKeys.
type Keys interface {
	consensus.Keys
	NodeID() ic.NodeID
	// MarkUsed notes durably that this node signs from now on, and Used tells whether it
	// may have signed before.
	MarkUsed() error
	Used() bool
	// Keep returns once this node's shares of these keys are durable, and no others are
	// kept; lost says of a share that can not be had.
	Keep(keys []consensus.Key) (lost, err error)
}

// Config of a node.
type Config struct {
	Subnet state.Subnet // of the state at height 0: its nodes are those of Start
	// Start is the catch-up package of the registry: of genesis, or of the last recovery.
	Start    *block.Artifact
	Version  string // of this replica; "": whatever the subnet runs
	Registry consensus.Registry
	Keys     Keys
	Scheme   consensus.Scheme // nil: the real one
	Machine  Machine
	Store    Store
	Net      Net        // nil: a one-node network
	Stage    join.Stage // of the store, for states of peers; nil: a node that lags too far can not come back
	Clock    Clock
	Pace     consensus.Pace
	Limits   ingress.Limits
	Log      func(line string)
	// Whole is how many bytes of calls go out with their block, instead of their
	// hashes: 0 for the usual, -1 for none.
	Whole int
	// Parse reads an envelope; nothing is checked of who made it. The second result is
	// for Check, and may be nil.
	Parse func(raw []byte) (*ic.Ingress, *envelope.Envelope, error)
	// Check tells of each claim whether it is its sender's and may go to its
	// Msg.Effective, at a time: for calls that come by way of a peer. Many
	// goroutines call it.
	Check func(claims []envelope.Claim, now ic.Time) []error
}

// Node is one member of a subnet.
type Node struct {
	Config
	core  *consensus.Core // used by Step alone; nil: there is no state to begin with
	cup   *block.Artifact // that core began with
	began *block.Artifact // the same, for other goroutines: never changed
	high  consensus.Key   // the subnet's
	wake  ic.Time         // when Step wants a Tick; 0: not by itself
	pull  pull            // used by Step alone

	leaving *leaving // written by Step alone, with mu held; nil: it does not
	read    *reader

	drafts drafts // used by Step alone

	mu          sync.Mutex
	pool        *ingress.Pool
	batches     []consensus.Deliver  // final, not executed
	results     []consensus.Executed // executed, not yet told to consensus
	chores      []func()             // for Labor
	done        []consensus.Done     // by it
	wanted      map[ic.Height]*block.Artifact
	adopted     *state.State
	newest      *block.Artifact            // package that was reached
	packed      map[ic.Height]*state.State // of it, and of summaries above it
	outdated    ic.Height                  // checkpoints below are to be dropped; 0: none
	failed      error
	answers     []answer                    // of peers, not yet read by Step
	callAnswers []answer                    // the same, for drafts
	blocks      map[block.Hash]*block.Block // new ones, whose calls peers may ask for
	states      map[ic.Height]*state.State  // executed, not certified
	saved       ic.Height                   // told by Save, not yet to consensus
	halted      error

	applying sync.Mutex // held by Execute, and by saving Save: a jump holds both
	saving   sync.Mutex
	tip      *state.State                // used by Execute alone
	latest   atomic.Pointer[state.State] // tip, for others
	disk     *state.State                // used by Save alone: what the store has
	onDisk   atomic.Uint64               // its height
	since    atomic.Uint64               // see Since
	loose    atomic.Bool                 // artifacts are written and not durable
	view     atomic.Pointer[View]
	vouched  atomic.Pointer[state.State] // by a catch-up package: to be saved, not to be shown
	floor    ic.Height                   // no view below: readers may have seen it before a crash

	ready    chan struct{}
	watchers *watchers
	inspects chan struct{}
	queries  *turns
	queried  queried
	inbox    chan parcel
	kick     chan struct{} // something for Step
	work     chan struct{} // something for Execute
	dirty    chan struct{} // something for Save
	toil     chan struct{} // something for Labor
	source   *join.Source  // of states for peers
	fetch    *join.Fetch   // of their states; nil: none
	metrics  counters
	timeline *timeline
}

// New opens a node on what its store has: a saved state and the blocks above it.
func New(cfg Config) (*Node, error) {
	n := &Node{Config: cfg, pool: ingress.New(cfg.Limits), blocks: map[block.Hash]*block.Block{}, watchers: newWatchers(), timeline: newTimeline(), ready: make(chan struct{}),
		wanted: map[ic.Height]*block.Artifact{}, packed: map[ic.Height]*state.State{},
		inspects: make(chan struct{}, maxInspects*runtime.GOMAXPROCS(0)), queries: newTurns(maxQueries*runtime.GOMAXPROCS(0), maxQueries*runtime.GOMAXPROCS(0)/2, maxWaiting, maxWaiting/2),
		inbox: make(chan parcel, inboxBacklog), kick: make(chan struct{}, 1), work: make(chan struct{}, 1), dirty: make(chan struct{}, 1), toil: make(chan struct{}, 1)}
	n.pull, n.read = newPull(), newReader()
	if n.Whole == 0 {
		n.Whole = wholeBytes
	}
	if n.Log == nil {
		n.Log = func(string) {}
	}
	n.source = join.NewSource(n.Log)
	n.makeFetch()
	if n.Scheme == nil {
		n.Scheme = consensus.Real{}
	}
	if n.Start == nil {
		return nil, errors.New("the registry names no catch-up package for this subnet to begin with")
	}
	cup, fresh, err := n.beginning()
	if err != nil {
		return nil, err
	}
	summary, err := block.DecodeSummary(cup.Block.Section(block.SummarySection))
	if err != nil {
		return nil, err
	}
	if n.high, err = n.Scheme.Key(summary.Current.High); err != nil {
		return nil, err
	}
	s, err := n.load(cup, summary, fresh)
	if err != nil {
		return nil, err
	}
	n.cup, n.began = cup, cup
	n.since.Store(summary.Current.Registry)
	for _, m := range summary.Current.Members {
		n.pull.known = append(n.pull.known, m.Node)
	}
	if s == nil && cup != n.Start && !consensus.Belongs(n.Registry, n.NodeID(), summary) { // it left, before it had saved the last state
		return nil, n.gone(cup)
	}
	if s == nil {
		n.Log(fmt.Sprintf("no state to begin with: waiting for that of height %d or a later one", cup.Height))
		if cup.Height > 0 {
			n.behind(cup)
		}
		return n, nil
	}
	if err := n.start(cup, s); err != nil {
		return nil, err
	}
	if (fresh || len(cup.Signature) == 0) && !n.core.Belongs(summary) { // it never was a member, or nobody needs it any more
		return nil, n.gone(cup)
	}
	if fresh {
		if err := n.Store.Persist([]*block.Artifact{cup}, true); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// start consensus with a package and a state not older than it.
func (n *Node) start(cup *block.Artifact, s *state.State) error {
	artifacts, err := n.restored(cup.Height, s.Height())
	if err != nil {
		return err
	}
	forgot, err := n.Store.Forgot()
	if err != nil {
		return err
	}
	if err := n.Keys.MarkUsed(); err != nil {
		return err
	}
	n.core, err = consensus.New(consensus.Config{
		Subnet: n.Config.Subnet.ID, Node: n.NodeID(), Start: cup, Version: n.Version, Registry: n.Registry,
		Keys: n.Keys, Scheme: n.Scheme, Payload: (*payload)(n), Pace: n.Pace, Saved: s.Height(), Restored: artifacts, Forgot: forgot,
	})
	if err != nil {
		return err
	}
	n.cup, n.tip, n.floor = cup, s, n.core.Whole()
	if behind := n.floor - s.Height(); behind > 0 {
		n.Log(fmt.Sprintf("state of height %d is saved, %d rounds are executed again", s.Height(), behind))
	}
	n.latest.Store(s)
	if err := n.checkpoint(cup.Height); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onDisk.Store(uint64(s.Height()))
	n.newest, n.batches, n.saved = cup, nil, 0
	clear(n.packed)
	if s.Height() == cup.Height {
		n.packed[s.Height()] = s
	}
	n.offer(cup.Height)
	// The saved state gets its certificate back first: the store has it, or it is made again.
	n.states = map[ic.Height]*state.State{s.Height(): s}
	n.results = []consensus.Executed{n.executed(s)}
	return nil
}

// restored are the artifacts that consensus may still need. What it signed at heights
// that are executed by now is of no use, except for the newest; of their blocks only
// what they say of keys.
func (n *Node) restored(cup, saved ic.Height) (out []*block.Artifact, err error) {
	recent := saved - min(saved, 2*maxSpan)
	err = n.Store.EachArtifact(cup, ^ic.Height(0), func(a *block.Artifact) bool {
		if a.Height < recent {
			if a.Kind != block.Proposal && a.Kind != block.Finalization && (a.Kind != block.Certification || a.Height != cup) {
				return true
			}
			if a.Kind == block.Proposal {
				light := *a.Block
				light.Ingress = nil
				a.Block = &light
			}
		}
		out = append(out, a)
		return true
	})
	return out, err
}

// load the state to begin with; nil where there is none that fits the package.
func (n *Node) load(cup *block.Artifact, summary *block.Summary, fresh bool) (*state.State, error) {
	s, err := n.Store.LoadState()
	if err != nil {
		return nil, err
	}
	if s == nil {
		if cup.Height > 0 {
			return nil, nil
		}
		subnet := n.Config.Subnet
		subnet.Nodes = nodesOf(summary.Current.Members)
		return state.New(state.Genesis{Subnet: subnet, Time: cup.Block.Time}), nil
	}
	n.disk = s
	if !fresh && s.Height() >= cup.Height || fits(s, cup) {
		return s, nil
	}
	return nil, nil
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
	call := callOf(msg.Effective, raw)
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
