package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
)

// This file: the way back from a damaged database. What is there is set aside as it
// is, and the node begins anew with a state of its peers. Its votes are set aside
// too: it remembers when it lost them (consensus.Config.Forgot).

const prefixForgot = 'o'

// forgotFile says when the database was set aside, until the new one knows.
const forgotFile = "forgot"

// SetAside moves the database, page files and checkpoints of dir to a directory below it. All else
// in dir, keys and registry, stays. There may be nothing to move: a crash in between
// leaves less to do.
func SetAside(dir string, now ic.Time, o Options) (to string, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	to = filepath.Join(dir, fmt.Sprintf("damaged-%d", now/1e9))
	db := filepath.Join(dir, "db")
	if _, err := o.FS.Stat(db); err == nil {
		lock, err := pebble.LockDirectory(db, o.FS)
		if err != nil {
			return "", explain(dir, err)
		}
		if err := lock.Close(); err != nil {
			return "", explain(dir, err)
		}
	}
	if err := o.FS.MkdirAll(to, 0o700); err != nil {
		return "", explain(dir, err)
	}
	// First of all: a new database without this would sign again what the old one did.
	if err := writeForgot(o.FS, filepath.Join(dir, forgotFile), now); err != nil {
		return "", explain(dir, err)
	}
	if err := syncDir(o.FS, dir); err != nil {
		return "", explain(dir, err)
	}
	for _, part := range []string{"db", "pages", checkpointsDir} {
		err := o.FS.Rename(filepath.Join(dir, part), filepath.Join(to, part))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set aside %s: %w", filepath.Join(dir, part), err)
		}
	}
	for _, d := range []string{to, dir} {
		if err := syncDir(o.FS, d); err != nil {
			return "", explain(d, err)
		}
	}
	return to, nil
}

func writeForgot(fs vfs.FS, name string, now ic.Time) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(binary.BigEndian.AppendUint64(nil, uint64(now)))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(fs vfs.FS, name string) error {
	d, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeForgot puts what SetAside left into the database.
func (s *Store) takeForgot(name string) error {
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var at [8]byte
	n, err := f.Read(at[:])
	if err = errors.Join(err, f.Close()); err != nil || n != len(at) {
		return fmt.Errorf("read %s, which says when the database was set aside: %d bytes, %v\n  start with --resync again", name, n, err)
	}
	b := s.db.NewBatch()
	defer s.release(b)
	if err := b.Set([]byte{prefixForgot}, at[:], nil); err != nil {
		return err
	}
	if err := s.commit(b, true); err != nil {
		return err
	}
	return s.fs.Remove(name)
}

// Forgot is when the node lost what it had signed before, 0: never.
func (s *Store) Forgot() (ic.Time, error) {
	value, ok, err := s.get([]byte{prefixForgot})
	if !ok || err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, damaged(s.dir, fmt.Errorf("a time of %d bytes", len(value)))
	}
	return ic.Time(binary.BigEndian.Uint64(value)), nil
}

// SetForgot says when the node lost what it had signed before; durable at once.
func (s *Store) SetForgot(at ic.Time) error {
	b := s.db.NewBatch()
	defer s.release(b)
	if err := b.Set([]byte{prefixForgot}, binary.BigEndian.AppendUint64(nil, uint64(at)), nil); err != nil {
		return err
	}
	return s.commit(b, true)
}
