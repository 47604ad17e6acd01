package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEntriesAreSortedAndHaveParents(t *testing.T) {
	var tr Tree
	for _, p := range []string{"a.b", "/a/x/y", "b", "a/c"} {
		if err := tr.File(p, 0o644, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Dir("a", 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := tr.Entries()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Mode.String()+" "+e.Path)
	}
	want := "drwx------ a\n-rw-r--r-- a/c\ndrwxr-xr-x a/x\n-rw-r--r-- a/x/y\n-rw-r--r-- a.b\n-rw-r--r-- b"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestAddRefuses(t *testing.T) {
	for _, e := range []Entry{
		{Path: ""}, {Path: "/"}, {Path: "a/../b"}, {Path: "../b"}, {Path: ".."}, {Path: "//a"}, {Path: "a/"}, {Path: "a\x00"},
		{Path: strings.Repeat("n", 256)}, {Path: strings.Repeat("a/", 600) + "b"},
		{Path: "s", Mode: fs.ModeSymlink}, {Path: "p", Mode: fs.ModeNamedPipe},
	} {
		var tr Tree
		if err := tr.Add(e); err == nil {
			t.Errorf("%+v was accepted", e)
		}
	}
}

func TestConflicts(t *testing.T) {
	var tr Tree
	if err := tr.File("a", 0o644, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := tr.File("a", 0o644, []byte("1")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := tr.File("a", 0o644, []byte("2")); err == nil || !strings.Contains(err.Error(), "/a is already there") {
		t.Errorf("other content: %v", err)
	}
	if err := tr.File("a/b", 0o644, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Entries(); err == nil || !strings.Contains(err.Error(), "/a is not a directory") {
		t.Errorf("file as directory: %v", err)
	}
}

func TestFromHost(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "bin"), 0o700),
		os.WriteFile(filepath.Join(dir, "bin/run"), []byte("#!"), 0o700),
		os.WriteFile(filepath.Join(dir, "note"), []byte("n"), 0o600),
		os.Symlink("bin/run", filepath.Join(dir, "go")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var tr Tree
	if err := tr.FromHost("opt", dir); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"opt/bin": "drwxr-xr-x", "opt/bin/run": "-rwxr-xr-x", "opt/note": "-rw-r--r--", "opt/go": "Lrwxrwxrwx"} {
		e, ok := tr.Get(p)
		if !ok || e.Mode.String() != want {
			t.Errorf("%s: %v %v, want %s", p, ok, e.Mode, want)
		}
	}
	e, _ := tr.Get("/opt/bin/run")
	if b, err := e.Read(); err != nil || string(b) != "#!" {
		t.Errorf("content %q %v", b, err)
	}
	if n, err := e.Size(); n != 2 || err != nil {
		t.Errorf("size %d %v", n, err)
	}
}
