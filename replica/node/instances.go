package node

import (
	"slices"
	"sync"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Limits of what queries keep between them.
const (
	maxIdle    = 64  // instances
	maxPerOne  = 4   // idle instances of one canister: query threads that hit it at a time
	maxModules = 128 // the engine bounds the compiled code behind them by bytes
)

// Instances lends compiled code and idle instances to queries: package
// canister's Pool. An instance of an older version of a canister's memory is as
// good as none too old: the borrower loads the pages that changed since.
type Instances struct {
	mu      sync.Mutex
	idle    []lent // longest idle first
	bytes   uint64
	limit   uint64 // of bytes
	modules map[[32]byte]machine.Module
	order   [][32]byte // of modules, oldest first
}

type lent struct {
	canister ic.CanisterID
	module   [32]byte
	version  *state.Memory
	inst     machine.Instance
	bytes    uint64
}

// NewInstances is an empty pool; what the heaps of its idle instances take of the
// memory stays below idleBytes, except that one may stay.
func NewInstances(idleBytes uint64) *Instances {
	return &Instances{limit: idleBytes, modules: map[[32]byte]machine.Module{}}
}

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

// Take lends an idle instance of c, one of its present memory if there is one.
func (p *Instances) Take(c *state.Canister) (machine.Instance, *state.Memory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i := len(p.idle) - 1; i >= 0; i-- {
		l := &p.idle[i]
		if l.canister != c.ID || l.module != c.Module.Hash {
			continue
		}
		if best < 0 || l.version == c.Memory {
			best = i
		}
		if l.version == c.Memory {
			break
		}
	}
	if best < 0 {
		return nil, nil
	}
	l := p.remove(best)
	return l.inst, l.version
}

// Give brings one back, rolled back and of c's memory.
func (p *Instances) Give(c *state.Canister, inst machine.Instance) {
	l := lent{c.ID, c.Module.Hash, c.Memory, inst, inst.Resident()}
	var old []lent
	p.mu.Lock()
	p.idle = append(p.idle, l)
	p.bytes += l.bytes
	if mine := p.of(c.ID); len(mine) > maxPerOne {
		old = append(old, p.remove(mine[0]))
	}
	for len(p.idle) > maxIdle || p.bytes > p.limit && len(p.idle) > 1 {
		old = append(old, p.remove(0))
	}
	p.mu.Unlock()
	for _, l := range old {
		l.inst.Close()
	}
}

// of lists the idle instances of one canister, longest idle first.
func (p *Instances) of(c ic.CanisterID) (at []int) {
	for i := range p.idle {
		if p.idle[i].canister == c {
			at = append(at, i)
		}
	}
	return at
}

func (p *Instances) remove(i int) lent {
	l := p.idle[i]
	p.idle = slices.Delete(p.idle, i, i+1)
	p.bytes -= l.bytes
	return l
}
