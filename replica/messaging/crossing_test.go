package messaging

import (
	"testing"

	"ashlar/replica/ic"
)

// Canisters that call each other while each has messages of its own in the same round
// lose none.
func TestCallsThatCross(t *testing.T) {
	w := newWorld(t)
	var ids []ic.CanisterID
	for range 6 {
		ids = append(ids, w.universal(alice))
	}
	var requests []ic.RequestID
	for range 3 {
		for i, id := range ids {
			p := prog{}
			for j, to := range ids {
				if i != j {
					p = p.call(outgoing{to: to, method: "update", arg: prog{}.b("pong").reply(), onReply: prog{}})
				}
			}
			requests = append(requests, w.send(bob, id, "update", p.b("sent").reply()))
		}
	}
	for range 20 {
		w.round()
	}
	for i, id := range requests {
		if c := w.s.Status(id); c == nil || string(c.Reply) != "sent" {
			t.Errorf("message %d: %+v", i, c)
		}
	}
	for _, id := range ids {
		if c := w.s.Canister(id); c.Callbacks.Len() != 0 || c.Queue.Len() != 0 || c.Contexts.Len() != 0 {
			t.Errorf("%s waits for %d answers, with %d messages and %d calls", id, c.Callbacks.Len(), c.Queue.Len(), c.Contexts.Len())
		}
	}
	w.checkReload()
}
