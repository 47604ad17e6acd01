package store

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/state/pages"
)

// This file: files of which little is in use, and small files, are merged into
// new ones, so that disk and mappings stay within bounds:
//
//	a file is merged when less than half of it is in use, or when it is one of
//	manyFiles small ones; what is on disk is at most twice what canisters are
//	charged for, and sizes.dead beside it.
//
// It happens after a save, on the same goroutine, and a pass moves a bounded
// number of pages; nothing else waits for it.

// manyFiles small ones are merged.
const manyFiles = 16

// tidy merges what is worth it and deletes what nothing names. memory gives the
// memories of the saved state.
func (s *Store) tidy(memory func(key string) pages.Map) error {
	if victims := s.files.victims(s.sizes); len(victims) > 0 {
		if err := s.merge(victims, memory); err != nil {
			return err
		}
	}
	return s.deleteGone()
}

// victims are the files to merge, the emptiest first.
func (c *catalog) victims(z sizes) map[uint64]bool {
	var sparse, small []uint64
	dead, moved := 0, 0
	for number, u := range c.list {
		switch {
		case u.staged:
		case u.refs*2 < u.pages:
			sparse = append(sparse, number)
			dead += int(u.pages - u.refs)
		case int(u.refs) < z.small:
			small = append(small, number)
		}
	}
	if dead < z.dead && len(sparse) < manyFiles {
		sparse = nil
	}
	if len(small) >= manyFiles {
		sparse = append(sparse, small...)
	}
	slices.SortFunc(sparse, func(a, b uint64) int { return int(c.list[a].refs) - int(c.list[b].refs) })
	victims := map[uint64]bool{}
	for _, number := range sparse {
		if moved += int(c.list[number].refs); moved > z.move {
			break
		}
		victims[number] = true
	}
	return victims
}

// merge writes what is in use of the victims into new files, and lets everything
// name those.
func (s *Store) merge(victims map[uint64]bool, memory func(key string) pages.Map) error {
	blocks, err := s.blocksIn(victims)
	if err != nil {
		return err
	}
	w := &fileWriter{s: s}
	written := map[place]*place{} // two memories may share a page
	size := 0
	for _, b := range blocks {
		size += len(b.places) * pages.Size
	}
	if err := s.space(size); err != nil {
		return err
	}
	for _, b := range blocks {
		for _, p := range b.places {
			if !victims[p.file.number] || written[p] != nil {
				continue
			}
			at := &place{}
			written[p] = at
			page := p.file.page(p.at)
			p.file.Check(page) // a merge must not make damage whole
			if err := w.put(page, p.file.sum(p.at), at); err != nil {
				return err
			}
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	for _, b := range blocks {
		if err := s.rewrite(batch, b, written); err != nil {
			return err
		}
	}
	if err := s.files.write(batch); err != nil {
		return err
	}
	if err := s.apply(batch, pebble.NoSync); err != nil {
		return err
	}
	for old, now := range written {
		f := old.file
		if f.moved == nil {
			f.moved = make([]place, f.pages)
		}
		f.moved[old.at] = *now
	}
	s.files.drop()
	for _, b := range blocks {
		settleMoved(memory(b.memory).Loaded(b.index))
	}
	return nil
}

// stored is a block as the database has it.
type stored struct {
	memory string
	index  uint64
	runs   []run
	places []place // of the pages in files, in order
}

// blocksIn finds the blocks that have pages in the victims.
func (s *Store) blocksIn(victims map[uint64]bool) (out []*stored, err error) {
	err = s.each(prefixNode, func(key, value []byte) error {
		memory, index, ok := splitBlock(key)
		if !ok {
			return nil
		}
		runs, err := decodeRuns(value)
		if err != nil {
			return damagedPages(s.dir, "the places of pages: "+err.Error())
		}
		if !slices.ContainsFunc(runs, func(r run) bool { return victims[r.file] }) {
			return nil
		}
		b := &stored{memory: memory, index: index, runs: runs}
		for _, r := range runs {
			if r.file == 0 {
				continue
			}
			f, err := s.file(r.file)
			if err != nil {
				return err
			}
			for i := range r.count {
				b.places = append(b.places, place{f, r.first + uint32(i)})
			}
		}
		out = append(out, b)
		return nil
	})
	return out, err
}

// rewrite lets a block name the new places.
func (s *Store) rewrite(batch *pebble.Batch, b *stored, written map[place]*place) error {
	var runs []run
	next := 0
	for _, r := range b.runs {
		s.files.use(r.file, -r.count)
		for i := range r.count {
			if r.file == 0 {
				runs = addRun(runs, r.slot+i, 0, 0)
				continue
			}
			p := b.places[next]
			next++
			if now := written[p]; now != nil {
				p = *now
			}
			runs = addRun(runs, r.slot+i, p.file.number, p.at)
		}
	}
	for _, r := range runs {
		s.files.use(r.file, r.count)
	}
	return batch.Set(nodeKey(b.memory, 0, b.index), encodeRuns(runs), nil)
}

// settleMoved lets a block use its pages where they lie now.
func settleMoved(p pages.Part) {
	p.Settle(func(s pages.Slot) (pages.Page, pages.Owner) {
		f, ok := s.Owner.(*file)
		if !ok {
			return s.Page, s.Owner
		}
		at := f.where(f.at(s.Page))
		return at.file.page(at.at), at.file
	})
}
