package fat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/image/tree"
)

type mem []byte

func (d mem) ReadAt(p []byte, off int64) (int, error)  { return bytes.NewReader(d).ReadAt(p, off) }
func (d mem) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

func noise(n int) []byte {
	b := make([]byte, 0, n+32)
	for h := sha256.Sum256([]byte{1}); len(b) < n; h = sha256.Sum256(h[:]) {
		b = append(b, h[:]...)
	}
	return b[:n]
}

// files of all the kinds that matter: short, long and clashing names, empty, one byte,
// whole clusters, many, nested, and a directory of more than one cluster.
func files() map[string][]byte {
	m := map[string][]byte{
		"EFI/BOOT/BOOTX64.EFI":                 noise(3<<20 + 17),
		"node.conf":                            []byte("node.reward_type = \"type3\"\n"),
		"README.TXT":                           {},
		"a/b/c/d/One byte.dat":                 {7},
		"a/longer name one.text":               noise(512),
		"a/longer name two.text":               noise(1024),
		"a/exactly13char":                      noise(4096),
		"a/ümläut ☃ 𝄞.txt":                     []byte("u"),
		"a/.hidden":                            []byte("h"),
		"a/two.dots.tar.gz":                    []byte("z"),
		"a/" + strings.Repeat("x", 200) + ".y": []byte("long"),
	}
	for i := range 300 {
		m[fmt.Sprintf("many/file number %d", i)] = fmt.Appendf(nil, "%d", i)
	}
	return m
}

func sample(t testing.TB) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for p, b := range files() {
		if err := tr.File(p, 0o644, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Dir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	return tr
}

// file is a volume in a sparse file: memory would be slow for the large ones.
func file(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "fat"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := Write(f, sample(t), Options{Size: size, Label: "ASHLAR 1", Serial: 0xcafe0001}); err != nil {
		t.Fatalf("%d MiB: %v", size>>20, err)
	}
	return f
}

func volume(t testing.TB, size int64) mem {
	t.Helper()
	d := make(mem, size)
	if err := Write(d, sample(t), Options{Size: size, Label: "ASHLAR 1", Serial: 0xcafe0001}); err != nil {
		t.Fatalf("%d MiB: %v", size>>20, err)
	}
	return d
}

var sizes = []int64{8 << 20, 8<<20 + 512, 17 << 20, 33 << 20, 34 << 20, 64 << 20, 96 << 20, 130 << 20, 500 << 20}

func TestRoundTrip(t *testing.T) {
	for _, size := range sizes {
		v, err := Open(file(t, size), size)
		if err != nil {
			t.Fatalf("%d MiB: %v", size>>20, err)
		}
		if want := map[bool]int{true: 32, false: 16}[size >= minFAT32]; v.bits != want {
			t.Errorf("%d MiB is FAT%d, want FAT%d", size>>20, v.bits, want)
		}
		for p, want := range files() {
			got, err := v.ReadFile(strings.ToUpper(p), 4<<20)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d MiB: %s: %v, %d bytes, want %d", size>>20, p, err, len(got), len(want))
			}
		}
		list, err := v.ReadDir("/")
		if err != nil || len(list) != 6 {
			t.Errorf("%d MiB: top directory %v %v", size>>20, list, err)
		}
	}
}

func TestSameBytes(t *testing.T) {
	if a, b := volume(t, 34<<20), volume(t, 34<<20); !bytes.Equal(a, b) {
		t.Error("two runs differ")
	}
}

func TestFsckAndMtoolsAgree(t *testing.T) {
	for _, tool := range []string{"fsck.fat", "mcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: apt-get install dosfstools mtools", tool)
		}
	}
	for _, size := range sizes {
		f := file(t, size).Name()
		out, err := exec.Command("fsck.fat", "-n", "-v", f).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("Free cluster summary wrong")) {
			t.Errorf("%d MiB: fsck.fat: %v\n%s", size>>20, err, out)
		}
		to := t.TempDir()
		cmd := exec.Command("mcopy", "-s", "-n", "-i", f, "::*", to)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%d MiB: mcopy: %v\n%s", size>>20, err, out)
		}
		for p, want := range files() {
			if strings.Contains(p, "☃") {
				continue // mtools maps it by the locale, which may be anything
			}
			if got, err := os.ReadFile(filepath.Join(to, p)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d MiB: mcopy of %s: %v", size>>20, p, err)
			}
		}
	}
}

// What other tools make, we read: also FAT12, which is what an 8 MiB partition gets.
func TestReadsForeignVolumes(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.fat")
	if err != nil {
		t.Skip("mkfs.fat is missing: apt-get install dosfstools mtools")
	}
	content := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(content, noise(70000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size int64
		args []string
	}{
		{8 << 20, []string{"-F", "12"}}, {8 << 20, []string{"-F", "16", "-s", "1"}}, {40 << 20, []string{"-F", "32", "-s", "1"}},
		{8 << 20, []string{"-F", "12", "-S", "4096"}}, {300 << 20, []string{"-F", "32"}},
	} {
		f := filepath.Join(t.TempDir(), "fat")
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f, c.size); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs, append(c.args, f)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", c.args, out)
		}
		for _, cmd := range [][]string{{"mmd", "-i", f, "::some Dir"}, {"mcopy", "-i", f, content, "::some Dir/node.conf"}, {"mcopy", "-i", f, content, "::lower.txt"}} {
			if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", cmd, out)
			}
		}
		h, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		v, err := Open(h, c.size)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		for _, p := range []string{"some dir/NODE.conf", "lower.txt"} {
			if got, err := v.ReadFile(p, 1<<20); err != nil || !bytes.Equal(got, noise(70000)) {
				t.Errorf("%v: %s: %d bytes, %v", c.args, p, len(got), err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	d := volume(t, 8<<20)
	v, err := Open(d, int64(len(d)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.ReadFile("no/such", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := v.ReadFile("node.conf/x", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file as directory: %v", err)
	}
	if _, err := v.ReadFile("node.conf", 5); err == nil || !strings.Contains(err.Error(), "at most 5") {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := v.ReadFile("a", 5); err == nil {
		t.Error("a directory was read as a file")
	}
	if _, err := Open(mem(make([]byte, 4096)), 4096); !errors.Is(err, ErrNotFAT) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := Open(d, 4<<20); err == nil || !strings.Contains(err.Error(), "larger than what holds it") {
		t.Errorf("cut short: %v", err)
	}
	// A FAT of which every entry points to cluster 2 is a loop.
	for i := range int(v.fatSectors) * sector / 2 {
		d[sector+2*i], d[sector+2*i+1] = 2, 0
	}
	if _, err := v.ReadFile("EFI/BOOT/BOOTX64.EFI", 8<<20); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("a loop of clusters: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		want  string
		size  int64
		label string
		files []tree.Entry
	}{
		{"want whole sectors", 1 << 20, "", nil},
		{"want whole sectors", 8<<20 + 1, "", nil},
		{"volume label", 8 << 20, "lower", nil},
		{"does not fit", 8 << 20, "", []tree.Entry{{Path: "big", Data: make([]byte, 9<<20)}}},
		{"only by case", 8 << 20, "", []tree.Entry{{Path: "a"}, {Path: "A"}}},
		{"cannot hold the name", 8 << 20, "", []tree.Entry{{Path: "a:b"}}},
		{"cannot hold the name", 8 << 20, "", []tree.Entry{{Path: "dot."}}},
		{"only files and directories", 8 << 20, "", []tree.Entry{{Path: "l", Mode: fs.ModeSymlink, Link: "x"}}},
	} {
		tr := &tree.Tree{}
		for _, e := range c.files {
			if err := tr.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := Write(make(mem, 10<<20), tr, Options{Size: c.size, Label: c.label}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
}

func TestSizeFor(t *testing.T) {
	tr := &tree.Tree{}
	if err := tr.File("EFI/BOOT/BOOTX64.EFI", 0o644, make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	size, err := SizeFor(tr)
	if err != nil || size < 41<<20 || size > 44<<20 {
		t.Errorf("%d MiB, %v", size>>20, err)
	}
	if err := Write(make(mem, size), tr, Options{Size: size}); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	small := &tree.Tree{}
	for p, b := range map[string][]byte{"node.conf": []byte("x = 1\n"), "some dir/a long name": noise(3000)} {
		if err := small.File(p, 0o644, b); err != nil {
			f.Fatal(err)
		}
	}
	d := make(mem, 4<<20)
	if err := Write(d, small, Options{Size: 4 << 20}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(d[:72<<10]))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Open(hostile(b), 4<<20)
		if err != nil {
			return
		}
		list, err := v.ReadDir("")
		if err != nil {
			return
		}
		for _, e := range list[:min(len(list), 8)] {
			if got, err := v.ReadFile(e.Name, 1<<16); err == nil && len(got) > 1<<16 {
				t.Errorf("%q: %d bytes", e.Name, len(got))
			}
			_, _ = v.ReadDir(e.Name)
		}
	})
}

// hostile is a volume of these bytes and then zeros.
type hostile []byte

func (h hostile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(h)) {
		copy(p, h[off:])
	}
	return len(p), nil
}
