package scheduler

import (
	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/management"
	"ashlar/replica/state"
)

// This file: the management canister's queue. It is worked off in order, except
// that a call about a canister in the middle of an execution waits for its end,
// that code is installed on one canister at a time, and that raw_rand waits for
// the next round: its randomness was not known when it was asked for.

// messages works off the management canister's queue.
func (r *Round) messages() (moved bool) {
	if c := r.installing(); c != nil {
		if r.resumed {
			return r.others()
		}
		r.resumed = true
		r.alone(r.Room.Resume(c, r.install))
		moved = true
	}
	return r.others() || moved
}

type waiting struct {
	key string
	msg *state.Message
}

func (r *Round) others() (moved bool) {
	var now []waiting
	r.Room.Queued(func(key string, m *state.Message) bool {
		now = append(now, waiting{key, m})
		return true
	})
	for _, w := range now {
		if r.subnet.Full() {
			break
		}
		if w.msg.Method == "raw_rand" && w.msg.Arrived >= r.Room.Head.Height {
			continue
		}
		c := r.target(w.msg)
		if c != nil && c.Long != nil {
			continue
		}
		if c == nil || !management.Installs(w.msg.Method) {
			r.Room.Dequeue(w.key)
			r.subnet.Used += r.Management.Execute(w.msg) + canister.PerExecution
		} else if r.installing() == nil {
			r.deploy(c, w)
		} else {
			continue
		}
		moved = true
	}
	return moved
}

// target is the canister that a call is about, where that matters.
func (r *Round) target(m *state.Message) *state.Canister {
	if len(r.Room.Long()) == 0 && !management.Installs(m.Method) {
		return nil
	}
	id, err := management.Target(m.Method, m.Arg)
	if err != nil {
		return nil // the method says what is wrong with the argument
	}
	return r.Room.Canister(id)
}

// installing is the canister in the middle of an installation, nil where there is none.
func (r *Round) installing() *state.Canister {
	if all := r.paused(func(l *state.Long) bool { return l.Kind == state.LongInstall }); len(all) > 0 {
		return all[0]
	}
	return nil
}

// deploy executes a call that installs code.
func (r *Round) deploy(old *state.Canister, w waiting) {
	c := *old
	r.alone(r.Room.Turn(&c, func(t *canister.Turn) {
		t.Install(w.key, func() { r.install(t, w.msg) })
	}))
}

// alone gives one turn the core that is for the management canister.
func (r *Round) alone(t *canister.Turn) {
	r.subnet.Free = r.Room.Free()
	r.subnet.Assign([]*canister.Turn{t})
	r.subnet.Run()
	r.Room.Finish(t)
	r.Room.Deliver(t)
}

func (r *Round) install(t *canister.Turn, m *state.Message) {
	on := *r.Management
	on.Room = t.Room
	on.Execute(m)
}
