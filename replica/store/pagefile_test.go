package store

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
	"ashlar/replica/wire/block"
)

// A page, or the sums, of a page file are damaged: who reads them first ends the
// store, with the file's name and the way back; a merge does not make damage whole.
func TestDamagedPages(t *testing.T) {
	for what, at := range map[string]func(f *file) int64{
		"a page": func(f *file) int64 { return headerBytes + 3*pages.Size + 77 },
		"a sum":  func(f *file) int64 { return headerBytes + int64(f.pages)*pages.Size + 3*sumBytes },
	} {
		w := newWorld(t, nil)
		changes := map[uint64]byte{}
		for i := range uint64(50) {
			changes[i] = 1 + byte(i)
		}
		w.write("a", changes)
		must(t, w.save())
		var f *file
		for _, f = range w.s.files.open {
		}
		name, offset := w.s.pageFile(f.number), at(f)
		must(t, w.s.Close())
		b, err := os.ReadFile(name)
		must(t, err)
		b[offset] ^= 4
		must(t, os.WriteFile(name, b, 0o600))
		w.open(nil)
		w.load()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is damaged, and nobody is told", what)
				}
			}()
			w.check(w.disk, w.want)
		}()
		wantError(t, w.s.Err(), "damaged", "backup")
		if what == "a page" {
			wantError(t, w.s.Err(), name)
		}
		w.s.Close()
	}
	w := newWorld(t, nil)
	w.write("a", map[uint64]byte{1: 1})
	for i := range uint64(40) {
		w.write("a", map[uint64]byte{i: 9})
	}
	must(t, w.save())
	names, err := w.s.fs.List(w.s.pagesDir)
	must(t, err)
	must(t, w.s.Close())
	must(t, os.Remove(filepath.Join(w.s.pagesDir, names[0])))
	_, err = Open(w.dir, Options{})
	wantError(t, err, names[0], "missing", "backup")
}

// The disk is full in the middle of a page file: the store stops and says so, and
// what was saved before is there afterwards.
func TestNoSpaceForPages(t *testing.T) {
	for _, sudden := range []bool{false, true} {
		full, avail := false, uint64(1<<40)
		mem := vfs.NewMem()
		w := newWorld(t, fullFS{mem, &full, &avail})
		w.write("a", map[uint64]byte{1: 1, 2: 2})
		must(t, w.save())
		must(t, w.s.Persist([]*block.Artifact{final(1)}, true))
		saved := maps.Clone(w.want)
		changes := map[uint64]byte{}
		for i := range uint64(200) {
			changes[i] = 7
		}
		w.write("a", changes)
		if full = sudden; !sudden {
			avail = reserveBytes + 100*pages.Size
			w.s.checked = diskCheckEvery
		}
		wantError(t, w.save(), "no space left")
		select {
		case <-w.s.Failed():
		default:
			t.Error("the failure is not announced")
		}
		full, avail = false, 1<<40
		w.s.db.Close()
		w.open(mem)
		w.load()
		w.audit()
		w.check(w.disk, saved)
		must(t, w.s.Close())
	}
}

// Pages that state sync has fetched are there after a crash, become part of a saved
// state without being written again, and go when they are not needed any more.
func TestStage(t *testing.T) {
	mem := vfs.NewCrashableMem()
	w := newWorld(t, mem)
	list := make([]StagedPage, 150)
	for i := range list {
		p := content(byte(i + 1))
		list[i] = StagedPage{Sum: merkle.SumPage(p), Page: p}
	}
	must(t, w.s.Stage(list[:90]))
	must(t, w.s.Stage(list[90:]))
	for i := range list {
		if list[i].Owner == nil || *list[i].Page != *content(byte(i + 1)) {
			t.Fatalf("page %d has no place in a file", i)
		}
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	w.s.Close()
	w.open(after)
	w.audit()
	var held []pages.Held
	must(t, w.s.Staged(func(p StagedPage) bool {
		if merkle.SumPage(p.Page) != p.Sum {
			t.Errorf("a staged page has another sum")
		}
		held = append(held, pages.Held{Index: uint64(len(held)) * 70, Page: p.Page, Owner: p.Owner})
		return true
	}))
	if len(held) != len(list) {
		t.Fatalf("%d of %d staged pages are left", len(held), len(list))
	}
	m := pages.New(1<<40, held[:100])
	m.Sum()
	w.now["a"], w.want["a"] = m, map[uint64]byte{}
	for i, h := range held[:100] {
		w.want["a"][uint64(i)*70] = h.Page[9]
	}
	files := w.s.files.next
	must(t, w.save())
	if w.s.files.next != files {
		t.Error("staged pages were written again")
	}
	must(t, w.s.Unstage())
	w.audit()
	must(t, w.s.Close())
	w.open(after)
	w.load()
	w.check(w.disk, w.want)
	if err := w.s.Staged(func(StagedPage) bool { t.Error("pages are staged"); return false }); err != nil {
		t.Error(err)
	}
	must(t, w.s.Close())
}

// A store of the format before page files is taken over.
func TestOlderFormat(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, mem)
	old := state.New(state.Genesis{Time: 5, Subnet: state.Subnet{ID: ic.SubnetID{Principal: "s"}, Type: "application"}})
	d := old.Draft()
	d.Head.Height = 3
	heap := pages.Map{}.With(1<<20, []pages.Change{{Index: 4, Page: content(4)}, {Index: 200, Page: content(9)}})
	c := &state.Canister{ID: ic.CanisterIDFromUint64(1), Memory: &state.Memory{Heap: heap}}
	c.HeapBytes = 1 << 20
	d.Put(c)
	now := d.Seal()
	b := s.db.NewBatch()
	now.Diff(nil, func(key string, value []byte) bool {
		must(t, b.Set(append([]byte{prefixState}, key...), value, nil))
		return true
	})
	must(t, b.Set([]byte{prefixHeight}, []byte{0, 0, 0, 0, 0, 0, 0, 3}, nil))
	must(t, b.Set([]byte{prefixVersion}, []byte{1}, nil))
	must(t, b.Commit(nil))
	must(t, s.Close())
	for range 2 {
		s = open(t, mem)
		again, err := s.LoadState()
		must(t, err)
		if again.Root() != now.Root() || *again.Canister(c.ID).Memory.Heap.Get(200) != *content(9) {
			t.Error("the state is another one")
		}
		if s.format != Format {
			t.Errorf("the format is %d", s.format)
		}
		must(t, s.Close())
	}
}

func FuzzNodes(f *testing.F) {
	f.Add(encodeKids([]merkle.Edge{{Slot: 3}, {Slot: 63}}))
	f.Add(encodeRuns([]run{{0, 5, 0, 0}, {7, 2, 900, 65000}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if edges, err := decodeKids(b); err == nil && !bytes.Equal(encodeKids(edges), b) {
			t.Error("kids are written in another way than they were read")
		}
		runs, err := decodeRuns(b)
		if err != nil {
			return
		}
		again, err := decodeRuns(encodeRuns(runs))
		if err != nil || !slices.Equal(again, runs) {
			t.Errorf("runs %v, %v", again, err)
		}
	})
}
