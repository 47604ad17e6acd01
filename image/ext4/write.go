package ext4

import (
	"encoding/binary"
	"io"
)

// unfinished lies at byte 0, which ext4 leaves to boot loaders, while Format is at work.
const unfinished = "ashlar: this file system is being made\n"

// mark also wipes the old superblock.
func (f *format) mark(w io.WriterAt) error {
	b := make([]byte, blockSize)
	copy(b, unfinished)
	_, err := w.WriteAt(b, 0)
	return err
}

func (f *format) unmark(w io.WriterAt) error {
	_, err := w.WriteAt(make([]byte, superAt), 0)
	return err
}

func (f *format) writeSuper(w io.WriterAt) error {
	_, err := w.WriteAt(f.super(0), superAt)
	return err
}

// writeBody writes all but the first superblock.
func (f *format) writeBody(w io.WriterAt) error {
	type piece struct {
		block uint32
		b     []byte
	}
	bitmap, last := f.bitmapAt(0), f.groups-1
	pieces := []piece{
		{1, f.desc},
		{bitmap, f.blockBitmap(0)},
		{bitmap + 1, f.inodeBitmap()},
		{bitmap + 2, f.inodes()},
		{f.rootBlock, f.directory(rootInode, rootInode, true)},
		{f.lostBlock(), f.directory(lostInode, rootInode, false)},
		{f.journalBlock(), f.journalSuper()},
	}
	if last > 0 {
		pieces = append(pieces, piece{last*blocksPerGroup + f.bitmapAt(last), f.blockBitmap(last)})
	}
	for g := uint32(1); g < f.groups; g++ {
		if hasSuper(g) {
			sb := append(f.super(g), make([]byte, blockSize-superAt)...)
			pieces = append(pieces, piece{g * blocksPerGroup, sb}, piece{g*blocksPerGroup + 1, f.desc})
		}
	}
	for _, p := range pieces {
		if _, err := w.WriteAt(p.b, int64(p.block)*blockSize); err != nil {
			return err
		}
	}
	return nil
}

// super is the superblock as it lies in a group.
func (f *format) super(group uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 1024)
	put := func(at int, v uint32) { le.PutUint32(b[at:], v) }
	put(0x00, f.groups*inodesPerGroup)
	put(0x04, f.blocks)
	put(0x0c, f.freeBlocks)
	put(0x10, f.groups*inodesPerGroup-lostInode)
	put(0x18, 2) // block size: 1024 << 2
	put(0x1c, 2) // cluster size, the same
	put(0x20, blocksPerGroup)
	put(0x24, blocksPerGroup)
	put(0x28, inodesPerGroup)
	put(0x30, f.Time)              // written
	le.PutUint16(b[0x36:], 0xffff) // no check after a number of mounts
	le.PutUint16(b[0x38:], magic)
	le.PutUint16(b[0x3a:], 1) // clean
	le.PutUint16(b[0x3c:], 2) // on errors: read-only; going on could only lose more
	put(0x40, f.Time)         // checked
	put(0x4c, 1)              // revision
	put(0x54, lostInode)
	le.PutUint16(b[0x58:], inodeSize)
	le.PutUint16(b[0x5a:], uint16(group))
	put(0x5c, compat)
	put(0x60, incompat)
	put(0x64, roCompat)
	copy(b[0x68:], f.UUID[:])
	copy(b[0x78:], f.Label)
	put(0xe0, journalInode)
	copy(b[0xec:], f.UUID[:]) // seed of the directories' hashes
	b[0xfc] = 1               // half MD4
	b[0xfd] = 1               // what follows at 0x10c is a copy of the journal's inode
	put(0x100, 0xc)           // mount options: user_xattr, acl
	put(0x108, f.Time)
	copy(b[0x10c:], extent(f.journalBlock(), f.journal))
	put(0x10c+16*4, f.journal*blockSize)
	le.PutUint16(b[0x15c:], 32) // bytes of an inode beyond 128 that are in use
	le.PutUint16(b[0x15e:], 32)
	put(0x160, 2) // hash of names: unsigned chars
	b[0x175] = 1  // checksums: crc32c
	put(0x3fc, crc(^uint32(0), b[:0x3fc]))
	return b
}

// inodes is the first block of the inode table: all reserved ones and lost+found.
func (f *format) inodes() []byte {
	b := make([]byte, blockSize)
	f.inode(b, rootInode, 0o040755, 3, f.rootBlock, 1)
	f.inode(b, journalInode, 0o100600, 1, f.journalBlock(), f.journal)
	f.inode(b, lostInode, 0o040700, 2, f.lostBlock(), 1)
	return b
}

func (f *format) inode(table []byte, ino uint32, mode, links uint16, first, blocks uint32) {
	le := binary.LittleEndian
	b := table[(ino-1)*inodeSize:][:inodeSize]
	le.PutUint16(b[0x00:], mode)
	le.PutUint32(b[0x04:], blocks*blockSize)
	for _, at := range []int{0x08, 0x0c, 0x10, 0x90} { // read, changed, written, created
		le.PutUint32(b[at:], f.Time)
	}
	le.PutUint16(b[0x1a:], links)
	le.PutUint32(b[0x1c:], blocks*(blockSize/512))
	le.PutUint32(b[0x20:], 0x80000) // extents
	copy(b[0x28:], extent(first, blocks))
	le.PutUint16(b[0x80:], 32)
	sum := crc(f.inodeSeed(ino), b) // over itself as zero
	le.PutUint16(b[0x7c:], uint16(sum))
	le.PutUint16(b[0x82:], uint16(sum>>16))
}

// inodeSeed is of an inode of generation 0.
func (f *format) inodeSeed(ino uint32) uint32 {
	return crc(f.seed, binary.LittleEndian.AppendUint64(nil, uint64(ino)))
}

// extent is a tree of one leaf.
func extent(first, blocks uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 60)
	le.PutUint16(b[0:], 0xf30a)
	le.PutUint16(b[2:], 1) // extents in use
	le.PutUint16(b[4:], 4) // room
	le.PutUint16(b[16:], uint16(blocks))
	le.PutUint32(b[20:], first)
	return b
}

// directory is a block with ".", ".." and, at the top, lost+found; then the checksum.
func (f *format) directory(self, parent uint32, top bool) []byte {
	le := binary.LittleEndian
	b := make([]byte, blockSize)
	const end = blockSize - 12
	at := 0
	entry := func(ino uint32, name string, length int) {
		le.PutUint32(b[at:], ino)
		le.PutUint16(b[at+4:], uint16(length))
		b[at+6], b[at+7] = byte(len(name)), 2 // a directory
		copy(b[at+8:], name)
		at += length
	}
	entry(self, ".", 12)
	if top {
		entry(parent, "..", 12)
		entry(lostInode, "lost+found", end-at)
	} else {
		entry(parent, "..", end-at)
	}
	le.PutUint16(b[end+4:], 12)
	b[end+7] = 0xde
	le.PutUint32(b[end+8:], crc(f.inodeSeed(self), b[:end]))
	return b
}

// journalSuper is the first block of the journal (jbd2, big-endian). The journal is not
// cleared: its first sequence number follows from the UUID, so that no block of an older
// journal can be taken for one of this.
func (f *format) journalSuper() []byte {
	be := binary.BigEndian
	b := make([]byte, blockSize)
	for i, v := range []uint32{0xc03b3998, 4, 0, blockSize, f.journal, 1, f.seed&0x7fffffff | 1} {
		be.PutUint32(b[4*i:], v)
	}
	copy(b[0x30:], f.UUID[:])
	be.PutUint32(b[0x40:], 1) // users
	return b
}
