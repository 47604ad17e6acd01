package sim

import (
	"runtime"
	"testing"
	"time"
)

// Nothing of a subnet is left once it was played: not even where databases met a full
// disk, and stopped in the middle of what they did.
func TestNothingIsLeft(t *testing.T) {
	p, err := ParseStory("4 nodes, seed 13\n20 calls a second\nat 1s: fill the disk of 2\nat 1500ms: fill the disk of 0\nat 3s: free the disk of 2\nat 3s: free the disk of 0\nrun 4s, recover within 30s")
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for _, p.Canisters = range []bool{false, true} {
		if r, err := Run(p); err != nil || r.Violation != nil {
			t.Fatal(err, r.Violation)
		}
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
