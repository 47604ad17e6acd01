// Package join brings a node the state of a catch-up package from its peers, and
// serves theirs.
//
//	Want(package) ── who shows the state's root? ──> statesync.Client <── nodes ── peers' Source
//	     ^ a newer one                                    │ verified parts
//	     └── moves                                      Stage ── whole ──> Adopt ── saved ──> Clear
//
// The package's certified root vouches for the root of the whole state. What the
// node has itself is not fetched, and nothing is fetched twice, whatever happens in
// between: a crash, a newer package, peers that lie.
package join

import (
	"fmt"
	"sync"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	statesync "ashlar/replica/state/sync"
	"ashlar/replica/wire/block"
)

// Stage keeps what is verified of a state on its way: replica/store.
type Stage interface {
	statesync.Stage
	Empty() (bool, error)
	// Each yields what is to be put over the older state.
	Each(yield func(state.Incoming) bool) error
	Clear() error
}

// Config of a Fetch.
type Config struct {
	Self  ic.NodeID
	Stage Stage
	// Ask a peer's Source; Fetch.Answered gets the answer, or nil, once for each id.
	Ask func(peer ic.NodeID, id uint64, request []byte)
	Now func() ic.Time
	// Older is the state that the store has, nil for none.
	Older func() *state.State
	// Adopt takes a whole state. Saved is the height of the state that the store has.
	Adopt func(*state.State) error
	Saved func() ic.Height
	Log   func(line string)
	Blame func(peer ic.NodeID, why error)
}

// Fetch brings one state at a time. Want and Answered may come from any goroutine,
// the rest is for one.
type Fetch struct {
	Config

	mu      sync.Mutex
	wanted  *block.Artifact // the newest package
	answers []answer
	reached bool
	kick    chan struct{}
	now     statesync.Progress // as of the last Turn

	client *statesync.Client // nil: nothing is wanted
	older  *state.State
	cups   map[statesync.Sum]*block.Artifact // targets so far, by root
	cup    *block.Artifact                   // the newest of them
	known  bool                              // its root is
	shown  map[uint64]ic.NodeID              // questions for the root that are out
	again  ic.Time                           // when to ask for it again
	asked  uint64
	landed ic.Height // of the state that was adopted; 0: none
	wake   ic.Time
}

type answer struct {
	from ic.NodeID
	id   uint64
	data []byte
}

const (
	rootIDs   = 1 << 60        // questions for roots, among those of the client
	rootPause = ic.Time(2e9)   // ns until all are asked again for a root
	landPause = ic.Time(100e6) // ns between looks whether an adopted state is saved
)

// New has nothing to do until Want.
func New(cfg Config) *Fetch {
	return &Fetch{Config: cfg, kick: make(chan struct{}, 1), cups: map[statesync.Sum]*block.Artifact{}, shown: map[uint64]ic.NodeID{}}
}

// Want the state of a package, or that of a newer one.
func (f *Fetch) Want(cup *block.Artifact) {
	f.mu.Lock()
	if f.wanted == nil || f.wanted.Height < cup.Height {
		f.wanted = cup
	}
	f.mu.Unlock()
	f.poke()
}

// Reached is told of packages that the node reached by itself.
func (f *Fetch) Reached() {
	f.mu.Lock()
	f.reached = true
	f.mu.Unlock()
	f.poke()
}

// Answered brings the answer to a question.
func (f *Fetch) Answered(from ic.NodeID, id uint64, data []byte) {
	f.mu.Lock()
	f.answers = append(f.answers, answer{from, id, data}) // no more than were asked
	f.mu.Unlock()
	f.poke()
}

func (f *Fetch) poke() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// Kick tells that there is something for Turn.
func (f *Fetch) Kick() <-chan struct{} { return f.kick }

// WakeAt is when a Turn is wanted though nothing comes; 0 for not.
func (f *Fetch) WakeAt() ic.Time { return f.wake }

// Progress of the fetch, all zero when there is none.
func (f *Fetch) Progress() statesync.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Turn does what there is to be done. An error ends the node.
func (f *Fetch) Turn() error {
	f.mu.Lock()
	cup, answers, reached := f.wanted, f.answers, f.reached
	f.answers, f.reached = nil, false
	f.mu.Unlock()
	now := f.Now()
	f.wake = 0
	switch {
	case f.landed > 0 && f.Saved() < f.landed:
		f.wake = now + landPause
		return nil
	case f.landed > 0 || cup != nil && f.Saved() >= cup.Height:
		return f.clear()
	case cup == nil && reached:
		return f.tidy()
	case cup == nil:
		return nil
	}
	if f.cup == nil || cup.Height > f.cup.Height {
		if err := f.begin(cup); err != nil {
			return err
		}
	}
	for _, a := range answers {
		if err := f.answered(now, a); err != nil {
			return err
		}
	}
	if err := f.ask(now); err != nil {
		return err
	}
	if f.client.Done() {
		return f.arrive(now)
	}
	return nil
}

// begin with a package, or move to it.
func (f *Fetch) begin(cup *block.Artifact) error {
	summary, err := block.DecodeSummary(cup.Block.Section(block.SummarySection))
	if err != nil {
		return err
	}
	var peers []ic.NodeID
	for _, m := range summary.Current.Members {
		if m.Node != f.Self {
			peers = append(peers, m.Node)
		}
	}
	if f.client == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	f.client.SetPeers(peers)
	f.cup, f.known, f.again = cup, false, 0
	return nil
}

func (f *Fetch) open() error {
	empty, err := f.Stage.Empty()
	if err != nil {
		return err
	}
	if !empty {
		f.Log("parts of a state are here from before")
	}
	f.older = f.Older()
	var older merkle.Node
	if f.older != nil {
		older = f.older.Merkle()
	}
	f.client = statesync.New(statesync.Config{Stage: f.Stage, Older: older, Resumed: !empty})
	return nil
}

func (f *Fetch) answered(now ic.Time, a answer) error {
	if a.id&rootIDs == 0 {
		fault, err := f.client.Answered(now, a.from, a.id, a.data)
		if fault != nil {
			f.Blame(fault.Peer, fault.Why)
		}
		return err
	}
	if f.shown[a.id] != a.from {
		return nil
	}
	delete(f.shown, a.id)
	if f.known || len(a.data) == 0 {
		return nil
	}
	root, err := rootIn(a.data, f.cup.Other)
	if err != nil {
		f.Blame(a.from, err)
		return nil
	}
	f.known, f.cups[root] = true, f.cup
	return f.client.Target(root)
}

// ask what there is to be asked.
func (f *Fetch) ask(now ic.Time) error {
	if !f.known && now >= f.again {
		f.askRoot(now)
	}
	asks, err := f.client.Next(now)
	if err != nil {
		return err
	}
	for _, a := range asks {
		f.Ask(a.Peer, a.ID, append([]byte{askNodes}, a.Request...))
	}
	if f.wake = f.client.WakeAt(now); !f.known && (f.wake == 0 || f.again < f.wake) {
		f.wake = f.again
	}
	f.mu.Lock()
	f.now = f.client.Progress()
	f.mu.Unlock()
	return nil
}

// askRoot asks all peers: the answer is small, and the first true one counts.
func (f *Fetch) askRoot(now ic.Time) {
	clear(f.shown)
	for _, p := range f.client.Peers() {
		f.asked++
		id := f.asked | rootIDs
		f.shown[id] = p
		f.Ask(p, id, append([]byte{askRoot}, f.cup.Other[:]...))
	}
	f.again = now + rootPause
}

// arrive checks the whole state against what the subnet certified, and hands it on.
func (f *Fetch) arrive(now ic.Time) error {
	cup, p := f.cups[f.client.Root()], f.client.Progress()
	if err := f.client.Finish(); err != nil {
		return err
	}
	s, err := state.Over(f.older, f.Stage.Each)
	if err == nil && (s.Root() != f.client.Root() || s.Height() != cup.Height || block.Hash(s.Tree().Digest()) != cup.Other) {
		err = fmt.Errorf("it has height %d and root %x, not %d and %x", s.Height(), s.Root(), cup.Height, f.client.Root())
	}
	if err != nil {
		return fmt.Errorf("the state of height %d that came from peers is not whole, though each part of it was: %w\n  the disk may be failing; start with --resync to fetch all of it again", cup.Height, err)
	}
	f.client, f.older, f.cup = nil, nil, nil
	if err := f.Adopt(s); err != nil { // it took too long: a newer one may be wanted
		f.Log(err.Error())
		f.mu.Lock()
		if f.wanted.Height <= cup.Height {
			f.wanted = nil
		}
		f.mu.Unlock()
		f.wake = now
		return nil
	}
	f.Log(fmt.Sprintf("the state of height %d is here: %d MB came in %d requests, %d parts were here before", s.Height(), p.Fetched/1e6, p.Asked, p.Kept))
	f.landed, f.wake = s.Height(), now+landPause
	return nil
}

// clear what was staged: the node has its state by now, from peers or by itself.
func (f *Fetch) clear() error {
	f.mu.Lock()
	if f.wanted != nil && f.wanted.Height <= f.Saved() {
		f.wanted = nil
	}
	f.now = statesync.Progress{}
	f.mu.Unlock()
	f.client, f.older, f.cup, f.landed = nil, nil, nil, 0
	clear(f.cups)
	f.poke()
	return f.Stage.Clear()
}

// tidy up what an earlier life of the node staged, if it goes on without it.
func (f *Fetch) tidy() error {
	empty, err := f.Stage.Empty()
	if err != nil || empty {
		return err
	}
	return f.Stage.Clear()
}
