package spectest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
)

// This file: canister-interface.md, "Overview of imports": each function of the
// system API may be called from the listed entry points, and from no other.

// scripted makes a canister that does what it is told.
func (n *net) scripted(o script.Options) ic.CanisterID {
	n.Helper()
	id := n.create()
	if err := n.ic.InstallCode(n.ctx, id, agent.Install(), script.Module(o), nil); err != nil {
		n.Fatal(err)
	}
	return id
}

func (n *net) do(id ic.CanisterID, s script.Script) ([]byte, error) {
	return n.agent.Call(n.ctx, id, "do", s)
}

func (n *net) ask(id ic.CanisterID, s script.Script) ([]byte, error) {
	return n.agent.Query(n.ctx, id, "ask", s)
}

func (n *net) compose(id ic.CanisterID, s script.Script) ([]byte, error) {
	return n.agent.Query(n.ctx, id, "compose", s)
}

// probe calls a function with arguments that mean nothing, and takes its results
// off the stack.
func probe(f *script.Function) script.Script {
	var s script.Script
	for range f.Params {
		s = s.Push(0)
	}
	s = s.API(f.Name)
	for range f.Results {
		s = s.Drop()
	}
	return s
}

// entry is one way into a canister.
type entry struct {
	letter string // of the specification
	name   string // in the error
	run    func(n *net, c *stage, s script.Script) error
}

// stage is what the entries of one test need.
type stage struct{ id, other ic.CanisterID }

var entries = []entry{
	{"U", "update", func(n *net, c *stage, s script.Script) error {
		_, err := n.do(c.id, s.API("msg_reply"))
		return err
	}},
	{"RQ", "replicated query", func(n *net, c *stage, s script.Script) error {
		_, err := n.agent.Call(n.ctx, c.id, "ask", s.API("msg_reply"))
		return err
	}},
	{"NRQ", "non replicated query", func(n *net, c *stage, s script.Script) error {
		_, err := n.ask(c.id, s.API("msg_reply"))
		return err
	}},
	{"CQ", "composite query", func(n *net, c *stage, s script.Script) error {
		_, err := n.compose(c.id, s.API("msg_reply"))
		return err
	}},
	{"Ry", "reply callback", func(n *net, c *stage, s script.Script) error {
		_, err := n.do(c.id, callback(c.other, "do", replied, s.API("msg_reply"), nil, nil))
		return err
	}},
	{"Rt", "reject callback", func(n *net, c *stage, s script.Script) error {
		_, err := n.do(c.id, callback(c.other, "do", rejecting, nil, s.API("msg_reply"), nil))
		return err
	}},
	{"C", "cleanup", func(n *net, c *stage, s script.Script) error {
		_, err := n.do(c.id, callback(c.other, "do", replied, script.Script(nil).Trap("on purpose"), nil, s))
		return err
	}},
	{"CRy", "composite reply callback", func(n *net, c *stage, s script.Script) error {
		_, err := n.compose(c.id, callback(c.other, "ask", replied, s.API("msg_reply"), nil, nil))
		return err
	}},
	{"CRt", "composite reject callback", func(n *net, c *stage, s script.Script) error {
		_, err := n.compose(c.id, callback(c.other, "ask", rejecting, nil, s.API("msg_reply"), nil))
		return err
	}},
	{"CC", "composite cleanup", func(n *net, c *stage, s script.Script) error {
		_, err := n.compose(c.id, callback(c.other, "ask", replied, script.Script(nil).Trap("on purpose"), nil, s))
		return err
	}},
	{"I", "init", func(n *net, c *stage, s script.Script) error {
		return n.ic.InstallCode(n.ctx, c.id, agent.Reinstall(), script.Module(script.Options{}), s)
	}},
	{"G", "pre upgrade", func(n *net, c *stage, s script.Script) error {
		if _, err := n.do(c.id, script.Script(nil).Hook(script.PreUpgrade, s).API("msg_reply")); err != nil {
			return err
		}
		err := n.ic.InstallCode(n.ctx, c.id, agent.Upgrade(nil), script.Module(script.Options{}), nil)
		if err != nil {
			_, _ = n.do(c.id, script.Script(nil).Hook(script.PreUpgrade, nil).API("msg_reply"))
		}
		return err
	}},
	{"s", "start", func(n *net, c *stage, s script.Script) error {
		return n.ic.InstallCode(n.ctx, c.id, agent.Reinstall(), script.Module(script.Options{Start: s}), nil)
	}},
	{"F", "inspect message", inspected},
	{"T", "system task", timed},
}

var (
	replied   = script.Script(nil).API("msg_reply")
	rejecting = script.Script(nil).Reject("as asked")
)

func callback(to ic.CanisterID, method string, arg, onReply, onReject, onCleanup script.Script) script.Script {
	return script.Script(nil).Call(script.Outgoing{To: to.Bytes(), Method: method, Arg: arg, OnReply: onReply, OnReject: onReject, OnCleanup: onCleanup})
}

// inspected runs s in canister_inspect_message. The message that makes it the
// hook's program is accepted by the program before.
func inspected(n *net, c *stage, s script.Script) error {
	accept := script.Script(nil).API("accept_message")
	id := n.create()
	if err := n.ic.InstallCode(n.ctx, id, agent.Install(), script.Module(script.Options{Inspect: true}), script.Script(nil).Hook(script.Inspect, s.Then(accept))); err != nil {
		return err
	}
	_, err := n.do(id, replied)
	return err
}

// timed runs s in canister_global_timer and reads from the log how that went.
func timed(n *net, c *stage, s script.Script) error {
	before, err := n.logs(c.id)
	if err != nil {
		return err
	}
	if _, err := n.do(c.id, script.Script(nil).Hook(script.Timer, s.Text("ran").API("debug_print")).Push(1).API("global_timer_set").Drop().API("msg_reply")); err != nil {
		return err
	}
	for range 200 {
		lines, err := n.logs(c.id)
		if err != nil {
			return err
		}
		if k := len(lines); k > 0 && (len(before) == 0 || lines[k-1].Index > before[len(before)-1].Index) {
			if text := string(lines[k-1].Content); text != "ran" {
				return errors.New(text)
			}
			return nil
		}
		if err := n.pause(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the timer does not run")
}

// pause waits between two looks at something that will change.
func (n *net) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-n.ctx.Done():
		return n.ctx.Err()
	}
}

// listed tells whether a list of contexts has a letter.
func listed(in, letter string) bool {
	for _, l := range strings.Fields(in) {
		if l == letter || l == "*" && letter != "s" {
			return true
		}
	}
	return false
}

// contexts: each function in each context.
func (n *net) contexts() {
	for _, e := range entries {
		n.Run(e.letter, func(t *testing.T) {
			t.Parallel()
			m := connect(t, n.url)
			c := &stage{m.scripted(script.Options{}), m.scripted(script.Options{})}
			for i := range script.Functions {
				f := &script.Functions[i]
				err := e.run(m, c, probe(f))
				refused := err != nil && strings.Contains(err.Error(), fmt.Sprintf("%s\" cannot be executed in %s mode", f.Name, e.name))
				if allowed := listed(f.In, e.letter); allowed == refused {
					t.Errorf("%s in %s: allowed is %v, want %v (%v)", f.Name, e.name, !refused, allowed, err)
				}
			}
		})
	}
	n.Run("64-bit", func(t *testing.T) { // the same functions, as wide as the memory
		t.Parallel()
		m := connect(t, n.url)
		id := m.scripted(script.Options{Wide: true})
		for i := range script.Functions {
			if f := &script.Functions[i]; !f.Only32 {
				_, err := m.do(id, probe(f).API("msg_reply"))
				if refused := err != nil && strings.Contains(err.Error(), "cannot be executed"); refused == listed(f.In, "U") {
					t.Errorf("%s in update: %v", f.Name, err)
				}
			}
		}
	})
}
