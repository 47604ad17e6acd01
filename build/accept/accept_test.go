package accept

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/build/progress"
)

func TestSuitesExist(t *testing.T) {
	for _, s := range suites {
		if _, err := os.Stat(filepath.Join("../..", "qemu-tests/clients/accept", s.args[0])); err != nil {
			t.Errorf("suite %s: %v", s.name, err)
		}
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose([]string{"icp"}); err != nil || len(got) != 1 || got[0].name != "icp" {
		t.Errorf("choose icp: %v, %v", got, err)
	}
	if got, err := choose(nil); err != nil || len(got) != len(suites) {
		t.Errorf("choose all: %d, %v", len(got), err)
	}
	if _, err := choose([]string{"dfx"}); err == nil || !strings.Contains(err.Error(), "motoko") {
		t.Errorf("choose an unknown suite: %v, want the list of suites", err)
	}
}

func TestFailuresAreShown(t *testing.T) {
	if got := failures([]byte("ok    a (1 ms)\nFAIL  b: why\nok    c (1 ms)\nx: 1 of 3 FAILED\n")); got != "FAIL  b: why\nx: 1 of 3 FAILED\n" {
		t.Errorf("failures: %q", got)
	}
}

// program makes a shell script that stands for the replica.
func program(t *testing.T, text string) Options {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "replica")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{Root: dir, Replica: path, Dir: filepath.Join(dir, "out"), Print: progress.Plain(os.Stderr)}
}

func TestStartStop(t *testing.T) {
	r, err := start(t.Context(), program(t, "echo '2026 replica: http://127.0.0.1:1'\nexec sleep 60\n"))
	if err != nil || r.url != "http://127.0.0.1:1" {
		t.Fatalf("start: %+v, %v", r, err)
	}
	if err := r.stop(); err == nil {
		t.Error("a replica that a signal kills did not stop well")
	}
	if _, err := start(t.Context(), program(t, "echo no >&2\nexit 3\n")); err == nil || !strings.Contains(err.Error(), "replica.log") {
		t.Errorf("a replica that ends at once: %v", err)
	}
}
