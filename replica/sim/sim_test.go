package sim

import (
	"testing"
	"time"
)

func TestSeeds(t *testing.T) {
	began := time.Now()
	answered, crashes := 0, 0
	for seed := range uint64(12) {
		o := Options{Seed: seed, Nodes: 1, Turns: 400}
		first, err := Run(o)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if first.Violation != nil {
			t.Fatalf("seed %d, turn %d: %v\n%s", seed, first.ViolationAtTurns, first.Violation, Story(o))
		}
		again, err := Run(o)
		if err != nil || first.Trace != again.Trace {
			t.Errorf("seed %d gives two traces, %v", seed, err)
		}
		answered += first.Answered
		crashes += first.Crashes
	}
	if answered < 200 || crashes < 20 {
		t.Errorf("only %d answers and %d crashes: the simulation does not do its work", answered, crashes)
	}
	t.Logf("%d answers, %d crashes in %v", answered, crashes, time.Since(began))
}

// A disk that does not sync loses answers: the simulation must see it.
func TestFindsSkippedSync(t *testing.T) {
	for seed := range uint64(30) {
		r, err := Run(Options{Seed: seed, Nodes: 1, Turns: 400, SkipSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Logf("seed %d: %v", seed, r.Violation)
			return
		}
	}
	t.Error("30 seeds did not notice that nothing was synced")
}

func TestRefusesNetworks(t *testing.T) {
	if _, err := Run(Options{Nodes: 4}); err == nil {
		t.Error("a network without a net was simulated")
	}
}
