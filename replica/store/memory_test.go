package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
	"ashlar/replica/wire/block"
)

// world is a set of memories with what they must say.
type world struct {
	t      *testing.T
	s      *Store
	fs     vfs.FS // nil: the real one
	dir    string
	height ic.Height
	now    map[string]pages.Map // to be saved
	disk   map[string]pages.Map // saved
	want   map[string]map[uint64]byte
}

func newWorld(t *testing.T, fs vfs.FS) *world {
	w := &world{t: t, dir: "state", now: map[string]pages.Map{}, disk: map[string]pages.Map{}, want: map[string]map[uint64]byte{}}
	if fs == nil {
		w.dir = t.TempDir()
	}
	w.open(fs)
	return w
}

func (w *world) open(fs vfs.FS) {
	w.t.Helper()
	s, err := Open(w.dir, Options{FS: fs, SmallFiles: true})
	must(w.t, err)
	w.fs, w.s = fs, s
}

// content of a page is a function of one byte, so that models are small.
func content(b byte) pages.Page {
	p := new([pages.Size]byte)
	for i := 0; b != 0 && i < len(p); i += 64 {
		p[i] = b
	}
	p[9] = b
	return p
}

func (w *world) write(key string, changes map[uint64]byte) {
	var list []pages.Change
	want := maps.Clone(w.want[key])
	if want == nil {
		want = map[uint64]byte{}
	}
	for i, b := range changes {
		c := pages.Change{Index: i}
		if b != 0 {
			c.Page = content(b)
			want[i] = b
		} else {
			delete(want, i)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b pages.Change) int { return int(a.Index) - int(b.Index) })
	m := w.now[key].With(1<<50, list)
	m.Sum()
	w.now[key], w.want[key] = m, want
}

func (w *world) copy(from, to string) { w.now[to], w.want[to] = w.now[from], w.want[from] }

func (w *world) remove(key string) { delete(w.now, key); delete(w.want, key) }

func (w *world) save() error {
	w.height++
	old, now := w.disk, maps.Clone(w.now)
	err := w.s.save(change{height: w.height, memory: func(key string) pages.Map { return now[key] },
		each: func(_ func(string, []byte) bool, memory func(string, pages.Map, pages.Map) bool) {
			keys := slices.Collect(maps.Keys(now))
			for k := range old {
				if _, ok := now[k]; !ok {
					keys = append(keys, k)
				}
			}
			slices.Sort(keys)
			for _, k := range keys {
				if now[k].Changed(old[k]) {
					memory(k, old[k], now[k])
				}
			}
		}})
	if err == nil {
		w.disk = now
	}
	return err
}

// load forgets what is in memory, and begins with what is on the disk.
func (w *world) load() {
	w.t.Helper()
	w.disk = map[string]pages.Map{}
	must(w.t, w.s.eachState(func(key string, value []byte) bool {
		m, err := w.s.openMemory(key, value)
		must(w.t, err)
		w.disk[key] = m
		return true
	}))
	w.now = maps.Clone(w.disk)
}

// check compares memories with what they must say.
func (w *world) check(got map[string]pages.Map, want map[string]map[uint64]byte) {
	w.t.Helper()
	for key, model := range want {
		n := 0
		got[key].Each(func(i uint64, p pages.Page) bool {
			n++
			if *p != *content(model[i]) {
				w.t.Fatalf("page %d of %q is %d, want %d", i, key, p[9], model[i])
			}
			return true
		})
		if n != len(model) {
			w.t.Fatalf("%q has %d pages, want %d", key, n, len(model))
		}
		var list []pages.Change
		for i, b := range model {
			list = append(list, pages.Change{Index: i, Page: content(b)})
		}
		fresh := pages.Map{}.With(1, list)
		a, _, _ := fresh.Sum()
		if b, _, _ := got[key].Sum(); a != b {
			w.t.Fatalf("%q has another sum", key)
		}
	}
}

// audit counts again what the store keeps count of, and compares with the disk.
func (w *world) audit() {
	w.t.Helper()
	refs, young := map[uint64]int{}, map[string]bool{}
	must(w.t, w.s.each(prefixNode, func(key, value []byte) error {
		memory, index, ok := splitBlock(key)
		if !ok {
			return nil
		}
		runs, err := decodeRuns(value)
		must(w.t, err)
		for _, r := range runs {
			refs[r.file] += r.count
			for i := range r.count {
				if r.file == 0 {
					young[string(youngKey(memory, index*slots+uint64(r.slot+i)))] = true
				}
			}
		}
		return nil
	}))
	delete(refs, 0)
	var files []string
	for number, u := range w.s.files.list {
		if int(u.refs) != refs[number] || u.refs == 0 && !u.staged {
			w.t.Fatalf("file %d is named %d times, the list says %d", number, refs[number], u.refs)
		}
		delete(refs, number)
		files = append(files, filepath.Base(w.s.pageFile(number)))
	}
	if len(refs) > 0 {
		w.t.Fatalf("files %v are not on the list", refs)
	}
	n := 0
	must(w.t, w.s.each(prefixYoung, func(key, _ []byte) error {
		if _, ok := w.s.young[string(key)]; !ok || !young[string(key)] {
			return fmt.Errorf("young page %x: nobody names it", key)
		}
		n++
		return nil
	}))
	if n != len(young) || n != len(w.s.young) || n > w.s.sizes.young {
		w.t.Fatalf("%d young pages, %d are named, %d are listed", n, len(young), len(w.s.young))
	}
	names, err := w.s.fs.List(w.s.pagesDir)
	must(w.t, err)
	slices.Sort(names)
	slices.Sort(files)
	if !slices.Equal(names, files) {
		w.t.Fatalf("on the disk are %v, in use %v", names, files)
	}
}

// dice is a step of a random life.
func (w *world) dice(rng *rand.Rand) {
	key := fmt.Sprint("c", rng.IntN(5))
	switch n := rng.IntN(20); {
	case n == 0:
		w.remove(key)
	case n <= 2:
		w.copy(key, fmt.Sprint("c", rng.IntN(5)))
	default:
		changes := map[uint64]byte{}
		at := rng.Uint64N(1 << rng.UintN(30))
		for range 1 + rng.IntN(60) {
			if rng.IntN(8) == 0 {
				at = rng.Uint64N(1 << rng.UintN(30))
			}
			at++
			changes[at] = byte(rng.IntN(256)) &^ byte(-(rng.IntN(4) / 3)) // every fourth a page of zeros
		}
		w.write(key, changes)
	}
}

// watched is a disk on which something may happen at each write.
type watched struct {
	*vfs.MemFS
	at func()
}

func (d *watched) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.at()
	f, err := d.MemFS.Create(name, c)
	return watchedFile{f, d}, err
}

func (d *watched) OpenDir(name string) (vfs.File, error) {
	f, err := d.MemFS.OpenDir(name)
	return watchedFile{f, d}, err
}

func (d *watched) Remove(name string) error {
	d.at()
	return d.MemFS.Remove(name)
}

type watchedFile struct {
	vfs.File
	d *watched
}

func (f watchedFile) Write(b []byte) (int, error) {
	f.d.at()
	return f.File.Write(b)
}

func (f watchedFile) Sync() error {
	f.d.at()
	return f.File.Sync()
}

func (f watchedFile) SyncData() error {
	f.d.at()
	return f.File.SyncData()
}

// The power is cut some hundreds of times, at any write of the database or of a
// page file, on a disk that keeps a random part of what was not synced: what is
// there afterwards is a state that was saved, whole, no older than the last one
// before a synced write; and the store goes on from there.
func TestPowerCutAtAnyWrite(t *testing.T) {
	cuts := 0
	for seed := uint64(0); cuts < 300; seed++ {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t, vfs.NewCrashableMem())
		for range 4 { // lives, each on what the last left
			var mu sync.Mutex // the database writes on goroutines of its own
			var after *vfs.MemFS
			disk := &watched{MemFS: w.fs.(*vfs.MemFS)}
			synced, least, left := w.height, ic.Height(0), 1+rng.IntN(200)
			disk.at = func() {
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					after, least = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}), synced
				}
			}
			must(t, w.s.Close())
			w.open(disk)
			w.load()
			models := map[ic.Height]map[string]map[uint64]byte{w.height: maps.Clone(w.want)}
			for after == nil {
				for range 1 + rng.IntN(3) {
					w.dice(rng)
				}
				models[w.height+1] = maps.Clone(w.want)
				must(t, w.save())
				if saved := w.height; rng.IntN(3) == 0 {
					must(t, w.s.Persist([]*block.Artifact{final(w.height)}, true))
					mu.Lock()
					synced = saved
					mu.Unlock()
				}
			}
			cuts++
			w.s.Close()
			w.open(after)
			h, _, err := w.s.SavedHeight()
			must(t, err)
			if h < least || models[h] == nil {
				t.Fatalf("seed %d: height %d is left of %d, at least %d is durable", seed, h, w.height, least)
			}
			w.height, w.want = h, models[h]
			w.load()
			w.audit()
			w.check(w.disk, w.want)
		}
		must(t, w.s.Close())
	}
}

// Pages that canisters have of one module are written once, and stay right while each
// canister changes and the files are merged.
func TestSharedPages(t *testing.T) {
	w := newWorld(t, nil)
	defer func() { w.s.Close() }()
	var module []pages.Change
	said := map[uint64]byte{}
	for i := range uint64(40) {
		module = append(module, pages.Change{Index: i, Page: content(byte(i + 1))})
		said[i] = byte(i + 1)
	}
	initial := pages.Map{}.With(1<<50, module)
	initial.Sum()
	for i := range 20 {
		key := fmt.Sprintf("memory %02d", i)
		w.now[key], w.want[key] = initial, said
		w.write(key, map[uint64]byte{3: byte(100 + i)})
	}
	must(t, w.save())
	written := 0
	for _, u := range w.s.files.list {
		written += int(u.pages)
	}
	if want := 39 + 20; written != want {
		t.Errorf("%d pages were written, of %d", written, want)
	}
	for i := range uint64(30) {
		w.write(fmt.Sprintf("memory %02d", i%20), map[uint64]byte{i: 200, i + 5: 0})
		must(t, w.save())
		w.check(w.now, w.want)
		w.audit()
	}
	must(t, w.s.Close())
	w.open(nil)
	w.load()
	w.check(w.now, w.want)
}

// Memories live as plain maps do, on the disk, in memory, and in versions that
// readers still have, whatever is written, copied, removed, merged and read again.
func TestMemories(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var fs vfs.FS = vfs.NewMem()
		if seed%4 == 3 {
			fs = nil
		}
		w := newWorld(t, fs)
		type reader struct {
			maps map[string]pages.Map
			want map[string]map[uint64]byte
		}
		var readers []reader
		for range 150 {
			w.dice(rng)
			if rng.IntN(3) > 0 {
				continue
			}
			if rng.IntN(4) == 0 {
				readers = append(readers, reader{maps.Clone(w.now), maps.Clone(w.want)})
			}
			must(t, w.save())
			w.audit()
			switch rng.IntN(10) {
			case 0:
				w.check(w.now, w.want)
			case 1: // on with what is read when it is needed
				w.load()
				readers = []reader{{w.disk, maps.Clone(w.want)}} // the others' store knows no more what they have read
			case 2:
				must(t, w.s.Close())
				readers = nil // those of the closed store
				w.open(w.fs)
				w.load()
				w.audit()
				w.check(w.now, w.want)
			case 3:
				for _, r := range readers {
					w.check(r.maps, r.want)
				}
				runtime.GC()
			}
		}
		must(t, w.s.Close())
	}
}
