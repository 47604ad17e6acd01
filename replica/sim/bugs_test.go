package sim

import (
	"testing"
)

// Each planted bug is found within a fixed number of seeds, and none is found
// where none is.
func TestPlantedBugsAreFound(t *testing.T) {
	const seeds = 60
	for _, bug := range Bugs {
		t.Run(string(bug), func(t *testing.T) {
			if bug == VoteTwice || bug == OneBlockOnly {
				t.Skip("needs a maker of two blocks: see testdata/equivocation.story")
			}
			if bug == WrongThreshold {
				t.Skip("needs liars that certify a state of their own together; it was found by a stall that Node.ask ended")
			}
			for seed := range uint64(seeds) {
				p := FromSeed(seed, 7)
				p.Bug = bug
				r, err := Run(p)
				if err != nil {
					t.Fatal(err)
				}
				if r.Violation != nil {
					t.Logf("seed %d: %v", seed, r.Violation)
					return
				}
			}
			t.Errorf("%d seeds did not find it", seeds)
		})
	}
}

// A plan that fails is made smaller, and its story fails too.
func TestShrink(t *testing.T) {
	var p *Plan
	for seed := uint64(0); ; seed++ {
		p = FromSeed(seed, 7)
		if p.Bug = SkippedSync; len(p.Acts) < 6 {
			continue
		}
		if r, err := Run(p); err == nil && r.Violation != nil {
			break
		}
	}
	small := Shrink(p, 60)
	if len(small.Acts) >= len(p.Acts) || small.Nodes >= p.Nodes {
		t.Errorf("not smaller:\n%s", small.Story())
	}
	again, err := ParseStory(small.Story())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Run(again); err != nil || r.Violation == nil {
		t.Errorf("the story does not fail: %v\n%s", err, small.Story())
	}
	t.Logf("%d acts of %d nodes became:\n%s", len(p.Acts), p.Nodes, small.Story())
}
