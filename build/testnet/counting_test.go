package testnet

import (
	"context"
	"os"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
)

// counting is a network of four nodes with a canister that counts its calls.
type counting struct {
	*Net
	t       *testing.T
	agent   *agent.Agent // of node 1
	id      ic.CanisterID
	counted uint32
}

// startCounting with intervals of so many heights, beside other tests, which all wait more
// than they work.
func startCounting(t *testing.T, interval uint64) *counting {
	t.Helper()
	t.Parallel()
	n := start(t, open(t, 4, interval))
	a := n.agent(t, 1)
	return &counting{Net: n, t: t, agent: a, id: counter(t, a)}
}

func counter(t *testing.T, a *agent.Agent) ic.CanisterID {
	t.Helper()
	wasm, err := os.ReadFile("../../replica/cmd/replica/testdata/counter.wasm")
	if err != nil {
		t.Fatal(err)
	}
	m := agent.Manage(a)
	id, err := m.Create(t.Context(), ic.CanisterIDFromUint64(0), ic.NewCycles(100e12), nil)
	if err == nil {
		err = m.InstallCode(t.Context(), id, agent.Install(), wasm, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (c *counting) call() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if _, err := c.agent.Call(ctx, c.id, "inc", nil); err != nil {
		c.t.Fatal(err)
	}
	c.counted++
}

// height that is certified at node 1.
func (c *counting) height() uint64 {
	c.t.Helper()
	h, err := c.Nodes[0].Metric(c.t.Context(), "certified_height")
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// callTo a height.
func (c *counting) callTo(height uint64) {
	c.t.Helper()
	for c.height() < height {
		c.call()
	}
}

// onwards by so many heights.
func (c *counting) onwards(heights uint64) {
	c.t.Helper()
	c.callTo(c.height() + heights)
}

// agree that the calls were counted: the nodes, by their numbers.
func (c *counting) agree(numbers ...int) {
	c.t.Helper()
	for _, i := range numbers {
		agreed(c.t, c.Net, i, c.id, c.counted)
	}
}
