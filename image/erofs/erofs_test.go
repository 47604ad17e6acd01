package erofs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	reader "github.com/erofs/go-erofs"

	"ashlar/image/tree"
)

func noise(n int) []byte {
	b := make([]byte, 0, n+32)
	for h := sha256.Sum256([]byte{2}); len(b) < n; h = sha256.Sum256(h[:]) {
		b = append(b, h[:]...)
	}
	return b[:n]
}

// sample has content of all lengths around the borders, a directory of many blocks, names
// around the dot, links and devices.
func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	add := func(e tree.Entry) {
		if err := tr.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1, 4063, 4064, 4065, 4095, 4096, 4097, 8192, 8192 + 4064, 8192 + 4070, 1 << 20} {
		add(tree.Entry{Path: fmt.Sprintf("size/%d", n), Mode: 0o644, Data: noise(n)})
	}
	for i := range 1500 {
		add(tree.Entry{Path: fmt.Sprintf("many/file with a rather long name %04d", i), Mode: 0o600, Data: noise(i % 50)})
	}
	for _, n := range []string{"-minus", ".hidden", "...", "+plus", "zz", strings.Repeat("n", 255)} {
		add(tree.Entry{Path: "names/" + n, Mode: 0o755, Data: []byte(n)})
	}
	add(tree.Entry{Path: "init", Mode: fs.ModeSymlink | 0o777, Link: "usr/bin/hostd"})
	add(tree.Entry{Path: "long", Mode: fs.ModeSymlink | 0o777, Link: strings.Repeat("x/", 500) + "y"})
	add(tree.Entry{Path: "dev/console", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Dev: 5<<8 | 1})
	add(tree.Entry{Path: "empty/dir", Mode: fs.ModeDir | 0o700})
	return tr
}

func image(t testing.TB, tr *tree.Tree) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	size, err := Write(f, tr)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReadBack(t *testing.T) {
	tr := sample(t)
	img, err := reader.Open(image(t, tr))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := tr.Entries()
	for _, e := range list {
		st, err := fs.Lstat(img, e.Path)
		if err != nil || st.Mode().String() != e.Mode.String() {
			t.Errorf("%s: %v, want %v (%v)", e.Path, st, e.Mode, err)
			continue
		}
		switch e.Mode.Type() {
		case 0:
			if got, err := fs.ReadFile(img, e.Path); err != nil || !bytes.Equal(got, e.Data) {
				t.Errorf("%s: %d bytes, want %d (%v)", e.Path, len(got), len(e.Data), err)
			}
		case fs.ModeSymlink:
			if got, err := fs.ReadLink(img, e.Path); got != e.Link {
				t.Errorf("%s: %q, want %q (%v)", e.Path, got, e.Link, err)
			}
		}
	}
}

func TestFsckAgrees(t *testing.T) {
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("fsck.erofs is missing: apt-get install erofs-utils")
	}
	tr := sample(t)
	img := image(t, tr).Name()
	out, err := exec.Command(fsck, "-d5", img).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("No errors found")) {
		t.Fatalf("fsck.erofs: %v\n%s", err, out)
	}
	to := filepath.Join(t.TempDir(), "x")
	if out, err := exec.Command(fsck, "--extract="+to, "--no-preserve-owner", "--preserve-perms", img).CombinedOutput(); err != nil && os.Getuid() == 0 {
		t.Fatalf("extract: %v\n%s", err, out)
	}
	list, _ := tr.Entries()
	for _, e := range list {
		p := filepath.Join(to, e.Path)
		st, err := os.Lstat(p)
		if e.Mode&fs.ModeDevice != 0 {
			continue // needs root to be made
		}
		if err != nil || st.Mode() != e.Mode {
			t.Errorf("%s: %v, want %v (%v)", e.Path, st, e.Mode, err)
			continue
		}
		switch e.Mode.Type() {
		case 0:
			if b, err := os.ReadFile(p); err != nil || !bytes.Equal(b, e.Data) {
				t.Errorf("%s: content differs (%v)", e.Path, err)
			}
			if !st.ModTime().IsZero() && st.ModTime().Unix() != 0 {
				t.Errorf("%s: time %v, want 1970", e.Path, st.ModTime())
			}
		case fs.ModeSymlink:
			if l, _ := os.Readlink(p); l != e.Link {
				t.Errorf("%s -> %s", e.Path, l)
			}
		}
	}
	out, err = exec.Command("dump.erofs", "-s", img).CombinedOutput()
	if want := fmt.Sprintf("Filesystem inode count:                       %d", len(list)+1); err != nil || !bytes.Contains(out, []byte(want)) {
		t.Errorf("dump.erofs does not show %q: %v\n%s", want, err, out)
	}
}

// The bytes are a contract with every release: a change here changes all root hashes.
func TestVector(t *testing.T) {
	b, err := os.ReadFile(image(t, sample(t)).Name())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if got, want := hex.EncodeToString(sum[:]), "388bb4d04bff905299450a9c3242f18ff771254c5b94db793a5517d2bd2d27a1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEmpty(t *testing.T) {
	img, err := reader.Open(image(t, &tree.Tree{}))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := fs.ReadDir(img, "."); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func TestRefusesAFileThatChanges(t *testing.T) {
	host := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(host, make([]byte, 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &tree.Tree{}
	if err := tr.HostFile("f", 0o644, host); err != nil {
		t.Fatal(err)
	}
	all, err := collect(tr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := place(all); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{9000, 11000, 100} {
		if err := os.WriteFile(host, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "img"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := all[1].write(f, make([]byte, all[0].block*BlockSize)); err == nil {
			t.Errorf("now %d bytes: no error", size)
		}
	}
	if err := os.Remove(host); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(nil, tr); err == nil {
		t.Error("a missing file: no error")
	}
}
