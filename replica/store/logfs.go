package store

import (
	"path/filepath"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS is the disk as the database sees it. Where its log cannot be begun, written or
// synced, the database ends the process, some of the time with a fatal error of a lock
// and without a word about the disk. So the store fails and says why, and the goroutine
// that met the disk is held for good. Nothing else may wait for it: see Store.do.
type logFS struct {
	vfs.FS
	s    *Store
	open *atomic.Bool // before that, errors are Open's
}

// try does what needs the disk. Where it fails the goroutine is held, and tries again if
// the store is abandoned.
func (l logFS) try(do func() error) error {
	err := do()
	if err != nil && l.open.Load() {
		logger{l.s}.stop(err.Error())
		<-l.s.abandoned
		err = do()
	}
	return err
}

// begin a file; logs are held to what logFS says.
func (l logFS) begin(name string, begin func() (vfs.File, error)) (f vfs.File, err error) {
	if filepath.Ext(name) != ".log" {
		return begin()
	}
	err = l.try(func() (err error) {
		f, err = begin()
		return err
	})
	if err != nil {
		return nil, err
	}
	return logFile{f, l}, nil
}

// Create a file.
func (l logFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return l.begin(name, func() (vfs.File, error) { return l.FS.Create(name, c) })
}

// ReuseForWrite gives a file that was used before another name.
func (l logFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return l.begin(newname, func() (vfs.File, error) { return l.FS.ReuseForWrite(oldname, newname, c) })
}

type logFile struct {
	vfs.File
	fs logFS
}

func (f logFile) Write(p []byte) (n int, err error) {
	err = f.fs.try(func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

// Sync makes durable what was written.
func (f logFile) Sync() error { return f.fs.try(f.File.Sync) }

// SyncData is Sync without what is not needed to read the file.
func (f logFile) SyncData() error { return f.fs.try(f.File.SyncData) }

// SyncTo is Sync of the beginning.
func (f logFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.try(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
