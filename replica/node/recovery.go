package node

import (
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// A subnet that lost more nodes than it can do without comes to a halt, and the
// registry names from which state of a survivor it goes on:
//
//	Standing ──> operator ──> registry ── Superseded ──> Renewed: start again
//	        New ── state here? replayed up to its height, or of a checkpoint ──> new era

// Standing is where a node is, as far as somebody needs to know who recovers the subnet.
type Standing struct {
	// Package is the newest one whose state the node has, or had at its start; nil: none.
	Package   *block.Artifact
	Height    ic.Height // of the newest state, certified or not; 0: none
	Root      block.Hash
	Time      ic.Time // of that state
	Certified ic.Height
	Forgot    ic.Time // when the node lost what it had signed; 0: never
}

// Standing at this moment.
func (n *Node) Standing() (Standing, error) {
	forgot, err := n.Store.Forgot()
	if err != nil {
		return Standing{}, err
	}
	out := Standing{Forgot: forgot}
	n.mu.Lock()
	out.Package = n.newest
	n.mu.Unlock()
	if v := n.view.Load(); v != nil {
		out.Certified = v.Height
	}
	if s := n.latest.Load(); s != nil {
		out.Height, out.Root, out.Time = s.Height(), s.Tree().Digest(), s.Time()
	}
	return out, nil
}

// Renewed ends a node when the registry names another package to go on from.
type Renewed struct{ Height ic.Height }

func (r *Renewed) Error() string {
	return fmt.Sprintf("the registry recovers the subnet: it goes on from height %d\n  start again on the same directory", r.Height)
}

// Superseded tells whether a package of the registry takes the place of what this node
// began with or has reached: then it has to start again.
func (n *Node) Superseded(start *block.Artifact) bool {
	n.mu.Lock()
	last := n.newest
	n.mu.Unlock()
	if last == nil {
		last = n.began
	}
	return later(start, last)
}

// later tells whether a package of the registry is to be begun with instead of another.
func later(start, last *block.Artifact) bool {
	return start.Height > last.Height || start.Height == last.Height && start.Block.Registry > last.Block.Registry
}

// bring the state of a package of the registry, if this node can make it of what it has
// stored, before what it stored counts no more. Else peers have it.
func (n *Node) bring(start, stored *block.Artifact) error {
	s, err := n.Store.LoadState()
	if err != nil || s == nil || fits(s, start) {
		return err
	}
	next, err := n.replay(s, stored, start.Height)
	if err != nil {
		return err
	}
	if fits(next, start) {
		n.Log(fmt.Sprintf("state of height %d is saved, and was executed again up to height %d, from which the subnet goes on", s.Height(), start.Height))
		return n.Store.SaveState(next, s)
	}
	if n.Store.HasCheckpoint(start.Height) {
		return n.goBack(start)
	}
	return nil
}

func fits(s *state.State, cup *block.Artifact) bool {
	return s.Height() == cup.Height && block.Hash(s.Tree().Digest()) == cup.Other
}

// replay the final blocks above a saved state, up to a height.
func (n *Node) replay(s *state.State, stored *block.Artifact, to ic.Height) (*state.State, error) {
	if s.Height() >= to || s.Height() < stored.Height {
		return s, nil
	}
	artifacts, err := n.restored(stored.Height, s.Height())
	if err != nil {
		return nil, err
	}
	// Of this core nothing is sent or kept: it says which blocks are final.
	core, err := consensus.New(consensus.Config{
		Subnet: n.Config.Subnet.ID, Node: n.NodeID(), Start: stored, Registry: n.Registry,
		Keys: n.Keys, Scheme: n.Scheme, Payload: past{}, Pace: n.Pace, Saved: s.Height(), Restored: artifacts,
	})
	if err != nil {
		return nil, err
	}
	for _, e := range core.Step(n.Clock.Now(), consensus.Tick{}) {
		if d, ok := e.(consensus.Deliver); ok && d.Block.Height <= to {
			b, _ := n.batch(d)
			s = n.Machine.Apply(s, b)
		}
	}
	return s, nil
}

// past has nothing to put into a block, and judges none: there is no state yet against
// which to judge what did not become final.
type past struct{}

func (past) Waiting(func(yield func(*block.Block) bool)) bool { return false }
func (past) Build(ic.Time, func(yield func(*block.Block) bool)) [][]byte {
	return nil
}
func (past) Sections(func(yield func(*block.Block) bool)) []block.Section { return nil }
func (past) Validate(*block.Block, func(yield func(*block.Block) bool)) error {
	return consensus.ErrNotYet
}

// goBack to the state of a checkpoint, if it is the one that the registry names.
func (n *Node) goBack(start *block.Artifact) error {
	lease, err := n.Store.OpenCheckpoint(start.Height)
	if err != nil {
		n.Log(err.Error())
		return nil
	}
	if fits(lease.State, start) {
		n.Log(fmt.Sprintf("back to the state of height %d, from which the subnet goes on", start.Height))
		err = n.Store.SaveState(lease.State, nil)
	}
	if e := lease.Close(); err == nil {
		err = e
	}
	return err
}
