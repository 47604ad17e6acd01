package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	statesync "ashlar/replica/state/sync"
)

// The stage keeps what a state sync has verified until it is a whole state:
//
//	t<key><sum>         = kind, content: an entry of the state, a page of it, or an entry that is gone
//	u<kind><place><sum> = a node all below which is there; a piece of a long entry
//
// A part is named by its place and its sum, so nothing of it is ever changed.
const (
	prefixStaged = 't'
	prefixInner  = 'u'
	// stageSync so many bytes the stage is made durable: what a power cut costs.
	stageSync = 4 << 20
	sumBytes  = len(statesync.Sum{})
)

// Stage is the store as replica/state/sync wants it: for one goroutine at a time.
type Stage struct {
	s        *Store
	unsynced int
}

// Stage gives access to the stage, whatever is in it.
func (s *Store) Stage() *Stage { return &Stage{s: s} }

func stageKey(kind statesync.PartKind, key string, sum statesync.Sum) []byte {
	k := make([]byte, 0, 2+len(key)+sumBytes)
	switch kind {
	case statesync.Entry, statesync.Page, statesync.Gone:
		k = append(k, prefixStaged)
	default:
		k = append(k, prefixInner, byte(kind))
	}
	return append(append(k, key...), sum[:]...)
}

// Put keeps parts.
func (g *Stage) Put(parts []statesync.Part) error {
	b := g.s.db.NewBatch()
	defer b.Close()
	for _, p := range parts {
		key := stageKey(p.Kind, p.Key, p.Sum)
		op := b.SetDeferred(len(key), 1+len(p.Content))
		copy(op.Key, key)
		op.Value[0] = byte(p.Kind)
		copy(op.Value[1:], p.Content)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	g.unsynced += b.Len()
	sync := g.unsynced >= stageSync
	if sync {
		g.unsynced = 0
	}
	return g.s.commit(b, sync)
}

// Has tells whether a part is there.
func (g *Stage) Has(kind statesync.PartKind, key string, sum statesync.Sum) (bool, error) {
	_, closer, err := g.s.db.Get(stageKey(kind, key, sum))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return false, nil
	case err != nil:
		return false, g.s.readError(err)
	}
	return true, closer.Close()
}

// Get is the content of a part.
func (g *Stage) Get(kind statesync.PartKind, key string, sum statesync.Sum) ([]byte, bool, error) {
	value, closer, err := g.s.db.Get(stageKey(kind, key, sum))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, g.s.readError(err)
	}
	defer closer.Close()
	return append([]byte(nil), value[1:]...), true, nil
}

// Sweep drops entries and pages but those that keep yields, in order of key.
func (g *Stage) Sweep(keep func(yield func(key string, sum statesync.Sum) error) error) error {
	it, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixStaged}, UpperBound: []byte{prefixStaged + 1}})
	if err != nil {
		return explain(g.s.dir, err)
	}
	b := g.s.db.NewBatch()
	defer func() { b.Close() }()
	drop := func(until []byte) error {
		for ; it.Valid() && (until == nil || string(it.Key()) < string(until)); it.Next() {
			if err := b.Delete(it.Key(), nil); err != nil {
				return err
			}
			if b.Len() < stageSync {
				continue
			}
			if err := g.s.commit(b, false); err != nil {
				return err
			}
			b.Close()
			b = g.s.db.NewBatch()
		}
		return nil
	}
	it.First()
	err = keep(func(key string, sum statesync.Sum) error {
		at := stageKey(statesync.Entry, key, sum)
		if err := drop(at); err != nil {
			return err
		}
		if it.Valid() && string(it.Key()) == string(at) {
			it.Next()
		}
		return nil
	})
	if err == nil {
		err = drop(nil)
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return g.s.readError(err)
	}
	return g.s.commit(b, false)
}

// Empty tells whether nothing is staged.
func (g *Stage) Empty() (empty bool, err error) {
	empty = true
	stop := errors.New("stop")
	for _, prefix := range []byte{prefixStaged, prefixInner} {
		err := g.s.each(prefix, func([]byte, []byte) error {
			empty = false
			return stop
		})
		if err != nil && err != stop {
			return false, err
		}
	}
	return empty, nil
}

// Clear drops all.
func (g *Stage) Clear() error {
	b := g.s.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange([]byte{prefixStaged}, []byte{prefixInner + 1}, nil); err != nil {
		return err
	}
	return g.s.commit(b, false)
}

// Each yields what is to be put over the older state, in order of key; value nil
// is an entry that is gone. Values are the caller's.
func (g *Stage) Each(yield func(key string, value []byte) bool) error {
	stop := errors.New("stop")
	err := g.s.each(prefixStaged, func(key, value []byte) error {
		if len(key) < 1+sumBytes || len(value) == 0 {
			return fmt.Errorf("the database in %s holds a damaged part of a state sync at key %x\n  start with --resync to have it from the other nodes", g.s.dir, key)
		}
		name := string(key[1 : len(key)-sumBytes])
		var content []byte
		if statesync.PartKind(value[0]) != statesync.Gone {
			content = append([]byte{}, value[1:]...)
		}
		if !yield(name, content) {
			return stop
		}
		return nil
	})
	if err == stop {
		return nil
	}
	return err
}
