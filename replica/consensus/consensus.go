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
// tape and certification are threshold BLS, mostly without a pairing (join.go).
//
// Heights come in intervals, each opened by a summary block, which names committees,
// keys and replica version (interval.go). During an interval the keys of the next but
// one are made (making.go); at its summary the subnet signs a catch-up package, with
// which a node can begin (cup.go).
//
// The caller does, for each Step: publish Certified, make every Persist durable,
// and only then Send and Deliver. After a crash it hands back what it persisted,
// so that a node never signs two blocks of one height. What takes long is a Task:
// it may run at any time, on any goroutine.
//
// Left to others: fetching artifacts and states that this node lacks (Behind).
package consensus

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Bounds that are the same for all.
const (
	maxAhead    = 70          // rounds that may be notarized and not yet certified (replica.md B.2)
	keep        = 50          // finalized heights kept below the saved state, for peers that lag
	maxDrift    = 30 * second // of a peer's clock before ours
	backlogStep = 1           // batches that wait while one is executed: who calls waits for each of them
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

// Keys are this node's secrets. Many goroutines may use them.
type Keys interface {
	Vote(message []byte) []byte // Ed25519
	// Share signs with the share of a key; nil where this node has none, or not yet.
	Share(key [32]byte, message []byte) []byte
	// Deal makes this node's dealing: of its share of a key, zero for a fresh secret.
	Deal(s Session, dealer int, previous [32]byte) ([]byte, error)
}

// Payload fills blocks and judges those of others. ancestors yields the blocks
// before it that are not yet executed, youngest first.
type Payload interface {
	// Waiting tells whether there is a call that no ancestor has.
	Waiting(ancestors func(yield func(*block.Block) bool)) bool
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
	Subnet ic.SubnetID
	Node   ic.NodeID // this one
	// Start is the catch-up package to begin with: one that the subnet signed, or, at
	// genesis and after a recovery, one that the caller vouches for.
	Start    *block.Artifact
	Version  string // of this replica; "": whatever Start says
	Keys     Keys
	Scheme   Scheme // nil: Real
	Payload  Payload
	Pace     Pace
	Registry Registry
	Saved    ic.Height         // of the saved state, not below Start
	Restored []*block.Artifact // what was persisted since Start and not purged
	Forgot   ic.Time           // when this node lost what it had signed before; 0: never
}

// Event is one of the types below.
type Event interface{ event() }

// Received is an artifact from a peer, decoded and not yet checked.
type Received struct {
	Artifact *block.Artifact
	From     ic.NodeID
}

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

// Done is what a Task returned.
type Done struct {
	core *Core // that asked; another one does not care
	then func(*Core)
}

func (Received) event() {}
func (Tick) event()     {}
func (Executed) event() {}
func (Saved) event()    {}
func (Done) event()     {}

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
	Members    []block.Member // of the committee of this height
	Record     *Record        // what the registry says at the block's version
}

// Certified is the subnet's signature on the root of a state.
type Certified struct {
	Height    ic.Height
	Root      block.Hash
	Signature []byte
}

// Vouched: a catch-up package is of the state executed here, of which there is no
// certificate. It may be saved, not shown.
type Vouched struct{ Height ic.Height }

// Wake asks for a Tick at a time; each Step's Wake replaces the last.
type Wake struct{ At ic.Time }

// Purge allows to forget what is below a height; but a restart needs what lies above
// the catch-up package.
type Purge struct{ Below, CUP ic.Height }

// Task is work that takes long: Do may run on another goroutine, and what it returns
// is the next Step's.
type Task struct{ Do func() Done }

// Keep the shares of these keys, durably, and erase all others.
type Keep struct{ Keys []Key }

// Reached a catch-up package, which is now what a restart begins with.
type Reached struct{ CUP *block.Artifact }

// Behind: a checked package tells that the subnet is ahead of this node.
type Behind struct{ CUP *block.Artifact }

// Stop ends this core at a catch-up package.
type Stop struct {
	CUP     *block.Artifact
	Version string // that is to be started with it; "": none
	Halt    bool   // the registry says so
	Left    bool   // this node is no member any more
}

// Refused is an artifact of a peer that is wrong, and why. From made it, or sent what
// it should have checked.
type Refused struct {
	Artifact *block.Artifact
	From     ic.NodeID
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
func (Vouched) effect()   {}
func (Wake) effect()      {}
func (Purge) effect()     {}
func (Task) effect()      {}
func (Keep) effect()      {}
func (Reached) effect()   {}
func (Behind) effect()    {}
func (Stop) effect()      {}
func (Refused) effect()   {}
func (Diverged) effect()  {}

// Core is one node's consensus. It is a plain value: one goroutine at a time.
type Core struct {
	Config
	intervals []*interval // by start; the last one is a preview
	keys      map[[32]byte]Key
	cup       cups
	rounds    map[ic.Height]*round
	lowest    ic.Height // rounds below are purged
	height    ic.Height // the round in progress
	finalized ic.Height
	delivered ic.Height
	calls     int // in its block
	executed  ic.Height
	certified ic.Height // and executed here, with the same root
	whole     ic.Height // up to here nothing is left to be certified
	saved     ic.Height
	era       block.Hash
	busy      bool // also at the start: the first block comes at once, and with it a certified state

	untold []*whole // that this node joined
	ending bool     // a Stop was emitted

	again []*block.Artifact // restored and not yet sent: what this node said may have reached nobody
	dealt []*block.Artifact // own dealings, restored

	now  ic.Time
	wake ic.Time // 0: none
	out  []Effect
}

// New joins a node's configuration and what it persisted. The first Step
// delivers the blocks above Saved again.
func New(cfg Config) (*Core, error) {
	if err := checkStart(cfg.Start); err != nil {
		return nil, err
	}
	if cfg.Saved < cfg.Start.Height {
		return nil, fmt.Errorf("consensus: a state of height %d, and a catch-up package of height %d", cfg.Saved, cfg.Start.Height)
	}
	c := &Core{Config: cfg, rounds: map[ic.Height]*round{}, keys: map[[32]byte]Key{}, cup: cups{last: cfg.Start},
		delivered: cfg.Saved, executed: cfg.Saved, saved: cfg.Saved, busy: true}
	c.Start, c.Restored = nil, nil
	if c.Scheme == nil {
		c.Scheme = Real{}
	}
	if err := c.begin(cfg.Start.Block); err != nil {
		return nil, err
	}
	if err := c.restore(cfg.Restored); err != nil {
		return nil, err
	}
	c.ends()
	return c, nil
}

// Faults is the number f of members that may be faulty.
func Faults(n int) int { return (n - 1) / 3 }

// Quorum of n members: two of them share an honest one.
func Quorum(n int) int { return n - Faults(n) }

// Step takes what has happened and returns what is to be done, in order. Many events
// at once cost less than one after the other: what their sum makes superfluous is not
// looked at.
func (c *Core) Step(now ic.Time, events ...Event) []Effect {
	c.now, c.wake = max(c.now, now), 0
	for _, ev := range events {
		if !ofMany(ev) {
			c.event(ev)
		}
	}
	for _, a := range c.again {
		c.emit(Send{a})
	}
	c.again = nil
	c.advance()
	if slices.ContainsFunc(events, ofMany) {
		for _, ev := range events {
			if ofMany(ev) {
				c.event(ev)
			}
		}
		c.advance()
	}
	c.tell()
	if c.wake != 0 {
		c.emit(Wake{c.wake})
	}
	out := c.out
	c.out = nil
	return c.settle(out)
}

func (c *Core) event(ev Event) {
	switch ev := ev.(type) {
	case Received:
		c.receive(ev.Artifact, ev.From)
	case Executed:
		c.onExecuted(ev)
	case Saved:
		c.saved = max(c.saved, ev.Height)
		c.purge()
	case Done:
		if ev.core == c {
			ev.then(c)
		}
	}
}

// ofMany is an artifact that many signed: its check takes longest, and shares that come
// with it may make the same.
func ofMany(ev Event) bool {
	r, ok := ev.(Received)
	return ok && !r.Artifact.Kind.Signed() && r.Artifact.Kind != block.CUP
}

// Height is the last delivered one, and Finalized the last finalized.
func (c *Core) Height() ic.Height    { return c.delivered }
func (c *Core) Finalized() ic.Height { return c.finalized }
func (c *Core) Certified() ic.Height { return c.certified }

// Round is the height in progress here. It can be below what was delivered, where the
// beacon of a round is missing that the others have left behind.
func (c *Core) Round() ic.Height { return c.height }

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

// message is what the signatures of a cover.
func (c *Core) message(a *block.Artifact) []byte { return a.Message(c.Subnet, c.era) }

func hashOf(b []byte) block.Hash { return sha256.Sum256(b) }

// Era that signatures are of, and Version of the replica that plays it.
func (c *Core) Era() block.Hash { return c.era }

// KeysAt are those that sign at a height, by their hashes; zero where they are not known here.
func (c *Core) KeysAt(h ic.Height) (low, high [32]byte) {
	if iv := c.at(h); iv != nil {
		low, high = iv.low.Hash(), iv.high.Hash()
	}
	return low, high
}
