package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ashlar/image/tree"
)

func TestRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	if err := Room(dir, 1); err != nil {
		t.Errorf("one byte: %v", err)
	}
	err := Room(dir, 1<<62)
	if err == nil || !strings.Contains(err.Error(), "make clean") {
		t.Errorf("more than any disk has: %v", err)
	}
}

func TestAFullDiskIsExplained(t *testing.T) {
	err := explainFull(&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "out")
	if err == nil || !strings.Contains(err.Error(), "no space left at out") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if explainFull(nil, "out") != nil {
		t.Error("nothing became an error")
	}
}

func TestPartsAreMadeOnceForEachKey(t *testing.T) {
	c := cache{t.TempDir()}
	made := 0
	get := func(value string) string {
		t.Helper()
		k := &key{}
		k.add("value", value)
		dir, err := c.part("thing", k, func(dir string) error {
			made++
			return os.WriteFile(filepath.Join(dir, "file"), []byte(value), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for range 2 {
		for _, v := range []string{"one", "two"} {
			if got := get(v); got != v {
				t.Errorf("asked for %s, got %s", v, got)
			}
		}
	}
	if made != 2 {
		t.Errorf("made %d times, want 2", made)
	}
	for _, v := range []string{"3", "4", "5", "6"} {
		get(v)
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "thing-*")); len(left) != keepParts {
		t.Errorf("%d versions are kept, want %d", len(left), keepParts)
	}
}

func TestAFailedPartLeavesNothing(t *testing.T) {
	c := cache{t.TempDir()}
	wrong := errors.New("wrong")
	if _, err := c.part("thing", &key{}, func(dir string) error {
		os.WriteFile(filepath.Join(dir, "half"), nil, 0o644)
		return wrong
	}); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(c.dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func TestKeysTellContentsApart(t *testing.T) {
	sum := func(path, data, link string) string {
		var tr tree.Tree
		tr.File(path, 0o644, []byte(data))
		tr.Symlink("link", link)
		k := &key{}
		if err := k.tree(&tr); err != nil {
			t.Fatal(err)
		}
		return k.sum()
	}
	seen := map[string]bool{sum("a", "x", "l"): true}
	for _, s := range []string{sum("b", "x", "l"), sum("a", "y", "l"), sum("a", "x", "m"), sum("a", "xl", "")} {
		if seen[s] {
			t.Error("two trees have one key")
		}
		seen[s] = true
	}
	if !seen[sum("a", "x", "l")] {
		t.Error("the same tree has another key")
	}
}

func TestSourcesLeaveOutWhatABuildMakes(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{"go.mod", "image/out/kept.go", "out/image/x", ".cache/y", "keys/db.key", ".git/HEAD", "q/node_modules/z.js", "a.test", "b.go"} {
		if err := writeFile(filepath.Join(root, f), []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Sources(root)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != "b.go go.mod image/out/kept.go" {
		t.Errorf("got %v", got)
	}
	one, _ := SourceDigest(root)
	writeFile(filepath.Join(root, "out/image/x"), []byte("new"))
	if two, _ := SourceDigest(root); one != two {
		t.Error("a result changes the digest of the sources")
	}
	writeFile(filepath.Join(root, "b.go"), []byte("new"))
	if two, _ := SourceDigest(root); one == two {
		t.Error("a changed source has the same digest")
	}
}

func TestCurrentReadsReleaseText(t *testing.T) {
	n, err := Current()
	if err != nil || n.Version == "" || n.UpgradeFrom == "" || n.Floor == "" {
		t.Errorf("%+v %v", n, err)
	}
}
