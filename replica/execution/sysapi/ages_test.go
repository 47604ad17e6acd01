package sysapi

import (
	"encoding/json"
	"fmt"
	"testing"

	"ashlar/replica/ic"
)

// What a query can see of time, balance and certificate is marked as seen:
// answers are kept by it. Each function runs twice, with one of the three changed.
func TestWhatAgesIsMarked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(e *Env)
		marked func(e *Env) bool
	}{
		"time":        {func(e *Env) { e.Now += 1e9 }, func(e *Env) bool { return e.ReadTime }},
		"balance":     {func(e *Env) { e.Balance = ic.NewCycles(77) }, func(e *Env) bool { return e.ReadBalance }},
		"freezing":    {func(e *Env) { e.Freezing = ic.Cycles{Hi: 1} }, func(e *Env) bool { return e.ReadBalance }},
		"certificate": {func(e *Env) { e.Certificate = func() []byte { return []byte("other") } }, func(e *Env) bool { return e.ReadCertificate }},
	} {
		seen := 0
		for _, f := range Functions() {
			for _, ctx := range []Context{Query, Composite, CompositeReply, CompositeReject, CompositeClean} {
				for _, args := range [][]uint64{{0, 0, 4}, {8, 0, 4}, {0, 4, 8}} {
					run := func(change bool) (*Env, string) {
						e := newEnv(ctx)
						e.building = &Call{Callee: "callee"}
						if change {
							c.change(e)
						}
						caller := &fakeCaller{env: e, heap: make([]byte, 64)}
						stack := append(append([]uint64{}, args...), make([]uint64, 8)...)
						err := f.Call(caller, stack)
						made, _ := json.Marshal([]any{e.Answer, e.Calls, e.building, e.Log})
						return e, fmt.Sprint(stack, err, string(made), caller.heap)
					}
					_, before := run(false)
					e, after := run(true)
					if before == after {
						continue
					}
					seen++
					if !c.marked(e) {
						t.Errorf("%s in %s shows the %s and does not say so", f.Name, ctx, name)
					}
				}
			}
		}
		if seen == 0 {
			t.Errorf("no function shows the %s: the test sees nothing", name)
		}
	}
}
