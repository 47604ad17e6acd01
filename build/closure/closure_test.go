package closure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree copies files of this machine into a folder as if a package had brought them.
func tree(t *testing.T, files ...string) string {
	dir := t.TempDir()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Skipf("this machine has no %s", f)
		}
		to := filepath.Join(dir, f)
		os.MkdirAll(filepath.Dir(to), 0o755)
		os.WriteFile(to, b, 0o755)
	}
	return dir
}

const libc = "/lib/x86_64-linux-gnu/libc.so.6"

func TestOfFollowsNeededAndInterpreter(t *testing.T) {
	trees, err := Open([]string{tree(t, "/usr/bin/env"), tree(t, libc, "/lib64/ld-linux-x86-64.so.2")})
	if err != nil {
		t.Fatal(err)
	}
	files, err := trees.Of("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Path)
	}
	want := "/usr/bin/env /usr/lib/x86_64-linux-gnu/libc.so.6 /usr/lib64/ld-linux-x86-64.so.2"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestOfNamesTheMissingLibrary(t *testing.T) {
	trees, _ := Open([]string{tree(t, "/usr/bin/env")})
	_, err := trees.Of("/usr/bin/env")
	if err == nil || !strings.Contains(err.Error(), "libc.so.6") {
		t.Errorf("got %v", err)
	}
	if _, err := trees.Of("/usr/bin/nothing"); err == nil {
		t.Error("found a program that no tree holds")
	}
}

func TestLinksAreFollowedAndCirclesRefused(t *testing.T) {
	dir := tree(t, libc, "/lib64/ld-linux-x86-64.so.2", "/usr/bin/env")
	os.Symlink("env", filepath.Join(dir, "usr/bin/alias"))
	os.Symlink("b", filepath.Join(dir, "usr/bin/a"))
	os.Symlink("a", filepath.Join(dir, "usr/bin/b"))
	trees, _ := Open([]string{dir})
	if files, err := trees.Of("/usr/bin/alias"); err != nil || files[0].Path != "/usr/bin/alias" {
		t.Errorf("alias: %v %v", files, err)
	}
	if _, err := trees.Of("/usr/bin/a"); err == nil {
		t.Error("a circle of links was followed to an end")
	}
}
