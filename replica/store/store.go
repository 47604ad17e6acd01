// Package store keeps a node's blocks and state on disk.
//
//	block h, its votes ── Persist, synced ──> executed, answered
//	state h ── SaveState, not synced ───────> durable with the next sync
//	                │
//	    crash ──────┴──> Open: some state s <= h, and all blocks above s
//
// One synced write a round is enough: the database's log is a sequence, so what
// is durable is always a prefix of what was written. A state lost in a crash is
// computed again from its blocks, and comes out the same with the same
// certificate; a block is durable before anything depends on it. So every
// certified answer is either in the saved state or follows from blocks that are.
//
// Keys: v = format version; h = height of the saved state; s... = its entries;
// m... and y... = its memories (memory.go); f<number> = a page file in use;
// b<height><kind><signer><hash> = an artifact of consensus; c = the catch-up package
// that the node begins with.
//
//	DIR/db           the database
//	DIR/pages        page files: most pages of memories, written once, mapped to be read
//	DIR/checkpoints  states of catch-up packages, for peers: checkpoint.go
//
// A state that was loaded reads its memories when they are needed, so a start
// takes as long whether canisters hold megabytes or gigabytes, and what nobody
// touches takes no memory.
// A Store may be used by many goroutines.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

const (
	// Format of the keys and values above. A store of a newer one is refused.
	// Format 1 had each page of a memory as an entry; LoadState takes it over.
	Format = 2
	// reserveBytes must stay free: enough for the database to close in good order
	// and to be opened again, so that a full disk stops the node and loses nothing.
	reserveBytes = 64 << 20
	// memTableBytes and cacheBytes keep a small node small; a round writes kilobytes.
	memTableBytes = 16 << 20
	cacheBytes    = 16 << 20
	// diskCheckEvery so many bytes the free space is asked for again.
	diskCheckEvery = 1 << 20
)

const (
	prefixVersion = 'v'
	prefixHeight  = 'h'
	prefixState   = 's'
	prefixBlock   = 'b'
	prefixCUP     = 'c'
	prefixFile    = 'f'
	prefixNode    = 'm'
	prefixYoung   = 'y'
)

// Options of a store; the zero value is the real disk.
type Options struct {
	FS  vfs.FS
	Log func(line string)
	// SmallFiles lets page files hold a few pages, so that files come, are merged and
	// go all the time: for tests and simulations.
	SmallFiles bool
	// StageBytes of a state that comes from peers gather before they are written; 0:
	// as many as are good for a disk.
	StageBytes int
	// Alone: nothing is written beside the caller, so that a run can be repeated from
	// its seed.
	Alone bool
}

// Store is an open database.
type Store struct {
	dir, pagesDir string
	moduleDir     string
	chunks        chunks
	fs            vfs.FS
	db            *pebble.DB
	log           func(string)
	format        byte // of what is there
	frozen        bool // a checkpoint: nothing of it is ever written

	sizes      sizes
	stageBytes int
	gathered   int // bytes since tables were written; of alone only
	alone      bool
	beside     sync.WaitGroup // writes of Staging
	saving     sync.Mutex     // held by who writes states and page files
	files      catalog
	young      map[string]struct{} // keys of young pages

	abandoned chan struct{}

	mu      sync.Mutex
	err     error // the first failure; nothing is written after it
	failed  chan struct{}
	checked int               // bytes written since free space was last asked for
	reading map[ic.Height]int // checkpoints that are open
}

// Open opens or makes the database under dir.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	s := &Store{dir: filepath.Join(dir, "db"), pagesDir: filepath.Join(dir, "pages"), moduleDir: filepath.Join(dir, "modules"), fs: o.FS, log: o.Log, sizes: fullSizes, stageBytes: cmp.Or(o.StageBytes, stageBytes), alone: o.Alone, failed: make(chan struct{}), abandoned: make(chan struct{}), checked: diskCheckEvery}
	if o.SmallFiles {
		s.sizes = smallSizes
	}
	if err := s.makeDir(); err != nil {
		return nil, explain(dir, err)
	}
	if err := s.space(0); err != nil {
		return nil, err
	}
	if err := s.checkLogs(); err != nil {
		return nil, err
	}
	disk := logFS{s.fs, s, &atomic.Bool{}}
	err := s.do(func() (err error) {
		s.db, err = pebble.Open(s.dir, s.options(disk))
		return err
	})
	if err != nil {
		return nil, explain(dir, err)
	}
	disk.open.Store(true)
	err = s.takeForgot(filepath.Join(dir, forgotFile))
	if err == nil {
		err = s.look()
	}
	if err == nil {
		err = s.tidyCheckpoints()
	}
	if err != nil {
		s.db.Close()
		return nil, err
	}
	return s, nil
}

// look at what there is: the format, page files, young pages.
func (s *Store) look() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	s.young = map[string]struct{}{}
	err := s.each(prefixYoung, func(key, _ []byte) error {
		s.young[string(key)] = struct{}{}
		return nil
	})
	if err != nil {
		return err
	}
	return s.openCatalog()
}

// makeDir makes the directories and their names in those above durable: a database in
// a directory that a power cut forgets is lost with all it synced.
func (s *Store) makeDir() error {
	for _, dir := range []string{s.dir, s.pagesDir} {
		if err := s.fs.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for at := filepath.Dir(s.dir); ; at = filepath.Dir(at) {
		d, err := s.fs.OpenDir(at)
		if err != nil {
			return nil // above what this user may read: it was there before
		}
		err = d.Sync()
		d.Close()
		if err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems sync no directories
			return err
		}
		if at == "." || at == "/" || at == filepath.Dir(at) {
			return nil
		}
	}
}

func (s *Store) options(disk vfs.FS) *pebble.Options {
	return &pebble.Options{
		FS: ordered{disk}, Logger: logger{s}, MemTableSize: memTableBytes, CacheSize: cacheBytes,
		FormatMajorVersion: pebble.FormatValueSeparation,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(explain(s.dir, err)) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.fail(damaged(i.Path, i.Details))
			},
		},
	}
}

// explain turns what the operating system said into a way out.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) && strings.Contains(err.Error(), "lock") ||
		strings.Contains(err.Error(), "lock held by current process"):
		return fmt.Errorf("state directory %s is in use by another replica\n  stop that one first, or choose another directory with --state", dir)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fmt.Errorf("state directory %s cannot be written: %w\n  give this user write access to it, or choose another with --state", dir, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("no space left for state directory %s\n  free some space and start again: nothing is lost", dir)
	case pebble.IsCorruptionError(err):
		if m := tableNumber.FindStringSubmatch(err.Error()); m != nil {
			dir = filepath.Join(dir, m[1]+".sst")
		}
		return damaged(dir, err)
	}
	return fmt.Errorf("open the database in %s: %w", dir, err)
}

// tableNumber is how the database's errors name a file.
var tableNumber = regexp.MustCompile(`\bfile (\d{6})\b`)

func damaged(file string, err error) error {
	return fmt.Errorf("the database is damaged: %s: %w%s", file, err, wayBack)
}

// wayBack is what errors about damage end with.
const wayBack = "\n  nothing was changed. A node with peers: start it with --resync, which sets the damage aside and fetches the state from them" +
	"\n  a network of one node: restore the state directory from a backup"

func (s *Store) checkFormat() error {
	value, closer, err := s.db.Get([]byte{prefixVersion})
	if errors.Is(err, pebble.ErrNotFound) && s.frozen {
		return damaged(s.dir, errors.New("it has no format"))
	}
	if errors.Is(err, pebble.ErrNotFound) {
		s.format = Format
		if err := s.db.Set([]byte{prefixVersion}, []byte{Format}, pebble.Sync); err != nil {
			return err
		}
		return s.db.Flush() // the first log does not say how far it is durable: see tail.go
	}
	if err != nil {
		return explain(s.dir, err)
	}
	defer closer.Close()
	if len(value) != 1 || value[0] > Format {
		return fmt.Errorf("the state in %s has format %d, this replica knows up to %d\n  start it with the release that wrote it, or a newer one", s.dir, value, Format)
	}
	s.format = value[0]
	return nil
}

// Persist writes artifacts; with sync they are durable when it returns.
func (s *Store) Persist(artifacts []*block.Artifact, sync bool) error {
	b := s.db.NewBatch()
	defer s.release(b)
	for _, a := range artifacts {
		key, value := artifactKey(a), a.Encode()
		if a.Kind == block.CUP {
			key, value = []byte{prefixCUP}, append([]byte{cupWhole}, value...)
		}
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
	}
	return s.commit(b, sync)
}

// The first byte of a catch-up package says whether its state is here.
const (
	cupWaits = 0
	cupWhole = 1
)

// Begin makes a catch-up package the one to begin with, and forgets the artifacts up
// to its height; all of them where what was signed before counts no more. Its state
// is awaited until the package is persisted.
func (s *Store) Begin(cup *block.Artifact, all bool) error {
	b := s.db.NewBatch()
	defer s.release(b)
	to := heightKey(cup.Height + 1)
	if all {
		to = []byte{prefixBlock + 1}
	}
	if err := b.DeleteRange(heightKey(0), to, nil); err != nil {
		return err
	}
	if err := b.Set([]byte{prefixCUP}, append([]byte{cupWaits}, cup.Encode()...), nil); err != nil {
		return err
	}
	return s.commit(b, true)
}

// Purge forgets artifacts below a height.
func (s *Store) Purge(below ic.Height) error {
	b := s.db.NewBatch()
	defer s.release(b)
	if err := b.DeleteRange(heightKey(0), heightKey(below), nil); err != nil {
		return err
	}
	return s.commit(b, false)
}

// Flush makes durable all that was written before.
func (s *Store) Flush() error {
	b := s.db.NewBatch()
	defer s.release(b)
	if err := b.LogData(nil, nil); err != nil {
		return err
	}
	return s.commit(b, true)
}

func (s *Store) commit(b *pebble.Batch, sync bool) error {
	size := b.Len()
	if err := s.space(size); err != nil {
		s.fail(err)
		return err
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
	}
	return s.apply(b, opts)
}

// apply is all that changes the database.
func (s *Store) apply(b *pebble.Batch, opts *pebble.WriteOptions) error {
	if s.alone {
		if err := s.inTurn(b.Len() + int(b.Count())*entryBytes); err != nil {
			return err
		}
	}
	return s.do(func() error { return b.Commit(opts) })
}

// What the database gathers in memory before it writes tables, where it is told when:
// less than would make it do so by itself, which depends on its dice. What is in tables
// is durable.
const (
	gatherBytes = 128 << 10
	entryBytes  = 100 // of the database's own for an entry, at most
)

// inTurn has tables written where the next batch would make them too large.
func (s *Store) inTurn(size int) error {
	s.gathered += size
	if s.gathered < gatherBytes {
		return nil
	}
	s.gathered = size
	return s.do(s.db.Flush)
}

// space fails while there is still enough of it to stop in good order.
func (s *Store) space(size int) error {
	s.mu.Lock()
	s.checked += size
	due := s.checked >= diskCheckEvery
	if due {
		s.checked = 0
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil // a file system in memory
	}
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", s.dir, err)
	}
	if need := uint64(reserveBytes + size); usage.AvailBytes < need {
		return fmt.Errorf("no space left for %s: %d MiB are free, %d MiB are needed\n  free some space and start again: nothing is lost",
			s.dir, usage.AvailBytes>>20, need>>20)
	}
	return nil
}

// do runs f where the database may end the goroutine, which is how logger.Fatalf stops
// it, or never come back: see logFS.
func (s *Store) do(f func() error) error {
	if err := s.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer s.stopped()
		done <- f()
	}()
	select {
	case err := <-done:
		return err
	case <-s.failed:
		return s.Err()
	}
}

// release a batch. Where the database has failed it may be at work on it still, and for
// good: see do.
func (s *Store) release(b *pebble.Batch) {
	if s.Err() == nil {
		b.Close()
	}
}

func (s *Store) stopped() {
	switch r := recover().(type) {
	case nil:
	case error:
		logger{s}.stop(r.Error())
	default:
		panic(r)
	}
}

func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

// Err is the failure after which nothing is written, if there was one.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Rest waits until the database's own goroutines have nothing to do, for simulations:
// what a disk has when its power fails must not depend on them.
func (s *Store) Rest() {
	for s.Err() == nil {
		m := s.db.Metrics()
		if m.Flush.NumInProgress == 0 && m.Compact.NumInProgress == 0 {
			return
		}
		runtime.Gosched()
	}
}

// Failed is closed at the first failure.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Close makes everything durable, in tables, whose every block has a checksum; on a
// full disk, where the database cannot write any, in its log.
func (s *Store) Close() error {
	s.beside.Wait()
	settle := s.db.Flush
	s.mu.Lock()
	s.checked = diskCheckEvery
	s.mu.Unlock()
	if s.space(0) != nil {
		settle = func() error { return s.db.LogData(nil, pebble.Sync) }
	}
	if err := s.do(settle); err != nil {
		return err
	}
	if err := s.do(s.db.Close); err != nil {
		return fmt.Errorf("close the database in %s: %w", s.dir, err)
	}
	return nil
}

// Abandon a store that has failed and was closed, for simulations, whose process goes on:
// what the database's goroutines wanted of the disk they try again, and end. The disk
// must be one that nobody reads any more, and take all.
func (s *Store) Abandon() {
	close(s.abandoned)
	go func() {
		defer s.stopped()
		_ = s.db.Close()
	}()
}

// logger passes on what the database says when it matters.
type logger struct{ s *Store }

func (l logger) Infof(string, ...any)              {}
func (l logger) Errorf(format string, args ...any) { l.s.log(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) {
	l.stop(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (l logger) stop(why string) {
	l.s.fail(fmt.Errorf("the database in %s stopped: %s\n  nothing that was answered is lost; see to the disk and start again", l.s.dir, why))
}
