package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: checkpoints, states that stay on disk while the saved one goes on. A node
// has that of its catch-up package for peers that begin with it, whatever has restarted
// in between.
//
//	DIR/checkpoints/<height>/db, pages   files of the store under second names (hard links)
//
// Nothing is copied but the end of the database's log, and a checkpoint takes the space
// of what has changed since. It is made under another name and renamed once it is
// durable, and renamed again before it is deleted: one that a power cut leaves in half
// has a name that no checkpoint has.

const checkpointsDir = "checkpoints"

// checkpointHalf is how a checkpoint's name ends while it is made or deleted.
const checkpointHalf = ".half"

// frozenCacheBytes: a peer reads each part of a checkpoint once.
const frozenCacheBytes = 1 << 20

func (s *Store) checkpointDir(h ic.Height) string {
	return filepath.Join(filepath.Dir(s.dir), checkpointsDir, strconv.FormatUint(uint64(h), 10))
}

// Checkpoint keeps the state that SaveState wrote last, durably, until it is dropped.
func (s *Store) Checkpoint() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	h, ok, err := s.SavedHeight()
	if err != nil || !ok || s.HasCheckpoint(h) {
		return err
	}
	if err := s.do(func() error { return s.makeCheckpoint(s.checkpointDir(h)) }); err != nil {
		s.fail(fmt.Errorf("keep the state of height %d for peers: %w", h, explain(filepath.Dir(s.dir), err)))
	}
	return s.Err()
}

func (s *Store) makeCheckpoint(dir string) error {
	half := dir + checkpointHalf
	if err := s.fs.RemoveAll(half); err != nil {
		return err
	}
	pagesDir := filepath.Join(half, "pages")
	if err := s.fs.MkdirAll(pagesDir, 0o700); err != nil {
		return err
	}
	if err := s.linkPages(pagesDir); err != nil {
		return err
	}
	// What the log has would be copied, what is in tables is not.
	if err := s.db.Flush(); err != nil {
		return err
	}
	if err := s.db.Checkpoint(filepath.Join(half, "db"), pebble.WithFlushedWAL(), pebble.WithRestrictToSpans(stateSpans)); err != nil {
		return err
	}
	if err := syncDirs(s.fs, half, filepath.Dir(dir), filepath.Dir(s.dir)); err != nil {
		return err
	}
	if err := s.fs.Rename(half, dir); err != nil {
		return err
	}
	return syncDirs(s.fs, filepath.Dir(dir))
}

// stateSpans are the keys of a state; no peer asks a checkpoint for blocks.
var stateSpans = func() (out []pebble.CheckpointSpan) {
	for _, p := range []byte{prefixVersion, prefixHeight, prefixState, prefixNode, prefixYoung, prefixFile} {
		out = append(out, pebble.CheckpointSpan{Start: []byte{p}, End: []byte{p + 1}})
	}
	return out
}()

// linkPages gives the page files of the list second names, durably.
func (s *Store) linkPages(dir string) error {
	s.files.mu.Lock()
	var numbers []uint64
	for number := range s.files.list {
		numbers = append(numbers, number)
	}
	s.files.mu.Unlock()
	slices.Sort(numbers)
	for _, number := range numbers {
		from := s.pageFile(number)
		if err := vfs.LinkOrCopy(s.fs, from, filepath.Join(dir, filepath.Base(from))); err != nil {
			return err
		}
	}
	return syncDirs(s.fs, dir)
}

func syncDirs(fs vfs.FS, dirs ...string) error {
	for _, dir := range dirs {
		if err := syncDir(fs, dir); err != nil {
			return err
		}
	}
	return nil
}

// HasCheckpoint of the state of a height.
func (s *Store) HasCheckpoint(h ic.Height) bool {
	_, err := s.fs.Stat(s.checkpointDir(h))
	return err == nil
}

// DropCheckpoints below a height. Those that are open are dropped another time.
func (s *Store) DropCheckpoints(below ic.Height) error {
	all, _, err := s.listCheckpoints()
	if err != nil {
		return err
	}
	for _, h := range all {
		if h >= below || s.isOpen(h) {
			continue
		}
		dir := s.checkpointDir(h)
		if err := s.fs.Rename(dir, dir+checkpointHalf); err != nil {
			return explain(dir, err)
		}
		if err := s.fs.RemoveAll(dir + checkpointHalf); err != nil {
			return explain(dir, err)
		}
	}
	return nil
}

func (s *Store) isOpen(h ic.Height) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading[h] > 0
}

// listCheckpoints by height, and the names of what is none, wholly or any more.
func (s *Store) listCheckpoints() (all []ic.Height, halves []string, err error) {
	dir := filepath.Join(filepath.Dir(s.dir), checkpointsDir)
	names, err := s.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, explain(dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, checkpointHalf) {
			halves = append(halves, filepath.Join(dir, name))
		} else if h, err := strconv.ParseUint(name, 10, 64); err == nil {
			all = append(all, ic.Height(h))
		}
	}
	slices.Sort(all)
	return all, halves, nil
}

// tidyCheckpoints deletes what a crash has left in half.
func (s *Store) tidyCheckpoints() error {
	_, halves, err := s.listCheckpoints()
	for _, half := range halves {
		if err := s.fs.RemoveAll(half); err != nil {
			return explain(half, err)
		}
	}
	return err
}

// OpenCheckpoint of a height; fs.ErrNotExist where there is none. What is wrong with it
// is no failure of the store.
func (s *Store) OpenCheckpoint(h ic.Height) (*state.Lease, error) {
	dir := s.checkpointDir(h)
	if _, err := s.fs.Stat(dir); err != nil {
		return nil, fmt.Errorf("the checkpoint of height %d: %w", h, err)
	}
	x := &Store{dir: filepath.Join(dir, "db"), pagesDir: filepath.Join(dir, "pages"), moduleDir: s.moduleDir, fs: s.fs, log: s.log, sizes: s.sizes, frozen: true, failed: make(chan struct{})}
	s.read(h, 1)
	now, err := x.frozenState()
	if err == nil && now.Height() != h {
		err = damaged(dir, fmt.Errorf("it has a state of height %d", now.Height()))
	}
	if err != nil {
		s.read(h, -1)
		return nil, fmt.Errorf("the checkpoint of height %d: %w", h, errors.Join(err, x.thaw()))
	}
	return &state.Lease{State: now, Err: x.Err, Close: func() error {
		defer s.read(h, -1)
		return x.thaw()
	}}, nil
}

// read counts who reads a checkpoint.
func (s *Store) read(h ic.Height, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == nil {
		s.reading = map[ic.Height]int{}
	}
	s.reading[h] += by
}

func (s *Store) frozenState() (now *state.State, err error) {
	err = s.do(func() (err error) {
		o := s.options(s.fs)
		o.ReadOnly, o.CacheSize = true, frozenCacheBytes
		s.db, err = pebble.Open(s.dir, o)
		return err
	})
	if err != nil {
		return nil, explain(s.dir, err)
	}
	if err = s.look(); err == nil {
		now, err = s.LoadState()
	}
	if err == nil && now == nil {
		err = damaged(s.dir, errors.New("it has no state"))
	}
	return now, err
}

func (s *Store) thaw() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}
