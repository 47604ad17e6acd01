package store

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/state"
)

// This file: modules in memory. The database has them, as other values. A module is
// seldom read, and there may be thousands of a MiB: so each also lies in a file of its
// own, modules/SHA-256, which is mapped in the place of the bytes on the Go heap. These
// files may be lost or damaged at any time: they are compared with the database when
// they are opened, and written again.

const (
	// minModule bytes are worth a file and a mapping.
	minModule = 64 << 10
	// unmapModule after the last state that had it is gone: whoever was given the
	// bytes has compiled or copied them by then.
	unmapModule = 10 * time.Minute
	// maxModules are mapped at a time: the kernel gives a process 65,530 mappings, and
	// heaps need most of them. Others stay on the Go heap.
	maxModules = 2048
)

// modules counts those that are mapped.
var modules atomic.Int64

// mapping is memory that is mapped for as long as somebody has it, and a while longer.
type mapping struct{ data []byte }

// hold data that was mapped, and count it.
func hold(data []byte, count *atomic.Int64) *mapping {
	m := &mapping{data}
	count.Add(1)
	runtime.AddCleanup(m, func(data []byte) {
		time.AfterFunc(unmapModule, func() {
			unmapFile(data)
			count.Add(-1)
		})
	}, data)
	return m
}

// placeModule maps a module, nil where it is to stay where it is. That something is
// wrong with the file is nobody's loss.
func (s *Store) placeModule(hash [32]byte, code []byte) *state.Placed {
	if s.fs != vfs.Default || len(code) < minModule || modules.Load() >= maxModules {
		return nil
	}
	name := s.moduleFile(hash)
	data := openModule(name, code)
	if data == nil && writeModule(name, code) == nil {
		data = openModule(name, code)
	}
	if data == nil {
		return nil
	}
	return &state.Placed{Bytes: data, Keep: hold(data, &modules)}
}

func (s *Store) moduleFile(hash [32]byte) string {
	return filepath.Join(s.moduleDir, hex.EncodeToString(hash[:]))
}

// openModule maps a file that has these bytes.
func openModule(name string, code []byte) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(code)) {
		return nil
	}
	data, err := mapFile(f.Fd(), len(code))
	if err != nil || data == nil {
		return nil
	}
	if !bytes.Equal(data, code) {
		unmapFile(data)
		return nil
	}
	return data
}

func writeModule(name string, code []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(code)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// dropModule deletes the file of a module that the next state does not have.
func (s *Store) dropModule(key string) {
	if hash, ok := state.CodeOf(key); ok && s.fs == vfs.Default {
		os.Remove(s.moduleFile(hash))
	}
}

// dropModules deletes the files of modules that a state does not have.
func (s *Store) dropModules(now *state.State) {
	if s.fs != vfs.Default {
		return
	}
	files, err := os.ReadDir(s.moduleDir)
	if err != nil {
		return // there are none
	}
	for _, f := range files {
		raw, err := hex.DecodeString(f.Name())
		if err == nil && len(raw) == 32 {
			if _, ok := now.Code([32]byte(raw)); ok {
				continue
			}
		}
		os.Remove(filepath.Join(s.moduleDir, f.Name()))
	}
}
