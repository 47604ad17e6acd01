package check

import (
	"slices"
	"strings"
	"testing"

	"ashlar/build/progress"
)

const output = "ok  \tashlar/a\t1.2s\nok  \tashlar/b\t(cached)\n?   \tashlar/c\t[no test files]\nok  \tashlar/d\t30.0s\n--- FAIL: TestX\n    x_test.go:1: wrong\nFAIL\tashlar/e\t0.1s\n"

func TestWhatIsShownOfARun(t *testing.T) {
	if got := slowest(output); got != "d 30 s, a 1 s" {
		t.Errorf("slowest: %q", got)
	}
	if got := failures(output); got != "--- FAIL: TestX\n    x_test.go:1: wrong\nFAIL\tashlar/e\t0.1s\n" {
		t.Errorf("failures: %q", got)
	}
}

func TestFollowCountsAndShows(t *testing.T) {
	var said strings.Builder
	tree := Tree{Print: progress.Plain(&said)}
	passed := tree.follow(strings.NewReader("=== RUN   TestA\n--- PASS: TestA (1.0s)\n=== RUN   TestB\n    b_test.go:3: the console's end\n--- FAIL: TestB (2.0s)\nFAIL\n"))
	if passed != 1 || !strings.Contains(said.String(), "the console's end") || strings.Contains(said.String(), "=== RUN") {
		t.Errorf("%d passed, shown:\n%s", passed, said.String())
	}
}

func TestFuzzTargets(t *testing.T) {
	got := parseTargets("FuzzA\nFuzzB\nok  \tashlar/x\t0.01s\n?   \tashlar/y\t[no test files]\nok  \tashlar/z\t0.02s\nFuzzC\nok  \tashlar/w\t0.01s\n")
	want := []fuzzTarget{{"ashlar/x", "FuzzA"}, {"ashlar/x", "FuzzB"}, {"ashlar/w", "FuzzC"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
