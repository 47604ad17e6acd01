package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ashlar/replica/durable"
)

// FileName under the state directory.
const FileName = "registry"

// The file is a line that names the format, then each version: its length (4 bytes,
// big endian), the version; each with the first bytes of its SHA-256 behind it, so
// that a length that was damaged is told from a version that was cut off.
const (
	magic1 = "ashlar registry 1\n" // CBOR records, no signatures
	magic  = "ashlar registry 2\n"
	sumLen = 8 // against accidents: against malice there are signatures
	around = 4 + sumLen + sumLen
)

// file is open for appending.
type file struct {
	*os.File
	size   int64
	broken error
}

// append a version and sync it. After a failure nothing more is written: what the
// disk holds is not known until it is opened again.
func (f *file) append(payload []byte) error {
	if f.broken != nil {
		return f.broken
	}
	_, err := f.WriteAt(entry(payload), f.size)
	if err = errors.Join(err, f.Sync()); err != nil {
		f.broken = fmt.Errorf("write the registry: %w\n  make room or repair the disk, and start the node again", err)
		return f.broken
	}
	f.size += int64(around + len(payload))
	return nil
}

func entry(payload []byte) []byte {
	out := summed(binary.BigEndian.AppendUint32(nil, uint32(len(payload))))
	return append(out, summed(payload)...)
}

func summed(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b[:len(b):len(b)], sum[:sumLen]...)
}

// Create makes DIR/registry with the first versions, of a network that the caller
// trusts: all of it is there after a crash, or nothing.
func Create(dir string, signed ...[]byte) (*Store, error) {
	s := New()
	data := []byte(magic)
	for _, raw := range signed {
		if err := s.Take(raw); err != nil {
			return nil, err
		}
		data = append(data, entry(raw)...)
	}
	if Exists(dir) {
		return nil, fmt.Errorf("make the registry: there is one in %s already", dir)
	}
	path := filepath.Join(dir, FileName)
	if err := durable.Replace(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("make the registry: %w", err)
	}
	f, err := openAlone(path)
	if err != nil {
		return nil, fmt.Errorf("make the registry: %w", err)
	}
	s.file = &file{File: f, size: int64(len(data))}
	return s, nil
}

// openAlone: two writers would write over one another.
func openAlone(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: %w\n  a node that runs takes changes by HTTP, or from %s beside the file", path, err, IncomingDir)
	}
	return f, nil
}

// Open reads DIR/registry and goes on with it; fs.ErrNotExist where there is none.
// A version that was being written when the power failed is cut off, and log says so.
func Open(dir string, log func(format string, args ...any)) (*Store, error) {
	path := filepath.Join(dir, FileName)
	f, err := openAlone(path)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	s, err := open(f, log)
	if err == nil {
		return s, nil
	}
	f.Close()
	out := "replace it by that of another node of the network: it is checked when it is read"
	if errors.Is(err, errOld) {
		out = "start a new network in an empty directory, or run that release"
	}
	return nil, fmt.Errorf("the registry file %s %w\n  %s", path, err, out)
}

var errOld = errors.New("was made by a release whose networks had no signed registry")

func open(f *os.File, log func(string, ...any)) (*Store, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("has %d bytes, the limit is %d", info.Size(), maxFileBytes)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	s, whole, err := Parse(data)
	if err != nil {
		return nil, err
	}
	if whole < len(data) {
		log("registry: version %d was being written when the node stopped: %d bytes are cut off, it is taken again", s.Latest()+1, len(data)-whole)
		if err := errors.Join(f.Truncate(int64(whole)), f.Sync()); err != nil {
			return nil, fmt.Errorf("ends in the middle of a version, which cannot be cut off: %w", err)
		}
	}
	s.file = &file{File: f, size: int64(whole)}
	return s, nil
}

// Parse reads the content of a registry file. whole is where its last complete
// version ends: what follows is the beginning of another. The chain of hashes and
// signatures is verified again; what the records say together was checked when each
// version was taken.
func Parse(data []byte) (s *Store, whole int, err error) {
	switch {
	case bytes.HasPrefix(data, []byte(magic1)):
		return nil, 0, errOld
	case !bytes.HasPrefix(data, []byte(magic)):
		return nil, 0, errors.New("is not of this format")
	}
	s, whole = New(), len(magic)
	for whole < len(data) {
		payload, err := next(data[whole:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err == nil {
			err = s.retake(payload)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("is damaged at byte %d: %w", whole, err)
		}
		whole += around + len(payload)
	}
	if s.Latest() == 0 {
		return nil, 0, errors.New("has no genesis")
	}
	return s, whole, nil
}

// next is the first version in data.
func next(data []byte) ([]byte, error) {
	length, data, err := takeSummed(data, 4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > maxChangeBytes {
		return nil, fmt.Errorf("a version of %d bytes, the limit is %d", n, maxChangeBytes)
	}
	payload, _, err := takeSummed(data, int(n))
	return payload, err
}

func takeSummed(data []byte, n int) (b, rest []byte, err error) {
	if len(data) < n+sumLen {
		return nil, nil, io.ErrUnexpectedEOF
	}
	if !bytes.Equal(summed(data[:n]), data[:n+sumLen]) {
		return nil, nil, errors.New("the checksum does not match")
	}
	return data[:n], data[n+sumLen:], nil
}

// retake is Take for what was taken before.
func (s *Store) retake(signed []byte) error {
	c, err := s.parse(signed)
	if err != nil {
		return err
	}
	next, err := s.now.apply(c.mutations, s.lastChanged)
	if err == nil {
		s.keep(c, next)
	}
	return err
}

// Exists tells a directory with a registry from a new one.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, FileName))
	return !errors.Is(err, fs.ErrNotExist)
}

// Close ends the writing.
func (s *Store) Close() error {
	s.taking.Lock()
	defer s.taking.Unlock()
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
