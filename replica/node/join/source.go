package join

import (
	"errors"
	"fmt"
	"sync"

	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	statesync "ashlar/replica/state/sync"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/hashtree"
)

// Limits of what is done for peers that fetch a state.
const (
	kept    = 3 // states: a peer that began with the oldest has two intervals to move on
	serving = 2 // requests that are answered at a time, so that rounds have the rest of the machine
)

// Source has the states of the newest catch-up packages, at which peers may begin.
// They share with the present state all that did not change since. Any goroutine may
// use it.
type Source struct {
	mu   sync.Mutex
	list []*state.State // oldest first
	busy chan struct{}
}

// NewSource has no state yet.
func NewSource() *Source { return &Source{busy: make(chan struct{}, serving)} }

// Keep a state for peers, in place of the oldest.
func (s *Source) Keep(st *state.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n > 0 && s.list[n-1].Height() >= st.Height() {
		return
	}
	s.list = append(s.list[max(len(s.list)+1-kept, 0):len(s.list):len(s.list)], st)
}

func (s *Source) find(is func(*state.State) bool) *state.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.list {
		if is(st) {
			return st
		}
	}
	return nil
}

// The kinds of requests, by their first byte.
const (
	askRoot  = 'r' // <root of a certified tree>: its witness of the state's root
	askNodes = 'n' // a statesync.Request
)

// Serve answers a peer's request. An error is the peer's fault.
func (s *Source) Serve(request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, errors.New("an empty request for a state")
	}
	switch request[0] {
	case askRoot:
		return s.witness(request[1:])
	case askNodes:
		s.busy <- struct{}{}
		defer func() { <-s.busy }()
		return statesync.Serve(request[1:], func(root statesync.Sum) merkle.Node {
			if st := s.find(func(st *state.State) bool { return st.Root() == root }); st != nil {
				return st.Merkle()
			}
			return nil
		})
	}
	return nil, fmt.Errorf("a request for a state of kind %d", request[0])
}

var rootPath = hashtree.P("metadata", "state")

// witness shows the root of a state in the certified tree with a digest; empty
// where there is no such state.
func (s *Source) witness(digest []byte) ([]byte, error) {
	if len(digest) != len(block.Hash{}) {
		return nil, fmt.Errorf("a request for a root with %d bytes", len(digest))
	}
	st := s.find(func(st *state.State) bool { return st.Tree().Digest() == block.Hash(digest) })
	if st == nil {
		return nil, nil
	}
	return st.Tree().Witness([]hashtree.Path{rootPath}).Append(nil), nil
}

// rootIn reads what witness made: the root that a certified root vouches for.
func rootIn(witness []byte, certified block.Hash) (root statesync.Sum, err error) {
	t, err := hashtree.Decode(witness)
	if err != nil {
		return root, fmt.Errorf("the witness of a state's root: %w", err)
	}
	if t.Digest() != certified {
		return root, errors.New("the witness of a state's root is of another state")
	}
	leaf, status := t.Lookup(rootPath)
	if status != hashtree.Found || len(leaf) != len(root) {
		return root, errors.New("the witness of a state's root does not show it")
	}
	return statesync.Sum(leaf), nil
}
