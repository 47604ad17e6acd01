package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/wire/envelope"
)

// users send calls and read answers at any node.
type users struct {
	w     *world
	nonce uint64
	sent  map[ic.RequestID]bool
	open  []*request // sent and not answered
	old   []*request // the last ones, to be sent again
	ended bool
	took  []time.Duration // from a call until some node shows its certified answer
	game
}

// game is what users play: the state machine of the nodes, calls, and what must hold.
type game interface {
	// machine of a node that starts.
	machine(*peer) node.Machine
	// call that a user draws.
	call(r *rand.Rand, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte)
	parse(raw []byte) (*ic.Ingress, error)
	// minted is all the cycles that there are to be in a state.
	minted(*state.State) ic.Cycles
	// audit looks at a state of a new height.
	audit(*state.State) error
	// rests tells whether nothing is under way in the state that was audited last.
	rests() bool
}

// request is a call as its user knows it.
type request struct {
	msg   *ic.Ingress
	raw   []byte
	began time.Duration
	// at took it in this life, and owes an answer as long as it lives; nil: nobody.
	at   *peer
	life int
}

func newUsers(w *world) *users {
	u := &users{w: w, sent: map[ic.RequestID]bool{}, game: newLedger(w.Pages)}
	if w.Canisters {
		u.game = &canisters{w: w}
	}
	return u
}

func (u *users) begin() {
	if u.w.Calls > 0 {
		u.next()
	}
}

func (u *users) next() {
	pause := time.Duration(u.w.rng.ExpFloat64() / u.w.Calls * float64(time.Second))
	u.w.after(min(pause, time.Minute), func() {
		if u.ended {
			return
		}
		u.call()
		u.next()
	})
}

// call sends a new call, or an old one again.
func (u *users) call() {
	p := u.w.peers[u.w.rng.IntN(len(u.w.peers))]
	if n := len(u.old); n > 0 && u.w.rng.IntN(5) == 0 {
		u.submit(p, u.old[u.w.rng.IntN(n)])
		return
	}
	u.submit(p, u.request(5*time.Second+u.w.span(0, 5*time.Minute-5*time.Second)))
}

func (u *users) request(ttl time.Duration) *request {
	u.nonce++
	r := &request{began: u.w.now}
	r.msg, r.raw = u.game.call(u.w.rng, u.nonce, genesis+ic.Time(u.w.now+ttl))
	return r
}

// long sends a call that takes so many rounds to the first node that runs.
func (u *users) long(rounds int) {
	g, ok := u.game.(*canisters)
	for _, p := range u.w.peers {
		if ok && p.node != nil && p.view != nil {
			r := &request{began: u.w.now}
			u.nonce++
			r.msg, r.raw = g.long(u.w.rng, rounds, u.nonce, genesis+ic.Time(u.w.now+time.Minute))
			u.submit(p, r)
			return
		}
	}
}

func (u *users) submit(p *peer, r *request) {
	if p.node == nil {
		return
	}
	if !u.sent[r.msg.ID] {
		u.sent[r.msg.ID] = true
		u.open = append(u.open, r)
		if u.old = append(u.old, r); len(u.old) > 10 {
			u.old = u.old[1:]
		}
	}
	msg := *r.msg
	err := p.node.Submit(context.Background(), r.raw, &msg)
	u.w.log("call %x to node %d: %v", r.msg.ID[:4], p.index, err)
	if err == nil {
		if !p.byzantine() {
			r.at, r.life = p, p.life
		}
		p.planStep(u.w.now)
	}
}

// ask for the answers to open calls.
func (u *users) ask(v *node.View, answered func(ic.RequestID, *state.Call)) {
	left := u.open[:0]
	for _, r := range u.open {
		if c := v.State.Status(r.msg.ID); c != nil && c.State.Terminal() {
			answered(r.msg.ID, c)
			u.took = append(u.took, u.w.now-r.began)
		} else if r.msg.Expiry > v.Time {
			left = append(left, r)
		}
	}
	clear(u.open[len(left):])
	u.open = left
}

// finish sends a last call to each node that runs; all are to be answered.
func (u *users) finish() {
	u.ended = true
	for _, p := range u.w.peers {
		if p.node != nil && !p.byzantine() && p.view != nil {
			u.submit(p, u.request(u.w.Within+time.Minute))
		}
	}
}

// served tells whether all calls are answered that a node owes an answer to.
func (u *users) served() bool {
	soon := genesis + ic.Time(u.w.now+u.w.Within)
	for _, r := range u.open {
		if r.at != nil && r.at.node != nil && r.at.life == r.life && r.msg.Expiry > soon {
			return false
		}
	}
	return true
}

func (u *users) parse(raw []byte) (*ic.Ingress, *envelope.Envelope, error) {
	msg, err := u.game.parse(raw)
	return msg, nil, err
}

// check: nobody forges calls here.
func (u *users) check(claims []envelope.Claim, _ ic.Time) []error {
	return make([]error, len(claims))
}

// conserved: cycles are neither made nor lost.
func (u *users) conserved(next *state.State, now ic.Cycles) error {
	if want := u.minted(next); now != want {
		return violated("height %d has %s cycles in all, there were %s", next.Height(), now, want)
	}
	return nil
}

// supply is all the cycles there are, wherever they are, and all that ever were burned.
func supply(s *state.State) ic.Cycles {
	sum := s.Head().Burned
	add := func(more ic.Cycles) { sum = sum.Add(more) }
	s.Queued(func(m *state.Message) bool {
		add(m.Cycles)
		return true
	})
	s.Canisters(func(c *state.Canister) bool {
		add(c.Cycles)
		add(c.Reserved)
		for _, stop := range c.StopCalls {
			add(stop.Cycles)
		}
		if c.Long != nil {
			add(c.Long.Paid)
		}
		c.Queue.Each(func(_ string, m *state.Message) bool {
			add(m.Cycles)
			return true
		})
		c.Contexts.Each(func(_ string, x *state.CallContext) bool {
			add(x.Available)
			return true
		})
		c.Callbacks.Each(func(_ string, x *state.Callback) bool {
			add(x.PaidRun)
			add(x.PaidTransmit)
			return true
		})
		return true
	})
	return sum
}
