package state

import (
	"ashlar/replica/ic"
)

// CallState is where a user's call stands (spec: request status).
type CallState uint8

// The states of a call.
const (
	Received   CallState = 1
	Processing CallState = 2
	Replied    CallState = 3
	Rejected   CallState = 4
	Done       CallState = 5 // ended, the answer was dropped
)

func (c CallState) String() string {
	return [...]string{"unknown", "received", "processing", "replied", "rejected", "done"}[c]
}

// Terminal tells whether the call has ended.
func (c CallState) Terminal() bool { return c >= Replied }

// Call is the status of a user's call.
type Call struct {
	State     CallState     `cbor:"1,keyasint"`
	Reply     []byte        `cbor:"2,keyasint,omitempty"`
	Reject    *ic.Reject    `cbor:"3,keyasint,omitempty"`
	Sender    ic.Principal  `cbor:"4,keyasint"`
	Effective ic.CanisterID `cbor:"5,keyasint"`
	Expiry    ic.Time       `cbor:"6,keyasint"`
	Updated   ic.Time       `cbor:"7,keyasint"`
	Callee    ic.CanisterID `cbor:"8,keyasint"` // a delegation's targets are compared with it
}

// callKept is how long the end of a call is told, in ns: at least as long as the
// request could be sent again (spec: 5 minutes).
const callKept = 5 * 60 * 1e9

// forgotten is when the status is dropped; 0 before the call has ended.
func (c *Call) forgotten() ic.Time {
	if !c.State.Terminal() {
		return 0
	}
	return max(c.Updated+callKept, c.Expiry+1)
}

// Status of a user's call, nil where it is unknown. Status(id).State.Terminal()
// tells whether it has ended.
func (s *State) Status(id ic.RequestID) *Call {
	c, _ := s.calls.Get(string(id[:]))
	return c
}

// NumCalls whose status is kept.
func (s *State) NumCalls() int { return s.calls.Len() }

// Ended are the calls that ended in the round that made this state; of a state that was
// loaded they are not known.
func (s *State) Ended() []ic.RequestID { return s.ended }

// Call finds the status of a user's call, nil where it is unknown.
func (d *Draft) Call(id ic.RequestID) *Call { return d.s.Status(id) }

// NumCalls whose status is kept.
func (d *Draft) NumCalls() int { return d.s.calls.Len() }

// SetCall makes c the status of the call.
func (d *Draft) SetCall(id ic.RequestID, c *Call) {
	d.ending(id, c)
	d.Head.Answers += c.answerBytes() - d.Call(id).answerBytes()
	d.s.calls.Set(d.s.owner, string(id[:]), c)
}

// answerBytes is the memory that the call's answer takes; of no call none.
func (c *Call) answerBytes() uint64 {
	switch {
	case c == nil:
		return 0
	case c.Reject != nil:
		return uint64(len(c.Reject.Message))
	}
	return uint64(len(c.Reply))
}

// ending notes when the call may be forgotten.
func (d *Draft) ending(id ic.RequestID, c *Call) {
	if at := c.forgotten(); at != 0 {
		d.ended[at] = append(d.ended[at], id)
		d.s.ended = append(d.s.ended, id)
	}
}

func (d *Draft) flushEnds() {
	for at, ids := range d.ended { // the order does not matter: a map is a function of its entries
		key := timeKey(at, "")
		old, _ := d.s.ends.Get(key)
		d.s.ends.Set(d.s.owner, key, append(old[:len(old):len(old)], ids...))
	}
	clear(d.ended)
}

// Thin drops the answers of the calls that are to be forgotten first, until those that
// are left take no more than so many bytes. That the calls ended stays known.
func (d *Draft) Thin(most uint64, now ic.Time) {
	if d.Head.Answers <= most {
		return
	}
	d.flushEnds()
	d.s.ends.Each(func(key string, ids []ic.RequestID) bool {
		if key <= d.s.thin {
			return true
		}
		for _, id := range ids {
			c := d.Call(id)
			if c == nil || c.State == Done || timeKey(c.forgotten(), "") != key {
				continue // it is thin already, or found at another time
			}
			done := *c
			done.State, done.Reply, done.Reject = Done, nil, nil
			d.Head.Answers -= c.answerBytes()
			d.s.calls.Set(d.s.owner, string(id[:]), &done)
		}
		if key < timeKey(now+callKept, "") { // later ends may be added to those that follow
			d.s.thin = key
		}
		return d.Head.Answers > most
	})
}

// Forget drops the statuses of calls that ended long enough ago.
func (d *Draft) Forget(now ic.Time) {
	for {
		key, ids, ok := d.s.ends.First()
		if !ok || key > timeKey(now, "") {
			return
		}
		d.s.ends.Unset(d.s.owner, key)
		for _, id := range ids {
			if c := d.Call(id); c != nil && timeKey(c.forgotten(), "") == key { // else it has ended anew
				d.Head.Answers -= c.answerBytes()
				d.s.calls.Unset(d.s.owner, string(id[:]))
			}
		}
	}
}
