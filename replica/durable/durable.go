// Package durable writes small files so that a power cut leaves the old content or the
// new, never a part of either, and no name that leads nowhere.
//
//	Write PATH.new, synced ──> its name, synced ──> rename ──> the name, synced
//
// What is large, or written often, is replica/store's.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// New is what the name of a file ends with that is to replace another.
const New = ".new"

// Replace writes a file, or replaces it.
func Replace(path string, data []byte, mode fs.FileMode) error {
	if err := Write(path+New, data, mode); err != nil {
		return err
	}
	return Rename(path)
}

// Write makes a new file, in place of what a crash has left under its name; file and
// name are durable when it returns.
func Write(path string, data []byte, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Rename puts PATH.new in the place of PATH, durably.
func Rename(path string) error {
	if err := os.Rename(path+New, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
