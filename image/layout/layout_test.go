package layout

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ashlar/image/gpt"
)

// sparse holds the few blocks that were written of a large disk.
type sparse struct {
	size   int64
	blocks map[int64][512]byte
}

func (s *sparse) WriteAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); i += 512 {
		s.blocks[off+int64(i)] = [512]byte(p[i : i+512])
	}
	return len(p), nil
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); i += 512 {
		b := s.blocks[off+int64(i)]
		copy(p[i:], b[:])
	}
	return len(p), nil
}

// The order is a contract (docs/architecture.md, The joints).
func TestHostPlan(t *testing.T) {
	tab, err := Host(MinimumDisk(), 512, []byte("r1"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range tab.Partitions {
		names = append(names, p.Name)
		if p.Start%align != 0 {
			t.Errorf("%s starts at %d", p.Name, p.Start)
		}
	}
	if got := strings.Join(names, " "); got != "config meta esp-a esp-b root-a root-b guest-a guest-b data" {
		t.Errorf("order: %s", got)
	}
	if data := tab.Partitions[8]; data.Size != minData {
		t.Errorf("data on the smallest disk: %d bytes, want %d", data.Size, minData)
	}
}

func TestFindOnDisksOfAllSizes(t *testing.T) {
	for _, size := range []int64{MinimumDisk(), 4<<30 + 12345*512, 1 << 40, 16 << 40} {
		for _, sector := range []int{512, 4096} {
			tab, err := Host(size, sector, []byte("r1"))
			if err != nil {
				t.Fatal(err)
			}
			d := &sparse{size: size, blocks: map[int64][512]byte{}}
			if err := tab.Write(d); err != nil {
				t.Fatalf("%d bytes, sectors of %d: %v", size, sector, err)
			}
			parts, err := Find(d, size)
			if err != nil {
				t.Fatal(err)
			}
			if !IsHost(parts) || parts[Data].Size < minData || parts["esp-b"].Size != Size(ESP) {
				t.Errorf("%d bytes, sectors of %d: %+v", size, sector, parts)
			}
		}
	}
}

func TestTooSmallSaysHowMuch(t *testing.T) {
	_, err := Host(2<<30, 512, nil)
	if err == nil || !strings.Contains(err.Error(), "has 2048 MiB and a node needs at least 3275 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestGuestDisk(t *testing.T) {
	tab, err := GuestDisk(20*mib+1, 30*mib, []byte("g1"))
	if err != nil {
		t.Fatal(err)
	}
	if tab.DiskSize != (1+21+30+1)*mib {
		t.Errorf("size %d MiB", tab.DiskSize/mib)
	}
	b := make(fixed, tab.DiskSize)
	if err := tab.Write(b); err != nil {
		t.Fatal(err)
	}
	// In its slot the image has a tail of other bytes: found all the same.
	parts, err := Find(bytes.NewReader(append(b, make([]byte, 7*mib)...)), tab.DiskSize+7*mib)
	if err != nil || parts[Root].Start != 22*mib || IsHost(parts) {
		t.Errorf("%v %+v", err, parts)
	}
	if _, err := GuestDisk(20*mib, 500*mib, nil); err == nil || !strings.Contains(err.Error(), "522 MiB") {
		t.Errorf("too large: %v", err)
	}
	if _, err := GuestDisk(20*mib, 0, nil); err == nil {
		t.Error("an empty root was accepted")
	}
}

func TestFindRefuses(t *testing.T) {
	if _, err := Find(bytes.NewReader(make([]byte, mib)), mib); !errors.Is(err, gpt.ErrNone) {
		t.Errorf("blank disk: %v", err)
	}
	tab := gpt.Table{Partitions: []gpt.Partition{{Name: Root}, {Name: Root}}}
	if _, err := ByName(tab); err == nil || !strings.Contains(err.Error(), `two partitions are named "root"`) {
		t.Errorf("got %v", err)
	}
}

type fixed []byte

func (d fixed) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }
