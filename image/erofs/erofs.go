// Package erofs writes EROFS images (Linux, fs/erofs/erofs_fs.h): the read-only roots.
//
//	block 0  superblock at byte 1024
//	      1  inodes of 32 bytes, each with the tail of its data behind it if that fits
//	    ...  data of files and directories, whole blocks, in the order of the paths
//
// Nothing is compressed: the release bundle is, and a page of a root that verity checks is
// best mapped as it lies. All is root's; all times are the superblock's. Reading is the kernel's work.
package erofs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sort"

	"ashlar/image/tree"
)

const (
	// BlockSize is the page size of every machine that we run on.
	BlockSize = 4096

	blockBits = 12
	superAt   = 1024
	magic     = 0xE0F5E1E2
	inodeSize = 32   // compact inodes; a nid counts these
	inodesAt  = 4096 // the first inode: nid 128, since 0 is no inode number
	dirent    = 12
	maxFile   = 1<<32 - 1 // size in a compact inode
	maxMeta   = 1 << 30   // inodes and tails are built in memory
	maxKids   = 65533     // links of a directory, in 16 bits

	featureSbChecksum = 1 // compat

	flatPlain  = 0
	flatInline = 2
)

// File types of a directory entry, and of a mode (Linux, uapi/linux/stat.h).
var kinds = map[fs.FileMode]struct {
	dirent byte
	mode   uint16
}{
	0:                                 {1, 0o100000},
	fs.ModeDir:                        {2, 0o040000},
	fs.ModeDevice | fs.ModeCharDevice: {3, 0o020000},
	fs.ModeDevice:                     {4, 0o060000},
	fs.ModeSymlink:                    {7, 0o120000},
}

// inode is an entry on its way to the disk.
type inode struct {
	tree.Entry
	name  string
	up    *inode
	kids  []*inode
	size  int64
	at    int64 // byte offset of the inode
	block int64 // first block of data
	tail  int64 // bytes of data behind the inode; -1: none, the last block is padded
}

// Write lays the tree out on w, which must read as zeros where nothing is written, and
// tells the size of the image, a whole number of blocks.
func Write(w io.WriterAt, t *tree.Tree) (size int64, err error) {
	all, err := collect(t)
	if err != nil {
		return 0, err
	}
	end, err := place(all)
	if err != nil {
		return 0, err
	}
	meta := make([]byte, all[0].block*BlockSize) // the root's data comes first behind it
	for _, n := range all {
		if err := n.write(w, meta); err != nil {
			return 0, fmt.Errorf("write /%s: %w", n.Path, err)
		}
	}
	super(meta, len(all), end, all[0].nid())
	if _, err := w.WriteAt(meta, 0); err != nil {
		return 0, fmt.Errorf("write EROFS metadata: %w", err)
	}
	return end * BlockSize, nil
}

// collect makes the inodes, the root first, each directory's kids in order.
func collect(t *tree.Tree) ([]*inode, error) {
	list, err := t.Entries()
	if err != nil {
		return nil, err
	}
	root := &inode{Entry: tree.Entry{Mode: fs.ModeDir | 0o755}}
	root.up = root
	all := []*inode{root}
	dirs := map[string]*inode{".": root}
	for _, e := range list {
		if _, ok := kinds[e.Mode.Type()]; !ok {
			return nil, fmt.Errorf("/%s: a %v cannot be in an image", e.Path, e.Mode.Type())
		}
		n := &inode{Entry: e, name: path.Base(e.Path), up: dirs[path.Dir(e.Path)]}
		if n.size, err = n.dataSize(); err != nil {
			return nil, err
		}
		n.up.kids = append(n.up.kids, n)
		if e.Mode.IsDir() {
			dirs[e.Path] = n
		}
		all = append(all, n)
	}
	for _, d := range dirs {
		if len(d.kids) > maxKids {
			return nil, fmt.Errorf("/%s holds %d names; the limit is %d", d.Path, len(d.kids), maxKids)
		}
		d.size = int64(len(d.dirData()))
	}
	return all, nil
}

func (n *inode) dataSize() (int64, error) {
	switch n.Mode.Type() {
	case fs.ModeSymlink:
		return int64(len(n.Link)), nil
	case 0:
		size, err := n.Size()
		if size > maxFile {
			return 0, fmt.Errorf("/%s has %d bytes; the limit is 4 GiB", n.Path, size)
		}
		return size, err
	}
	return 0, nil // directories are counted when their kids are known
}

// place gives every inode its offset and every file its blocks; it returns the number of blocks.
func place(all []*inode) (blocks int64, err error) {
	at := int64(inodesAt)
	for _, n := range all {
		n.tail = n.size % BlockSize
		if inodeSize+n.tail > BlockSize {
			n.tail = -1
		}
		need := inodeSize + max(n.tail, 0)
		if at%BlockSize+need > BlockSize { // a tail must lie in its inode's block
			at = roundUp(at, BlockSize)
		}
		n.at = at
		at = roundUp(at+need, inodeSize)
	}
	if at > maxMeta {
		return 0, fmt.Errorf("%d files need %d MiB of metadata; the limit is %d", len(all), at>>20, maxMeta>>20)
	}
	blocks = roundUp(at, BlockSize) / BlockSize
	for _, n := range all {
		n.block = blocks
		blocks += n.dataBlocks()
	}
	if blocks >= 1<<32 {
		return 0, fmt.Errorf("the image would have %d blocks; the limit is 2^32", blocks)
	}
	return blocks, nil
}

// dataBlocks counts the blocks outside of the inode.
func (n *inode) dataBlocks() int64 {
	if n.tail >= 0 {
		return n.size / BlockSize
	}
	return roundUp(n.size, BlockSize) / BlockSize
}

func (n *inode) nid() uint64 { return uint64(n.at / inodeSize) }

func (n *inode) write(w io.WriterAt, meta []byte) error {
	n.encode(meta[n.at:])
	tail := meta[n.at+inodeSize:][:max(n.tail, 0)]
	whole := n.size - int64(len(tail))
	out := io.NewOffsetWriter(w, n.block*BlockSize)
	switch n.Mode.Type() {
	case fs.ModeDir:
		b := n.dirData()
		copy(tail, b[whole:])
		_, err := out.Write(b[:whole])
		return err
	case fs.ModeSymlink:
		copy(tail, n.Link) // at most 1 KiB: always a tail
		return nil
	case 0:
		r, err := n.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := io.CopyN(out, r, whole); err != nil {
			return fmt.Errorf("it became shorter while it was read: %w", err)
		}
		if _, err := io.ReadFull(r, tail); err != nil {
			return fmt.Errorf("it became shorter while it was read: %w", err)
		}
		if extra, _ := r.Read(make([]byte, 1)); extra > 0 {
			return fmt.Errorf("it grew while it was read")
		}
	}
	return nil
}

func (n *inode) encode(b []byte) {
	le := binary.LittleEndian
	layout, links := uint16(flatPlain), uint16(1)
	if n.tail > 0 {
		layout = flatInline
	}
	if n.Mode.IsDir() {
		links = 2
		for _, k := range n.kids {
			if k.Mode.IsDir() {
				links++
			}
		}
	}
	where := uint32(n.block)
	if n.Mode&fs.ModeDevice != 0 {
		where = n.Dev // the kernel's own coding (new_encode_dev), for minors below 256
	}
	le.PutUint16(b[0:], layout<<1)
	le.PutUint16(b[4:], kinds[n.Mode.Type()].mode|uint16(n.Mode.Perm()))
	le.PutUint16(b[6:], links)
	le.PutUint32(b[8:], uint32(n.size))
	le.PutUint32(b[16:], where)
	le.PutUint32(b[20:], uint32(n.nid()))
}

// dirData is a directory's content: in each block the entries, then their names. While
// the kids have no place yet only its length counts.
func (n *inode) dirData() []byte {
	type name struct {
		s    string
		node *inode
	}
	names := []name{{".", n}, {"..", n.up}}
	for _, k := range n.kids {
		names = append(names, name{k.name, k})
	}
	sort.Slice(names, func(i, j int) bool { return names[i].s < names[j].s })
	le := binary.LittleEndian
	var out []byte
	for len(names) > 0 {
		count, used := 0, 0
		for count < len(names) && used+dirent+len(names[count].s) <= BlockSize {
			used += dirent + len(names[count].s)
			count++
		}
		out = append(out, make([]byte, roundUp(int64(len(out)), BlockSize)-int64(len(out)))...)
		b := make([]byte, used)
		text := dirent * count
		for i, e := range names[:count] {
			d := b[dirent*i:]
			le.PutUint64(d, e.node.nid())
			le.PutUint16(d[8:], uint16(text))
			d[10] = kinds[e.node.Mode.Type()].dirent
			text += copy(b[text:], e.s)
		}
		out = append(out, b...)
		names = names[count:]
	}
	return out
}

func super(meta []byte, inodes int, blocks int64, root uint64) {
	le := binary.LittleEndian
	b := meta[superAt:]
	le.PutUint32(b[0:], magic)
	le.PutUint32(b[8:], featureSbChecksum)
	b[12] = blockBits
	le.PutUint16(b[14:], uint16(root))
	le.PutUint64(b[16:], uint64(inodes))
	le.PutUint32(b[36:], uint32(blocks))
	// The build time (24), the UUID (48) and the name (64) stay zero: verity names the content.
	sum := crc32.Checksum(meta[superAt:BlockSize], crc32.MakeTable(crc32.Castagnoli))
	le.PutUint32(b[4:], ^sum) // the kernel's crc32c does not invert at the end
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
