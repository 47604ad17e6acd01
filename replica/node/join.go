package node

import (
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	statesync "ashlar/replica/state/sync"
)

// joining brings the state of a catch-up package from peers.
//
//	Base ── who shows its root? ──> statesync.Client <──> peers' bases
//	  ^ a newer one                        │ verified parts
//	  └── moves                          Stage ── all there ──> Store ──> ErrJoined
//
// What the node has itself is not fetched, and nothing is fetched twice, whatever
// happens in between.
type joining struct {
	n      *Node
	client *statesync.Client
	older  *state.State           // on disk; nil: none
	bases  map[statesync.Sum]Base // targets so far
	base   Base                   // the newest
	known  bool                   // its root is
	asked  uint64                 // questions for roots so far
	shown  map[uint64]ic.NodeID   // those that are out
	again  ic.Time                // when to ask for the root again
	wake   ic.Time
}

// Stage keeps what is verified of a state on its way: replica/store.
type Stage interface {
	statesync.Stage
	Empty() (bool, error)
	// Each yields what is to be put over the older state.
	Each(yield func(state.Incoming) bool) error
	Clear() error
}

// ErrJoined ends a node whose store has got a state from peers: open it again.
var ErrJoined = errors.New("a state came from peers: the node begins with it")

// Questions of joining, among those of pull.
const (
	stateIDs uint64 = 1 << 63
	rootIDs  uint64 = 1 << 62
)

// rootPause is how long nobody is asked for a root after all were.
const rootPause = 1e9 // nanoseconds

// Join fetches a state of peers, or moves to a newer one. It belongs to the
// goroutine of Step.
func (n *Node) Join(b Base) error {
	j := n.joining
	if j != nil && j.base.Height >= b.Height {
		return nil
	}
	if j == nil {
		var err error
		if j, err = n.newJoining(); err != nil {
			return err
		}
		n.joining = j
	}
	n.Log(fmt.Sprintf("the state of height %d is fetched from peers", b.Height))
	j.base, j.known, j.again = b, false, 0
	return nil
}

func (n *Node) newJoining() (*joining, error) {
	n.saving.Lock() // from now on the store has one state, and the stage what is new
	n.paused = true
	j := &joining{n: n, older: n.disk, bases: map[statesync.Sum]Base{}, shown: map[uint64]ic.NodeID{}}
	n.saving.Unlock()
	empty, err := n.Stage.Empty()
	if err != nil {
		return nil, err
	}
	var older merkle.Node
	if j.older != nil {
		older = j.older.Merkle()
	}
	j.client = statesync.New(statesync.Config{Stage: n.Stage, Older: older, Resumed: !empty, Peers: n.peers()})
	return j, nil
}

func (n *Node) peers() (out []ic.NodeID) {
	for _, m := range n.Members {
		if m.Node != n.NodeID() {
			out = append(out, m.Node)
		}
	}
	return out
}

// answered takes what a peer said to a question of joining.
func (j *joining) answered(now ic.Time, a answer) error {
	if a.id&stateIDs != 0 {
		fault, err := j.client.Answered(now, a.from, a.id&^stateIDs, a.data)
		if fault != nil {
			j.n.blame(fault.Peer, fault.Why)
		}
		return err
	}
	if j.shown[a.id] != a.from {
		return nil
	}
	delete(j.shown, a.id)
	if j.known || len(a.data) == 0 {
		return nil
	}
	root, err := j.base.open(a.data)
	if err != nil {
		j.n.blame(a.from, err)
		return nil
	}
	j.known, j.bases[root] = true, j.base
	return j.client.Target(root)
}

func (n *Node) blame(peer ic.NodeID, why error) {
	n.metrics.falseParts.Add(1)
	n.Log(fmt.Sprintf("peer %s: %v", peer, why))
}

// step asks what there is to be asked, and ends the node once all is there.
func (j *joining) step(now ic.Time) error {
	j.wake = 0
	if !j.known && now >= j.again {
		j.askRoot(now)
	}
	asks, err := j.client.Next(now)
	if err != nil {
		return err
	}
	for _, a := range asks {
		j.n.Net.Ask(a.Peer, a.ID|stateIDs, append([]byte{askState}, a.Request...))
	}
	j.n.metrics.fetched.Store(j.client.Progress().Fetched)
	if j.client.Done() {
		return j.arrive()
	}
	j.wake = j.client.WakeAt(now)
	if !j.known && (j.wake == 0 || j.again < j.wake) {
		j.wake = j.again
	}
	return nil
}

// askRoot asks all peers: the answer is small, and the first true one counts.
func (j *joining) askRoot(now ic.Time) {
	clear(j.shown)
	for _, p := range j.n.peers() {
		j.asked++
		id := j.asked | rootIDs
		j.shown[id] = p
		j.n.Net.Ask(p, id, append([]byte{askRoot}, j.base.Root[:]...))
	}
	j.again = now + rootPause
}

// arrive checks the whole state against what the subnet certified, and gives it to
// the store.
func (j *joining) arrive() error {
	n, base := j.n, j.bases[j.client.Root()]
	if err := j.client.Finish(); err != nil {
		return err
	}
	s, err := state.Over(j.older, n.Stage.Each)
	if err == nil && (s.Root() != j.client.Root() || s.Height() != base.Height || s.Tree().Digest() != base.Root) {
		err = fmt.Errorf("it has height %d and root %x, not %d and %x", s.Height(), s.Root(), base.Height, j.client.Root())
	}
	if err != nil {
		return fmt.Errorf("the state that came from peers is not whole, though each part of it was: %w\n  the disk may be failing; start with --resync to fetch all of it again", err)
	}
	if err := n.Store.SaveState(s, j.older); err != nil {
		return err
	}
	if err := n.Stage.Clear(); err != nil {
		return err
	}
	p := j.client.Progress()
	n.Log(fmt.Sprintf("the state of height %d is here: %d MB came, %d parts were here before", s.Height(), p.Fetched/1e6, p.Kept))
	return ErrJoined
}
