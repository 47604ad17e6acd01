package testnet

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// The power fails at all nodes, and one comes back with an empty disk: the others have
// the state of the last catch-up package still, and it joins long before the next one.
func TestWipedAfterAllRestarted(t *testing.T) {
	const interval = 60 // half a minute when nobody calls
	n := startCounting(t, interval)
	n.callTo(interval + 5)
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
	n.agree(4)
	t.Logf("joined in %v; the others are at height %v, the next package is at %d", took, others, 2*interval)
}

// Two of four nodes lose their disks in a power cut of all: the subnet stands still, and
// goes on from the newest state of the other two with all that users were told. Before
// and after, a subnet that moves is not recovered.
func TestRecover(t *testing.T) {
	const interval = 60
	n := startCounting(t, interval)
	n.callTo(interval + 5)
	moves := func() {
		t.Helper()
		if _, err := n.Recover(); err == nil || !strings.Contains(err.Error(), "goes on by itself") {
			t.Errorf("a subnet that moves was recovered: %v", err)
		}
	}
	moves()
	n.call()
	for _, d := range n.Nodes {
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range n.Nodes[2:] {
		if err := d.Wipe(); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range n.Nodes {
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, d := range n.Nodes { // none is healthy, all can be reached
		for tick := time.Tick(50 * time.Millisecond); ; <-tick {
			if _, err := d.get(ctx, "/_/standing"); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatalf("node %d cannot be reached: %v", d.Number, err)
			}
		}
	}
	began := time.Now()
	said, err := n.Recover()
	t.Log(said)
	if err != nil {
		t.Fatal(err)
	}
	signed := time.Now()
	for _, d := range n.Nodes {
		for tick := time.Tick(20 * time.Millisecond); ; <-tick { // it stands where the recovery says
			if h, err := d.Metric(ctx, "package_height"); err == nil && h > interval {
				break
			} else if ctx.Err() != nil {
				t.Fatalf("node %d has not begun again: package %d, %v", d.Number, h, err)
			}
		}
		if err := d.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("signed after %v, healthy %v later", signed.Sub(began), time.Since(signed))
	n.agree(1, 2, 3, 4)
	n.callTo(3 * interval) // keys are dealt in the new era
	if err := errorsOf(n.Nodes[1].Kill(), n.Nodes[1].Wipe(), n.Nodes[1].Start(), n.Nodes[1].Await(ctx)); err != nil {
		t.Fatal(err)
	}
	n.agree(2)
	moves()
}
