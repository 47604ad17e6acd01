package store

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/state"
)

// This file: chunk stores in memory. The database has the chunks, as other values. Each
// canister may have a hundred of a MiB, and reads each once or never: so they do not
// stay on the Go heap.
//
//	saved or loaded ──> waiting, up to 16 MiB ──> one file, mapped and without a name ──> gone with its last chunk
//
// The files are of this process alone: the next one makes its own, of the database.

const (
	segmentBytes = 16 << 20 // of chunks are written to one file
	minChunk     = 4 << 10  // bytes are worth to be there
	// maxSegments are mapped at a time, see maxModules; other chunks stay on the Go heap.
	maxSegments = 8192
)

// segments counts those that are mapped.
var segments atomic.Int64

// chunks that wait to be written, on the Go heap.
type chunks struct {
	mu    sync.Mutex
	list  []*state.Chunk
	bytes int
}

// placeChunk takes a chunk off the Go heap, in a while.
func (s *Store) placeChunk(c *state.Chunk) {
	if s.fs != vfs.Default || !c.OnHeap() || len(c.Bytes()) < minChunk {
		return
	}
	w := &s.chunks
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, c)
	if w.bytes += len(c.Bytes()); w.bytes < segmentBytes {
		return
	}
	if segments.Load() < maxSegments {
		s.placeTogether(w.list)
	}
	w.list, w.bytes = nil, 0
}

// placeTogether lets chunks lie in one file. That something is wrong with it is nobody's
// loss: they stay where they are.
func (s *Store) placeTogether(list []*state.Chunk) {
	data, err := s.mapTogether(list)
	if err != nil || data == nil {
		return
	}
	m, at := hold(data, &segments), 0
	for _, c := range list {
		end := at + len(c.Bytes())
		c.Place(&state.Placed{Bytes: data[at:end:end], Keep: m})
		at = end
	}
}

// mapTogether writes chunks to a file that has no name any more, and maps it.
func (s *Store) mapTogether(list []*state.Chunk) ([]byte, error) {
	if err := os.MkdirAll(s.moduleDir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.moduleDir, "chunks-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	total := 0
	for _, c := range list {
		n, err := f.Write(c.Bytes())
		if err != nil {
			return nil, err
		}
		total += n
	}
	return mapFile(f.Fd(), total)
}
