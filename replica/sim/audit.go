package sim

import (
	"encoding/binary"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// asked names who waits for an answer: a callback of a canister, or a user.
type asked struct {
	caller   ic.Principal
	callback uint64
	request  ic.RequestID
}

func asker(o *state.Origin) asked {
	if o.Kind == state.Ingress {
		return asked{request: o.Request}
	}
	return asked{caller: o.Caller, callback: o.Callback}
}

// audit finds, for everybody who waits for an answer, where it is to come from: a message
// that waits, a canister at work, or the answer on its way. And when all is at rest, the
// canisters' books match.
func (g *canisters) audit(s *state.State) error {
	if n := s.NumCanisters(); n > 0 && n != accounts {
		return violated("height %d has %d canisters, not %d", s.Height(), n, accounts)
	}
	work, answers, err := map[asked]int{}, map[asked]int{}, error(nil)
	s.Queued(func(m *state.Message) bool {
		work[asker(&m.Origin)]++
		return true
	})
	s.Canisters(func(c *state.Canister) bool {
		c.Queue.Each(func(_ string, m *state.Message) bool {
			if m.Origin.Kind == state.Response {
				answered := asked{caller: c.ID.Principal, callback: m.Origin.Callback}
				work[answered]++
				if answers[answered]++; answers[answered] > 1 {
					err = violated("height %d: the answer to call %d of canister %s waits twice", s.Height(), m.Origin.Callback, c.ID)
				}
			} else {
				work[asker(&m.Origin)]++
			}
			return true
		})
		for i := range c.StopCalls {
			work[asker(&c.StopCalls[i].Origin)]++
		}
		c.Contexts.Each(func(_ string, x *state.CallContext) bool {
			if !x.Responded && x.Origin.Kind != state.Task {
				work[asker(&x.Origin)]++
			}
			return true
		})
		return true
	})
	rests := !s.Busy()
	s.Canisters(func(c *state.Canister) bool {
		rests = rests && c.Long == nil && len(c.StopCalls) == 0 && c.Contexts.Len() == 0 && c.Callbacks.Len() == 0
		open := map[uint64]uint64{}
		c.Callbacks.Each(func(key string, cb *state.Callback) bool {
			open[cb.Context]++
			// The message of a call that is late may still be there.
			if n := work[asked{caller: c.ID.Principal, callback: state.Number(key)}]; n != 1 && (n == 0 || cb.Deadline == 0) {
				err = violated("height %d: canister %s waits for an answer to its call %d, and %d will come", s.Height(), c.ID, state.Number(key), n)
			}
			return err == nil
		})
		c.Contexts.Each(func(key string, x *state.CallContext) bool {
			if n := open[state.Number(key)]; n != x.Open || n == 0 {
				err = violated("height %d: call %d of canister %s waits for %d answers, and %d callbacks", s.Height(), state.Number(key), c.ID, x.Open, n)
			}
			return err == nil
		})
		return err == nil
	})
	if err != nil {
		return err
	}
	for _, r := range g.w.users.open {
		if c := s.Status(r.msg.ID); c != nil && !c.State.Terminal() && work[asked{request: r.msg.ID}] != 1 {
			return violated("height %d: the call %x is %s, and %d answers will come", s.Height(), r.msg.ID[:4], c.State, work[asked{request: r.msg.ID}])
		}
	}
	if g.atRest = rests && s.NumCanisters() > 0; g.atRest {
		return balanced(s)
	}
	return nil
}

// balanced: of a subnet at rest, the books match.
func balanced(s *state.State) (err error) {
	var tokens, unsure, founded int64
	s.Canisters(func(c *state.Canister) bool {
		if c.Module == nil {
			return true
		}
		founded += savings
		page := c.Memory.Heap.Get(0)
		at := func(n int) int64 { return int64(binary.LittleEndian.Uint64(page[n:])) }
		if tokens, unsure = tokens+at(tokensAt), unsure+at(unsureAt); at(sentAt) != at(heardAt) {
			err = violated("height %d: canister %s has sent %d calls and heard %d answers", s.Height(), c.ID, at(sentAt), at(heardAt))
		}
		return err == nil
	})
	if err == nil && (tokens > founded || tokens < founded-unsure) {
		err = violated("height %d: there are %d tokens, and %d of which nobody knows; there were %d", s.Height(), tokens, unsure, founded)
	}
	return err
}
