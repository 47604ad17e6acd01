package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// View is a certified state: immutable, and all that readers see.
type View struct {
	Height    ic.Height
	Time      ic.Time
	State     *state.State
	Signature []byte
}

// Tree is the certified tree.
func (v *View) Tree() *hashtree.Tree { return v.State.Tree() }

// View is the latest certified state, nil before the first; it never goes back.
func (n *Node) View() *View { return n.view.Load() }

// certified publishes a state and wakes who waits for what is in it.
func (n *Node) certified(e consensus.Certified) {
	v := n.view.Load()
	var ended []ic.RequestID
	known := ic.Height(0)
	n.mu.Lock()
	s := n.states[e.Height]
	for h, one := range n.states {
		if h > e.Height {
			continue
		}
		if v != nil && h > v.Height {
			ended, known = append(ended, one.Ended()...), known+1
		}
		delete(n.states, h)
	}
	n.mu.Unlock()
	if s == nil || e.Height < n.floor || v != nil && v.Height >= e.Height {
		return
	}
	n.view.Store(&View{Height: e.Height, Time: s.Time(), State: s, Signature: e.Signature})
	n.timeline.end(e.Height, Shown, n.Clock.Now())
	if v == nil {
		close(n.ready)
	}
	if v != nil && known == e.Height-v.Height {
		n.watchers.tell(ended)
	} else { // a state of peers, or of an earlier life
		n.watchers.wake(s)
	}
	poke(n.dirty)
}

// DataCertificate is what ic0.data_certificate gives a query of the canister:
// its certified data and the time, with the subnet's signature.
func (v *View) DataCertificate(c ic.CanisterID) []byte {
	w := v.Tree().Witness([]hashtree.Path{hashtree.P("canister", string(c.Principal), "certified_data"), hashtree.P("time")})
	return (&cert.Certificate{Tree: w, Signature: v.Signature}).Encode()
}

// Query answers a checked query on the latest certified state. What was answered
// before and still holds needs no turn.
func (n *Node) Query(ctx context.Context, q *ic.Query) (ic.Reply, error) {
	v := n.view.Load()
	if v == nil {
		return ic.Reply{}, ErrBusy
	}
	if a := n.Machine.Recall(v.State, q, v.Time); a != nil {
		n.metrics.recalled.Add(1)
		n.queried.count(a.Uses)
		return a.Reply, nil
	}
	if err := n.queries.enter(ctx, q.Canister); err != nil {
		if errors.Is(err, ErrBusy) {
			n.metrics.busy.Add(1)
		}
		return ic.Reply{}, err
	}
	defer n.queries.leave(q.Canister)
	if err := ctx.Err(); err != nil { // its user is gone, and has not noticed that a place was free
		return ic.Reply{}, err
	}
	n.metrics.queries.Add(1)
	began := n.Clock.Now()
	late := func() bool { return ctx.Err() != nil || n.Clock.Now() > began+maxQueryTime }
	certificate := func() []byte { return v.DataCertificate(q.Canister) }
	a := n.Machine.Query(v.State, q, v.Time, certificate, late)
	n.queried.count(a.Uses)
	return a.Reply, nil
}

// maxQueryTime ends a composite query that calls and calls (resource-limits.md).
const maxQueryTime = 10e9 // nanoseconds

// Watch returns a channel that is closed once the call has ended in a certified state.
func (n *Node) Watch(id ic.RequestID) (done <-chan struct{}, cancel func()) {
	w, cancel := n.watchers.add(id)
	if v := n.view.Load(); v != nil && ended(v.State, id) { // after add: or an end in between is missed
		n.watchers.tell([]ic.RequestID{id})
	}
	return w, cancel
}

func ended(s *state.State, id ic.RequestID) bool {
	c := s.Status(id)
	return c != nil && c.State.Terminal()
}

// watchers wait for the ends of calls.
type watchers struct {
	mu   sync.Mutex
	wait map[ic.RequestID]*watch
	n    int
}

type watch struct {
	done  chan struct{}
	users int
}

func newWatchers() *watchers { return &watchers{wait: map[ic.RequestID]*watch{}} }

// closed is what those get who would be one watcher too many: they look at once.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (w *watchers) add(id ic.RequestID) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= maxWatchers {
		return closed, func() {}
	}
	one := w.wait[id]
	if one == nil {
		one = &watch{done: make(chan struct{})}
		w.wait[id] = one
	}
	one.users++
	w.n++
	return one.done, sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.n--
		if one.users--; one.users == 0 && w.wait[id] == one {
			delete(w.wait, id)
		}
	})
}

// tell who waits for these calls that they have ended.
func (w *watchers) tell(calls []ic.RequestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range calls {
		if one := w.wait[id]; one != nil {
			close(one.done)
			delete(w.wait, id)
		}
	}
}

// wake those whose calls have ended in s.
func (w *watchers) wake(s *state.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, one := range w.wait {
		if ended(s, id) {
			close(one.done)
			delete(w.wait, id)
		}
	}
}

func (v *View) String() string { return fmt.Sprintf("height %d", v.Height) }
