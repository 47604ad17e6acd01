package stage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"ashlar/hardware/block"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/slots"
	"ashlar/image/verity"
	"ashlar/internal/cmdline"
	"ashlar/internal/phases"
)

// release writes a root of n blocks with its tree, and the line that wants it.
func release(t *testing.T, content byte, n int) ([]byte, cmdline.CommandLine) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := bytes.Repeat([]byte{content}, n*verity.BlockSize)
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(verity.TotalBytes(uint64(n))); err != nil {
		t.Fatal(err)
	}
	root, _, err := verity.Append(f, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return image, cmdline.CommandLine{Role: cmdline.Host, Version: "1", Root: root, Blocks: uint64(n)}
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// machine opens partitions from memory.
func machine(disks map[string][]byte) func(string) (device, error) {
	return func(path string) (device, error) {
		b, ok := disks[path]
		if !ok {
			return nil, errors.New("no such device")
		}
		return memory{bytes.NewReader(b)}, nil
	}
}

func part(name, dev string, content []byte) block.Partition {
	return block.Partition{Name: name, Device: dev, Disk: "/dev/vda", SizeBytes: int64(len(content))}
}

func names(f []Found) (out []string) {
	for _, x := range f {
		out = append(out, x.Part.Name)
	}
	return out
}

func TestTheSlotWithOurRootHashIsFound(t *testing.T) {
	old, oldLine := release(t, 1, 200)
	young, youngLine := release(t, 2, 300)
	open := machine(map[string][]byte{"/dev/vda5": old, "/dev/vda6": young})
	parts := []block.Partition{part("config", "/dev/vda1", nil), part("root-a", "/dev/vda5", old), part("root-b", "/dev/vda6", young)}
	for _, tc := range []struct {
		line cmdline.CommandLine
		want string
	}{{oldLine, "root-a"}, {youngLine, "root-b"}} {
		found, why := pick(parts, tc.line, open)
		if !reflect.DeepEqual(names(found), []string{tc.want}) {
			t.Errorf("found %v, want %s (%v)", names(found), tc.want, why)
		}
		if string(found[0].Slot()) != strings.TrimPrefix(tc.want, "root-") {
			t.Errorf("slot %q", found[0].Slot())
		}
	}
}

func TestTheSameReleaseInBothSlotsIsFoundTwice(t *testing.T) {
	image, line := release(t, 1, 10)
	open := machine(map[string][]byte{"/dev/vda5": image, "/dev/vda6": image})
	found, _ := pick([]block.Partition{part("root-a", "/dev/vda5", image), part("root-b", "/dev/vda6", image)}, line, open)
	if !reflect.DeepEqual(names(found), []string{"root-a", "root-b"}) {
		t.Errorf("found %v", names(found))
	}
}

func TestWhatIsNotOurRootIsRefused(t *testing.T) {
	image, line := release(t, 1, 200)
	other, _ := release(t, 9, 200)
	changed := bytes.Clone(image)
	changed[201*verity.BlockSize] ^= 1 // the top of the tree
	guest := line
	guest.Role = cmdline.Guest
	for _, tc := range []struct {
		name string
		line cmdline.CommandLine
		part block.Partition
		says string
	}{
		{"another release", line, part("root-a", "/other", other), "root hash"},
		{"a changed tree", line, part("root-a", "/changed", changed), "root hash"},
		{"empty slot", line, part("root-b", "/zero", make([]byte, len(image))), "superblock"},
		{"too small", line, part("root-b", "/small", image[:100*verity.BlockSize]), "our root needs"},
		{"unreadable", line, part("root-a", "/gone", image), "no such device"},
		{"another name", line, part("data", "/image", image), ""},
		{"the host's slot for a guest", guest, part("root-a", "/image", image), ""},
	} {
		open := machine(map[string][]byte{"/other": other, "/changed": changed, "/zero": make([]byte, len(image)), "/small": image[:100*verity.BlockSize], "/image": image})
		found, why := pick([]block.Partition{tc.part}, tc.line, open)
		if len(found) != 0 || !strings.Contains(strings.Join(why, ";"), tc.says) {
			t.Errorf("%s: found %v, why %v", tc.name, names(found), why)
		}
	}
}

func TestVerityParams(t *testing.T) {
	_, line := release(t, 1, 300)
	got, err := verityParams(line, Found{Part: block.Partition{Device: "/dev/vda5"}, Salt: []byte{0xab, 0xcd}})
	want := "1 /dev/vda5 /dev/vda5 4096 4096 300 301 sha256 " + line.RootHex() + " abcd 1 restart_on_corruption"
	if err != nil || got != want {
		t.Errorf("got %q (%v)\nwant %q", got, err, want)
	}
}

func TestTheBootedSlotIsThatOfTheESP(t *testing.T) {
	a, b := gpt.Derive(nil, "a"), gpt.Derive(nil, "b")
	parts := []gpt.Partition{{Name: "config", ID: gpt.Derive(nil, "c")}, {Name: layout.ESP + "-a", ID: a}, {Name: layout.ESP + "-b", ID: b}}
	for guid, want := range map[string]slots.Slot{strings.ToUpper(a.String()): slots.A, strings.ToLower(b.String()): slots.B, gpt.Derive(nil, "c").String(): "", "": ""} {
		if got := slotOf(parts, guid); got != want {
			t.Errorf("%s: slot %q, want %q", guid, got, want)
		}
	}
	var raw []byte
	for _, u := range utf16.Encode([]rune("4A67B082\x00")) {
		raw = append(raw, byte(u), byte(u>>8))
	}
	if got := utf16Text(raw); got != "4A67B082" {
		t.Errorf("text %q", got)
	}
}

func TestTheGuestIsSilentUntilItFails(t *testing.T) {
	m := &Machine{}
	for _, tc := range []struct {
		role string
		want bool
	}{{cmdline.Host, true}, {cmdline.Guest, false}} {
		m.Line.Role = tc.role
		if m.shows(phases.Report{Who: "init", Name: "slot", Text: "root"}) != tc.want || !m.shows(phases.Report{Who: "init", Name: "slot", Text: "failed no disk"}) {
			t.Errorf("role %s", tc.role)
		}
	}
}

func TestEveryStageHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range (&Machine{}).All() {
		if seen[p.Name] || strings.ContainsAny(p.Name, " \t") || p.Run == nil {
			t.Errorf("stage %q", p.Name)
		}
		seen[p.Name] = true
	}
}

func TestTheBootEntryOfASlot(t *testing.T) {
	table, err := layout.Host(layout.MinimumDisk(), gpt.SectorSize, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	a, errA := target(table, slots.A)
	b, errB := target(table, slots.B)
	if errA != nil || errB != nil || a.Description == b.Description || a.Partition.Number != 3 || b.Partition.Number != 4 {
		t.Fatalf("%+v %v, %+v %v", a, errA, b, errB)
	}
	if p := a.Partition; p.First*gpt.SectorSize != uint64(table.Partitions[2].Start) || !strings.EqualFold(p.ID.String(), table.Partitions[2].ID.String()) {
		t.Errorf("%+v", p)
	}
	if _, err := target(gpt.Table{}, slots.A); err == nil {
		t.Error("a disk without ESP has a boot entry")
	}
}

func TestTheNextProcessIsToldOfATrial(t *testing.T) {
	m := &Machine{Slot: Found{Part: part("root-b", "/dev/vda6", nil)}}
	if env := strings.Join(m.environment(), " "); strings.Contains(env, "TRIAL") || !strings.Contains(env, "ASHLAR_SLOT=b ASHLAR_DISK=/dev/vda") {
		t.Errorf("%s", env)
	}
	m.Trial = true
	if env := strings.Join(m.environment(), " "); !strings.Contains(env, "ASHLAR_TRIAL=1") {
		t.Errorf("%s", env)
	}
}

func TestTheKernelsSettings(t *testing.T) {
	root := t.TempDir()
	for _, s := range settings {
		if s.name == "kernel/sysrq" { // a kernel without it
			continue
		}
		file := filepath.Join(root, s.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := apply(root)
	if err != nil || done != len(settings)-1 {
		t.Fatalf("%d of %d settings, %v", done, len(settings), err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "kernel/panic_on_oops")); string(b) != "1" {
		t.Errorf("panic_on_oops is %q", b)
	}
	if _, err := os.Stat(filepath.Join(root, "kernel/sysrq")); err == nil {
		t.Error("a setting was made that the kernel does not have")
	}
	if done, err := apply(filepath.Join(root, "kernel/panic_on_oops")); done != 0 || err == nil {
		t.Errorf("what is refused is not told: %d, %v", done, err)
	}
}
