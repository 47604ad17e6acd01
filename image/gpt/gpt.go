// Package gpt reads and writes GUID partition tables (UEFI 2.10, section 5).
//
//	sector 0   protective MBR: old tools see one foreign partition
//	       1   header          CRC, where the entries are, where the other header is
//	       2   entries         128 of 128 bytes
//	      ...  partitions
//	     n-33  entries, copy
//	      n-1  header, copy
//
// Write and Read work on anything with ReadAt or WriteAt: an image file, a block
// device, a byte slice. Read is for hostile bytes: every count is bounded before it is
// used. What the partitions hold, and how large they should be, is image/layout's.
package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"unicode/utf16"
)

const (
	// SectorSize of image files, and of all disks that do not say otherwise.
	SectorSize = 512

	entrySize  = 128 // bytes; the only size in use
	numEntries = 128 // written by us; the usual size of the array, 16 KiB
	maxEntries = 512 // accepted; a hostile count must not make us read for ever
	maxName    = 36  // UTF-16 units in an entry
	headerSize = 92  // bytes covered by the header's CRC
	revision   = 0x00010000
)

var signature = []byte("EFI PART")

// ErrNone is returned by Read for a disk that has no GPT at all.
var ErrNone = errors.New("no GUID partition table")

// Partition is one entry; Start and Size are bytes from the start of the disk.
type Partition struct {
	Name  string
	Type  GUID
	ID    GUID
	Attrs uint64
	Start int64
	Size  int64
}

// End is the first byte after the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// Table is a whole partition table.
type Table struct {
	ID         GUID
	SectorSize int   // 512 or 4096; 0 means 512
	DiskSize   int64 // bytes, a whole number of sectors
	Partitions []Partition
}

// FirstUsable is the first byte that a partition may use on a disk with this sector size.
func FirstUsable(sectorSize int) int64 {
	return int64(2*sectorSize) + entryArray(sectorSize)
}

// LastUsable is the first byte after the last partition's limit.
func LastUsable(diskSize int64, sectorSize int) int64 {
	return diskSize/int64(sectorSize)*int64(sectorSize) - int64(sectorSize) - entryArray(sectorSize)
}

func entryArray(sectorSize int) int64 {
	return (numEntries*entrySize + int64(sectorSize) - 1) / int64(sectorSize) * int64(sectorSize)
}

// Write puts the protective MBR and both copies of the table on w. It writes nothing
// when the table is not sound.
func (t Table) Write(w io.WriterAt) error {
	if t.SectorSize == 0 {
		t.SectorSize = SectorSize
	}
	if err := t.check(); err != nil {
		return err
	}
	ss := int64(t.SectorSize)
	entries, err := t.entries()
	if err != nil {
		return err
	}
	last := t.DiskSize/ss - 1
	backup := last - entryArray(t.SectorSize)/ss
	// The backup first: a power cut in between leaves either the old table or the new one.
	for _, part := range []struct {
		b  []byte
		at int64
	}{
		{entries, backup * ss},
		{t.header(entries, last, 1, backup), last * ss},
		{entries, 2 * ss},
		{t.header(entries, 1, last, 2), ss},
		{t.mbr(), 0},
	} {
		if _, err := w.WriteAt(part.b, part.at); err != nil {
			return fmt.Errorf("write partition table: %w", err)
		}
	}
	return nil
}

func (t Table) mbr() []byte {
	b := make([]byte, t.SectorSize)
	sectors := uint64(t.DiskSize/int64(t.SectorSize)) - 1
	e := b[446:]
	copy(e, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0})
	binary.LittleEndian.PutUint32(e[12:], uint32(min(sectors, 0xffffffff)))
	b[510], b[511] = 0x55, 0xaa
	return b
}

func (t Table) header(entries []byte, self, other, array int64) []byte {
	ss := int64(t.SectorSize)
	b := make([]byte, ss)
	copy(b, signature)
	le := binary.LittleEndian
	le.PutUint32(b[8:], revision)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[24:], uint64(self))
	le.PutUint64(b[32:], uint64(other))
	le.PutUint64(b[40:], uint64(FirstUsable(t.SectorSize)/ss))
	le.PutUint64(b[48:], uint64(LastUsable(t.DiskSize, t.SectorSize)/ss-1))
	copy(b[56:], t.ID[:])
	le.PutUint64(b[72:], uint64(array))
	le.PutUint32(b[80:], numEntries)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:headerSize]))
	return b
}

func (t Table) entries() ([]byte, error) {
	ss := int64(t.SectorSize)
	b := make([]byte, entryArray(t.SectorSize))
	for i, p := range t.Partitions {
		e := b[i*entrySize:]
		copy(e, p.Type[:])
		copy(e[16:], p.ID[:])
		binary.LittleEndian.PutUint64(e[32:], uint64(p.Start/ss))
		binary.LittleEndian.PutUint64(e[40:], uint64(p.End()/ss-1))
		binary.LittleEndian.PutUint64(e[48:], p.Attrs)
		name := utf16.Encode([]rune(p.Name))
		if len(name) > maxName {
			return nil, fmt.Errorf("partition name %q is longer than %d characters", p.Name, maxName)
		}
		for j, u := range name {
			binary.LittleEndian.PutUint16(e[56+2*j:], u)
		}
	}
	return b[:numEntries*entrySize], nil
}

// check holds for what we write and for what we read.
func (t Table) check() error {
	if t.SectorSize != 512 && t.SectorSize != 4096 {
		return fmt.Errorf("sector size %d is neither 512 nor 4096", t.SectorSize)
	}
	if len(t.Partitions) > numEntries {
		return fmt.Errorf("%d partitions, the table has room for %d", len(t.Partitions), numEntries)
	}
	ss := int64(t.SectorSize)
	first, last := FirstUsable(t.SectorSize), LastUsable(t.DiskSize, t.SectorSize)
	if last <= first {
		return fmt.Errorf("a disk of %d bytes has no room for a partition table", t.DiskSize)
	}
	byStart := append([]Partition(nil), t.Partitions...)
	sort.Slice(byStart, func(i, j int) bool { return byStart[i].Start < byStart[j].Start })
	for i, p := range byStart {
		switch {
		case p.Type == GUID{}:
			return fmt.Errorf("partition %q has no type", p.Name)
		case p.Start%ss != 0 || p.Size%ss != 0 || p.Size <= 0:
			return fmt.Errorf("partition %q (start %d, size %d) is not made of whole sectors of %d bytes", p.Name, p.Start, p.Size, ss)
		case p.Start < first || p.End() > last:
			return fmt.Errorf("partition %q (bytes %d to %d) lies outside of the usable part of the disk (%d to %d)", p.Name, p.Start, p.End(), first, last)
		case i > 0 && byStart[i-1].End() > p.Start:
			return fmt.Errorf("partitions %q and %q overlap", byStart[i-1].Name, p.Name)
		}
	}
	return nil
}

// Read finds the table of a disk of size bytes, with sectors of 512 or 4096 bytes, by
// its first header or, if that is damaged, by the copy at the end.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	var damage error
	for _, ss := range []int64{512, 4096} {
		for _, lba := range []int64{1, size/ss - 1} {
			if lba < 1 {
				continue
			}
			t, err := readAt(r, size, ss, lba)
			if err == nil {
				return t, nil
			}
			if !errors.Is(err, ErrNone) && damage == nil {
				damage = err
			}
		}
	}
	if damage != nil {
		return nil, fmt.Errorf("partition table is damaged: %w", damage)
	}
	return nil, ErrNone
}

func readAt(r io.ReaderAt, size, ss, lba int64) (*Table, error) {
	h := make([]byte, ss)
	if _, err := r.ReadAt(h, lba*ss); errors.Is(err, io.EOF) {
		return nil, ErrNone
	} else if err != nil {
		return nil, err
	}
	if !bytes.Equal(h[:8], signature) {
		return nil, ErrNone
	}
	le := binary.LittleEndian
	hs := le.Uint32(h[12:])
	if hs < headerSize || int64(hs) > ss {
		return nil, fmt.Errorf("header at sector %d says it is %d bytes long", lba, hs)
	}
	sum := le.Uint32(h[16:])
	le.PutUint32(h[16:], 0)
	if crc32.ChecksumIEEE(h[:hs]) != sum {
		return nil, fmt.Errorf("header at sector %d has a wrong checksum", lba)
	}
	if le.Uint64(h[24:]) != uint64(lba) {
		return nil, fmt.Errorf("header at sector %d says it is at %d", lba, le.Uint64(h[24:]))
	}
	entries, each, err := readEntries(r, h, size, ss)
	if err != nil {
		return nil, err
	}
	t := &Table{ID: GUID(h[56:72]), SectorSize: int(ss), DiskSize: size / ss * ss}
	for e := entries; len(e) >= each; e = e[each:] {
		if GUID(e[:16]) == (GUID{}) {
			continue
		}
		p, err := readEntry(e, size, ss)
		if err != nil {
			return nil, err
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t, t.checkRead()
}

func readEntries(r io.ReaderAt, h []byte, size, ss int64) (b []byte, each int, err error) {
	le := binary.LittleEndian
	at, n, es := le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	if n > maxEntries || es < entrySize || es > 4*entrySize || es%entrySize != 0 {
		return nil, 0, fmt.Errorf("header has %d entries of %d bytes; the limits are %d and %d", n, es, maxEntries, 4*entrySize)
	}
	if at < 2 || at > uint64(size/ss) {
		return nil, 0, fmt.Errorf("entries at sector %d lie outside of the disk", at)
	}
	b = make([]byte, n*es)
	if _, err := r.ReadAt(b, int64(at)*ss); err != nil {
		return nil, 0, fmt.Errorf("read entries: %w", err)
	}
	if crc32.ChecksumIEEE(b) != le.Uint32(h[88:]) {
		return nil, 0, errors.New("entries have a wrong checksum")
	}
	return b, int(es), nil
}

func readEntry(e []byte, size, ss int64) (Partition, error) {
	le := binary.LittleEndian
	p := Partition{Type: GUID(e[:16]), ID: GUID(e[16:32]), Attrs: le.Uint64(e[48:])}
	var name []uint16
	for j := range maxName {
		u := le.Uint16(e[56+2*j:])
		if u == 0 {
			break
		}
		name = append(name, u)
	}
	p.Name = string(utf16.Decode(name))
	first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
	if first > last || last >= uint64(size/ss) {
		return p, fmt.Errorf("partition %q (sectors %d to %d) lies outside of the disk of %d sectors", p.Name, first, last, size/ss)
	}
	p.Start, p.Size = int64(first)*ss, int64(last-first+1)*ss
	return p, nil
}

// checkRead refuses overlaps; foreign tables may use room that we keep free.
func (t *Table) checkRead() error {
	byStart := append([]Partition(nil), t.Partitions...)
	sort.Slice(byStart, func(i, j int) bool { return byStart[i].Start < byStart[j].Start })
	for i := 1; i < len(byStart); i++ {
		if a, b := byStart[i-1], byStart[i]; a.End() > b.Start {
			return fmt.Errorf("partitions %q and %q overlap", a.Name, b.Name)
		}
	}
	return nil
}
