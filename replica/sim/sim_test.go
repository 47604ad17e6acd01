package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSeeds(t *testing.T) {
	for _, c := range []struct{ nodes, seeds int }{{1, 20}, {4, 20}, {7, 6}, {13, 2}} {
		t.Run(fmt.Sprintf("%d nodes", c.nodes), func(t *testing.T) {
			began := time.Now()
			var sum Result
			for seed := range uint64(c.seeds) {
				p := FromSeed(seed, c.nodes)
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
	for _, bad := range []string{"", "no nodes", "4 nodes\nat 1s: sing", "4 nodes\nat 1s: kill 4", "4 nodes\nnode 1 is Byzantine: is nice", "4 nodes\nbug: none", "99 nodes", "4 nodes\nat 1s: kill"} {
		if _, err := ParseStory(bad); err == nil {
			t.Errorf("%q is a story", bad)
		}
	}
	if _, err := Run(&Plan{Nodes: 41}); err == nil || !strings.Contains(err.Error(), "40") {
		t.Errorf("41 nodes: %v", err)
	}
}
