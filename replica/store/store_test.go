package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
	"ashlar/replica/wire/block"
)

func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open("state", Options{FS: fs, Log: func(l string) { t.Log(l) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func final(h ic.Height) *block.Artifact {
	return &block.Artifact{Kind: block.Finalization, Height: h, Hash: block.Hash{byte(h)}, Votes: []block.Vote{{Signer: 0, Signature: []byte{1}}}}
}

// save writes entries as a state.
func save(s *Store, h ic.Height, m map[string][]byte) error {
	return s.save(change{height: h, each: func(entry func(string, []byte) bool, _ func(string, pages.Map, pages.Map) bool) { diff(m)(entry) }})
}

func diff(m map[string][]byte) func(func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for k, v := range m {
			if !yield(k, v) {
				return
			}
		}
	}
}

func entries(t *testing.T, s *Store) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, s.eachState(func(k string, v []byte) bool { m[k] = string(v); return true }))
	return m
}

func TestReopen(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, mem)
	if _, ok, err := s.SavedHeight(); ok || err != nil {
		t.Errorf("a new store has a state: %v", err)
	}
	must(t, s.Persist([]*block.Artifact{final(1), final(2), final(300)}, true))
	must(t, s.Persist([]*block.Artifact{final(2)}, false)) // the same again
	must(t, save(s, 1, map[string][]byte{"a": []byte("1"), "b": []byte("2"), "": {}}))
	must(t, save(s, 2, map[string][]byte{"a": nil, "b": []byte("3")}))
	must(t, s.Purge(2))
	must(t, s.Close())

	s = open(t, mem)
	defer s.Close()
	if h, ok, err := s.SavedHeight(); h != 2 || !ok || err != nil {
		t.Errorf("height %d, %v, %v", h, ok, err)
	}
	if m := entries(t, s); !maps.Equal(m, map[string]string{"b": "3", "": ""}) {
		t.Errorf("entries %q", m)
	}
	as, err := s.Artifacts()
	must(t, err)
	if len(as) != 2 || as[0].Height != 2 || as[1].Height != 300 {
		t.Errorf("artifacts %v", as)
	}
}

// Power fails at a random moment, and the disk keeps a random part of what was
// not synced: what was persisted with sync is there, and the saved state is one
// that was written, whole.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		mem := vfs.NewCrashableMem()
		s := open(t, mem)
		states := []map[string]string{{}}
		state := map[string]string{}
		synced := ic.Height(0)
		for h := ic.Height(1); h < 20; h++ {
			sync := rng.IntN(2) == 0
			must(t, s.Persist([]*block.Artifact{final(h)}, sync))
			if sync {
				synced = h
			}
			d := map[string][]byte{}
			for range rng.IntN(20) {
				k := fmt.Sprint(rng.IntN(30))
				if rng.IntN(4) == 0 {
					d[k] = nil
					delete(state, k)
				} else {
					v := bytes.Repeat([]byte{byte(h)}, rng.IntN(5000))
					d[k] = append([]byte{}, v...)
					state[k] = string(v)
				}
			}
			must(t, save(s, h, d))
			states = append(states, maps.Clone(state))
			if rng.IntN(15) == 0 {
				break
			}
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		must(t, s.Close())
		s = open(t, after)
		as, err := s.Artifacts()
		must(t, err)
		if ic.Height(len(as)) < synced {
			t.Errorf("seed %d: %d blocks are left, %d were synced", seed, len(as), synced)
		}
		h, _, err := s.SavedHeight()
		must(t, err)
		if !maps.Equal(entries(t, s), states[h]) {
			t.Errorf("seed %d: the state is not that of height %d", seed, h)
		}
		if ic.Height(len(as)) < h {
			t.Errorf("seed %d: state %d is saved, its block is not", seed, h)
		}
		must(t, s.Close())
	}
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	_, err = Open(dir, Options{})
	wantError(t, err, dir, "in use", "--state")
	must(t, s.Close())
	s, err = Open(dir, Options{})
	must(t, err)
	must(t, s.Close())
}

func TestNewerFormat(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, mem)
	must(t, s.db.Set([]byte{prefixVersion}, []byte{Format + 1}, pebble.Sync))
	must(t, s.Close())
	_, err := Open("state", Options{FS: mem})
	wantError(t, err, "format", "release that wrote it")
}

func TestNotWritable(t *testing.T) {
	wantError(t, explain("dir", &fs.PathError{Op: "mkdir", Path: "dir", Err: syscall.EACCES}), "cannot be written", "--state")
	wantError(t, explain("dir", &fs.PathError{Op: "mkdir", Path: "dir", Err: syscall.EROFS}), "cannot be written", "--state")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(file, Options{})
	wantError(t, err, file)
}

// A file of the database is overwritten: Open, or the first read, names it.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	for i := range 100 {
		must(t, save(s, ic.Height(i), map[string][]byte{fmt.Sprint(i): bytes.Repeat([]byte{1}, 4096)}))
	}
	must(t, s.db.Flush())
	must(t, s.Close())
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no table was written")
	}
	data, err := os.ReadFile(tables[0])
	must(t, err)
	for i := 100; i < len(data)/2; i++ {
		data[i] ^= 0xff
	}
	must(t, os.WriteFile(tables[0], data, 0o600))
	s, err = Open(dir, Options{})
	if err == nil {
		err = s.eachState(func(string, []byte) bool { return true })
		s.Close()
	}
	wantError(t, err, "damaged", "backup", filepath.Base(tables[0]))
}

// fullFS is a disk on which writing fails from some moment on.
type fullFS struct {
	vfs.FS
	full  *bool
	avail *uint64
}

func (f fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: *f.avail}, nil
}
func (f fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if *f.full {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name, c)
	return fullFile{file, f.full}, err
}

type fullFile struct {
	vfs.File
	full *bool
}

func (f fullFile) Write(p []byte) (int, error) {
	if *f.full {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}
func (f fullFile) SyncData() error {
	if *f.full {
		return syscall.ENOSPC
	}
	return f.File.SyncData()
}

func TestNoSpaceLeft(t *testing.T) {
	full, avail := false, uint64(1<<40)
	mem := vfs.NewMem()
	s := open(t, fullFS{mem, &full, &avail})
	must(t, s.Persist([]*block.Artifact{final(1)}, true))
	avail = reserveBytes + 1<<20
	err := save(s, 1, map[string][]byte{"k": make([]byte, 2<<20)})
	wantError(t, err, "no space left", "nothing is lost")
	select {
	case <-s.Failed():
	default:
		t.Error("the failure is not announced")
	}
	if err := s.Persist([]*block.Artifact{final(2)}, true); err == nil {
		t.Error("a store that failed went on")
	}
	s.db.Close()
	_, err = Open("state", Options{FS: fullFS{mem, &full, new(uint64)}})
	wantError(t, err, "no space left")

	avail = 1 << 40
	s = open(t, fullFS{mem, &full, &avail})
	as, err := s.Artifacts()
	must(t, err)
	if len(as) != 1 {
		t.Errorf("%d artifacts", len(as))
	}
	full = true // and now without a warning
	err = s.Persist([]*block.Artifact{final(2)}, true)
	wantError(t, err, "stopped", "no space left")
	wantError(t, s.Close(), "stopped")
	s = open(t, vfs.NewMem())
	must(t, s.Close())
}

func BenchmarkRound(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for h := ic.Height(1); b.Loop(); h++ {
		if err := s.Persist([]*block.Artifact{final(h)}, true); err != nil {
			b.Fatal(err)
		}
		if err := save(s, h, map[string][]byte{"head": make([]byte, 100)}); err != nil {
			b.Fatal(err)
		}
	}
}

// A batch that the database may still be at work on is not given back: the next one
// would be the same.
func TestBatchOutlivesAFailure(t *testing.T) {
	s := open(t, vfs.NewMem())
	good, bad := s.db.NewBatch(), s.db.NewBatch()
	for _, b := range []*pebble.Batch{good, bad} {
		if err := b.Set([]byte("x"), []byte("y"), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.release(good)
	s.fail(syscall.EIO)
	s.release(bad)
	if !good.Empty() || bad.Empty() {
		t.Errorf("given back: %v before the failure, %v after it", good.Empty(), bad.Empty())
	}
}

// Where the log can not be begun, the store fails and says why, and the process goes on.
func TestLogCannotBeBegun(t *testing.T) {
	full := false
	s := open(t, fullFS{vfs.NewMem(), &full, new(uint64(1 << 40))})
	must(t, s.Persist([]*block.Artifact{final(1)}, true))
	full = true
	err := s.do(s.db.Flush) // begins a new one
	wantError(t, err, "stopped", "no space left")
	wantError(t, s.Persist([]*block.Artifact{final(2)}, true), "stopped")
	wantError(t, s.Close(), "stopped")
}
