package registry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ashlar/replica/wire/cbor"
)

// FileName under the state directory.
const FileName = "registry"

// magic names the format and its version.
const magic = "ashlar registry 1\n"

// maxFileBytes bounds what is read: a registry of a one-node network has kilobytes.
const maxFileBytes = 256 << 20

// maxVersions bounds what a file may claim to hold.
const maxVersions = 1 << 17

// Save writes all versions, so that after a crash either the old or the new file is there.
func (s *Store) Save(dir string) error {
	body := append([]byte(magic), cbor.Marshal(s.versions)...)
	sum := sha256.Sum256(body)
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save the registry: %w", err)
	}
	_, err = f.Write(append(body, sum[:]...))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("save the registry: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Open reads what Save wrote; fs.ErrNotExist where there is none.
func Open(dir string) (*Store, error) {
	path := filepath.Join(dir, FileName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("read the registry: %s has %d bytes, the limit is %d", path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("the registry file %s %w\n  restore it from a backup", path, err)
	}
	return s, nil
}

// Parse reads the content of a registry file.
func Parse(data []byte) (*Store, error) {
	end := len(data) - sha256.Size
	if end < len(magic) || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, errors.New("is not of this format")
	}
	if sha256.Sum256(data[:end]) != [32]byte(data[end:]) {
		return nil, errors.New("is damaged: its checksum does not match")
	}
	var versions [][]Change
	if err := cbor.Unmarshal(data[len(magic):end], &versions); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	if len(versions) > maxVersions {
		return nil, fmt.Errorf("has %d versions, the limit is %d", len(versions), maxVersions)
	}
	s := New()
	for _, changes := range versions {
		if err := s.Apply(changes); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Exists tells a directory with a registry from a new one.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, FileName))
	return !errors.Is(err, fs.ErrNotExist)
}
