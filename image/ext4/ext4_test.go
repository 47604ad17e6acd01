package ext4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var id = [16]byte{0xc0, 0xff, 0xee, 1, 2, 3, 0x44, 5, 0x86, 7, 8, 9, 10, 11, 12, 13}

func options() Options { return Options{UUID: id, Label: "ashlar-data", Time: 1_700_000_000} }

// sparse makes a file of holes; old is what lies at its start and at the place of the journal.
func sparse(t testing.TB, size int64, old string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Skipf("this file system holds no file of %d GiB: %v", size>>30, err)
	}
	if old != "" {
		for at := int64(0); at < 4<<20; at += int64(len(old)) {
			if _, err := f.WriteAt([]byte(old), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func fsck(t *testing.T, file string) {
	t.Helper()
	if _, err := exec.LookPath("e2fsck"); err != nil {
		t.Skip("e2fsck is missing: apt-get install e2fsprogs")
	}
	out, err := exec.Command("e2fsck", "-fn", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ashlar-data: 11/") {
		t.Errorf("e2fsck: %v\n%.2000s", err, out)
	}
}

// Sizes around the borders: one group, a last group that is too small for itself, copies in group 3, ...
func TestFsckAgrees(t *testing.T) {
	const mib, group = 1 << 20, blocksPerGroup * blockSize
	for _, size := range []int64{
		64 * mib, 64*mib + 5000, 127 * mib, group, group + 4096, group + 100*4096, group + 180*4096, group + 200*4096, 2*group + 150*4096,
		400 * mib, 1 << 30, 3 << 30, 20<<30 + 12345, 1 << 40,
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := sparse(t, size, "")
			if err := Format(f, size, options()); err != nil {
				t.Fatal(err)
			}
			fsck(t, f.Name())
			found, err := Probe(f, size)
			if err != nil || found.Kind != Ext4 || found.UUID != id || found.Label != "ashlar-data" || found.Size > size || found.Size < size-group/8 {
				t.Errorf("Probe: %+v %v", found, err)
			}
		})
	}
}

// debugfs reads and e2fsck repairs nothing on a file system over old bytes: what we do not
// write is marked as never used.
func TestOverOldBytes(t *testing.T) {
	f := sparse(t, 200<<20, "old and dirty ")
	if err := Format(f, 200<<20, options()); err != nil {
		t.Fatal(err)
	}
	fsck(t, f.Name())
	if _, err := exec.LookPath("debugfs"); err != nil {
		t.Skip("debugfs is missing: apt-get install e2fsprogs")
	}
	note := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(note, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Write by other people's code, check, read back.
	for _, cmd := range []string{"mkdir /store", "write " + note + " /store/note"} {
		if out, err := exec.Command("debugfs", "-w", "-R", cmd, f.Name()).CombinedOutput(); err != nil {
			t.Fatalf("debugfs %s: %v\n%s", cmd, err, out)
		}
	}
	if out, err := exec.Command("e2fsck", "-fn", f.Name()).CombinedOutput(); err != nil {
		t.Errorf("e2fsck after writing: %v\n%s", err, out)
	}
	out, err := exec.Command("debugfs", "-R", "cat /store/note", f.Name()).Output()
	if err != nil || string(out) != "kept" {
		t.Errorf("read back %q %v", out, err)
	}
	out, _ = exec.Command("debugfs", "-R", "ls -l /", f.Name()).Output()
	for _, want := range []string{"lost+found", "store"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// e2fsck can rebuild all from a copy: the copies are good.
func TestCopiesAreGood(t *testing.T) {
	if _, err := exec.LookPath("e2fsck"); err != nil {
		t.Skip("e2fsck is missing: apt-get install e2fsprogs")
	}
	f := sparse(t, 1<<30, "")
	if err := Format(f, 1<<30, options()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 8192), 0); err != nil {
		t.Fatal(err)
	}
	for _, b := range []int{1, 3, 5, 7} {
		out, err := exec.Command("e2fsck", "-fn", "-b", fmt.Sprint(b*blocksPerGroup), "-B", "4096", f.Name()).CombinedOutput()
		if err == nil || strings.Contains(string(out), "Bad magic") || !strings.Contains(string(out), "ashlar-data") {
			t.Errorf("copy in group %d: %v\n%.800s", b, err, out)
		}
	}
	if out, err := exec.Command("e2fsck", "-fy", "-b", "32768", "-B", "4096", f.Name()).CombinedOutput(); err == nil {
		t.Errorf("nothing was repaired\n%s", out) // exit 1: errors corrected
	}
	fsck(t, f.Name())
}

type memory map[int64][]byte

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	m[off] = bytes.Clone(p)
	return len(p), nil
}

func TestSameBytesAndVector(t *testing.T) {
	sum := func() string {
		f := sparse(t, 64<<20, "")
		if err := Format(f, 64<<20, options()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		s := sha256.Sum256(b)
		return hex.EncodeToString(s[:])
	}
	const want = "ef7b74e6c04d7e63ac569dfdfdae59ac76412f65d4db31ffa8996509a134bce4"
	for range 2 {
		if got := sum(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A terabyte is formatted by writing little.
func TestWritesLittle(t *testing.T) {
	for size, limit := range map[int64]int{1 << 30: 1 << 20, 1 << 40: 8 << 20, MaxSize: 128 << 20} {
		m := memory{}
		if err := Format(m, size, options()); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, b := range m {
			total += len(b)
		}
		if total > limit {
			t.Errorf("%d GiB: %d KiB written", size>>30, total>>10)
		}
	}
}

func TestProbe(t *testing.T) {
	at := func(off int, s string) []byte {
		b := make([]byte, 2<<20)
		copy(b[off:], s)
		return b
	}
	good := func(change func(b []byte)) []byte {
		f := sparse(t, 64<<20, "")
		if err := Format(f, 64<<20, options()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		change(b)
		return b
	}
	for _, c := range []struct {
		b    []byte
		kind Kind
		what string
	}{
		{at(0, ""), Blank, ""},
		{at(0, unfinished), Unfinished, ""},
		{good(func([]byte) {}), Ext4, ""},
		{good(func(b []byte) { copy(b, unfinished) }), Unfinished, ""},
		{good(func(b []byte) { b[superAt+0x68]++ }), Other, "checksum is wrong"},
		{good(func(b []byte) {})[:63<<20], Other, "larger than its partition"},
		{good(func(b []byte) { b[superAt+0x18] = 200 }), Other, "block size"},
		{good(func(b []byte) { copy(b[superAt+0x04:], "\x00\x00\x00\x00") }), Other, "of 0 blocks"},
		{at(0, "LUKS\xba\xbe"), Other, "LUKS"},
		{at(0x10040, "_BHRfS_M"), Other, "Btrfs"},
		{at(512, "EFI PART"), Other, "partition table"},
		{at(999_999, "x"), Other, "unknown kind"},
		{make([]byte, 1000), Other, "only 1000 bytes"},
	} {
		found, err := Probe(bytes.NewReader(c.b), int64(len(c.b)))
		if err != nil || found.Kind != c.kind || !strings.Contains(found.What, c.what) || found.MayFormat() != (c.kind == Blank || c.kind == Unfinished) {
			t.Errorf("got %+v %v, want %v %q", found, err, c.kind, c.what)
		}
	}
	if _, err := Probe(broken{}, 1<<30); err == nil {
		t.Error("a partition that cannot be read was taken for something")
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad sector") }

// cut lets some writes pass and then loses the power.
type cut struct {
	*os.File
	left int
}

func (c *cut) WriteAt(p []byte, off int64) (int, error) {
	if c.left--; c.left < 0 {
		return 0, errors.New("power cut")
	}
	return c.File.WriteAt(p, off)
}

// Wherever the power is cut, the next boot may format again, or finds a whole file system.
func TestPowerCut(t *testing.T) {
	const size = 300 << 20
	for n := 0; ; n++ {
		f := sparse(t, size, "")
		err := Format(&cut{f, n}, size, options())
		found, probeErr := Probe(f, size)
		if probeErr != nil {
			t.Fatal(probeErr)
		}
		if err == nil {
			if found.Kind != Ext4 || n < 10 {
				t.Errorf("after all %d writes: %v", n, found)
			}
			return
		}
		if !found.MayFormat() {
			t.Errorf("cut after %d writes: %+v", n, found)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, size := range []int64{0, MinSize - 1, MaxSize + 1} {
		if err := Format(memory{}, size, options()); err == nil || !strings.Contains(err.Error(), "want 64 MiB to 16 TiB") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if err := Format(memory{}, 1<<30, Options{Label: strings.Repeat("l", 17)}); err == nil {
		t.Error("a long label was accepted")
	}
}

func FuzzProbe(f *testing.F) {
	m := memory{}
	if err := Format(m, 64<<20, options()); err != nil {
		f.Fatal(err)
	}
	f.Add(append(make([]byte, superAt), m[superAt]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := Probe(bytes.NewReader(b), 1<<30)
		if err != nil || found.Kind == Ext4 && (found.Size <= 0 || found.Size > 1<<30) {
			t.Errorf("%+v %v", found, err)
		}
	})
}

func BenchmarkFormatTerabyte(b *testing.B) {
	f := sparse(b, 1<<40, "")
	for b.Loop() {
		if err := Format(f, 1<<40, options()); err != nil {
			b.Fatal(err)
		}
	}
}
