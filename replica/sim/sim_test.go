package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ashlar/replica/ic"
)

func TestSeeds(t *testing.T) {
	for _, c := range []struct {
		nodes, seeds int
		canisters    bool // on all; else on those that draw them
	}{{1, 20, false}, {4, 20, false}, {7, 6, false}, {13, 2, false}, {1, 10, true}, {4, 3, true}} {
		name := fmt.Sprintf("%d nodes", c.nodes)
		if c.canisters {
			name += " with canisters"
		}
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			var sum Result
			for seed := range uint64(c.seeds) {
				p := FromSeed(seed, c.nodes)
				p.Canisters = p.Canisters || c.canisters
				r, err := Twice(p)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if r.Violation != nil {
					t.Fatalf("seed %d after %v: %v\n%s", seed, r.Time, r.Violation, p.Story())
				}
				sum.Height, sum.Answered, sum.Crashes, sum.Time = sum.Height+r.Height, sum.Answered+r.Answered, sum.Crashes+r.Crashes, sum.Time+r.Time
			}
			t.Logf("%d heights, %d answers, %d crashes in %v, played twice in %v", sum.Height, sum.Answered, sum.Crashes, sum.Time, time.Since(began))
		})
	}
}

// Power cuts some hundreds of times, at random moments and in the middle of steps
// and saves, on disks that lose what was not synced. The world compares what the
// node computes, certifies and answers after each with what it did before, or, in
// a subnet, with what nodes did that never stopped. Every other time canisters are in the
// middle of calls and of long executions.
func TestPowerCuts(t *testing.T) {
	cuts, heights := 0, ic.Height(0)
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 5))
		p := &Plan{Title: fmt.Sprintf("power cuts, seed %d", seed), Nodes: 1 + int(seed%5/4)*3, Seed: seed, Canisters: seed%2 == 1, Calls: 50, Within: time.Minute,
			Run: 12 * time.Second, Delay: time.Millisecond, Jitter: 5 * time.Millisecond}
		for at := 100 * time.Millisecond; at < p.Run; at += between(rng, 260*time.Millisecond, 400*time.Millisecond) {
			verb := []Verb{PowerCut, MidStep, MidSave, MidSave}[rng.IntN(4)]
			node := []int{rng.IntN(p.Nodes)}
			p.Acts = append(p.Acts, Act{At: at, Do: verb, Nodes: node}, Act{At: at + 100*time.Millisecond, Do: PowerCut, Nodes: node}, Act{At: at + 120*time.Millisecond, Do: Start, Nodes: node})
		}
		r, err := Run(p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Fatalf("seed %d after %v: %v\n%s", seed, r.Time, r.Violation, strings.Join(r.Lines[max(0, len(r.Lines)-20):], "\n"))
		}
		cuts, heights = cuts+r.Crashes, heights+r.Height
	}
	if cuts < 300 || heights < 1000 {
		t.Errorf("%d power cuts in %d heights: too few to tell", cuts, heights)
	}
	t.Logf("%d power cuts, %d heights", cuts, heights)
}

// A story comes back as it was written.
func TestStoriesAreRead(t *testing.T) {
	for seed := range uint64(200) {
		text := FromSeed(seed, 7).Story()
		p, err := ParseStory(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if again := p.Story(); again != text {
			t.Fatalf("read as\n%s\nwritten as\n%s", again, text)
		}
	}
	conditions := "# t\n4 nodes, seed 1\nmessages take 1ms to 2ms\n1 calls a second\nwhen 1 2 have version 2: power cut at 1\nwhen 3 have left: start 1\nwhen 1 have package 24: kill 1\nwhen 0 fetch: lose 5 %\nrun 1s, recover within 1s"
	if p, err := ParseStory(conditions); err != nil || p.Story() != conditions {
		t.Errorf("%v\n%s\nbecame\n%s", err, conditions, p.Story())
	}
	for _, bad := range []string{"", "4 nodes\nwhen 1 sing: kill 1", "4 nodes\nwhen 4 have left: kill 1", "4 nodes\nwhen 1 have left", "no nodes", "4 nodes\nat 1s: sing", "4 nodes\nat 1s: send a call that takes 60 rounds", "4 nodes\nat 1s: kill 4", "4 nodes\nnode 1 is Byzantine: is nice", "4 nodes\nbug: none", "99 nodes", "4 nodes\nat 1s: kill"} {
		if _, err := ParseStory(bad); err == nil {
			t.Errorf("%q is a story", bad)
		}
	}
	if _, err := Run(&Plan{Nodes: 41}); err == nil || !strings.Contains(err.Error(), "40") {
		t.Errorf("41 nodes: %v", err)
	}
}
