// Package verity makes and checks dm-verity hash trees (Linux, Documentation/
// admin-guide/device-mapper/verity.rst; cryptsetup's on-disk superblock, version 1).
//
//	data blocks 0..N-1 | superblock | top hash block | ... | lowest hash blocks
//	                     block N      block N+1
//
// The root hash names all of it: who trusts the root hash and looks up a block through
// the tree trusts the block. Salt and UUID follow from the data, so the same data gives
// the same bytes and the same root hash.
package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

const (
	// BlockSize of data and hashes; the kernel's page size, so nothing is read twice.
	BlockSize = 4096

	perBlock  = BlockSize / sha256.Size
	maxLevels = 9               // 128^9 blocks is more than a disk address can say
	maxBlocks = 1 << 40         // 4 EiB; keeps all products below within 63 bits
	chunk     = 256 * BlockSize // hashed by one goroutine at a time
	saltSize  = sha256.Size     // what veritysetup takes by default
	sbSize    = 512             // bytes of the superblock
	maxSalt   = 256             // room in the superblock
)

// Root is a root hash.
type Root [sha256.Size]byte

// String is the form of the kernel command line: lower-case hex.
func (r Root) String() string { return hex.EncodeToString(r[:]) }

// ParseRoot reads what String writes.
func ParseRoot(s string) (r Root, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(r) {
		return r, fmt.Errorf("root hash %q is not made of %d hex digits", s, 2*len(r))
	}
	return Root(b), nil
}

// Superblock is what the tree says of itself. The root hash covers the salt only
// indirectly and the UUID not at all: trust neither.
type Superblock struct {
	DataBlocks uint64
	Salt       []byte
	UUID       [16]byte
}

// TotalBytes is the size of data, superblock and tree together.
func TotalBytes(dataBlocks uint64) int64 {
	n := int64(dataBlocks) + 1
	for _, l := range levels(dataBlocks) {
		n += int64(l.blocks)
	}
	return n * BlockSize
}

// level is one row of the tree; level 0 holds the hashes of the data.
type level struct {
	first  uint64 // its first block
	blocks uint64
}

// levels lists the rows from the lowest to the top one, which is first on the disk.
func levels(dataBlocks uint64) []level {
	var l []level
	for n := dataBlocks; n > 1; {
		n = (n + perBlock - 1) / perBlock
		l = append(l, level{blocks: n})
	}
	at := dataBlocks + 1
	for i := len(l) - 1; i >= 0; i-- {
		l[i].first = at
		at += l[i].blocks
	}
	return l
}

// File is what Append needs: an open file, or a partition.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// Append writes superblock and tree behind the data. The data is a whole number of blocks.
func Append(f File, dataSize int64) (Root, Superblock, error) {
	if err := checkSize(dataSize); err != nil {
		return Root{}, Superblock{}, err
	}
	id, err := identity(f, dataSize)
	if err != nil {
		return Root{}, Superblock{}, fmt.Errorf("hash data for verity: %w", err)
	}
	sb := Superblock{DataBlocks: uint64(dataSize / BlockSize), Salt: id[:], UUID: uuid(id)}
	root, err := Format(f, sb)
	return root, sb, err
}

// Format is Append with salt and UUID chosen by the caller.
func Format(f File, sb Superblock) (Root, error) {
	if err := checkSize(int64(min(sb.DataBlocks, maxBlocks+1)) * BlockSize); err != nil {
		return Root{}, err
	}
	if len(sb.Salt) > maxSalt {
		return Root{}, fmt.Errorf("verity salt of %d bytes; the limit is %d", len(sb.Salt), maxSalt)
	}
	from, blocks := uint64(0), sb.DataBlocks
	for _, l := range levels(sb.DataBlocks) {
		if err := hashLevel(f, sb.Salt, from, blocks, l); err != nil {
			return Root{}, fmt.Errorf("write verity tree: %w", err)
		}
		from, blocks = l.first, l.blocks
	}
	if _, err := f.WriteAt(sb.encode(), int64(sb.DataBlocks)*BlockSize); err != nil {
		return Root{}, fmt.Errorf("write verity superblock: %w", err)
	}
	top := make([]byte, BlockSize)
	if _, err := f.ReadAt(top, int64(from)*BlockSize); err != nil {
		return Root{}, fmt.Errorf("read verity tree: %w", err)
	}
	return hash(sb.Salt, top), nil
}

func checkSize(dataSize int64) error {
	if dataSize <= 0 || dataSize%BlockSize != 0 || dataSize > maxBlocks*BlockSize {
		return fmt.Errorf("verity data of %d bytes is not a whole number of blocks of %d", dataSize, BlockSize)
	}
	return nil
}

func (sb Superblock) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, BlockSize)
	copy(b, "verity\x00\x00")
	le.PutUint32(b[8:], 1)  // version
	le.PutUint32(b[12:], 1) // hash type: salt first, blocks padded
	copy(b[16:], sb.UUID[:])
	copy(b[32:], "sha256")
	le.PutUint32(b[64:], BlockSize)
	le.PutUint32(b[68:], BlockSize)
	le.PutUint64(b[72:], sb.DataBlocks)
	le.PutUint16(b[80:], uint16(len(sb.Salt)))
	copy(b[88:], sb.Salt)
	return b
}

// ErrNone is returned for a place with no verity superblock.
var ErrNone = errors.New("no verity superblock")

// ReadSuperblock reads the superblock behind this number of data blocks.
func ReadSuperblock(r io.ReaderAt, dataBlocks uint64) (Superblock, error) {
	if dataBlocks == 0 || dataBlocks > maxBlocks {
		return Superblock{}, fmt.Errorf("verity data of %d blocks: want 1 to %d", dataBlocks, uint64(maxBlocks))
	}
	b := make([]byte, sbSize)
	if _, err := r.ReadAt(b, int64(dataBlocks)*BlockSize); errors.Is(err, io.EOF) {
		return Superblock{}, ErrNone
	} else if err != nil {
		return Superblock{}, fmt.Errorf("read verity superblock: %w", err)
	}
	le := binary.LittleEndian
	if string(b[:8]) != "verity\x00\x00" {
		return Superblock{}, ErrNone
	}
	alg, _, _ := bytes.Cut(b[32:64], []byte{0})
	n := int(le.Uint16(b[80:]))
	switch {
	case le.Uint32(b[8:]) != 1 || le.Uint32(b[12:]) != 1:
		return Superblock{}, fmt.Errorf("verity superblock has version %d, hash type %d; only 1, 1 is known", le.Uint32(b[8:]), le.Uint32(b[12:]))
	case string(alg) != "sha256" || le.Uint32(b[64:]) != BlockSize || le.Uint32(b[68:]) != BlockSize:
		return Superblock{}, fmt.Errorf("verity superblock wants %q over blocks of %d and %d; only sha256 over %d is known", alg, le.Uint32(b[64:]), le.Uint32(b[68:]), BlockSize)
	case le.Uint64(b[72:]) != dataBlocks:
		return Superblock{}, fmt.Errorf("verity superblock is of %d data blocks, not of %d", le.Uint64(b[72:]), dataBlocks)
	case n > maxSalt:
		return Superblock{}, fmt.Errorf("verity superblock has a salt of %d bytes; the limit is %d", n, maxSalt)
	}
	return Superblock{DataBlocks: dataBlocks, Salt: bytes.Clone(b[88 : 88+n]), UUID: [16]byte(b[16:32])}, nil
}

// Check tells whether the tree behind this number of data blocks has this root hash: what
// the init asks of each slot. It reads two blocks; the kernel checks the rest as it reads it.
func Check(r io.ReaderAt, dataBlocks uint64, root Root) (Superblock, error) {
	sb, err := ReadSuperblock(r, dataBlocks)
	if err != nil {
		return sb, err
	}
	at := uint64(0) // of a single block the root hash is that block's
	if l := levels(dataBlocks); len(l) > 0 {
		at = l[len(l)-1].first
	}
	top := make([]byte, BlockSize)
	if _, err := r.ReadAt(top, int64(at)*BlockSize); err != nil {
		return sb, fmt.Errorf("read top of verity tree: %w", err)
	}
	if got := hash(sb.Salt, top); got != root {
		return sb, fmt.Errorf("verity tree has a root hash that begins with %.16s, not with %.16s", got, root)
	}
	return sb, nil
}

// CheckAll checks the whole tree and all data, and names the first bad block.
func CheckAll(r io.ReaderAt, dataBlocks uint64, root Root) error {
	sb, err := Check(r, dataBlocks, root)
	if err != nil {
		return err
	}
	rows := levels(dataBlocks)
	for i := len(rows) - 1; i >= 0; i-- {
		from, blocks, what := uint64(0), dataBlocks, "data"
		if i > 0 {
			from, blocks, what = rows[i-1].first, rows[i-1].blocks, "tree"
		}
		if bad, err := checkLevel(r, sb.Salt, from, blocks, rows[i]); err != nil {
			return fmt.Errorf("check verity tree: %w", err)
		} else if bad >= 0 {
			return fmt.Errorf("%s block %d was changed: its hash is not that of the verity tree", what, bad)
		}
	}
	return nil
}

func checkLevel(r io.ReaderAt, salt []byte, from, blocks uint64, row level) (bad int64, err error) {
	bad = -1
	var mu sync.Mutex
	err = inChunks(int64(blocks)*BlockSize, func(off, n int64) error {
		b := make([]byte, n)
		if _, err := r.ReadAt(b, int64(from)*BlockSize+off); err != nil {
			return err
		}
		want := make([]byte, n/BlockSize*sha256.Size)
		if _, err := r.ReadAt(want, int64(row.first)*BlockSize+off/perBlock); err != nil {
			return err
		}
		for i := range n / BlockSize {
			if got := hash(salt, b[i*BlockSize:][:BlockSize]); !bytes.Equal(got[:], want[i*sha256.Size:][:sha256.Size]) {
				mu.Lock()
				if at := int64(from) + off/BlockSize + i; bad < 0 || at < bad {
					bad = at
				}
				mu.Unlock()
				break
			}
		}
		return nil
	})
	return bad, err
}

// hashLevel writes the row of hashes of these blocks.
func hashLevel(f File, salt []byte, from, blocks uint64, row level) error {
	return inChunks(int64(blocks)*BlockSize, func(off, n int64) error {
		b := make([]byte, n)
		if _, err := f.ReadAt(b, int64(from)*BlockSize+off); err != nil {
			return err
		}
		// Chunks are of 256 blocks, so of two whole hash blocks; the last is padded.
		out := make([]byte, (n/BlockSize+perBlock-1)/perBlock*BlockSize)
		for i := range n / BlockSize {
			h := hash(salt, b[i*BlockSize:][:BlockSize])
			copy(out[i*sha256.Size:], h[:])
		}
		_, err := f.WriteAt(out, int64(row.first)*BlockSize+off/perBlock)
		return err
	})
}

func hash(salt, block []byte) (sum Root) {
	h := sha256.New()
	h.Write(salt)
	h.Write(block)
	h.Sum(sum[:0])
	return sum
}

// identity is a digest of the data that can be computed in parallel.
func identity(r io.ReaderAt, size int64) (Root, error) {
	sums := make([]Root, (size+chunk-1)/chunk)
	err := inChunks(size, func(off, n int64) error {
		b := make([]byte, n)
		_, err := r.ReadAt(b, off)
		sums[off/chunk] = sha256.Sum256(b)
		return err
	})
	h := sha256.New()
	fmt.Fprintf(h, "ashlar verity salt\x00%d\x00", size)
	for _, s := range sums {
		h.Write(s[:])
	}
	return Root(h.Sum(nil)), err
}

func uuid(id Root) (u [16]byte) {
	s := sha256.Sum256(append([]byte("ashlar verity uuid\x00"), id[:]...))
	copy(u[:], s[:])
	u[6] = u[6]&0x0f | 0x80 // RFC 9562, version 8
	u[8] = u[8]&0x3f | 0x80
	return u
}

// inChunks calls work for each chunk of size bytes, on all processors.
func inChunks(size int64, work func(off, n int64) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := int64(0)
	take := func() (int64, bool) {
		mu.Lock()
		defer mu.Unlock()
		off := next
		next += chunk
		return off, off < size && first == nil
	}
	for range min(int64(runtime.GOMAXPROCS(0)), (size+chunk-1)/chunk) {
		wg.Go(func() {
			for off, ok := take(); ok; off, ok = take() {
				if err := work(off, min(chunk, size-off)); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
