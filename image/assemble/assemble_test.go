package assemble

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ashlar/image/fat"
	"ashlar/image/layout"
	"ashlar/image/tree"
	"ashlar/image/verity"
)

func root(t testing.TB, role string, size int) *tree.Tree {
	t.Helper()
	var tr tree.Tree
	b := make([]byte, size)
	for i, h := 0, sha256.Sum256([]byte(role)); i < len(b); i, h = i+32, sha256.Sum256(h[:]) {
		copy(b[i:], h[:])
	}
	for p, b := range map[string][]byte{"sbin/" + role + "d": b, "etc/os-release": []byte("ID=ashlar\n")} {
		if err := tr.File(p, 0o755, b); err != nil {
			t.Fatal(err)
		}
	}
	return &tr
}

// build makes a whole host disk below dir. The UKI is a stand-in that holds its command
// line: packages uki and authenticode have their own tests.
func build(t testing.TB, dir string, rootSize int) (disk string, host, guest Slot) {
	t.Helper()
	uki := func(cmdline string) ([]byte, error) {
		return append([]byte("UKI "+cmdline), make([]byte, 3<<20)...), nil
	}
	var slots []Slot
	for _, role := range []string{"guest", "host"} {
		s, err := BuildSlot(dir, Input{Role: role, Version: "1.2.3", Cmdline: []string{"quiet"}, Root: root(t, role, rootSize), BuildUKI: uki})
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, s)
	}
	guest, host = slots[0], slots[1]
	guestImg := filepath.Join(dir, "guest.img")
	if err := Guest(guestImg, guest); err != nil {
		t.Fatal(err)
	}
	var config tree.Tree
	if err := config.File("node.conf", 0o644, []byte("network = x\n")); err != nil {
		t.Fatal(err)
	}
	disk = filepath.Join(dir, "host.img")
	if err := Host(disk, Disk{Size: layout.MinimumDisk(), Host: host, Guest: guestImg, Config: &config, Meta: []byte("META")}); err != nil {
		t.Fatal(err)
	}
	return disk, host, guest
}

// What the init and hostd do with a disk, done here with the same functions.
func TestDiskHoldsWhatWasPut(t *testing.T) {
	disk, host, guest := build(t, t.TempDir(), 5<<20)
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parts, err := layout.Find(f, layout.MinimumDisk())
	if err != nil || !layout.IsHost(parts) {
		t.Fatalf("%v %v", parts, err)
	}
	check := func(r io.ReaderAt, s Slot) {
		t.Helper()
		if err := verity.CheckAll(r, s.Blocks, s.RootHash); err != nil {
			t.Error(err)
		}
	}
	readUKI := func(r io.ReaderAt, size int64, s Slot) {
		t.Helper()
		v, err := fat.Open(r, size)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := v.ReadFile(UKIPath, 64<<20); err != nil || !bytes.Equal(b, s.UKI) {
			t.Errorf("UKI: %d bytes, %v", len(b), err)
		}
	}
	check(layout.Section(f, parts["root-a"]), host)
	readUKI(layout.Section(f, parts["esp-a"]), parts["esp-a"].Size, host)
	want := fmt.Sprintf("UKI ashlar.role=host ashlar.version=1.2.3 ashlar.root=%s ashlar.blocks=%d quiet", host.RootHash, host.Blocks)
	if !bytes.HasPrefix(host.UKI, []byte(want)) || host.Cmdline != want[4:] {
		t.Errorf("command line %q", host.Cmdline)
	}

	in := layout.Section(f, parts["guest-a"])
	inner, err := layout.Find(in, in.Size())
	if err != nil {
		t.Fatal(err)
	}
	check(layout.Section(in, inner[layout.Root]), guest)
	readUKI(layout.Section(in, inner[layout.ESP]), inner[layout.ESP].Size, guest)

	v, err := fat.Open(layout.Section(f, parts["config"]), parts["config"].Size)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := v.ReadFile("node.conf", 1<<16); string(b) != "network = x\n" {
		t.Errorf("node.conf %q %v", b, err)
	}
	meta := make([]byte, 4)
	if _, err := layout.Section(f, parts["meta"]).ReadAt(meta, 0); string(meta) != "META" {
		t.Errorf("meta %q %v", meta, err)
	}
	for _, empty := range []string{"esp-b", "root-b", "guest-b", "data"} {
		b := make([]byte, 1<<20)
		if _, err := layout.Section(f, parts[empty]).ReadAt(b, 0); err != nil || !bytes.Equal(b, make([]byte, 1<<20)) {
			t.Errorf("%s is not empty: %v", empty, err)
		}
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 64<<20 {
		t.Errorf("the image takes %d MiB on the builder's disk: its holes are filled", used>>20)
	}
}

func TestSameBytesElsewhere(t *testing.T) {
	a, _, _ := build(t, t.TempDir(), 1<<20)
	old := syscall.Umask(0o077)
	b, _, _ := build(t, t.TempDir(), 1<<20)
	syscall.Umask(old)
	for _, name := range []string{"host.img", "guest.img", "host-esp.img", "host-root.img"} {
		if x, y := digest(t, filepath.Join(filepath.Dir(a), name)), digest(t, filepath.Join(filepath.Dir(b), name)); x != y {
			t.Errorf("%s differs", name)
		}
	}
}

// digest is of the size and of all blocks that are not zero, with their places; it skips
// holes, so that it is quick.
func digest(t testing.TB, file string) [32]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	b := make([]byte, copyBlock)
	end, _ := f.Seek(0, io.SeekEnd)
	fmt.Fprintln(h, end)
	for at := int64(0); at < end; {
		data, err := f.Seek(at, unix.SEEK_DATA)
		if err != nil {
			break // only a hole is left
		}
		hole, err := f.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			t.Fatal(err)
		}
		for at = data / copyBlock * copyBlock; at < hole; at += copyBlock {
			n, _ := f.ReadAt(b, at)
			if !bytes.Equal(b[:n], zeros[:n]) {
				fmt.Fprintln(h, at)
				h.Write(b[:n])
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

func TestToolsAgree(t *testing.T) {
	disk, host, _ := build(t, t.TempDir(), 5<<20)
	for _, c := range []struct {
		pkg  string
		args []string
		want string
	}{
		{"gdisk", []string{"sgdisk", "-v", disk}, "No problems found"},
		{"gdisk", []string{"sgdisk", "-v", filepath.Join(filepath.Dir(disk), "guest.img")}, "No problems found"},
		{"dosfstools", []string{"fsck.fat", "-n", host.ESP}, "4 files"},
		{"erofs-utils", []string{"fsck.erofs", "-d3", host.Root}, "No errors found"},
		{"cryptsetup-bin", []string{"veritysetup", "verify", host.Root, host.Root, host.RootHash.String(), fmt.Sprintf("--hash-offset=%d", host.Blocks*4096)}, ""},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			if _, err := exec.LookPath(c.args[0]); err != nil {
				t.Skipf("%s is missing: apt-get install %s", c.args[0], c.pkg)
			}
			out, err := exec.Command(c.args[0], c.args[1:]...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %v\n%s", c.args, err, out)
			}
		})
	}
}

// A failure leaves what was there, and says what to do.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	disk, host, _ := build(t, dir, 1<<20)
	before, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	ok := func(string) ([]byte, error) { return []byte("UKI"), nil }
	big := filepath.Join(dir, "big")
	if err := errors.Join(os.WriteFile(big, nil, 0o600), os.Truncate(big, 600<<20)); err != nil {
		t.Fatal(err)
	}
	var bigRoot tree.Tree
	if err := bigRoot.HostFile("big", 0o644, big); err != nil {
		t.Fatal(err)
	}
	in := func(change func(*Input)) error {
		i := Input{Role: "host", Version: "1", Root: root(t, "host", 1000), BuildUKI: ok}
		change(&i)
		_, err := BuildSlot(t.TempDir(), i)
		return err
	}
	for _, c := range []struct {
		want string
		err  error
	}{
		{"a node needs at least 3275 MiB", Host(disk, Disk{Size: 1 << 30, Host: host})},
		{"the slot record has", Host(disk, Disk{Size: layout.MinimumDisk(), Host: host, Meta: make([]byte, 2<<20)})},
		{"no such file", Host(disk, Disk{Size: layout.MinimumDisk(), Host: host, Guest: filepath.Join(dir, "none")})},
		{"partition guest-a has 512 MiB", Host(disk, Disk{Size: layout.MinimumDisk(), Host: host, Guest: big})},
		{"take something out of hostos.recipe", in(func(i *Input) { i.Root = &bigRoot })},
		{"take modules out of the initramfs", in(func(i *Input) { i.BuildUKI = func(string) ([]byte, error) { return make([]byte, 99<<20), nil } })},
		{"no key", in(func(i *Input) { i.BuildUKI = func(string) ([]byte, error) { return nil, errors.New("no key") } })},
		{`role "toaster"`, in(func(i *Input) { i.Role = "toaster" })},
		{"cannot be a word", in(func(i *Input) { i.Version = "1 init=/bin/sh" })},
		{"are made here", in(func(i *Input) { i.Cmdline = []string{"ashlar.role=guest"} })},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", c.err, c.want)
		}
	}
	after, err := os.Stat(disk)
	if err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("the old image was touched: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// BenchmarkHost is the whole of image assembly for roots of the usual size.
func BenchmarkHost(b *testing.B) {
	for b.Loop() {
		build(b, b.TempDir(), 100<<20)
	}
}
