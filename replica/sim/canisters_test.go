package sim

import (
	"crypto/sha256"
	"strings"
	"testing"

	"ashlar/replica/state"
)

// watched are canisters of which is counted what they come to.
type watched struct {
	*canisters
	saw map[string]int
}

func (g *watched) audit(s *state.State) error {
	s.Canisters(func(c *state.Canister) bool {
		if c.Long != nil {
			g.saw["long "+map[state.LongKind]string{state.LongMessage: "message", state.LongTask: "task", state.LongInstall: "installation"}[c.Long.Kind]]++
			if m, ok := c.Queue.Get(c.Long.Key); ok && m.Origin.Kind == state.Response {
				g.saw["long callback"]++
			}
			if c.Long.Done == 0 {
				g.saw["begins anew"]++
			}
		}
		if page := c.Memory.Heap.Get(0); page != nil && page[unsureAt] != 0 {
			g.saw["end that nobody knows"]++
		}
		if c.StableBytes > 0 {
			g.saw["stable memory"]++
		}
		g.saw[c.Run.String()]++
		if c.Snapshots.Len() > 0 {
			g.saw["snapshot"]++
		}
		if c.Module != nil && c.Module.Hash == sha256.Sum256(code(c.ID, 1)) {
			g.saw["upgraded"]++
			if c.Callbacks.Len() > 0 {
				g.saw["upgraded, and waits"]++
			}
		}
		c.Callbacks.Each(func(_ string, cb *state.Callback) bool {
			g.saw["guaranteed"]++
			if cb.Deadline != 0 {
				g.saw["best effort"]++
			}
			if cb.Callee == c.ID.Principal {
				g.saw["to itself"]++
			}
			return true
		})
		c.Contexts.Each(func(_ string, x *state.CallContext) bool {
			if x.Origin.Kind == state.Task {
				g.saw["task that calls"]++
			}
			return true
		})
		return true
	})
	s.Queued(func(*state.Message) bool {
		g.saw["management canister"]++
		return true
	})
	err := g.canisters.audit(s)
	if g.atRest {
		g.saw["rest"]++
	}
	return err
}

// The errands come to all that there is to come to.
func TestErrandsMeetEverything(t *testing.T) {
	saw := map[string]int{}
	for seed := range uint64(8) {
		p := FromSeed(seed, 1)
		p.Canisters, p.Calls = true, 40
		w, err := newWorld(p, false)
		if err != nil {
			t.Fatal(err)
		}
		w.users.game = &watched{&canisters{w: w}, saw}
		w.play()
		if w.wrong != nil {
			t.Fatalf("seed %d: %v", seed, w.wrong)
		}
		for _, a := range w.truth.answers {
			for _, how := range []string{"as drawn", "no", "did not reply"} {
				if strings.Contains(a.text, how) {
					saw[how]++
				}
			}
		}
		w.close()
	}
	for _, what := range []string{"long message", "long task", "long installation", "long callback", "begins anew", "guaranteed", "best effort", "to itself", "task that calls",
		"management canister", "rest", "end that nobody knows", "stable memory", "as drawn", "no", "did not reply", "stopping", "stopped", "running", "snapshot", "upgraded", "upgraded, and waits"} {
		if saw[what] == 0 {
			t.Errorf("never seen: %s", what)
		}
	}
	t.Log(saw)
}
