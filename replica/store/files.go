package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// This file: which page files there are. The database has the list, and for each
// how many of its pages are in use: a file that it does not name is what a crash
// left, or waits to be deleted.

const pageFileSuffix = ".pages"

// catalog is the list of page files.
type catalog struct {
	mu   sync.Mutex
	open map[uint64]*file
	list map[uint64]*usage
	next uint64 // number of the next file
	gone []uint64
}

// usage of a file.
type usage struct {
	pages  uint32
	refs   uint32 // places in memories that name a page of it
	staged bool   // kept though nothing names it
	dirty  bool   // the database does not say so yet
}

func (s *Store) pageFile(number uint64) string {
	return filepath.Join(s.pagesDir, fmt.Sprintf("%08d%s", number, pageFileSuffix))
}

func fileKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixFile}, number)
}

func (u *usage) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, u.pages)
	b = binary.BigEndian.AppendUint32(b, u.refs)
	if u.staged {
		return append(b, 1)
	}
	return append(b, 0)
}

// openCatalog reads the list, and compares it with the directory.
func (s *Store) openCatalog() error {
	c := &s.files
	c.open, c.list, c.next = map[uint64]*file{}, map[uint64]*usage{}, 1
	err := s.each(prefixFile, func(key, value []byte) error {
		if len(key) != 9 || len(value) != 9 {
			return damaged(s.dir, fmt.Errorf("the list of page files at key %x", key))
		}
		number := binary.BigEndian.Uint64(key[1:])
		c.list[number] = &usage{pages: binary.BigEndian.Uint32(value), refs: binary.BigEndian.Uint32(value[4:]), staged: value[8] != 0}
		c.next = max(c.next, number+1)
		return nil
	})
	if err != nil {
		return err
	}
	names, err := s.fs.List(s.pagesDir)
	if err != nil {
		return explain(s.pagesDir, err)
	}
	missing := maps.Clone(c.list)
	for _, name := range names {
		var number uint64
		if base, ok := strings.CutSuffix(name, pageFileSuffix); !ok || !digits(base, &number) {
			continue
		}
		c.next = max(c.next, number+1)
		if _, ok := c.list[number]; ok {
			delete(missing, number)
			continue
		}
		if s.frozen {
			continue
		}
		if err := s.fs.Remove(filepath.Join(s.pagesDir, name)); err != nil {
			return explain(s.pagesDir, err)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(missing)) {
		return damagedPages(s.pageFile(number), "it is missing")
	}
	return nil
}

func digits(s string, n *uint64) bool {
	_, err := fmt.Sscanf(s, "%d", n)
	return err == nil
}

// file opens a file when it is first needed.
func (s *Store) file(number uint64) (*file, error) {
	c := &s.files
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.open[number]; f != nil {
		return f, nil
	}
	u := c.list[number]
	if u == nil {
		return nil, fmt.Errorf("lie in file %d, which is not in use", number)
	}
	f, err := s.openFile(number, int(u.pages))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = damagedPages(s.pageFile(number), "it is missing")
		}
		return nil, err
	}
	c.open[number] = f
	return f, nil
}

// add puts a file on the list.
func (c *catalog) add(f *file, staged bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[f.number] = f
	c.list[f.number] = &usage{pages: uint32(f.pages), staged: staged, dirty: true}
}

// has tells whether a file is on the list.
func (c *catalog) has(f *file) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list[f.number] != nil
}

// use counts places that name pages of a file.
func (c *catalog) use(number uint64, by int) {
	if u := c.list[number]; u != nil && number != 0 {
		u.refs = uint32(int(u.refs) + by)
		u.dirty = true
	}
}

// write what has changed since the last write.
func (c *catalog) write(b *pebble.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, u := range c.list {
		if !u.dirty {
			continue
		}
		u.dirty = false
		var err error
		if u.unused() {
			err = b.Delete(fileKey(number), nil)
		} else {
			err = b.Set(fileKey(number), u.encode(), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// staged are the numbers of the files that are kept though nothing names them.
func (c *catalog) staged() (numbers []uint64) {
	for number, u := range c.list {
		if u.staged {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (u *usage) unused() bool { return u.refs == 0 && !u.staged }

// drop from the list what nothing names, after that was written: the files are
// deleted when it is durable, too.
func (c *catalog) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, u := range c.list {
		if u.unused() {
			delete(c.list, number)
			delete(c.open, number)
			c.gone = append(c.gone, number)
		}
	}
}

// deleteGone deletes the files that the database has dropped from its list; that
// it did must be durable first.
func (s *Store) deleteGone() error {
	c := &s.files
	if len(c.gone) == 0 {
		return nil
	}
	if err := s.do(func() error { return s.db.LogData(nil, pebble.Sync) }); err != nil {
		return err
	}
	for _, number := range c.gone {
		if err := s.fs.Remove(s.pageFile(number)); err != nil {
			return explain(s.pagesDir, err)
		}
	}
	c.gone = c.gone[:0]
	return nil
}
