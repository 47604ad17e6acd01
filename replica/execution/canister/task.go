package canister

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Task is one of the entry points that the system calls by itself.
type Task string

// The tasks, by the export they run.
const (
	Heartbeat Task = "canister_heartbeat"
	Timer     Task = "canister_global_timer"
	LowMemory Task = "canister_on_low_wasm_memory"
)

// RunTask runs a task, if the canister has it, runs and can pay; it tells whether it did.
func (r *Room) RunTask(id ic.CanisterID, t Task) bool {
	old := r.Canister(id)
	if old == nil || old.Module == nil || old.Run != state.Running || !has(old.Module, t) {
		return false
	}
	c := *old
	switch t {
	case Timer:
		if c.Timer == 0 || c.Timer > r.Now {
			return false
		}
		c.Timer = 0
	case LowMemory:
		if c.LowMemory != state.HookReady {
			return false
		}
	}
	limit := r.Subnet.Costs.Message()
	paid, err := r.prepay(&c, limit, "")
	if err != nil {
		if t == Timer {
			r.Put(&c)
		}
		return false // frozen: the low-memory hook stays ready
	}
	if t == LowMemory {
		c.LowMemory = state.HookExecuted
	}
	m := &state.Message{Origin: state.Origin{Kind: state.Task, Caller: ic.Management}}
	r.begin(&c, m, sysapi.Task, machine.Entry{Export: string(t)}, limit, paid)
	return true
}

func has(m *state.Module, t Task) bool {
	switch t {
	case Heartbeat:
		return m.HasHeartbeat
	case Timer:
		return m.HasTimer
	}
	return m.HasLowMemory
}
