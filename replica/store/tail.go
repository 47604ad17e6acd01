package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// This file: damage at the end of the database's log. The log of a node that lost
// power ends with a record that is cut, and the database drops what follows, as it
// should. It does the same with a record that was durable and has changed since, if
// that lies in the last 32 KiB: votes would be forgotten in silence. But a record says
// up to where the log was durable when it was written, so one that comes after the bad
// one and counts it among that shows that it is damage.
//
//	chunk: CRC-32C of what follows the length, 4 | length of the content, 2 | kind, 1 |
//	       number of the log, 4 | durable up to, 8 | content
//
// Chunks do not cross blocks of 32 KiB (pebble: record/record.go).
const (
	logBlock    = 32 << 10
	chunkHeader = 4 + 2 + 1 + 4 + 8
	shortHeader = 4 + 2 + 1 + 4 // of kinds below syncKind
	firstKind   = 5
	syncKind    = 9
	lastKind    = 12
)

// checkLogs before the database takes what it likes of them.
func (s *Store) checkLogs() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		var number uint64
		if base, ok := strings.CutSuffix(name, ".log"); !ok || !digits(base, &number) {
			continue
		}
		path := filepath.Join(s.dir, name)
		data, err := readAll(s.fs, path)
		if err != nil {
			return err
		}
		if at, ok := logDamage(data, uint32(number)); ok {
			return damaged(path, fmt.Errorf("what is at byte %d is not what was written, though it was durable", at))
		}
	}
	return nil
}

func readAll(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// logDamage finds a chunk that was durable and is not valid.
func logDamage(data []byte, number uint32) (at int, found bool) {
	for at < len(data) {
		size, _, ok := chunk(data, at, number)
		if left := logBlock - at%logBlock; !ok && blank(data[at:min(at+left, len(data))]) {
			size, ok = left, true
		}
		if !ok {
			break
		}
		at += size
	}
	for q := at + 1; q < len(data); q++ {
		if _, durable, ok := chunk(data, q, number); ok && durable > uint64(at) {
			return at, true
		}
	}
	return at, false
}

// blank tells whether what is left of a block is too short for a chunk, and empty.
func blank(rest []byte) bool {
	return len(rest) < chunkHeader && len(bytes.Trim(rest, "\x00")) == 0
}

// chunk reads one that begins at a byte.
func chunk(data []byte, at int, number uint32) (size int, durable uint64, ok bool) {
	b := data[at:min(len(data), at+logBlock-at%logBlock)]
	if len(b) < shortHeader || b[6] < firstKind || b[6] > lastKind || binary.LittleEndian.Uint32(b[7:]) != number {
		return 0, 0, false
	}
	size = shortHeader
	if b[6] >= syncKind {
		if size = chunkHeader; len(b) < size {
			return 0, 0, false
		}
		durable = binary.LittleEndian.Uint64(b[shortHeader:])
	}
	if size += int(binary.LittleEndian.Uint16(b[4:])); size > len(b) {
		return 0, 0, false
	}
	c := crc32.Checksum(b[6:size], castagnoli)
	return size, durable, c>>15|c<<17 == binary.LittleEndian.Uint32(b)-crcDelta
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcDelta is added to a checksum, once rotated.
const crcDelta = 0xa282ead8
