package fat

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"ashlar/image/tree"
)

// Options of a new volume.
type Options struct {
	Size   int64  // bytes of the volume; see SizeFor
	Label  string // up to 11 upper-case letters, digits, spaces
	Serial uint32 // the volume's ID
}

const (
	// minFAT32 is 65525 clusters of one sector, two FATs, the reserved sectors; rounded up.
	minFAT32 = 34 << 20
	minSize  = 4 << 20
	maxSize  = 64 << 30 // clusters of 4 KiB stay below the 28 bits of a FAT32 entry by far

	reserved16 = 1
	reserved32 = 32
	rootSlots  = 512 // entries of FAT16's root directory, of 32 bytes each

	// The moment of all files: 1980-01-01 00:00, the zero of FAT.
	fatDate = 1<<5 | 1
)

// SizeFor is the size of a volume that holds these files and little else, in whole MiB; it
// is large enough for FAT32, which some firmware insists on.
func SizeFor(t *tree.Tree) (int64, error) {
	list, err := t.Entries()
	if err != nil {
		return 0, err
	}
	need := int64(1 << 20)
	for _, e := range list {
		n, err := e.Size()
		if err != nil {
			return 0, err
		}
		need += n + n/32 + 8192 // content, its share of the FATs, its names
	}
	return max(minFAT32, (need+1<<20-1)>>20<<20), nil
}

// Write lays the files out on w, which must read as zeros where nothing is written (a
// new file, or a cleared partition). All files are contiguous.
func Write(w io.WriterAt, t *tree.Tree, o Options) error {
	g, err := choose(o.Size)
	if err != nil {
		return err
	}
	label, err := volumeLabel(o.Label)
	if err != nil {
		return err
	}
	v := &writer{w: w, geometry: g, label: label, fat: make([]uint32, g.clusters+2), next: 2}
	v.fat[0], v.fat[1] = 0x0fffff00|media, 0x0fffffff
	root, err := build(t)
	if err != nil {
		return err
	}
	if err := v.place(root); err != nil {
		return err
	}
	if err := v.write(root); err != nil {
		return fmt.Errorf("write FAT volume: %w", err)
	}
	return v.finish(o.Serial)
}

// choose picks the geometry: FAT32 where the size allows, the smallest fitting clusters
// (little is stored, and small clusters make small volumes legal).
func choose(size int64) (geometry, error) {
	if size < minSize || size > maxSize || size%sector != 0 {
		return geometry{}, fmt.Errorf("a FAT volume of %d bytes: want whole sectors, from %d MiB to %d GiB", size, minSize>>20, maxSize>>30)
	}
	g := geometry{sectorSize: sector, total: uint32(size / sector), reserved: reserved16, fats: 2, rootEntries: rootSlots, bits: 16}
	fit := func(limit uint32) bool {
		for g.perCluster = 1; g.perCluster <= 64; g.perCluster *= 2 {
			g.settle()
			if g.clusters < limit {
				return true
			}
		}
		return false
	}
	if size >= minFAT32 {
		g.bits, g.reserved, g.rootEntries = 32, reserved32, 0
		if fit(1<<17) || fit(1<<24) {
			return g, nil
		}
	}
	if fit(minClusters32-16) && g.clusters >= minClusters16+16 { // 16: some drivers count off by a few
		return g, nil
	}
	return g, fmt.Errorf("no FAT geometry fits %d bytes", size)
}

// settle computes the size of the FATs and the number of clusters, which depend on each other.
func (g *geometry) settle() {
	root := (g.rootEntries*32 + sector - 1) / sector
	g.fatSectors = 1
	for {
		g.clusters = (g.total - g.reserved - g.fats*g.fatSectors - root) / g.perCluster
		need := ((g.clusters+2)*uint32(g.bits/8) + sector - 1) / sector
		if need <= g.fatSectors {
			return
		}
		g.fatSectors = need
	}
}

// node is a file or directory on its way to the disk.
type node struct {
	tree.Entry
	name    string
	up      *node // nil: the top
	kids    []*node
	size    int64
	cluster uint32
}

func build(t *tree.Tree) (*node, error) {
	list, err := t.Entries()
	if err != nil {
		return nil, err
	}
	root := &node{Entry: tree.Entry{Mode: fs.ModeDir}}
	dirs := map[string]*node{".": root}
	for _, e := range list {
		if !e.Mode.IsDir() && !e.Mode.IsRegular() {
			return nil, fmt.Errorf("/%s: FAT holds only files and directories", e.Path)
		}
		n := &node{Entry: e, name: path.Base(e.Path)}
		if n.size, err = e.Size(); err != nil {
			return nil, err
		}
		if n.size > 1<<32-1 {
			return nil, fmt.Errorf("/%s has %d bytes; FAT holds files below 4 GiB", e.Path, n.size)
		}
		n.up = dirs[path.Dir(e.Path)]
		n.up.kids = append(n.up.kids, n)
		if e.Mode.IsDir() {
			dirs[e.Path] = n
		}
	}
	return root, nil
}

type writer struct {
	geometry
	w     io.WriterAt
	label [11]byte
	fat   []uint32
	next  uint32
}

// place gives clusters to a directory and all below it.
func (v *writer) place(dir *node) error {
	b, err := v.names(dir)
	if err != nil {
		return err
	}
	if len(b) > maxDirBytes || dir.up == nil && v.bits == 16 && len(b) > rootSlots*32 {
		return fmt.Errorf("directory /%s holds more names than FAT allows", dir.Path)
	}
	if dir.up != nil || v.bits == 32 {
		if dir.cluster, err = v.take(max(int64(len(b)), 1), dir.Path); err != nil {
			return err
		}
	}
	for _, k := range dir.kids {
		if k.Mode.IsDir() {
			err = v.place(k)
		} else if k.size > 0 {
			k.cluster, err = v.take(k.size, k.Path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *writer) take(size int64, path string) (uint32, error) {
	per := int64(v.perCluster) * sector
	n := uint32((size + per - 1) / per)
	if n > v.clusters+2-v.next {
		return 0, fmt.Errorf("/%s (%d bytes) does not fit on the FAT volume of %d MiB", path, size, int64(v.total)*sector>>20)
	}
	first := v.next
	for c := first; c < first+n-1; c++ {
		v.fat[c] = c + 1
	}
	v.fat[first+n-1] = 0x0fffffff
	v.next += n
	return first, nil
}

// names makes a directory's entries. Before place is done, clusters in it are still 0.
func (v *writer) names(dir *node) ([]byte, error) {
	var b []byte
	if dir.up == nil {
		if v.label != ([11]byte{}) {
			b = append(b, slot(v.label, attrLabel, 0, 0)...)
		}
	} else {
		parent := dir.up.cluster
		if dir.up.up == nil {
			parent = 0 // the top is always written as 0, also on FAT32
		}
		b = append(b, slot([11]byte([]byte(".          ")), attrDir, dir.cluster, 0)...)
		b = append(b, slot([11]byte([]byte("..         ")), attrDir, parent, 0)...)
	}
	used := map[[11]byte]bool{}
	folded := map[string]bool{}
	for _, k := range dir.kids {
		if f := strings.ToUpper(k.name); folded[f] {
			return nil, fmt.Errorf("/%s differs from another name only by case, which FAT cannot tell apart", k.Path)
		} else {
			folded[f] = true
		}
		short, long, err := shortName(k.name, used)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", k.Path, err)
		}
		used[short] = true
		if long {
			b = append(b, longSlots(k.name, short)...)
		}
		if k.Mode.IsDir() {
			b = append(b, slot(short, attrDir, k.cluster, 0)...)
		} else {
			b = append(b, slot(short, attrArchive, k.cluster, uint32(k.size))...)
		}
	}
	return b, nil
}

// write puts a directory and all below it on the disk.
func (v *writer) write(dir *node) error {
	b, err := v.names(dir)
	if err != nil {
		return err
	}
	at := v.rootOffset()
	if dir.cluster != 0 {
		at = v.offset(dir.cluster)
	}
	if _, err := v.w.WriteAt(pad(b, int64(v.perCluster)*sector), at); err != nil {
		return err
	}
	for _, k := range dir.kids {
		put := v.write
		if !k.Mode.IsDir() {
			put = v.copy
		}
		if err := put(k); err != nil {
			return err
		}
	}
	return nil
}

func (v *writer) copy(k *node) error {
	if k.size == 0 {
		return nil
	}
	r, err := k.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(io.NewOffsetWriter(v.w, v.offset(k.cluster)), io.LimitReader(r, k.size+1))
	if err == nil && n != k.size {
		err = fmt.Errorf("/%s changed while it was read", k.Path)
	}
	return err
}

// finish writes the FATs and the boot sectors.
func (v *writer) finish(serial uint32) error {
	table := make([]byte, v.fatSectors*sector)
	for c, next := range v.fat {
		if v.bits == 32 {
			binary.LittleEndian.PutUint32(table[c*4:], next)
		} else {
			binary.LittleEndian.PutUint16(table[c*2:], uint16(next))
		}
	}
	for i := range int64(v.fats) {
		if _, err := v.w.WriteAt(table, (int64(v.reserved)+i*int64(v.fatSectors))*sector); err != nil {
			return err
		}
	}
	if v.bits == 16 {
		_, err := v.w.WriteAt(v.bootSector(serial), 0)
		return err
	}
	info := v.infoSector()
	for _, at := range []int64{6, 0} {
		if _, err := v.w.WriteAt(v.bootSector(serial), at*sector); err != nil {
			return err
		}
		if _, err := v.w.WriteAt(info, (at+1)*sector); err != nil {
			return err
		}
	}
	return nil
}

func (v *writer) bootSector(serial uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, sector)
	copy(b, []byte{0xeb, 0x58, 0x90})
	copy(b[3:], "MSWIN4.1") // Microsoft's FAT specification: any other name may upset old readers
	le.PutUint16(b[11:], sector)
	b[13] = byte(v.perCluster)
	le.PutUint16(b[14:], uint16(v.reserved))
	b[16] = byte(v.fats)
	le.PutUint16(b[17:], uint16(v.rootEntries))
	if v.bits == 16 && v.total < 1<<16 {
		le.PutUint16(b[19:], uint16(v.total))
	} else {
		le.PutUint32(b[32:], v.total)
	}
	b[21] = media
	le.PutUint16(b[24:], 32) // sectors per track and heads: read by nobody, but 0 is frowned on
	le.PutUint16(b[26:], 64)
	ext := b[36:]
	if v.bits == 16 {
		b[1] = 0x3c
		le.PutUint16(b[22:], uint16(v.fatSectors))
	} else {
		le.PutUint32(b[36:], v.fatSectors)
		le.PutUint32(b[44:], 2) // the top directory's cluster
		le.PutUint16(b[48:], 1) // the info sector
		le.PutUint16(b[50:], 6) // the copy of the boot sector
		ext = b[64:]
	}
	ext[0], ext[2] = 0x80, 0x29
	le.PutUint32(ext[3:], serial)
	label := v.label
	if label == ([11]byte{}) {
		label = [11]byte([]byte("NO NAME    "))
	}
	copy(ext[7:], label[:])
	copy(ext[18:], fmt.Sprintf("FAT%d   ", v.bits))
	b[510], b[511] = 0x55, 0xaa
	return b
}

func (v *writer) infoSector() []byte {
	le := binary.LittleEndian
	b := make([]byte, sector)
	copy(b, "RRaA")
	copy(b[484:], "rrAa")
	le.PutUint32(b[488:], v.clusters+2-v.next)
	le.PutUint32(b[492:], v.next)
	b[510], b[511] = 0x55, 0xaa
	return b
}

func pad(b []byte, to int64) []byte {
	n := (int64(len(b)) + to - 1) / to * to
	return append(b, make([]byte, n-int64(len(b)))...)
}
