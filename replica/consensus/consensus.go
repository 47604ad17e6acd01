// Package consensus agrees on the next batch: a pure function from events to
// effects, of which a one-node network is the case n = 1.
//
//	beacon h-1 ──ranks──> proposal h ──> notarization h ──> (round h+1 begins)
//	                                          └──> finalization h ──> tape h ──> Deliver
//	Executed(h, root) ──> certification share ──> Certified(h)
//
// The protocol is the Internet Computer's (replica.md B.1, B.2): a random beacon
// ranks the block makers; committee members notarize the best-ranked block they
// see, and finalize it if they notarized nothing else at its height. Two things
// differ: rounds are responsive (a rank-0 block is made at once when there is
// something to put in, and notarized at once; only higher ranks wait), and
// notarizations and finalizations are lists of Ed25519 signatures: nobody outside
// of the subnet reads them, and each saves two pairings (crypto.md 1). Beacon,
// tape and certification are threshold BLS.
//
// The caller does, for each Step: publish Certified, make every Persist durable,
// and only then Send and Deliver. After a crash it hands back what it persisted,
// so that a node never signs two blocks of one height.
//
// Left to others so far: distributed key generation, catch-up packages, changes
// of membership.
package consensus

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Bounds that are the same for all.
const (
	maxAhead    = 70          // rounds that may be notarized and not yet certified (replica.md B.2)
	keep        = 50          // finalized heights kept below the saved state, for peers that lag
	maxDrift    = 30 * second // of a peer's clock before ours
	backlogStep = 4           // rounds of backlog after which a lone maker stops making blocks at all
)

// Spans of time.
const (
	millisecond ic.Time = 1e6
	second              = 1000 * millisecond
)

// Pace is how fast rounds go, in spans of time; each has its reason in DefaultPace.
type Pace struct {
	Idle ic.Time // between blocks when there is nothing to do
	Busy ic.Time // when canisters have work left and no user waits
	Rank ic.Time // that each further block maker waits
}

// DefaultPace: an idle round costs about 2 ms of processor time, mostly three BLS
// signatures, and ten times that on an emulated machine. Twice a second is half
// a percent (five, emulated) and is as often as timers and heartbeats run on mainnet.
var DefaultPace = Pace{Idle: 500 * millisecond, Busy: 10 * millisecond, Rank: second}

// Member of the subnet; its place in Config.Members is its index everywhere.
type Member struct {
	Node ic.NodeID
	Key  ed25519.PublicKey
}

// Keys are this node's secrets.
type Keys interface {
	Vote(message []byte) []byte        // Ed25519
	RandomShare(message []byte) []byte // BLS share of Config.Random
	StateShare(message []byte) []byte  // BLS share of Config.State
}

// Payload fills blocks and judges those of others. ancestors yields the blocks
// before it that are not yet executed, youngest first.
type Payload interface {
	Waiting() bool
	Build(at ic.Time, ancestors func(yield func(*block.Block) bool)) [][]byte
	// Sections of a block that this node makes, besides its calls.
	Sections(ancestors func(yield func(*block.Block) bool)) []block.Section
	// Validate returns ErrNotYet for what may become valid.
	Validate(b *block.Block, ancestors func(yield func(*block.Block) bool)) error
}

// ErrNotYet is the answer to a block that cannot be judged yet.
var ErrNotYet = errors.New("not yet")

// Config of a node's consensus.
type Config struct {
	Subnet   ic.SubnetID
	Self     int      // index of this node
	Members  []Member // by node id
	Random   *bls.Group
	State    *bls.Group
	Keys     Keys
	Scheme   Scheme // nil: Real
	Payload  Payload
	Pace     Pace
	Registry uint64  // version that new blocks name
	Genesis  ic.Time // of the state at height 0
	Saved    ic.Height
	Restored []*block.Artifact // what was persisted and not purged
}

// Event is one of the types below.
type Event interface{ event() }

// Received is an artifact from a peer, decoded and not yet checked.
type Received struct{ Artifact *block.Artifact }

// Tick says that time has passed, or that Payload has something new.
type Tick struct{}

// Executed is the state after a delivered batch. Busy: canisters have work left.
type Executed struct {
	Height ic.Height
	Root   block.Hash
	Busy   bool
}

// Saved says that the state at a height is written: earlier blocks may go.
type Saved struct{ Height ic.Height }

func (Received) event() {}
func (Tick) event()     {}
func (Executed) event() {}
func (Saved) event()    {}

// Effect is one of the types below.
type Effect interface{ effect() }

// Persist must be durable before any Send or Deliver of the same Step.
type Persist struct{ Artifact *block.Artifact }

// Send goes to all peers.
type Send struct{ Artifact *block.Artifact }

// Deliver is the next batch; heights come in order without gaps.
type Deliver struct {
	Block      *block.Block
	Hash       block.Hash
	Randomness [32]byte
}

// Certified is the subnet's signature on the root of a state.
type Certified struct {
	Height    ic.Height
	Root      block.Hash
	Signature []byte
}

// Wake asks for a Tick at a time; each Step's Wake replaces the last.
type Wake struct{ At ic.Time }

// Purge allows to forget what is below a height.
type Purge struct{ Below ic.Height }

// Refused is an artifact of a peer that is wrong, and why.
type Refused struct {
	Artifact *block.Artifact
	Reason   error
}

// Diverged: the subnet certified another state than this node computed. The
// caller stops and keeps everything.
type Diverged struct {
	Height       ic.Height
	Ours, Theirs block.Hash
}

func (Persist) effect()   {}
func (Send) effect()      {}
func (Deliver) effect()   {}
func (Certified) effect() {}
func (Wake) effect()      {}
func (Purge) effect()     {}
func (Refused) effect()   {}
func (Diverged) effect()  {}

// Core is one node's consensus. It is a plain value: one goroutine at a time.
type Core struct {
	Config
	rounds    map[ic.Height]*round
	lowest    ic.Height // rounds below are purged
	height    ic.Height // the round in progress
	finalized ic.Height
	delivered ic.Height
	executed  ic.Height
	certified ic.Height // and executed here, with the same root
	era       block.Hash
	busy      bool // also at the start: the first block comes at once, and with it a certified state

	again []*block.Artifact // restored and not yet sent: what this node said may have reached nobody

	now  ic.Time
	wake ic.Time // 0: none
	out  []Effect
}

// New joins a node's configuration and what it persisted. The first Step
// delivers the blocks above Saved again.
func New(cfg Config) (*Core, error) {
	switch n := len(cfg.Members); {
	case cfg.Self < 0 || cfg.Self >= n:
		return nil, fmt.Errorf("consensus: this node has index %d among %d members", cfg.Self, n)
	case len(cfg.Random.Holders) != n || len(cfg.State.Holders) != n:
		return nil, fmt.Errorf("consensus: %d members, and keys for %d and %d holders", n, len(cfg.Random.Holders), len(cfg.State.Holders))
	}
	c := &Core{Config: cfg, rounds: map[ic.Height]*round{}, delivered: cfg.Saved, executed: cfg.Saved, busy: true}
	c.Restored = nil
	if c.Scheme == nil {
		c.Scheme = Real{}
	}
	if err := c.restore(cfg.Restored); err != nil {
		return nil, err
	}
	return c, nil
}

// Faults is the number f of members that may be faulty.
func Faults(n int) int { return (n - 1) / 3 }

// Quorum of n members: two of them share an honest one.
func Quorum(n int) int { return n - Faults(n) }

// Step takes one event at a time and returns what is to be done, in order.
func (c *Core) Step(now ic.Time, ev Event) []Effect {
	c.now, c.wake, c.out = max(c.now, now), 0, nil
	switch ev := ev.(type) {
	case Received:
		c.receive(ev.Artifact)
	case Executed:
		c.onExecuted(ev)
	case Saved:
		c.purge(ev.Height)
	}
	for _, a := range c.again {
		c.emit(Send{a})
	}
	c.again = nil
	c.advance()
	if c.wake != 0 {
		c.emit(Wake{c.wake})
	}
	return c.settle(c.out)
}

// Height is the last delivered one, and Finalized the last finalized.
func (c *Core) Height() ic.Height    { return c.delivered }
func (c *Core) Finalized() ic.Height { return c.finalized }
func (c *Core) Certified() ic.Height { return c.certified }

func (c *Core) emit(e Effect) { c.out = append(c.out, e) }

// settle leaves out own shares at heights that became final in the same Step:
// this node signs nothing there any more, so nothing can be forgotten.
func (c *Core) settle(out []Effect) []Effect {
	kept := out[:0]
	for _, e := range out {
		if p, ok := e.(Persist); ok && p.Artifact.Kind.IsShare() && p.Artifact.Height <= c.finalized {
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

func (c *Core) wakeAt(t ic.Time) {
	if c.wake == 0 || t < c.wake {
		c.wake = t
	}
}

// genesisHash stands for the block at height 0, which nobody made.
func (c *Core) genesisHash() block.Hash {
	return (&block.Block{Time: c.Genesis, Maker: ic.NodeID{Principal: c.Subnet.Principal}}).Hash()
}

// message is what the signatures of a cover.
func (c *Core) message(a *block.Artifact) []byte { return a.Message(c.Subnet, c.era) }

func hashOf(b []byte) block.Hash { return sha256.Sum256(b) }
