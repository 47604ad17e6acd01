package testnet

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// awaitState of a node's process.
func awaitState(t *testing.T, d *Node, want string) {
	t.Helper()
	end := time.Now().Add(90 * time.Second)
	for d.State() != want {
		if time.Now().After(end) {
			t.Fatalf("node %d is %s, and not %s", d.Number, d.State(), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// goOn by some heights, without calls.
func goOn(t *testing.T, nodes ...*Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := heights(ctx, nodes)
	if err == nil {
		err = reach(ctx, nodes, slices.Max(h)+onward)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A member that is removed serves until its last interval ends, ends then and says why,
// and comes back when it is made a member again. One that was away meanwhile finds out.
func TestRemoveAndAdd(t *testing.T) {
	t.Parallel()
	const interval = 20
	n := start(t, open(t, 4, interval))
	a := n.agent(t, 1)
	id := counter(t, a)
	onwards := func(intervals uint64) {
		t.Helper()
		h, err := n.Nodes[0].Metric(t.Context(), "certified_height")
		if err != nil {
			t.Fatal(err)
		}
		callTo(t, n, a, id, h+intervals*interval)
	}
	var said strings.Builder
	say := func(words ...string) {
		t.Helper()
		if err := n.Do(t.Context(), words, &said); err != nil {
			t.Fatal(err)
		}
	}
	say("remove", "2")
	if !strings.Contains(said.String(), "3 members are left, of which 0 may fail") {
		t.Errorf("says %q", said.String())
	}
	if err := n.Do(t.Context(), []string{"remove", "2"}, &said); err == nil || !strings.Contains(err.Error(), "is no member") {
		t.Errorf("removed twice: %v", err)
	}
	goOn(t, n.Nodes...) // it is in office still
	onwards(3)
	awaitState(t, n.Nodes[1], "left")
	if words := n.Nodes[1].lastWords(); !strings.Contains(words, "no member") || !strings.Contains(words, "can be erased") {
		t.Errorf("its last words: %s", words)
	}
	say("status")
	if !strings.Contains(said.String(), " left ") {
		t.Errorf("status does not say that it left:\n%s", said.String())
	}
	goOn(t, n.Nodes[0], n.Nodes[2], n.Nodes[3])
	if err := n.Nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, n.Nodes[1], "left")

	say("add", "2")
	onwards(4)
	if err := n.Nodes[2].Kill(); err != nil { // so that it is needed
		t.Fatal(err)
	}
	goOn(t, n.Nodes[0], n.Nodes[1], n.Nodes[3])

	say("remove", "3")
	onwards(4)
	say("start", "3") // its peers have forgotten it
	awaitState(t, n.Nodes[2], "left")
	if words := n.Nodes[2].lastWords(); !strings.Contains(words, "no member") {
		t.Errorf("its last words: %s", words)
	}
	goOn(t, n.Nodes[0], n.Nodes[1], n.Nodes[3])
}
