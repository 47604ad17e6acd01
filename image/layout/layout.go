// Package layout is the partition plan of a node's disk: one table, read by the image
// builder, the installer, the init and the upgrade code.
//
//	config meta | esp-a esp-b | root-a root-b | guest-a guest-b | data ...
//	 settings      slot A/B: all that a release replaces            all that must survive
//
// The guest's disk image has a plan of its own: esp, root. What lies inside of a
// partition belongs to its format's package (fat, erofs, verity, ext4, slots).
package layout

import (
	"fmt"
	"io"

	"ashlar/image/gpt"
)

// The names of the partitions; slots.A and slots.B add "-a" or "-b" to the three bases.
const (
	Config = "config"
	Meta   = "meta"
	ESP    = "esp"
	Root   = "root"
	Guest  = "guest"
	Data   = "data"
)

const (
	mib = 1 << 20

	// align is where partitions may start: erase blocks, RAID stripes and 4 KiB sectors
	// all divide it.
	align = mib

	// minData is the least room for what must survive; a disk with less is refused.
	minData = 1024 * mib

	// tail keeps the backup partition table (20 KiB with 4 KiB sectors) clear of data.
	tail = mib
)

var (
	typeESP = gpt.MustGUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B") // UEFI 2.10, table 5.7
	// typeBasic is what laptops of every make mount by themselves: config is edited there.
	typeBasic = gpt.MustGUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
	typeLinux = gpt.MustGUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	// Types of our own, so that no other system takes these for one of its volumes.
	typeMeta = gpt.Derive([]byte("partition type"), "ashlar meta")
	typeRoot = gpt.Derive([]byte("partition type"), "ashlar root with verity tree")
	typeDisk = gpt.Derive([]byte("partition type"), "ashlar guest disk")
)

type row struct {
	name string
	kind gpt.GUID
	size int64 // 0: all that is left
}

// The sizes leave room for two further releases to grow. Changing one needs a new
// installation: a running node keeps its table.
var host = []row{
	{Config, typeBasic, 8 * mib}, // the smallest FAT16 that every tool accepts, and room for keys
	{Meta, typeMeta, 1 * mib},
	{ESP + "-a", typeESP, 96 * mib},
	{ESP + "-b", typeESP, 96 * mib},
	{Root + "-a", typeRoot, 512 * mib},
	{Root + "-b", typeRoot, 512 * mib},
	{Guest + "-a", typeDisk, 512 * mib},
	{Guest + "-b", typeDisk, 512 * mib},
	{Data, typeLinux, 0},
}

// MinimumDisk is the size in bytes of the smallest disk that holds a node.
func MinimumDisk() int64 {
	n := int64(align + minData + tail)
	for _, r := range host {
		n += r.size
	}
	return n
}

// Size is the size of a host partition by its name, or by its base ("esp" for both);
// 0 for data, which has what is left.
func Size(name string) int64 {
	for _, r := range host {
		if r.name == name || r.name == name+"-a" {
			return r.size
		}
	}
	panic("layout: no partition is named " + name)
}

// Host plans a disk of diskSize bytes. The GUIDs follow from the seed: the image builder
// gives the release's, the installer a random one.
func Host(diskSize int64, sectorSize int, seed []byte) (gpt.Table, error) {
	if diskSize < MinimumDisk() {
		return gpt.Table{}, fmt.Errorf("the disk has %d MiB and a node needs at least %d MiB: take a larger disk", diskSize/mib, MinimumDisk()/mib)
	}
	return plan(host, diskSize, sectorSize, seed), nil
}

// GuestDisk plans the guest's disk image around what it holds: an ESP and a root of
// these sizes. Table.DiskSize is the size of the image.
func GuestDisk(espSize, rootSize int64, seed []byte) (gpt.Table, error) {
	rows := []row{{ESP, typeESP, roundUp(espSize)}, {Root, typeRoot, roundUp(rootSize)}}
	size := int64(align + tail)
	for _, r := range rows {
		if r.size == 0 {
			return gpt.Table{}, fmt.Errorf("the guest's %s is empty", r.name)
		}
		size += r.size
	}
	if limit := Size(Guest); size > limit {
		return gpt.Table{}, fmt.Errorf("the guest's disk needs %d MiB and its slot has %d MiB: take something out of guestos.recipe", size/mib, limit/mib)
	}
	return plan(rows, size, gpt.SectorSize, seed), nil
}

func plan(rows []row, diskSize int64, sectorSize int, seed []byte) gpt.Table {
	t := gpt.Table{ID: gpt.Derive(seed, "disk"), SectorSize: sectorSize, DiskSize: diskSize / int64(sectorSize) * int64(sectorSize)}
	at := int64(align)
	for _, r := range rows {
		size := r.size
		if size == 0 {
			size = (diskSize-tail)/align*align - at
		}
		t.Partitions = append(t.Partitions, gpt.Partition{Name: r.name, Type: r.kind, ID: gpt.Derive(seed, r.name), Start: at, Size: size})
		at += size
	}
	return t
}

// Find reads the table of a disk and gives its partitions by name. A disk that has a
// table of another system is no error: its names are simply other ones.
func Find(r io.ReaderAt, size int64) (map[string]gpt.Partition, error) {
	t, err := gpt.Read(r, size)
	if err != nil {
		return nil, err
	}
	return ByName(*t)
}

// ByName gives the partitions by name. Two of one name is an error: nobody could say
// which of them holds the release.
func ByName(t gpt.Table) (map[string]gpt.Partition, error) {
	m := make(map[string]gpt.Partition, len(t.Partitions))
	for _, p := range t.Partitions {
		if _, ok := m[p.Name]; ok && p.Name != "" {
			return nil, fmt.Errorf("two partitions are named %q", p.Name)
		}
		m[p.Name] = p
	}
	return m, nil
}

// IsHost tells whether a table, as given by Find, is that of a node: all partitions of the plan by name
// and type, each at least as large as the plan says.
func IsHost(parts map[string]gpt.Partition) bool {
	for _, r := range host {
		p, ok := parts[r.name]
		if !ok || p.Type != r.kind || p.Size < r.size {
			return false
		}
	}
	return true
}

// Section is the part of a disk that a partition covers.
func Section(r io.ReaderAt, p gpt.Partition) *io.SectionReader {
	return io.NewSectionReader(r, p.Start, p.Size)
}

func roundUp(n int64) int64 { return (n + align - 1) / align * align }
