package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

func heightKey(h ic.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixBlock}, uint64(h))
}

// artifactKey is the same for two encodings of one thing, so that a second copy replaces the first.
func artifactKey(a *block.Artifact) []byte {
	k := append(heightKey(a.Height), byte(a.Kind))
	if a.Kind.Signed() {
		k = binary.BigEndian.AppendUint64(k, a.Signer)
	}
	return append(k, a.Hash[:]...)
}

// Artifacts are all that were persisted and not purged.
func (s *Store) Artifacts() (out []*block.Artifact, err error) {
	err = s.EachArtifact(0, ^ic.Height(0), func(a *block.Artifact) bool {
		out = append(out, a)
		return true
	})
	return out, err
}

// EachArtifact yields what was persisted of the heights from (included) to to
// (excluded), by height and kind, until it says false.
func (s *Store) EachArtifact(from, to ic.Height, yield func(*block.Artifact) bool) error {
	stop := errors.New("stop")
	err := s.span(heightKey(from), heightKey(to), func(key, value []byte) error {
		a, err := block.Decode(slices.Clone(value))
		if err != nil {
			return damaged(s.dir, fmt.Errorf("an artifact at key %x: %w", key, err))
		}
		if !yield(a) {
			return stop
		}
		return nil
	})
	if err == stop {
		return nil
	}
	return err
}

// CUP is the catch-up package to begin with, nil if there is none; waits tells that its
// state was awaited.
func (s *Store) CUP() (cup *block.Artifact, waits bool, err error) {
	value, closer, err := s.db.Get([]byte{prefixCUP})
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, explain(s.dir, err)
	}
	defer closer.Close()
	err = errors.New("it is empty, or of another kind")
	if len(value) > 0 {
		var bad error
		if cup, bad = block.Decode(slices.Clone(value[1:])); bad == nil && cup.Kind == block.CUP {
			return cup, value[0] == cupWaits, nil
		}
		err = errors.Join(err, bad)
	}
	return nil, false, damaged(s.dir, fmt.Errorf("the catch-up package: %w", err))
}

// SavedHeight is that of the saved state; ok is false before the first.
func (s *Store) SavedHeight() (h ic.Height, ok bool, err error) {
	value, closer, err := s.db.Get([]byte{prefixHeight})
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, explain(s.dir, err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return 0, false, damaged(s.dir, fmt.Errorf("a height of %d bytes", len(value)))
	}
	return ic.Height(binary.BigEndian.Uint64(value)), true, nil
}

// LoadState is the saved state, nil before the first. Its memories are read when
// they are needed.
func (s *Store) LoadState() (*state.State, error) {
	h, ok, err := s.SavedHeight()
	if err != nil || !ok {
		return nil, err
	}
	now, err := state.Open(s.eachState, s.openMemory, s.placeChunk)
	if err != nil {
		return nil, damaged(s.dir, fmt.Errorf("the saved state: %w", err))
	}
	if now.Height() != h {
		return nil, damaged(s.dir, fmt.Errorf("the saved state says height %d, the store %d", now.Height(), h))
	}
	if !s.frozen {
		now.SettleCodes(s.placeModule)
		s.dropModules(now)
	}
	if s.format < Format { // pages were entries: they are written anew
		if err := s.SaveState(now, nil); err != nil {
			return nil, err
		}
		s.format = Format
	}
	return now, nil
}

// eachState yields the entries of the saved state, in order; values are the
// caller's. It has the form that state.Open takes.
func (s *Store) eachState(yield func(key string, value []byte) bool) error {
	stop := errors.New("stop")
	err := s.each(prefixState, func(key, value []byte) error {
		if !yield(string(key[1:]), slices.Clone(value)) {
			return stop
		}
		return nil
	})
	if err == stop {
		return nil
	}
	return err
}

func (s *Store) each(prefix byte, f func(key, value []byte) error) error {
	return s.span([]byte{prefix}, []byte{prefix + 1}, f)
}

func (s *Store) span(from, to []byte, f func(key, value []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return explain(s.dir, err)
	}
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), value)
		}
		if err != nil {
			it.Close()
			return s.readError(err)
		}
	}
	return s.readError(it.Close())
}

// readError prefers what the database said about the file to what the reader saw of it.
func (s *Store) readError(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		if first := s.Err(); first != nil {
			return first
		}
		return explain(s.dir, err)
	}
	return err
}
