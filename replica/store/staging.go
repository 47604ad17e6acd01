package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/state"
	"ashlar/replica/state/pages"
	statesync "ashlar/replica/state/sync"
)

// This file: what a state sync has verified, until it is a whole state.
//
//	t<key><sum>         an entry; where a page lies in a page file; what is gone
//	u<kind><place><sum> a node all below which is there; a piece of a long entry
//
// A part is named by its place and its sum, so nothing of it is ever changed. Parts
// gather in memory, then pages go to a file of their own and the rest, which may
// depend on them, to the database.

const (
	prefixStaged = 't'
	prefixInner  = 'u'
	// stageBytes gather before they are written: what a power cut costs, and files
	// so large that they need not be merged.
	stageBytes = 64 << 20
	placeBytes = 8 + 4 // of a page: file, number in there
)

// Staging is the store as replica/state/sync wants it: for one goroutine at a time.
//
//	Put ──> now ── stageBytes ──> flying: written beside what comes next ──> the disk
type Staging struct {
	s      *Store
	now    gathered
	flying gathered
	landed chan error // how the writing of flying ended; nil: it is waited for
}

// gathered parts that are not durable yet.
type gathered struct {
	parts []statesync.Part
	index map[string]int // of parts, by key
	bytes int
}

// Staging gives access to what is staged.
func (s *Store) Staging() *Staging { return &Staging{s: s, now: gathered{index: map[string]int{}}} }

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
func (g *Staging) Put(parts []statesync.Part) error {
	for _, p := range parts {
		g.now.index[string(stageKey(p.Kind, p.Key, p.Sum))] = len(g.now.parts)
		g.now.parts = append(g.now.parts, p)
		g.now.bytes += len(p.Key) + len(p.Content) + 2*sumBytes
	}
	if g.now.bytes < g.s.stageBytes {
		return nil
	}
	if g.s.alone {
		return g.flush()
	}
	return g.send()
}

// send what has gathered to the disk, and go on meanwhile.
func (g *Staging) send() error {
	if err := g.land(); err != nil {
		return err
	}
	g.flying, g.now = g.now, gathered{index: map[string]int{}}
	landed, parts := make(chan error, 1), g.flying.parts
	g.landed = landed
	g.s.beside.Go(func() { landed <- g.s.keep(parts) })
	return nil
}

// land waits for what is on its way to the disk.
func (g *Staging) land() (err error) {
	if g.landed != nil {
		err = <-g.landed
	}
	g.landed, g.flying = nil, gathered{}
	return err
}

// flush makes what has gathered durable.
func (g *Staging) flush() error {
	if err := g.land(); err != nil || len(g.now.parts) == 0 {
		return err
	}
	err := g.s.keep(g.now.parts)
	g.now = gathered{index: map[string]int{}}
	return err
}

// keep parts on the disk: pages first.
func (s *Store) keep(parts []statesync.Part) error {
	var list []StagedPage
	for _, p := range parts {
		if p.Kind == statesync.Page && p.Content != nil {
			list = append(list, StagedPage{Sum: p.Sum, Page: pages.Page(p.Content)})
		}
	}
	if len(list) > 0 {
		if err := s.Stage(list); err != nil {
			return err
		}
	}
	b := s.db.NewBatch()
	defer s.release(b)
	for _, p := range parts {
		value := append([]byte{byte(p.Kind)}, p.Content...)
		if p.Kind == statesync.Page && p.Content != nil {
			f := list[0].Owner.(*file)
			value = binary.BigEndian.AppendUint64([]byte{byte(p.Kind)}, f.number)
			value = binary.BigEndian.AppendUint32(value, f.at(list[0].Page))
			list = list[1:]
		}
		if err := b.Set(stageKey(p.Kind, p.Key, p.Sum), value, nil); err != nil {
			return err
		}
	}
	return s.commit(b, true)
}

// gathered finds a part that may not be on the disk yet.
func (g *Staging) gathered(at []byte) (statesync.Part, bool) {
	for _, from := range []*gathered{&g.now, &g.flying} {
		if i, ok := from.index[string(at)]; ok {
			return from.parts[i], true
		}
	}
	return statesync.Part{}, false
}

// Has tells whether a part is there.
func (g *Staging) Has(kind statesync.PartKind, key string, sum statesync.Sum) (bool, error) {
	at := stageKey(kind, key, sum)
	if _, ok := g.gathered(at); ok {
		return true, nil
	}
	_, ok, err := g.s.get(at)
	return ok, err
}

// Get is the content of a part that is no page.
func (g *Staging) Get(kind statesync.PartKind, key string, sum statesync.Sum) ([]byte, bool, error) {
	at := stageKey(kind, key, sum)
	if p, ok := g.gathered(at); ok {
		return p.Content, true, nil
	}
	value, ok, err := g.s.get(at)
	if !ok || err != nil || len(value) == 0 {
		return nil, false, err
	}
	return value[1:], true, nil
}

// Sweep drops entries and pages but those that keep yields, in order of key.
func (g *Staging) Sweep(keep func(yield func(key string, sum statesync.Sum) error) error) error {
	if err := g.flush(); err != nil {
		return err
	}
	it, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixStaged}, UpperBound: []byte{prefixStaged + 1}})
	if err != nil {
		return explain(g.s.dir, err)
	}
	w := sweep{s: g.s, it: it, b: g.s.db.NewBatch()}
	it.First()
	err = keep(func(key string, sum statesync.Sum) error {
		at := stageKey(statesync.Entry, key, sum)
		err := w.drop(at)
		if it.Valid() && string(it.Key()) == string(at) {
			it.Next()
		}
		return err
	})
	if err == nil {
		err = w.drop(nil)
	}
	if err = errors.Join(err, it.Close()); err == nil {
		err = w.commit()
	}
	w.s.release(w.b)
	return g.s.readError(err)
}

// sweep deletes in batches.
type sweep struct {
	s  *Store
	it *pebble.Iterator
	b  *pebble.Batch
}

// drop what lies before a key; nil: all that is left.
func (w *sweep) drop(until []byte) error {
	for ; w.it.Valid() && (until == nil || string(w.it.Key()) < string(until)); w.it.Next() {
		if err := w.b.Delete(w.it.Key(), nil); err != nil {
			return err
		}
		if w.b.Len() < writeBytes {
			continue
		}
		if err := w.commit(); err != nil {
			return err
		}
		w.s.release(w.b)
		w.b = w.s.db.NewBatch()
	}
	return nil
}

func (w *sweep) commit() error { return w.s.commit(w.b, false) }

// Empty tells whether nothing is staged.
func (g *Staging) Empty() (empty bool, err error) {
	if err := g.land(); err != nil {
		return false, err
	}
	empty = len(g.now.parts) == 0
	err = g.s.span([]byte{prefixStaged}, []byte{prefixInner + 1}, func([]byte, []byte) error {
		empty = false
		return errStop
	})
	if err == errStop {
		err = nil
	}
	return empty, err
}

var errStop = errors.New("stop")

// Clear drops all.
func (g *Staging) Clear() error {
	if err := g.land(); err != nil {
		return err
	}
	g.now = gathered{index: map[string]int{}}
	b := g.s.db.NewBatch()
	defer g.s.release(b)
	if err := b.DeleteRange([]byte{prefixStaged}, []byte{prefixInner + 1}, nil); err != nil {
		return err
	}
	if err := g.s.commit(b, false); err != nil {
		return err
	}
	return g.s.Unstage()
}

// Each yields what is to be put over the older state, as state.Over takes it.
func (g *Staging) Each(yield func(state.Incoming) bool) error {
	if err := g.flush(); err != nil {
		return err
	}
	var memory state.Incoming // of which pages come
	put := func(in state.Incoming) error {
		for _, x := range []state.Incoming{memory, in} {
			if x.Key != "" && !yield(x) {
				return errStop
			}
		}
		memory = state.Incoming{}
		return nil
	}
	err := g.s.each(prefixStaged, func(key, value []byte) error {
		if len(key) < 1+sumBytes || len(value) == 0 {
			return g.damaged(key, errShort)
		}
		name := string(key[1 : len(key)-sumBytes])
		switch statesync.PartKind(value[0]) {
		case statesync.Gone:
			return put(state.Incoming{Key: name, Gone: true})
		case statesync.Page:
			of, h, err := g.page(name, value[1:])
			if err != nil {
				return g.damaged(key, err)
			}
			if of != memory.Key {
				if err := put(state.Incoming{}); err != nil {
					return err
				}
				memory.Key = of
			}
			memory.Pages = append(memory.Pages, h)
			return nil
		}
		return put(state.Incoming{Key: name, Value: append([]byte{}, value[1:]...)})
	})
	if err == nil {
		err = put(state.Incoming{})
	}
	if err == errStop {
		err = nil
	}
	return err
}

func (g *Staging) damaged(key []byte, err error) error {
	return damaged(g.s.dir, fmt.Errorf("a part of a state that came from peers, at key %x: %w", key, err))
}

// page reads where a page lies, nowhere if it is gone.
func (g *Staging) page(name string, at []byte) (memory string, h pages.Held, err error) {
	memory, index, ok := splitYoung([]byte(string(prefixYoung) + name))
	if !ok || len(at) != 0 && len(at) != placeBytes {
		return "", h, errShort
	}
	h.Index = index
	if len(at) == 0 {
		return memory, h, nil
	}
	f, err := g.s.file(binary.BigEndian.Uint64(at))
	n := binary.BigEndian.Uint32(at[8:])
	if err == nil && int(n) >= f.pages {
		err = fmt.Errorf("page %d of %d", n, f.pages)
	}
	if err != nil {
		return "", h, err
	}
	h.Page, h.Owner = f.page(n), f
	return memory, h, nil
}
