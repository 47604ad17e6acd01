package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// hunt is a seed in which a bug has its chance: the liars that it lets through, or
// the crashes in which it shows.
func hunt(seed uint64, bug Bug) *Plan {
	p := FromSeed(seed, 7)
	p.Bug, p.Canisters = bug, bug.canisters()
	long := func() { // enough for keys that are made now to be used
		p.Interval, p.Run, p.Calls, p.Jitter = 10, 8*time.Second, 40, time.Millisecond
		clear(p.Slow)
	}
	lie := func(lies ...Lie) { p.Lies = map[int][]Lie{1: lies, 4: lies} }
	switch bug {
	case WrongThreshold:
		lie(WrongState)
	case Credulous, FewVotes:
		lie(FalseAnswers, Relabel)
	case TrustDealings:
		long()
		lie(BadDealings)
	case ForgetShare:
		long()
	case TakeBadShares:
		lie(BadShares)
	case VoteTwice, PurgeEarly, UnsavedState:
		r := rand.New(rand.NewPCG(seed, 'h'))
		for at := 200 * time.Millisecond; at < p.Run; at += between(r, 20*time.Millisecond, 200*time.Millisecond) {
			who := []int{r.IntN(p.Nodes)}
			p.Acts = append(p.Acts, Act{At: at, Do: MidStep, Nodes: who}, Act{At: at + between(r, 5*time.Millisecond, 100*time.Millisecond), Do: Start, Nodes: who})
		}
		slices.SortStableFunc(p.Acts, func(a, b Act) int { return int(a.At - b.At) })
	}
	return p
}

// Each planted bug is found within a fixed number of seeds; what is found there
// without one would be found by TestHunts.
func TestPlantedBugsAreFound(t *testing.T) {
	const seeds = 200
	for _, bug := range Bugs {
		t.Run(string(bug), func(t *testing.T) {
			for seed := range uint64(seeds) {
				r, err := Run(hunt(seed, bug))
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

// The hunts find nothing where no bug is planted.
func TestHunts(t *testing.T) {
	for _, bug := range []Bug{WrongThreshold, Credulous, TrustDealings, TakeBadShares, VoteTwice, LoseCrossing} {
		for seed := range uint64(2) {
			p := hunt(seed, bug)
			p.Bug = NoBug
			if r, err := Run(p); err != nil || r.Violation != nil {
				t.Errorf("%s, seed %d: %v %v\n%s", bug, seed, err, r.Violation, p.Story())
			}
		}
	}
}

// A plan that fails is made smaller, and its story fails too.
func TestShrink(t *testing.T) {
	var p *Plan
	for seed := uint64(0); ; seed++ {
		p = FromSeed(seed, 7)
		if p.Bug = SkippedSync; len(p.Acts) < 6 || p.Canisters {
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
