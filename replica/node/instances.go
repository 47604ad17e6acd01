package node

import (
	"slices"
	"sync"

	"ashlar/replica/execution/machine"
	"ashlar/replica/state"
)

// Limits of what queries keep between them.
const (
	maxIdle    = 32  // instances, each with the heap pages it has touched
	maxModules = 128 // the engine bounds the compiled code behind them by bytes
)

// Instances lends compiled code and idle instances to queries: package
// canister's Pool. An instance belongs to one version of a canister's memory;
// those of old versions are the first to go.
type Instances struct {
	mu      sync.Mutex
	idle    []lent
	modules map[[32]byte]machine.Module
	order   [][32]byte // of modules, oldest first
}

type lent struct {
	version *state.Memory
	inst    machine.Instance
}

// NewInstances is an empty pool.
func NewInstances() *Instances { return &Instances{modules: map[[32]byte]machine.Module{}} }

// Module is the code with this hash; compile makes it the first time.
func (p *Instances) Module(hash [32]byte, compile func() (machine.Module, error)) (machine.Module, error) {
	p.mu.Lock()
	m := p.modules[hash]
	p.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := compile() // twice at the same time is harmless: the engine compiles once
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.modules[hash] == nil {
		p.modules[hash] = m
		p.order = append(p.order, hash)
	}
	if len(p.order) > maxModules {
		delete(p.modules, p.order[0])
		p.order = slices.Delete(p.order, 0, 1)
	}
	return m, nil
}

// Take lends an idle instance of that version, nil where there is none.
func (p *Instances) Take(version *state.Memory) machine.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if l := p.idle[i]; l.version == version {
			p.idle = slices.Delete(p.idle, i, i+1)
			return l.inst
		}
	}
	return nil
}

// Give brings one back, rolled back and unchanged.
func (p *Instances) Give(version *state.Memory, inst machine.Instance) {
	p.mu.Lock()
	p.idle = append(p.idle, lent{version, inst})
	var old machine.Instance
	if len(p.idle) > maxIdle {
		old = p.idle[0].inst
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
}
