// Package fat writes and reads small FAT16 and FAT32 volumes (Microsoft, "FAT: General
// Overview of On-Disk Format", 1.03): the EFI system partitions and the config partition.
//
//	boot sector | FAT | FAT copy | [FAT16: top directory] | clusters 2, 3, ...
//
// Write makes a volume from a file tree, the same bytes each time, every file in one
// piece. Open reads a volume that anybody may have written, FAT12 included, as the
// owner's laptop may have formatted it: it trusts no number in it. Nothing here changes a volume in place.
package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

const (
	sector = 512 // bytes, of the volumes that we write
	media  = 0xf8

	// The number of clusters alone decides what kind a volume is (section 3.5).
	minClusters16 = 4085
	minClusters32 = 65525

	maxDirBytes = 65536 * 32 // a directory's limit by the specification

	attrDir     = 0x10
	attrLabel   = 0x08
	attrArchive = 0x20
	attrLong    = 0x0f
)

// geometry is where things are in a volume; all counts but clusters are in sectors.
type geometry struct {
	sectorSize  uint32
	perCluster  uint32
	total       uint32
	reserved    uint32
	fats        uint32
	fatSectors  uint32
	rootEntries uint32
	clusters    uint32
	bits        int // 12, 16 or 32
}

func (g geometry) rootOffset() int64 {
	return (int64(g.reserved) + int64(g.fats)*int64(g.fatSectors)) * int64(g.sectorSize)
}

func (g geometry) rootBytes() int64 {
	s := int64(g.sectorSize)
	return (int64(g.rootEntries)*32 + s - 1) / s * s
}

// offset is the place of a cluster, which must be 2 or more.
func (g geometry) offset(cluster uint32) int64 {
	return g.rootOffset() + g.rootBytes() + int64(cluster-2)*g.clusterBytes()
}

func (g geometry) clusterBytes() int64 { return int64(g.perCluster) * int64(g.sectorSize) }

// slot is a directory entry.
func slot(short [11]byte, attr byte, cluster, size uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 32)
	copy(b, short[:])
	b[11] = attr
	le.PutUint16(b[16:], fatDate) // created
	le.PutUint16(b[18:], fatDate) // read
	le.PutUint16(b[20:], uint16(cluster>>16))
	le.PutUint16(b[24:], fatDate) // written
	le.PutUint16(b[26:], uint16(cluster))
	le.PutUint32(b[28:], size)
	return b
}

const shortChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-!#$%&'()@^`{}~"

// shortName makes the 8.3 form of a name, and tells whether the name needs a long form beside it.
func shortName(name string, used map[[11]byte]bool) (short [11]byte, long bool, err error) {
	if name == "" || len(utf16.Encode([]rune(name))) > 255 || strings.ContainsAny(name, "\"*/:<>?\\|\x00") || strings.TrimRight(name, ". ") != name {
		return short, false, fmt.Errorf("FAT cannot hold the name %q", name)
	}
	base, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		base, ext = name[:i], name[i+1:]
	}
	b, e := shorten(base), shorten(ext)
	if b == base && e == ext && len(b) <= 8 && len(e) <= 3 && b != "" {
		return join(b, e), false, nil
	}
	if b == "" {
		b = "FILE"
	}
	for n := 1; n < 1<<16; n++ {
		tail := fmt.Sprintf("~%d", n)
		s := join(b[:min(len(b), 8-len(tail))]+tail, e[:min(len(e), 3)])
		if !used[s] {
			return s, true, nil
		}
	}
	return short, false, fmt.Errorf("too many names like %q", name)
}

func shorten(s string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		switch {
		case strings.ContainsRune(shortChars, r):
			b.WriteRune(r)
		case r != ' ' && r != '.':
			b.WriteByte('_')
		}
	}
	return b.String()
}

func join(base, ext string) (s [11]byte) {
	copy(s[:], fmt.Sprintf("%-8s%-3s", base, ext))
	return s
}

// longAt are the places of the 13 characters in a long entry.
var longAt = [13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// longSlots are the entries of a long name, last part first, as they precede the short one.
func longSlots(name string, short [11]byte) []byte {
	units := utf16.Encode([]rune(name))
	n := (len(units) + 12) / 13
	var b []byte
	for part := n; part >= 1; part-- {
		e := make([]byte, 32)
		e[0] = byte(part)
		if part == n {
			e[0] |= 0x40
		}
		e[11] = attrLong
		e[13] = checksum(short)
		for j, at := range longAt {
			u := uint16(0xffff)
			if i := (part-1)*13 + j; i < len(units) {
				u = units[i]
			} else if i == len(units) {
				u = 0
			}
			binary.LittleEndian.PutUint16(e[at:], u)
		}
		b = append(b, e...)
	}
	return b
}

func checksum(short [11]byte) (sum byte) {
	for _, c := range short {
		sum = sum<<7 | sum>>1
		sum += c
	}
	return sum
}

func volumeLabel(s string) (label [11]byte, err error) {
	if s == "" {
		return label, nil
	}
	if len(s) > 11 || strings.Trim(s, shortChars+" ") != "" || strings.TrimSpace(s) != s {
		return label, fmt.Errorf("volume label %q: want up to 11 capital letters, digits and spaces", s)
	}
	copy(label[:], fmt.Sprintf("%-11s", s))
	return label, nil
}
