package pins

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTableReads(t *testing.T) {
	table, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"host-kernel", "guest-kernel", "stub", "vmm"} {
		if len(table.Set(set)) == 0 {
			t.Errorf("nothing is pinned for %s", set)
		}
	}
	for _, w := range table.Wants {
		if len(table.Set(w.Set)) == 0 {
			t.Errorf("%s is wanted and set %s is empty", w.Name, w.Set)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for name, text := range map[string]string{
		"unknown line":      "url http://example.org",
		"no reason":         "want vmm qemu",
		"short hash":        "deb vmm qemu 1 amd64 abcd",
		"no architecture":   "deb vmm qemu 1 " + sum,
		"pinned twice":      "deb vmm qemu 1 amd64 " + sum + "\ndeb vmm qemu 2 amd64 " + sum,
		"tool for nobody":   "tool ever qemu qemu-img images",
		"tool with no why":  "tool run qemu qemu-img",
		"hash is not a hex": "deb vmm qemu 1 amd64 " + strings.Repeat("zz", 32),
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// fakeApt puts an apt-get in PATH that obeys script.
func fakeApt(t *testing.T, script string) *Store {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return &Store{Dir: t.TempDir()}
}

func TestFetchTakesThePinnedFile(t *testing.T) {
	s := fakeApt(t, `[ "$1" = download ] && printf 'the package' > tool_1_amd64.deb`)
	sum := sha256.Sum256([]byte("the package"))
	p := Pin{"vmm", "tool", "1", "amd64", hex.EncodeToString(sum[:])}
	path, err := s.Fetch(p)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "the package" {
		t.Fatalf("fetched %q", b)
	}
}

func TestFetchRefusesAnotherFile(t *testing.T) {
	s := fakeApt(t, `[ "$1" = download ] && printf 'evil' > tool_1_amd64.deb`)
	p := Pin{"vmm", "tool", "1", "amd64", strings.Repeat("ab", 32)}
	_, err := s.Fetch(p)
	if err == nil || !strings.Contains(err.Error(), "not the file that was pinned") {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(s.file(p)); err == nil {
		t.Fatal("the wrong file stayed in the cache")
	}
}

func TestFetchNamesAVersionThatIsGone(t *testing.T) {
	s := fakeApt(t, `[ "$1" = update ] && exit 0; echo "E: Version '1' for 'tool' was not found" >&2; exit 100`)
	_, err := s.Fetch(Pin{"vmm", "tool", "1", "amd64", strings.Repeat("ab", 32)})
	if err == nil {
		t.Fatal("fetched a package that the mirror does not have")
	}
	for _, want := range []string{"tool 1", "Version '1' for 'tool' was not found", "mk pins update"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestDiff(t *testing.T) {
	a, b := strings.Repeat("aa", 32), strings.Repeat("bb", 32)
	old, _ := Parse("deb vmm qemu 1 amd64 " + a + "\ndeb vmm libc 1 amd64 " + a + "\ndeb vmm gone 1 amd64 " + a + "\ndeb stub s 1 all " + a)
	now, _ := Parse("deb vmm qemu 2 amd64 " + b + "\ndeb vmm libc 1 amd64 " + b + "\ndeb vmm new 1 amd64 " + b + "\ndeb stub s 1 all " + a)
	got := strings.Join(Diff(old, now), "\n")
	want := "+ vmm new 1\n- vmm gone 1\n~ vmm libc 1: same version, other file\n~ vmm qemu 1 -> 2"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRenderKeepsEverythingElse(t *testing.T) {
	old := "# why\nwant vmm qemu runs the guest\n\ndeb vmm qemu 1 amd64 " + strings.Repeat("aa", 32) + "\n"
	got := render(old, []Pin{{"vmm", "qemu", "2", "amd64", strings.Repeat("bb", 32)}})
	want := "# why\nwant vmm qemu runs the guest\n\ndeb vmm qemu 2 amd64 " + strings.Repeat("bb", 32) + "\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}
