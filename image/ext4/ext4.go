// Package ext4 makes and recognizes ext4 file systems (Linux, Documentation/filesystems/ext4):
// the data partition, at a machine's first boot.
//
//	group 0:  superblock | descriptors of all groups | bitmaps | inodes | / | /lost+found | journal
//	group n:  [copies of the first two] | bitmaps | inodes | data ...
//
// Format writes only group 0, the copies and the last group's bitmap, so a terabyte takes
// milliseconds; the kernel fills in the rest when it first uses a group (the UNINIT flags,
// which metadata_csum protects). Probe tells what a partition holds: nothing may be formatted
// that is not blank. Mounting and reading is the kernel's work.
package ext4

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	// MinSize and MaxSize of a file system: below, the journal leaves no room; above, block
	// numbers need more than 32 bits.
	MinSize = 64 << 20
	MaxSize = (1<<32 - 1) * blockSize

	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // one block is the bitmap
	inodeSize      = 256
	inodesPerGroup = 2048 // one for each 64 KiB: a store has few, large files
	tableBlocks    = inodesPerGroup * inodeSize / blockSize
	descSize       = 32
	minLastGroup   = 50 // blocks besides its metadata; a smaller last group is left out, as mke2fs does

	superAt = 1024
	magic   = 0xef53

	rootInode    = 2
	journalInode = 8
	lostInode    = 11 // the first that is not reserved

	compat   = 0x4 | 0x8 | 0x20                      // has_journal ext_attr dir_index
	incompat = 0x2 | 0x40                            // filetype extents
	roCompat = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400 // sparse_super large_file huge_file dir_nlink extra_isize metadata_csum

	inodeUninit, blockUninit = 1, 2
)

// Options of a new file system.
type Options struct {
	UUID  [16]byte // also keeps the leavings of an older journal apart from the new one
	Label string   // up to 16 bytes
	Time  uint32   // seconds since 1970, of creation
}

// Syncer is what Format uses, if its target has it, to survive a power cut.
type Syncer interface{ Sync() error }

// Format makes an empty file system of size bytes. A power cut leaves the old content, or a
// mark by which Probe calls it Unfinished, or the whole new file system.
func Format(w io.WriterAt, size int64, o Options) error {
	if size < MinSize || size > MaxSize {
		return fmt.Errorf("an ext4 file system of %d MiB: want %d MiB to 16 TiB", size>>20, MinSize>>20)
	}
	if len(o.Label) > 16 {
		return fmt.Errorf("ext4 label %q is longer than 16 bytes", o.Label)
	}
	f := plan(size, o)
	steps := []func(io.WriterAt) error{f.mark, sync, f.writeBody, sync, f.writeSuper, sync, f.unmark, sync}
	for _, step := range steps {
		if err := step(w); err != nil {
			return fmt.Errorf("make ext4 file system: %w", err)
		}
	}
	return nil
}

func sync(w io.WriterAt) error {
	if s, ok := w.(Syncer); ok {
		return s.Sync()
	}
	return nil
}

// format is the plan of a file system.
type format struct {
	Options
	blocks     uint32
	groups     uint32
	gdtBlocks  uint32
	journal    uint32 // blocks
	rootBlock  uint32 // the others follow it
	seed       uint32 // of all checksums
	freeBlocks uint32
	desc       []byte
}

func plan(size int64, o Options) *format {
	f := &format{Options: o, blocks: uint32(size / blockSize)}
	f.count()
	if last := f.groupBlocks(f.groups - 1); f.groups > 1 && last < f.overhead(f.groups-1)+minLastGroup {
		f.blocks -= last
		f.count()
	}
	f.journal = journalBlocks(size)
	f.rootBlock = f.overhead(0)
	f.seed = crc(^uint32(0), o.UUID[:])
	f.describe()
	return f
}

func (f *format) count() {
	f.groups = (f.blocks-1)/blocksPerGroup + 1
	f.gdtBlocks = (f.groups*descSize-1)/blockSize + 1
}

// journalBlocks follows mke2fs, but for the largest: 64 MiB hold all that a node writes
// between two commits, and fit into one extent of group 0.
func journalBlocks(size int64) uint32 {
	switch {
	case size < 128<<20:
		return 1024 // the kernel's minimum
	case size < 1<<30:
		return 4096
	case size < 16<<30:
		return 8192
	}
	return 16384
}

func (f *format) lostBlock() uint32    { return f.rootBlock + 1 }
func (f *format) journalBlock() uint32 { return f.rootBlock + 2 }

// hasSuper: copies are in group 1 and in the powers of 3, 5 and 7 (sparse_super).
func hasSuper(g uint32) bool {
	if g <= 1 {
		return true
	}
	for _, base := range []uint32{3, 5, 7} {
		n := g
		for n%base == 0 {
			n /= base
		}
		if n == 1 {
			return true
		}
	}
	return false
}

func (f *format) groupBlocks(g uint32) uint32 {
	return min(blocksPerGroup, f.blocks-g*blocksPerGroup)
}

// bitmapAt is the group's block bitmap, within the group; the inode bitmap and table follow it.
func (f *format) bitmapAt(g uint32) uint32 {
	if hasSuper(g) {
		return 1 + f.gdtBlocks
	}
	return 0
}

func (f *format) overhead(g uint32) uint32 { return f.bitmapAt(g) + 2 + tableBlocks }

// used is the number of blocks at the start of a group that are in use.
func (f *format) used(g uint32) uint32 {
	if g == 0 {
		return f.overhead(0) + 2 + f.journal
	}
	return f.overhead(g)
}

// describe makes the group descriptors.
func (f *format) describe() {
	le := binary.LittleEndian
	f.desc = make([]byte, f.gdtBlocks*blockSize)
	for g := range f.groups {
		d := f.desc[g*descSize:][:descSize]
		bitmap := g*blocksPerGroup + f.bitmapAt(g)
		free := f.groupBlocks(g) - f.used(g)
		f.freeBlocks += free
		le.PutUint32(d[0:], bitmap)
		le.PutUint32(d[4:], bitmap+1)
		le.PutUint32(d[8:], bitmap+2)
		le.PutUint16(d[12:], uint16(free))
		freeInodes, flags := uint16(inodesPerGroup), uint16(inodeUninit|blockUninit)
		if g == 0 {
			freeInodes, flags = inodesPerGroup-lostInode, 0
			le.PutUint16(d[16:], 2) // directories
			le.PutUint16(d[26:], uint16(crc(f.seed, f.inodeBitmap()[:inodesPerGroup/8])))
		}
		if g == f.groups-1 {
			flags &^= blockUninit // its end is not the end of the bitmap
		}
		if flags&blockUninit == 0 {
			le.PutUint16(d[24:], uint16(crc(f.seed, f.blockBitmap(g))))
		}
		le.PutUint16(d[14:], freeInodes)
		le.PutUint16(d[18:], flags)
		le.PutUint16(d[28:], freeInodes) // never used, at the end of the table
		sum := crc(f.seed, le.AppendUint32(nil, g))
		le.PutUint16(d[30:], uint16(crc(sum, d))) // over itself as zero
	}
}

func (f *format) blockBitmap(g uint32) []byte {
	b := make([]byte, blockSize)
	setBits(b, 0, f.used(g))
	setBits(b, f.groupBlocks(g), blocksPerGroup)
	return b
}

func (f *format) inodeBitmap() []byte {
	b := make([]byte, blockSize)
	setBits(b, 0, lostInode)
	setBits(b, inodesPerGroup, 8*blockSize)
	return b
}

func setBits(b []byte, from, to uint32) {
	for i := from; i < to; i++ {
		b[i/8] |= 1 << (i % 8)
	}
}

// crc is the kernel's crc32c, which inverts neither at the start nor at the end.
func crc(seed uint32, b []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, b)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
