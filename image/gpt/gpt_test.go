package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type disk []byte

func (d disk) ReadAt(p []byte, off int64) (int, error)  { return bytes.NewReader(d).ReadAt(p, off) }
func (d disk) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

const mib = 1 << 20

func sample(size int64, sector int) Table {
	esp := MustGUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
	linux := MustGUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	seed := []byte("test")
	return Table{ID: Derive(seed, "disk"), DiskSize: size, SectorSize: sector, Partitions: []Partition{
		{Name: "esp-a", Type: esp, ID: Derive(seed, "esp-a"), Start: mib, Size: 2 * mib},
		{Name: "root-a", Type: linux, ID: Derive(seed, "root-a"), Start: 3 * mib, Size: mib, Attrs: 1 << 60},
	}}
}

func TestRoundTrip(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		d := make(disk, 8*mib)
		want := sample(8*mib, sector)
		if err := want.Write(d); err != nil {
			t.Fatal(err)
		}
		for _, harm := range []func(){func() {}, func() { clear(d[:34*sector]) }} {
			harm() // second round: the first copy is gone
			got, err := Read(d, int64(len(d)))
			if err != nil {
				t.Fatalf("sector %d: %v", sector, err)
			}
			if got.ID != want.ID || got.SectorSize != sector || len(got.Partitions) != 2 {
				t.Fatalf("sector %d: got %+v", sector, got)
			}
			for i := range want.Partitions {
				if got.Partitions[i] != want.Partitions[i] {
					t.Errorf("partition %d: got %+v, want %+v", i, got.Partitions[i], want.Partitions[i])
				}
			}
		}
	}
}

func TestSgdiskAgrees(t *testing.T) {
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Skip("sgdisk is missing: apt-get install gdisk")
	}
	d := make(disk, 8*mib)
	if err := sample(8*mib, 512).Write(d); err != nil {
		t.Fatal(err)
	}
	f := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(f, d, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk, "-v", "-p", "-i", "2", f).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
	out, _ = exec.Command(sgdisk, "-i", "1", f).CombinedOutput()
	for _, want := range []string{"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", Derive([]byte("test"), "esp-a").String(), "'esp-a'", "First sector: 2048", "Last sector: 6143"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("sgdisk -i 1 does not show %q:\n%s", want, out)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*Table)
	}{
		{"overlap", "overlap", func(t *Table) { t.Partitions[1].Start = 2 * mib }},
		{"past the end", "outside", func(t *Table) { t.Partitions[1].Size = 5 * mib }},
		{"before the start", "outside", func(t *Table) { t.Partitions[0].Start = 512 }},
		{"half a sector", "whole sectors", func(t *Table) { t.Partitions[0].Size = 700 }},
		{"no type", "no type", func(t *Table) { t.Partitions[0].Type = GUID{} }},
		{"long name", "longer than", func(t *Table) { t.Partitions[0].Name = strings.Repeat("n", 37) }},
		{"tiny disk", "no room", func(t *Table) { t.DiskSize = 4096 }},
		{"odd sector", "neither", func(t *Table) { t.SectorSize = 520 }},
	} {
		d := make(disk, 8*mib)
		tab := sample(8*mib, 512)
		c.change(&tab)
		if err := tab.Write(d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if !bytes.Equal(d, make(disk, 8*mib)) {
			t.Errorf("%s: wrote to the disk", c.name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	if _, err := Read(make(disk, mib), mib); !errors.Is(err, ErrNone) {
		t.Errorf("blank disk: %v, want ErrNone", err)
	}
	if _, err := Read(make(disk, 100), 100); !errors.Is(err, ErrNone) {
		t.Errorf("100 bytes: %v, want ErrNone", err)
	}
	d := make(disk, 8*mib)
	if err := sample(8*mib, 512).Write(d); err != nil {
		t.Fatal(err)
	}
	d[2*512+32]++         // first copy's entries
	d[len(d)-512+40] ^= 1 // second header
	if _, err := Read(d, int64(len(d))); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("both copies damaged: %v", err)
	}
}

func TestGUID(t *testing.T) {
	g := MustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	if g[0] != 0x28 || g[15] != 0x3b || g.String() != "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" {
		t.Errorf("got % x %s", g[:], g)
	}
	for _, s := range []string{"", "c12a7328f81f11d2ba4b00a0c93ec93b", "c12a7328-f81f-11d2-ba4b-00a0c93ec93g"} {
		if _, err := ParseGUID(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	a, b := Derive([]byte("1"), "disk"), Derive([]byte("1"), "disk")
	if a != b || a == Derive([]byte("2"), "disk") || a == Derive([]byte("1"), "data") || a.String()[14] != '8' {
		t.Error("Derive: want the same for the same, different for different, version 8:", a)
	}
}

func FuzzRead(f *testing.F) {
	d := make(disk, 128<<10)
	tab := Table{DiskSize: 128 << 10, Partitions: []Partition{{Name: "p", Type: GUID{1}, Start: 64 << 10, Size: 4096}}}
	if err := tab.Write(d); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(d))
	f.Add([]byte(d[:64<<10]))
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, err := Read(disk(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, p := range tab.Partitions {
			if p.Start < 0 || p.Size <= 0 || p.End() > int64(len(b)) {
				t.Errorf("partition outside of the disk: %+v", p)
			}
		}
	})
}

// FuzzEntries gets past the checksums, which FuzzRead hardly ever does.
func FuzzEntries(f *testing.F) {
	f.Add(uint64(2), uint32(4), uint32(128), make([]byte, 512))
	f.Add(uint64(2), uint32(1), uint32(256), bytes.Repeat([]byte{0xff}, 256))
	f.Fuzz(func(t *testing.T, at uint64, n, each uint32, entries []byte) {
		const size = 64 << 10
		d := make(disk, size)
		copy(d[1024:], entries)
		tab := Table{SectorSize: 512, DiskSize: size}
		h := tab.header(nil, 1, size/512-1, 2)
		le := binary.LittleEndian
		le.PutUint64(h[72:], at)
		le.PutUint32(h[80:], n)
		le.PutUint32(h[84:], each)
		if end := uint64(n) * uint64(each); at == 2 && end <= size-1024 {
			le.PutUint32(h[88:], crc32.ChecksumIEEE(d[1024:1024+end]))
		}
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
		copy(d[512:], h)
		got, err := Read(d, size)
		if err != nil {
			return
		}
		for _, p := range got.Partitions {
			if p.Start < 0 || p.Size <= 0 || p.End() > size {
				t.Errorf("partition outside of the disk: %+v", p)
			}
		}
	})
}
