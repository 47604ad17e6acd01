package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
)

// This file: saving a state.
//
//	entries ──────────────────────────────────┐
//	memories ── nodes that are new ───────────┼─> one batch ──> Settle
//	              └ their pages: young ones ──┘       ^
//	                 or, where many, a page file, synced
//
// The batch names a file only once the file is durable, and becomes durable as a
// whole: a crash leaves the state before or the state after.

// change is what leads from the saved state to another.
type change struct {
	height ic.Height
	whole  bool // all of it is new: nothing of what the store has is kept
	each   func(entry func(key string, value []byte) bool, memory func(key string, old, now pages.Map) bool)
	memory func(key string) pages.Map // of the new state
	after  func()                     // it is saved
}

// SaveState writes next, where the store has old: the state that was saved last or
// that LoadState gave. With old nil what the store has is replaced.
func (s *Store) SaveState(next, old *state.State) error {
	return s.save(change{
		height: next.Height(), whole: old == nil, memory: next.Memory,
		each: func(entry func(string, []byte) bool, memory func(string, pages.Map, pages.Map) bool) {
			next.Changes(old, entry, memory)
		},
		after: func() {
			next.SettleCodes(s.placeModule)
			next.NewChunks(old, s.placeChunk)
		},
	})
}

func (s *Store) save(c change) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	x := &saving{s: s, c: c, b: s.db.NewBatch(), nodes: map[any]*piece{}}
	defer s.release(x.b)
	if err := x.write(); err != nil {
		s.fail(fmt.Errorf("write state %d: %w", c.height, err))
		return s.Err()
	}
	x.settle()
	if c.after != nil {
		c.after()
	}
	if err := s.tidy(c.memory); err != nil {
		s.fail(err)
	}
	return s.Err()
}

// saving is one save.
type saving struct {
	s      *Store
	c      change
	b      *pebble.Batch
	err    error
	blocks []*piece       // that have pages to be written or to settle
	nodes  map[any]*piece // the first of blocks with this node
	fresh  int            // pages that are not on disk; what several nodes have counts for each
}

// piece is a node of the lowest level that is to be written.
type piece struct {
	memory string
	part   pages.Part
	slots  []pages.Slot
	places []place // of each slot; no file: young
	again  bool    // another memory has the same node, and it has the places
}

func (x *saving) write() error {
	if x.c.whole {
		x.forget()
	}
	x.c.each(x.entry, x.memory)
	if x.err != nil {
		return x.err
	}
	size := x.b.Len() + x.fresh*pages.Size
	flush := len(x.s.young)+x.fresh > x.s.sizes.young
	if flush {
		x.addYoung()
		size += len(x.s.young) * pages.Size
	}
	if err := x.s.space(size); err != nil {
		return err
	}
	if flush {
		if err := x.writeFiles(); err != nil {
			return err
		}
	}
	for _, b := range x.blocks {
		x.check(x.putBlock(b))
	}
	x.check(x.b.Set([]byte{prefixHeight}, binary.BigEndian.AppendUint64(nil, uint64(x.c.height)), nil))
	if x.s.format < Format {
		x.check(x.b.Set([]byte{prefixVersion}, []byte{Format}, nil))
	}
	x.check(x.s.files.write(x.b))
	if x.err != nil {
		return x.err
	}
	if err := x.s.apply(x.b, pebble.NoSync); err != nil {
		return err
	}
	x.s.files.drop()
	return nil
}

func (x *saving) check(err error) {
	if x.err == nil {
		x.err = err
	}
}

// forget what the store has of a state.
func (x *saving) forget() {
	for _, p := range []byte{prefixState, prefixNode, prefixYoung} {
		x.check(x.b.DeleteRange([]byte{p}, []byte{p + 1}, nil))
	}
	clear(x.s.young)
	for number, u := range x.s.files.list {
		x.s.files.use(number, -int(u.refs))
	}
}

func (x *saving) entry(key string, value []byte) bool {
	k := append([]byte{prefixState}, key...)
	if value == nil {
		x.check(x.b.Delete(k, nil))
		x.s.dropModule(key)
	} else {
		x.check(x.b.Set(k, value, nil))
	}
	return x.err == nil
}

// memory writes the nodes of a memory that are new; those whose pages have no place
// yet wait.
func (x *saving) memory(key string, old, now pages.Map) bool {
	if level, sum, ok := now.Root(); ok {
		x.entry(key, encodeRoot(level, sum))
	} else {
		x.entry(key, nil)
	}
	now.Parts(old, func(p pages.Part) bool {
		switch {
		case p.Level == 0:
			x.addBlock(key, p)
		case p.Gone():
			x.check(x.b.Delete(nodeKey(key, p.Level, p.Index), nil))
		default:
			x.check(x.b.Set(nodeKey(key, p.Level, p.Index), encodeKids(p.Kids()), nil))
		}
		return x.err == nil
	})
	return x.err == nil
}

func (x *saving) addBlock(memory string, p pages.Part) {
	b := &piece{memory: memory, part: p, slots: p.Slots()}
	if first := x.nodes[p.Node()]; first != nil && len(b.slots) > 0 {
		// A node has its pages in one place, whichever memory it is of.
		b.places, b.again = first.places, true
		x.fresh += len(b.slots)
		x.blocks = append(x.blocks, b)
		return
	}
	b.places = make([]place, len(b.slots))
	waits := false
	for i := range b.slots {
		slot := &b.slots[i]
		if f, ok := slot.Owner.(*file); ok && f.store == x.s {
			// Who shares pages of what the store has forgotten since has them written anew.
			if at := f.where(f.at(slot.Page)); x.s.files.has(at.file) {
				b.places[i] = at
				waits = waits || slot.Moved || at.file != f
				continue
			}
		}
		waits = true
		if !slot.Kept {
			x.fresh++
		}
	}
	if waits {
		x.blocks, x.nodes[p.Node()] = append(x.blocks, b), b
	} else {
		x.check(x.putBlock(b))
	}
}

// addYoung adds the blocks of all young pages, so that they move with the new ones.
func (x *saving) addYoung() {
	type id struct {
		memory string
		index  uint64
	}
	have := map[id]bool{}
	for _, b := range x.blocks {
		have[id{b.memory, b.part.Index}] = true
	}
	for key := range x.s.young {
		memory, page, _ := splitYoung([]byte(key))
		if i := (id{memory, page / slots}); !have[i] {
			have[i] = true
			x.addBlock(memory, x.c.memory(memory).Block(i.index))
		}
	}
}

// writeFiles writes the pages that have no place into files, in the order of
// memories, so that neighbours stay together. A page that several nodes have is
// written once: canisters that were installed from one module share those that the
// module brought.
func (x *saving) writeFiles() error {
	slices.SortFunc(x.blocks, func(a, b *piece) int {
		return cmp.Or(cmp.Compare(a.memory, b.memory), cmp.Compare(a.part.Index, b.part.Index))
	})
	w := &fileWriter{s: x.s}
	first := map[pages.Page]*place{}
	var others []*piece // that have pages of earlier ones
	for _, b := range x.blocks {
		shares := false
		for i := range b.slots {
			if b.places[i].file != nil || b.again {
				continue
			}
			if first[b.slots[i].Page] != nil {
				shares = true
				continue
			}
			first[b.slots[i].Page] = &b.places[i]
			if err := w.put(b.slots[i].Page, b.slots[i].Sum, &b.places[i]); err != nil {
				return err
			}
		}
		if shares {
			others = append(others, b)
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	for _, b := range others {
		for i := range b.slots {
			if b.places[i].file == nil {
				b.places[i] = *first[b.slots[i].Page]
			}
		}
	}
	return nil
}

// putBlock writes where the pages of a block are, and counts.
func (x *saving) putBlock(b *piece) error {
	key := nodeKey(b.memory, 0, b.part.Index)
	var was []run
	if !x.c.whole {
		value, ok, err := x.s.get(key)
		if err == nil && ok {
			was, err = decodeRuns(value)
		}
		if err != nil {
			return err
		}
	}
	var young uint64
	var runs []run
	for i := range b.slots {
		slot, at := &b.slots[i], b.places[i]
		n := int(slot.Index % slots)
		if at.file != nil {
			runs = addRun(runs, n, at.file.number, at.at)
			continue
		}
		runs = addRun(runs, n, 0, 0)
		young |= 1 << n
		k := youngKey(b.memory, slot.Index)
		if _, have := x.s.young[string(k)]; have && slot.Kept {
			continue
		}
		x.s.young[string(k)] = struct{}{}
		x.check(x.b.Set(k, slot.Page[:], nil))
	}
	for _, r := range was {
		x.s.files.use(r.file, -r.count)
		for i := r.slot; r.file == 0 && i < r.slot+r.count; i++ {
			if young>>i&1 == 0 {
				k := youngKey(b.memory, b.part.Index*slots+uint64(i))
				delete(x.s.young, string(k))
				x.check(x.b.Delete(k, nil))
			}
		}
	}
	for _, r := range runs {
		x.s.files.use(r.file, r.count)
	}
	if len(runs) == 0 {
		return x.b.Delete(key, nil)
	}
	return x.b.Set(key, encodeRuns(runs), nil)
}

// settle lets memories use the pages where they lie now.
func (x *saving) settle() {
	for _, b := range x.blocks {
		if !b.again {
			b.settle()
		}
	}
}

func (b *piece) settle() {
	i := 0
	b.part.Settle(func(s pages.Slot) (pages.Page, pages.Owner) {
		for b.slots[i].Index != s.Index {
			i++
		}
		at := b.places[i]
		if at.file == nil {
			return s.Page, s.Owner
		}
		return at.file.page(at.at), at.file
	})
}

// fileWriter gathers pages into files.
type fileWriter struct {
	s            *Store
	staged, made bool
	list         []fresh
	places       []*place
}

// put adds a page; at is told its place once the file is there.
func (w *fileWriter) put(p pages.Page, sum [32]byte, at *place) error {
	w.list, w.places = append(w.list, fresh{p, sum}), append(w.places, at)
	if len(w.list) < w.s.sizes.file {
		return nil
	}
	return w.cut()
}

func (w *fileWriter) cut() error {
	if len(w.list) == 0 {
		return nil
	}
	f, err := w.s.writeFile(w.s.files.next, w.list)
	if err != nil {
		return err
	}
	w.s.files.next++
	w.s.files.add(f, w.staged)
	for i, at := range w.places {
		*at = place{f, uint32(i)}
	}
	w.list, w.places, w.made = w.list[:0], w.places[:0], true
	return nil
}

// end writes what is left, and makes the names of the files durable.
func (w *fileWriter) end() error {
	if err := w.cut(); err != nil || !w.made {
		return err
	}
	d, err := w.s.fs.OpenDir(w.s.pagesDir)
	if err != nil {
		return explain(w.s.pagesDir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return explain(w.s.pagesDir, err)
	}
	return nil
}
