package node

import (
	"errors"
	"fmt"
	"sync"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	statesync "ashlar/replica/state/sync"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/hashtree"
)

// bases are the states at which peers may begin: those of the newest catch-up
// packages. They share with the present state all that did not change since.
type bases struct {
	mu   sync.Mutex
	list []*state.State // oldest first

	busy chan struct{} // a token for each peer's request that is being answered
}

// Limits of what is done for peers that fetch a state.
const (
	keptBases  = 3 // a peer that began with the oldest has two intervals to move on
	serveBases = 2 // requests that are answered at a time, so that rounds have the rest of the machine
)

func newBases() *bases { return &bases{busy: make(chan struct{}, serveBases)} }

// keep a state for peers.
func (b *bases) keep(s *state.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.list); n > 0 && b.list[n-1].Height() >= s.Height() {
		return
	}
	if b.list = append(b.list, s); len(b.list) > keptBases {
		b.list = append(b.list[:0:0], b.list[1:]...)
	}
}

func (b *bases) find(is func(*state.State) bool) *state.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.list {
		if is(s) {
			return s
		}
	}
	return nil
}

// serve a request for nodes of a state.
func (b *bases) serve(request []byte) ([]byte, error) {
	b.busy <- struct{}{}
	defer func() { <-b.busy }()
	return statesync.Serve(request, func(root statesync.Sum) merkle.Node {
		if s := b.find(func(s *state.State) bool { return s.Root() == root }); s != nil {
			return s.Merkle()
		}
		return nil
	})
}

var rootPath = hashtree.P("metadata", "state")

// witness shows the root of a state in the certified tree with a digest; empty
// where there is no such state.
func (b *bases) witness(request []byte) ([]byte, error) {
	if len(request) != len(block.Hash{}) {
		return nil, fmt.Errorf("a request for a root with %d bytes", len(request))
	}
	s := b.find(func(s *state.State) bool { return s.Tree().Digest() == block.Hash(request) })
	if s == nil {
		return nil, nil
	}
	return s.Tree().Witness([]hashtree.Path{rootPath}).Append(nil), nil
}

// Base is a state at which a node can begin without the blocks before: that of a
// catch-up package.
type Base struct {
	Height ic.Height
	Root   block.Hash // of the certified tree
}

// open reads what witness made: the root that the base's certified root vouches for.
func (b *Base) open(witness []byte) (root statesync.Sum, err error) {
	t, err := hashtree.Decode(witness)
	if err != nil {
		return root, fmt.Errorf("the witness of a root: %w", err)
	}
	if t.Digest() != b.Root {
		return root, errors.New("the witness of a root is of another state")
	}
	leaf, status := t.Lookup(rootPath)
	if status != hashtree.Found || len(leaf) != len(root) {
		return root, errors.New("the witness of a root does not show it")
	}
	return statesync.Sum(leaf), nil
}
