package store

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	"ashlar/replica/wire/block"
)

func openSmall(t *testing.T, dir string, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(dir, Options{FS: fs, SmallFiles: true, Log: func(l string) { t.Log(l) }})
	must(t, err)
	return s
}

// sameNodes compares all of two states, each page by what is read of it.
func sameNodes(a, b merkle.Node) bool {
	ka, kb := a.Kids(), b.Kids()
	if len(ka) != len(kb) || !bytes.Equal(merkle.Encode(a, ka), merkle.Encode(b, kb)) {
		return false
	}
	for i := range ka {
		if ka[i].Label != kb[i].Label || !sameNodes(ka[i].Node, kb[i].Node) {
			return false
		}
	}
	return true
}

func checkCheckpoint(t *testing.T, s *Store, want *state.State) {
	t.Helper()
	lease, err := s.OpenCheckpoint(want.Height())
	must(t, err)
	if lease.Root() != want.Root() || !sameNodes(lease.Merkle(), want.Merkle()) || lease.Err() != nil {
		t.Errorf("the checkpoint of height %d has another state: %v", want.Height(), lease.Err())
	}
	must(t, lease.Close())
}

// chain of states in memory.
func chain(r *rand.Rand, n int) []*state.State {
	out := []*state.State{someState(r, nil)}
	for len(out) < n {
		out = append(out, someState(r, out[len(out)-1]))
	}
	return out
}

// A checkpoint keeps its state while the saved one goes on, page files are merged and
// the store is opened again; and it goes when it is dropped, not while it is read.
func TestCheckpoint(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		var disk vfs.FS = vfs.Default
		if dir == "" {
			dir, disk = "state", vfs.NewMem()
		}
		states := chain(rand.New(rand.NewPCG(1, 2)), 60)
		s := openSmall(t, dir, disk)
		if err := s.Checkpoint(); err != nil || s.HasCheckpoint(0) {
			t.Errorf("a checkpoint of nothing: %v", err)
		}
		var old *state.State
		for i, st := range states {
			must(t, s.SaveState(st, old))
			old = st
			if i%20 == 5 {
				must(t, s.Checkpoint())
				must(t, s.Checkpoint()) // twice is once
			}
		}
		must(t, s.Close())
		s = openSmall(t, dir, disk)
		for _, i := range []int{5, 25, 45} {
			checkCheckpoint(t, s, states[i])
		}
		lease, err := s.OpenCheckpoint(states[5].Height())
		must(t, err)
		if _, err := s.OpenCheckpoint(states[5].Height()); err == nil {
			t.Error("opened twice at once")
		}
		must(t, s.DropCheckpoints(states[45].Height()))
		if !s.HasCheckpoint(states[5].Height()) || s.HasCheckpoint(states[25].Height()) || !s.HasCheckpoint(states[45].Height()) {
			t.Error("dropped are others than those that nobody reads")
		}
		if !sameNodes(lease.Merkle(), states[5].Merkle()) {
			t.Error("what is being read has changed")
		}
		must(t, lease.Close())
		must(t, s.DropCheckpoints(states[45].Height()))
		if _, err := s.OpenCheckpoint(states[5].Height()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
		now, err := s.LoadState()
		must(t, err)
		if !sameNodes(now.Merkle(), old.Merkle()) {
			t.Error("the saved state is another one")
		}
		must(t, s.Close())
		if _, err := SetAside(dir, 9e9, Options{FS: disk}); err != nil {
			t.Fatal(err)
		}
		s = openSmall(t, dir, disk)
		if s.HasCheckpoint(states[45].Height()) {
			t.Error("a new database has the checkpoint of the one that was set aside")
		}
		must(t, s.Close())
	}
}

// The power is cut at any write: each checkpoint that was made is there and whole, and
// what was being made or dropped is whole or not there.
func TestPowerCutAtACheckpoint(t *testing.T) {
	whole, halves := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		states := chain(r, 12)
		disk := &watched{MemFS: vfs.NewCrashableMem()}
		var mu sync.Mutex
		var after *vfs.MemFS
		var made, then map[ic.Height]bool
		left := 1 + r.IntN(400)
		disk.at = func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				after = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
				then = map[ic.Height]bool{}
				for h := range made {
					then[h] = true
				}
			}
		}
		s := openSmall(t, "state", disk)
		made = map[ic.Height]bool{}
		var old *state.State
		for _, st := range states {
			must(t, s.SaveState(st, old))
			old = st
			if r.IntN(2) == 0 {
				must(t, s.Checkpoint())
				mu.Lock()
				made[st.Height()] = true
				mu.Unlock()
			}
			if r.IntN(3) == 0 {
				below := st.Height() - min(3, st.Height())
				mu.Lock()
				for h := range made {
					if h < below {
						delete(made, h)
					}
				}
				mu.Unlock()
				must(t, s.DropCheckpoints(below))
			}
			must(t, s.Persist([]*block.Artifact{final(st.Height())}, true))
		}
		must(t, s.Close())
		if after == nil {
			continue
		}
		_, broken, err := (&Store{dir: "state/db", fs: after}).listCheckpoints()
		must(t, err)
		halves += len(broken)
		s = openSmall(t, "state", after)
		for _, st := range states {
			if !s.HasCheckpoint(st.Height()) {
				if then[st.Height()] {
					t.Errorf("seed %d: the checkpoint of height %d is lost", seed, st.Height())
				}
				continue
			}
			whole++
			checkCheckpoint(t, s, st)
		}
		if names, _ := after.List("state/" + checkpointsDir); strings.Contains(strings.Join(names, " "), checkpointHalf) {
			t.Errorf("seed %d: halves are left: %v", seed, names)
		}
		must(t, s.Close())
	}
	if whole == 0 || halves == 0 {
		t.Errorf("%d checkpoints and %d halves were seen after cuts: the test finds nothing", whole, halves)
	}
}

// What is wrong with a checkpoint is said of the checkpoint, and the store goes on.
func TestDamagedCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	states := chain(rand.New(rand.NewPCG(4, 4)), 20)
	s := openSmall(t, "state", mem)
	var old *state.State
	for _, st := range states {
		must(t, s.SaveState(st, old))
		old = st
	}
	must(t, s.Checkpoint())
	dir := s.checkpointDir(old.Height())
	names, err := mem.List(filepath.Join(dir, "pages"))
	must(t, err)
	for _, name := range names { // replaced: the store has the same file under its own name
		path := filepath.Join(dir, "pages", name)
		data, err := readAll(mem, path)
		must(t, err)
		for i := headerBytes; i < len(data)-footerBytes; i += 512 {
			data[i] ^= 1
		}
		must(t, mem.Remove(path))
		w, err := mem.Create(path, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = w.Write(data)
		must(t, errors.Join(err, w.Close()))
	}
	lease, err := s.OpenCheckpoint(old.Height())
	must(t, err)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("damaged pages were read")
			}
		}()
		sameNodes(lease.Merkle(), old.Merkle())
	}()
	if err := lease.Err(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("the damage is not named: %v", err)
	}
	must(t, lease.Close())
	if err := s.Err(); err != nil {
		t.Errorf("the store failed: %v", err)
	}
	must(t, mem.RemoveAll(filepath.Join(dir, "pages")))
	if _, err := s.OpenCheckpoint(old.Height()); err == nil {
		t.Error("opened without its pages")
	}
	must(t, s.Close())
}
