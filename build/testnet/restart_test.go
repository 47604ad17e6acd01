package testnet

import (
	"context"
	"slices"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
)

// call until a height is certified at node 1; counted tells how often it was called.
func callTo(t *testing.T, n *Net, a *agent.Agent, id ic.CanisterID, height uint64) (counted uint32) {
	t.Helper()
	for {
		h, err := n.Nodes[0].Metric(t.Context(), "certified_height")
		if err != nil {
			t.Fatal(err)
		}
		if h >= height {
			return counted
		}
		if _, err := a.Call(t.Context(), id, "inc", nil); err != nil {
			t.Fatal(err)
		}
		counted++
	}
}

// The power fails at all nodes, and one comes back with an empty disk: the others have
// the state of the last catch-up package still, and it joins long before the next one.
func TestWipedAfterAllRestarted(t *testing.T) {
	const interval = 60 // half a minute when nobody calls
	n := start(t, open(t, 4, interval))
	a := n.agent(t, 1)
	id := counter(t, a)
	counted := callTo(t, n, a, id, interval+5)
	for _, d := range n.Nodes {
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Nodes[3].Wipe(); err != nil {
		t.Fatal(err)
	}
	for _, d := range n.Nodes[:3] {
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, d := range n.Nodes[:3] {
		if err := d.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := errorsOf(n.Nodes[3].Start(), n.Nodes[3].Await(ctx)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	others, err := heights(ctx, n.Nodes[:3])
	if err != nil {
		t.Fatal(err)
	}
	if last := slices.Max(others); last >= 2*interval {
		t.Errorf("it joined when the others were at height %d: the next catch-up package was there", last)
	}
	agreed(t, n, 4, id, counted)
	t.Logf("joined in %v; the others are at height %v, the next package is at %d", took, others, 2*interval)
}
