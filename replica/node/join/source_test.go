package join

import (
	"errors"
	"strings"
	"testing"

	"ashlar/replica/state"
	statesync "ashlar/replica/state/sync"
)

// lent is a state on the disk, as a source sees it.
type lent struct {
	opened, closed int
	err            error
}

func (l *lent) later(st *state.State, fails error) *Later {
	return &Later{Height: st.Height(), Open: func() (*state.Lease, error) {
		l.opened++
		if fails != nil {
			return nil, fails
		}
		return &state.Lease{State: st, Err: func() error { return l.err }, Close: func() error { l.closed++; return nil }}, nil
	}}
}

func askFor(st *state.State) []byte {
	digest := st.Tree().Digest()
	return append([]byte{askRoot}, digest[:]...)
}

func serves(t *testing.T, s *Source, st *state.State) bool {
	t.Helper()
	answer, err := s.Serve(askFor(st))
	if err != nil {
		t.Fatal(err)
	}
	return len(answer) > 0
}

func someStates(t *testing.T, n int) (out []*state.State) {
	s := newSubnet(t, 1, 1)
	defer s.stop()
	for range n {
		s.grow(1)
		out = append(out, s.state)
	}
	return out
}

// A state on the disk is opened when a peer first asks, once, and closed when newer
// ones have taken its place and nobody reads it any more.
func TestSourceOpensLater(t *testing.T) {
	states := someStates(t, 7)
	var said []string
	s := NewSource(func(line string) { said = append(said, line) })
	var l lent
	s.KeepLater(l.later(states[0], nil))
	if l.opened != 0 {
		t.Error("opened before anybody asks")
	}
	again := serves(t, s, states[0])
	if !again || !serves(t, s, states[0]) || l.opened != 1 || serves(t, s, states[1]) {
		t.Errorf("opened %d times", l.opened)
	}
	reads := s.use(func(st *state.State) bool { return st.Root() == states[0].Root() })
	for _, st := range states[1:4] {
		s.Keep(st)
	}
	if serves(t, s, states[0]) || l.closed != 0 || !serves(t, s, states[3]) {
		t.Errorf("closed %d times while somebody reads", l.closed)
	}
	s.done(reads, nil)
	if l.closed != 1 {
		t.Errorf("closed %d times", l.closed)
	}
	s.KeepLater(l.later(states[2], nil)) // older than what there is
	if serves(t, s, states[2]); l.opened != 1 {
		t.Error("an older one was opened")
	}
	s.KeepLater(l.later(states[4], nil)) // a newer one comes before anybody asks
	s.Keep(states[5])
	if serves(t, s, states[4]) || l.opened != 1 || !serves(t, s, states[5]) {
		t.Error("one that is not the newest any more was opened")
	}
	s.KeepLater(l.later(states[6], errors.New("no such luck")))
	if serves(t, s, states[6]) || len(said) != 1 || !strings.Contains(said[0], "no such luck") {
		t.Errorf("it could not be opened, and says %q", said)
	}
}

// What the disk has not as it should is served no more, and said; any other panic is ours.
func TestSourceOfDamage(t *testing.T) {
	st := someStates(t, 1)[0]
	var said []string
	s := NewSource(func(line string) { said = append(said, line) })
	var l lent
	s.KeepLater(l.later(st, nil))
	if !serves(t, s, st) {
		t.Fatal("not served")
	}
	read := func() (panicked bool) {
		defer func() { panicked = recover() != nil }()
		o := s.use(func(x *state.State) bool { return x == st })
		defer func() { s.done(o, recover()) }()
		panic("reading")
	}
	if !read() || l.closed != 0 {
		t.Error("a panic that is not the disk's was swallowed")
	}
	l.err = errors.New("page 7 is not what was written")
	if read() || l.closed != 1 || len(said) != 1 || !strings.Contains(said[0], "page 7") {
		t.Errorf("closed %d times, says %q", l.closed, said)
	}
	if serves(t, s, st) {
		t.Error("it is served still")
	}
	q := &statesync.Request{Root: st.Root(), Budget: 1000, Items: []statesync.Want{{Depth: 1}}}
	if answer, err := s.Serve(append([]byte{askNodes}, q.Encode()...)); err != nil || len(answer) != 1 {
		t.Errorf("nodes of it: %x, %v", answer, err)
	}
}
