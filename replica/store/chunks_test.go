package store

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Chunks do not stay on the Go heap, neither when they come nor after a restart; they
// are what they were, also for a snapshot and in an older state, and leave no file.
func TestChunksLeaveTheHeap(t *testing.T) {
	const count, size = 96, 1 << 20
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	now := stateWith(nil, nil)
	must(t, s.SaveState(now, nil))
	id := ic.CanisterIDFromUint64(1)
	random := rand.NewChaCha8([32]byte{1})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	holds := func(what string, s *state.State, want int) {
		t.Helper()
		c, n, away := s.Canister(id), 0, 0
		each := func(hash string, c *state.Chunk) bool {
			if got := sha256.Sum256(c.Bytes()); string(got[:]) != hash {
				t.Fatalf("%s: a chunk has changed", what)
			}
			if n++; !c.OnHeap() {
				away++
			}
			return true
		}
		c.Chunks.Each(each)
		if n != want {
			t.Fatalf("%s: %d chunks, want %d", what, n, want)
		}
		if away < n-segmentBytes/size {
			t.Errorf("%s: %d of %d chunks lie on the heap", what, n-away, n)
		}
		c.Snapshots.Each(func(_ string, s *state.Snapshot) bool { s.Chunks.Each(each); return true })
	}
	before := heap()
	for i := range count {
		d := now.Draft()
		d.Head.Height++
		c := *d.Canister(id)
		b := make([]byte, size)
		random.Read(b)
		hash := sha256.Sum256(b)
		if c.Chunks = c.Chunks.With(string(hash[:]), state.NewChunk(b)); i == 10 {
			small := sha256.Sum256([]byte("small"))
			c.Chunks = c.Chunks.With(string(small[:]), state.NewChunk([]byte("small")))
			c.Snapshots = c.Snapshots.With(state.ID(1), &state.Snapshot{Memory: &state.Memory{}, Chunks: c.Chunks})
		}
		d.Put(&c)
		next := d.Seal()
		must(t, s.SaveState(next, now))
		now = next
	}
	holds("as they come", now, count+1)
	if got := heap() - before; got > 2*segmentBytes {
		t.Errorf("%d MiB of chunks take %d MiB of the heap", count*size>>20, got>>20)
	}
	root := now.Root()
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, "modules", "chunks-1"), []byte("of a process that died"), 0o600))
	s, err = Open(dir, Options{})
	must(t, err)
	before = heap()
	again, err := s.LoadState()
	must(t, err)
	holds("after a restart", again, count+1)
	if got := heap() - before; got > 3*segmentBytes { // those of the snapshot have a part that waits, too
		t.Errorf("after a restart %d MiB of chunks take %d MiB of the heap", count*size>>20, got>>20)
	}
	if again.Root() != root {
		t.Error("another state came back")
	}
	must(t, s.Checkpoint())
	lease, err := s.OpenCheckpoint(again.Height())
	must(t, err)
	holds("in a checkpoint", lease.State, count+1)
	must(t, lease.Close())
	d := again.Draft()
	d.Head.Height++
	c := *d.Canister(id)
	c.ClearChunks()
	d.Put(&c)
	cleared := d.Seal()
	must(t, s.SaveState(cleared, again))
	holds("in an older state", again, count+1)
	if files, err := filepath.Glob(filepath.Join(dir, "modules", "*")); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v %v", files, err)
	}
	runtime.KeepAlive(now)
	must(t, s.Close())
}

// A chunk that finds no place stays where it is.
func TestChunksStay(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "modules"), nil, 0o600)) // no folder can be made
	content := bytes.Repeat([]byte("x"), segmentBytes)
	c := state.NewChunk(content)
	s.placeChunk(c)
	if !c.OnHeap() || !bytes.Equal(c.Bytes(), content) {
		t.Error("the chunk is gone")
	}
	must(t, s.Close())
}
