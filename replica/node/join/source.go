package join

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"ashlar/replica/ic"
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
	list []*offer // oldest first
	lazy *Later   // not opened yet
	log  func(line string)
	busy chan struct{}
}

// offer is a state that peers may have.
type offer struct {
	*state.State
	lease *state.Lease // nil: it is in memory
	users int          // that read it
	gone  bool         // from the list
}

// Later is a state that is on the disk, to be opened once a peer asks for a state.
type Later struct {
	Height ic.Height
	Open   func() (*state.Lease, error)
}

// NewSource has no state yet.
func NewSource(log func(line string)) *Source {
	return &Source{log: log, busy: make(chan struct{}, serving)}
}

// Keep a state for peers, in place of the oldest.
func (s *Source) Keep(st *state.State) { s.keep(&offer{State: st}) }

func (s *Source) keep(o *offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n > 0 && s.list[n-1].Height() >= o.Height() {
		o.gone = true
		s.closeIf(o)
		return
	}
	for len(s.list) >= kept {
		s.drop(0)
	}
	if s.lazy != nil && s.lazy.Height <= o.Height() {
		s.lazy = nil // its checkpoint goes
	}
	s.list = append(s.list[:len(s.list):len(s.list)], o)
}

// KeepLater keeps a state that is on the disk, if it is newer than the others.
func (s *Source) KeepLater(l *Later) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n == 0 || s.list[n-1].Height() < l.Height {
		s.lazy = l
	}
}

// drop one of the list; called with mu held.
func (s *Source) drop(i int) {
	o := s.list[i]
	o.gone, s.list = true, slices.Delete(slices.Clone(s.list), i, i+1)
	s.closeIf(o)
}

// closeIf nobody can use it any more; called with mu held.
func (s *Source) closeIf(o *offer) {
	if o.lease == nil || !o.gone || o.users > 0 {
		return
	}
	if err := o.lease.Close(); err != nil {
		s.log(fmt.Sprintf("close the state of height %d: %v", o.Height(), err))
	}
}

// open what is on the disk, before the first answer. Who asks meanwhile asks again.
func (s *Source) open() {
	s.mu.Lock()
	l := s.lazy
	s.lazy = nil
	s.mu.Unlock()
	if l == nil {
		return
	}
	lease, err := l.Open()
	if err != nil {
		s.log(fmt.Sprintf("peers that begin with the catch-up package of height %d have to get its state from another node: %v", l.Height, err))
		return
	}
	s.keep(&offer{State: lease.State, lease: lease})
}

// use a state that is asked for, until done; nil where there is none.
func (s *Source) use(is func(*state.State) bool) *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.list {
		if is(o.State) {
			o.users++
			return o
		}
	}
	return nil
}

// done with a state, after a panic with p. Where the disk has not what it should, the
// state is served no more; the node does not depend on it.
func (s *Source) done(o *offer, p any) {
	if o == nil {
		if p != nil {
			panic(p)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.users--
	if p != nil && (o.lease == nil || o.lease.Err() == nil) {
		panic(p)
	}
	if i := slices.Index(s.list, o); p != nil && i >= 0 {
		s.log(fmt.Sprintf("the state of height %d is served no more: %v", o.Height(), o.lease.Err()))
		s.drop(i)
		return
	}
	s.closeIf(o)
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
	s.open()
	switch request[0] {
	case askRoot:
		return s.witness(request[1:])
	case askNodes:
		s.busy <- struct{}{}
		defer func() { <-s.busy }()
		return s.nodes(request[1:])
	}
	return nil, fmt.Errorf("a request for a state of kind %d", request[0])
}

func (s *Source) nodes(request []byte) (answer []byte, err error) {
	var o *offer
	defer func() { s.done(o, recover()) }()
	return statesync.Serve(request, func(root statesync.Sum) merkle.Node {
		if o = s.use(func(st *state.State) bool { return st.Root() == root }); o == nil {
			return nil
		}
		return o.Merkle()
	})
}

var rootPath = hashtree.P("metadata", "state")

// witness shows the root of a state in the certified tree with a digest; empty
// where there is no such state.
func (s *Source) witness(digest []byte) (answer []byte, err error) {
	if len(digest) != len(block.Hash{}) {
		return nil, fmt.Errorf("a request for a root with %d bytes", len(digest))
	}
	o := s.use(func(st *state.State) bool { return st.Tree().Digest() == block.Hash(digest) })
	defer func() { s.done(o, recover()) }()
	if o == nil {
		return nil, nil
	}
	return o.Tree().Witness([]hashtree.Path{rootPath}).Append(nil), nil
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
