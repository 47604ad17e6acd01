package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kind is what a partition holds.
type Kind int

const (
	// Blank: the first MiB is zero. May be formatted.
	Blank Kind = iota
	// Unfinished: Format began here and was cut off. May be formatted.
	Unfinished
	// Ext4: a file system whose superblock is sound.
	Ext4
	// Other: anything else, perhaps somebody's data. Must not be formatted.
	Other
)

func (k Kind) String() string {
	return [...]string{"blank", "unfinished", "ext4", "other"}[k]
}

const probeBytes = 1 << 20 // file systems and RAID, LUKS or LVM marks begin within this

// Found is the result of Probe.
type Found struct {
	Kind  Kind
	UUID  [16]byte // of an ext4
	Label string
	Size  int64  // bytes, of an ext4
	What  string // in words, of an Other
}

// MayFormat tells whether nothing would be lost.
func (f Found) MayFormat() bool { return f.Kind == Blank || f.Kind == Unfinished }

// Probe looks at the start of a partition of size bytes. It changes nothing.
func Probe(r io.ReaderAt, size int64) (Found, error) {
	b := make([]byte, min(probeBytes, max(size, 0)))
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return Found{}, fmt.Errorf("look at the start of the partition: %w", err)
	}
	switch {
	case bytes.HasPrefix(b, []byte(unfinished)):
		return Found{Kind: Unfinished}, nil
	case len(b) < superAt+1024:
		return Found{Kind: Other, What: fmt.Sprintf("only %d bytes", len(b))}, nil
	case bytes.Count(b, []byte{0}) == len(b):
		return Found{Kind: Blank}, nil
	case binary.LittleEndian.Uint16(b[superAt+0x38:]) == magic:
		return readSuper(b[superAt:][:1024], size), nil
	}
	return Found{Kind: Other, What: name(b)}, nil
}

func readSuper(b []byte, size int64) Found {
	le := binary.LittleEndian
	other := func(format string, args ...any) Found {
		return Found{Kind: Other, What: fmt.Sprintf(format, args...)}
	}
	shift := le.Uint32(b[0x18:])
	if shift > 6 {
		return other("an ext file system with a block size of 2^%d", uint64(shift)+10)
	}
	blocks := uint64(le.Uint32(b[0x04:]))
	if le.Uint32(b[0x60:])&0x80 != 0 { // 64bit
		blocks |= uint64(le.Uint32(b[0x150:])) << 32
	}
	if blocks == 0 || blocks > uint64(size)>>(10+shift) {
		return other("an ext file system of %d blocks of %d bytes, larger than its partition of %d MiB", blocks, 1024<<shift, size>>20)
	}
	if le.Uint32(b[0x64:])&0x400 != 0 && le.Uint32(b[0x3fc:]) != crc(^uint32(0), b[:0x3fc]) {
		return other("an ext4 file system with a damaged superblock: its checksum is wrong")
	}
	if le.Uint32(b[0x60:])&0x40 == 0 {
		return other("an ext2 or ext3 file system")
	}
	label, _, _ := bytes.Cut(b[0x78:0x88], []byte{0})
	return Found{Kind: Ext4, UUID: [16]byte(b[0x68:0x78]), Label: strings.ToValidUTF8(string(label), "?"), Size: int64(blocks) << (10 + shift)}
}

// marks of what is often found on disks: only to say it in the error.
var marks = []struct {
	at   int
	mark string
	what string
}{
	{0, "LUKS\xba\xbe", "a LUKS volume"},
	{0, "XFSB", "an XFS file system"},
	{3, "NTFS    ", "an NTFS file system"},
	{0x10040, "_BHRfS_M", "a Btrfs file system"},
	{1024, "\xe2\xe1\xf5\xe0", "an EROFS file system"},
	{0, "hsqs", "a SquashFS file system"},
	{4096 - 10, "SWAPSPACE2", "swap space"},
	{512, "LABELONE", "an LVM volume"},
	{4096, "\xfc\x4e\x2b\xa9", "a member of a RAID"},
	{512, "EFI PART", "a disk with a partition table"},
	{510, "\x55\xaa", "a disk or a FAT file system"},
}

func name(b []byte) string {
	for _, m := range marks {
		if len(b) >= m.at+len(m.mark) && string(b[m.at:m.at+len(m.mark)]) == m.mark {
			return m.what
		}
	}
	return "data of an unknown kind"
}
