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

func (l logFS) log(name string, f vfs.File, err error) (vfs.File, error) {
	if filepath.Ext(name) != ".log" {
		return f, err
	}
	l.check(err)
	if err != nil {
		return nil, err
	}
	return logFile{f, l}, nil
}

// check holds the goroutine if there is an error.
func (l logFS) check(err error) {
	if err != nil && l.open.Load() {
		logger{l.s}.stop(err.Error())
		select {}
	}
}

// Create a file.
func (l logFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return l.log(name, f, err)
}

// ReuseForWrite gives a file that was used before another name.
func (l logFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(oldname, newname, c)
	return l.log(newname, f, err)
}

type logFile struct {
	vfs.File
	fs logFS
}

func (f logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.fs.check(err)
	return n, err
}

// Sync makes durable what was written.
func (f logFile) Sync() error {
	err := f.File.Sync()
	f.fs.check(err)
	return err
}

// SyncData is Sync without what is not needed to read the file.
func (f logFile) SyncData() error {
	err := f.File.SyncData()
	f.fs.check(err)
	return err
}

// SyncTo is Sync of the beginning.
func (f logFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	f.fs.check(err)
	return full, err
}
