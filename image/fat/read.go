package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf16"
)

const (
	maxClusterBytes = 256 << 10 // what exists in the wild; a hostile one must not cost memory
	maxDepth        = 32        // directories in a path
	maxDirRead      = 4 << 20   // bytes of one directory; twice what is legal
)

// ErrNotFAT is returned by Open for bytes that are no FAT volume.
var ErrNotFAT = errors.New("not a FAT volume")

// Volume is an open FAT volume. It holds no state but where things are.
type Volume struct {
	geometry
	r       io.ReaderAt
	rootDir uint32 // FAT32: the top directory's cluster
}

// Info is one entry of a directory.
type Info struct {
	Name    string
	Size    int64
	IsDir   bool
	cluster uint32
}

// Open reads the boot sector of a volume that is at most size bytes long.
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	b := make([]byte, sector)
	if _, err := r.ReadAt(b, 0); errors.Is(err, io.EOF) || size < sector {
		return nil, ErrNotFAT
	} else if err != nil {
		return nil, fmt.Errorf("read FAT boot sector: %w", err)
	}
	le := binary.LittleEndian
	g := geometry{
		sectorSize:  uint32(le.Uint16(b[11:])),
		perCluster:  uint32(b[13]),
		reserved:    uint32(le.Uint16(b[14:])),
		fats:        uint32(b[16]),
		rootEntries: uint32(le.Uint16(b[17:])),
		total:       uint32(le.Uint16(b[19:])),
		fatSectors:  uint32(le.Uint16(b[22:])),
	}
	if g.total == 0 {
		g.total = le.Uint32(b[32:])
	}
	wide := g.fatSectors == 0
	if wide {
		g.fatSectors = le.Uint32(b[36:])
	}
	power2 := func(n uint32) bool { return n != 0 && n&(n-1) == 0 }
	if b[510] != 0x55 || b[511] != 0xaa || !power2(g.sectorSize) || g.sectorSize < 512 || g.sectorSize > 4096 ||
		!power2(g.perCluster) || g.clusterBytes() > maxClusterBytes || g.reserved == 0 || g.fats == 0 || g.fats > 4 || g.fatSectors == 0 {
		return nil, ErrNotFAT
	}
	if int64(g.total)*int64(g.sectorSize) > size {
		return nil, fmt.Errorf("FAT volume of %d sectors is larger than what holds it (%d bytes)", g.total, size)
	}
	front := (g.rootOffset() + g.rootBytes()) / int64(g.sectorSize)
	if front >= int64(g.total) {
		return nil, fmt.Errorf("FAT volume of %d sectors has no room for files", g.total)
	}
	g.clusters = (g.total - uint32(front)) / g.perCluster
	g.bits = 32
	if !wide {
		g.bits = 16
		if g.clusters < minClusters16 {
			g.bits = 12
		}
	}
	if int64(g.fatSectors)*int64(g.sectorSize)*8 < (int64(g.clusters)+2)*int64(g.bits) {
		return nil, fmt.Errorf("FAT volume: %d sectors of FAT are too few for %d clusters", g.fatSectors, g.clusters)
	}
	v := &Volume{geometry: g, r: r}
	if wide {
		v.rootDir = le.Uint32(b[44:])
	}
	return v, nil
}

// ReadFile reads a file of at most limit bytes. The path is slash-separated; as FAT
// wants it, case does not matter.
func (v *Volume) ReadFile(path string, limit int64) ([]byte, error) {
	info, err := v.find(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir {
		return nil, fmt.Errorf("%s is a directory", path)
	}
	if info.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read", path, info.Size, limit)
	}
	b, err := v.chain(info.cluster, info.Size)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) < info.Size {
		return nil, fmt.Errorf("read %s: its clusters end after %d of %d bytes", path, len(b), info.Size)
	}
	return b, nil
}

// ReadDir lists a directory; "" is the top.
func (v *Volume) ReadDir(path string) ([]Info, error) {
	info, err := v.find(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir {
		return nil, fmt.Errorf("%s is not a directory", path)
	}
	return v.list(info, strings.Trim(path, "/") == "")
}

func (v *Volume) find(path string) (Info, error) {
	at := Info{IsDir: true, cluster: v.rootDir}
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) > maxDepth {
		return at, fmt.Errorf("%.60s: more than %d directories deep", path, maxDepth)
	}
next:
	for i, name := range names {
		if !at.IsDir {
			return at, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		list, err := v.list(at, i == 0)
		if err != nil {
			return at, err
		}
		for _, e := range list {
			if strings.EqualFold(e.Name, name) {
				at = e
				continue next
			}
		}
		return at, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return at, nil
}

func (v *Volume) list(dir Info, top bool) ([]Info, error) {
	var b []byte
	var err error
	if top && v.bits != 32 {
		b = make([]byte, v.rootBytes())
		_, err = v.r.ReadAt(b, v.rootOffset())
	} else {
		b, err = v.chain(dir.cluster, maxDirRead)
	}
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	list := parseDir(b)
	if v.bits != 32 {
		for i := range list {
			list[i].cluster &= 0xffff // the upper half had other uses before FAT32
		}
	}
	return list, nil
}

// parseDir reads the entries of a directory. A long name that does not belong to the
// short one behind it is left over from an old system: the short one counts.
func parseDir(b []byte) (list []Info) {
	var long longName
	for ; len(b) >= 32 && b[0] != 0; b = b[32:] {
		e := b[:32]
		switch {
		case e[0] == 0xe5:
			long = longName{}
		case e[11]&0x3f == attrLong:
			long.add(e)
		case e[11]&attrLabel != 0:
			long = longName{}
		default:
			le := binary.LittleEndian
			info := Info{
				Name:    long.take([11]byte(e[:11])),
				Size:    int64(le.Uint32(e[28:])),
				IsDir:   e[11]&attrDir != 0,
				cluster: uint32(le.Uint16(e[20:]))<<16 | uint32(le.Uint16(e[26:])),
			}
			if info.Name == "" {
				info.Name = plainName(e)
			}
			if info.Name != "." && info.Name != ".." {
				list = append(list, info)
			}
		}
	}
	return list
}

// plainName is the short name, in lower case where Windows' flags say so.
func plainName(e []byte) string {
	base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if e[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if e[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return base
}

// longName collects the parts of a long name, which come last part first.
type longName struct {
	units []uint16
	next  byte // the part that must follow; 0: complete
	sum   byte
}

func (l *longName) add(e []byte) {
	part := e[0] & 0x1f
	if e[0]&0x40 != 0 {
		*l = longName{sum: e[13], next: part, units: make([]uint16, 0, 13)}
	}
	if part == 0 || part != l.next || e[13] != l.sum {
		*l = longName{}
		return
	}
	u := make([]uint16, 13, 13+len(l.units))
	for j, at := range longAt {
		u[j] = binary.LittleEndian.Uint16(e[at:])
	}
	l.units = append(u, l.units...)
	l.next--
}

func (l *longName) take(short [11]byte) string {
	units, ok := l.units, l.next == 0 && l.sum == checksum(short)
	*l = longName{}
	if !ok {
		return ""
	}
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units))
}

// chain reads the clusters of a file, up to size bytes. A chain that comes back to where
// it was is an error (Brent's method: the place to compare with moves at powers of two).
func (v *Volume) chain(cluster uint32, size int64) ([]byte, error) {
	var b []byte
	fat := &window{v: v}
	per := v.clusterBytes()
	var seen, steps uint32
	for ; int64(len(b)) < size; steps++ {
		if cluster < 2 || cluster >= v.clusters+2 {
			return b, nil
		}
		if cluster == seen {
			return nil, errors.New("its clusters form a loop")
		}
		if steps&(steps-1) == 0 {
			seen = cluster
		}
		// Neighbours are read in one go.
		first, run := cluster, int64(1)
		next, err := fat.follow(cluster)
		for err == nil && next == cluster+1 && next < v.clusters+2 && int64(len(b))+run*per < size {
			cluster, run = next, run+1
			next, err = fat.follow(cluster)
		}
		if err != nil {
			return nil, err
		}
		old := len(b)
		b = append(b, make([]byte, min(run*per, size-int64(old)))...)
		if _, err := v.r.ReadAt(b[old:], v.offset(first)); err != nil {
			return nil, err
		}
		cluster = next
	}
	return b, nil
}

// window is a piece of the FAT, so that a chain is not one read for each cluster.
type window struct {
	v  *Volume
	at int64
	b  []byte
}

const windowBytes = 4096

// follow gives the cluster after this one.
func (w *window) follow(cluster uint32) (uint32, error) {
	c := int64(cluster)
	switch w.v.bits {
	case 12:
		lo, err := w.get(c * 3 / 2)
		hi, err2 := w.get(c*3/2 + 1)
		n := uint32(hi)<<8 | uint32(lo)
		if cluster%2 == 1 {
			n >>= 4
		}
		return n & 0xfff, errors.Join(err, err2)
	case 16:
		if _, err := w.get(c * 2); err != nil {
			return 0, err
		}
		return uint32(binary.LittleEndian.Uint16(w.b[c*2-w.at:])), nil
	}
	if _, err := w.get(c * 4); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(w.b[c*4-w.at:]) & 0x0fffffff, nil
}

// get gives the byte at this place of the FAT, after which the window holds it and what
// belongs to it.
func (w *window) get(at int64) (byte, error) {
	if w.b == nil || at < w.at || at >= w.at+windowBytes {
		b := make([]byte, windowBytes)
		w.at = at / windowBytes * windowBytes
		end := int64(w.v.fatSectors) * int64(w.v.sectorSize)
		n := min(windowBytes, end-w.at)
		if _, err := w.v.r.ReadAt(b[:n], int64(w.v.reserved)*int64(w.v.sectorSize)+w.at); err != nil {
			return 0, fmt.Errorf("read FAT: %w", err)
		}
		w.b = b
	}
	return w.b[at-w.at], nil
}
