package node

import (
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/node/join"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// Adopt takes a state that was wanted; the next Step goes on from it.
func (n *Node) Adopt(s *state.State) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	cup := n.wanted[s.Height()]
	if cup == nil {
		return fmt.Errorf("a state of height %d was brought, and is not wanted any more", s.Height())
	}
	if root := block.Hash(s.Tree().Digest()); root != cup.Other {
		return fmt.Errorf("a state of height %d was brought whose root is %x, the catch-up package says %x", s.Height(), root, cup.Other)
	}
	n.adopted = s
	poke(n.kick)
	return nil
}

// maxWanted packages whose states may still arrive: a transfer moves on to newer ones.
const maxWanted = 4

// behind is told of a package from which this node could go on.
func (n *Node) behind(cup *block.Artifact) {
	if n.fetch == nil {
		return
	}
	n.mu.Lock()
	news := n.wanted[cup.Height] == nil
	n.wanted[cup.Height] = cup
	for len(n.wanted) > maxWanted {
		oldest := cup.Height
		for h := range n.wanted {
			oldest = min(oldest, h)
		}
		delete(n.wanted, oldest)
	}
	n.mu.Unlock()
	if news {
		n.Log(fmt.Sprintf("fetching the state of height %d: this node has height %d, and peers have forgotten what is between", cup.Height, n.savedHeight()))
		n.fetch.Want(cup)
	}
}

// jump to a state that was adopted, unless this node came as far by itself.
func (n *Node) jump() error {
	n.mu.Lock()
	s := n.adopted
	n.adopted = nil
	if s == nil {
		n.mu.Unlock()
		return nil
	}
	cup := n.wanted[s.Height()]
	clear(n.wanted)
	n.mu.Unlock()
	if n.core != nil && n.core.Height() >= s.Height() {
		return nil
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	n.saving.Lock()
	defer n.saving.Unlock()
	// In this order: if the power fails in between, the state is fetched again.
	if err := n.Store.Begin(cup, false); err != nil {
		return err
	}
	if err := n.Store.SaveState(s, n.disk); err != nil {
		return err
	}
	if err := n.Store.Persist([]*block.Artifact{cup}, true); err != nil {
		return err
	}
	n.disk = s
	n.Log(fmt.Sprintf("goes on from the state of height %d", s.Height()))
	return n.start(cup, s)
}

// lost a node is as long as it has no state to begin with: it has no core.
func (n *Node) lost() bool { return n.core == nil }

// heard is what a node without a core makes of packages.
func (n *Node) heard(a *block.Artifact) {
	if a.Kind == block.CUP && a.Height > n.cup.Height && consensus.CheckCUP(n.high, n.SubnetID(), a) == nil {
		n.behind(a)
	}
}

// Package is the newest catch-up package whose state is still at hand, for peers.
func (n *Node) Package() (cup *block.Artifact, s *state.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cup = n.newest; cup != nil {
		s = n.packed[cup.Height]
	}
	return cup, s
}

// reached a package: its state stays at hand, older ones do not.
func (n *Node) reached(cup *block.Artifact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.newest = cup
	n.offer(cup.Height)
	if n.fetch != nil {
		n.fetch.Reached()
	}
	for h := range n.packed {
		if h < cup.Height {
			delete(n.packed, h)
		}
	}
}

// offer peers the state of a package: from memory, or from its checkpoint once they
// ask. Older checkpoints may go. Called with mu held.
func (n *Node) offer(h ic.Height) {
	if s := n.packed[h]; s != nil {
		n.source.Keep(s)
	} else if n.Store.HasCheckpoint(h) {
		n.source.KeepLater(&join.Later{Height: h, Open: func() (*state.Lease, error) { return n.Store.OpenCheckpoint(h) }})
	}
	n.outdated = h
}

// checkpoint the saved state if it is of this height; a node without peers has nobody
// who asks for it.
func (n *Node) checkpoint(h ic.Height) error {
	if n.Stage == nil || n.disk == nil || n.disk.Height() != h {
		return nil
	}
	return n.Store.Checkpoint()
}

// nodesOf a committee, as the certified tree shows them.
func nodesOf(members []block.Member) []state.Node {
	var out []state.Node
	for _, m := range members {
		out = append(out, state.Node{ID: m.Node, PublicKey: keystore.NodeDER(m.Key)})
	}
	return out
}
