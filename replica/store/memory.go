package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
)

// This file: how a memory lies in the database.
//
//	s<memory>                level and sum of the root
//	m<memory><level><index>  an inner node: the slots below it and their sums
//	m<memory>0<index>        64 pages: where each of them is
//	y<memory><page>          a young page: too few are new to be worth a file
//
// <memory> is the key that package state gives it.

const (
	rootBytes = 1 + sumBytes
	slots     = merkle.Fanout
	// tries to read a node: it may move between two reads.
	tries = 10
)

func nodeKey(memory string, level int, index uint64) []byte {
	k := append([]byte{prefixNode}, memory...)
	return binary.BigEndian.AppendUint64(append(k, byte(level)), index)
}

func youngKey(memory string, page uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{prefixYoung}, memory...), page)
}

// splitYoung is the inverse of youngKey.
func splitYoung(key []byte) (memory string, page uint64, ok bool) {
	if len(key) < 9 {
		return "", 0, false
	}
	n := len(key) - 8
	return string(key[1:n]), binary.BigEndian.Uint64(key[n:]), true
}

// splitBlock is the inverse of nodeKey; ok is false for an inner node.
func splitBlock(key []byte) (memory string, index uint64, ok bool) {
	n := len(key) - 9
	if n < 1 || key[n] != 0 {
		return "", 0, false
	}
	return string(key[1:n]), binary.BigEndian.Uint64(key[n+1:]), true
}

func encodeRoot(level int, sum merkle.Sum) []byte { return append([]byte{byte(level)}, sum[:]...) }

// openMemory makes a memory of the entry that SaveState wrote for it.
func (s *Store) openMemory(key string, root []byte) (m pages.Map, err error) {
	if len(root) != rootBytes || root[0] > maxLevel {
		return m, errors.New("is not the root of a memory")
	}
	return pages.Open(source{s, key}, int(root[0]), merkle.Sum(root[1:]), 0), nil
}

// maxLevel of a root: 64^8 pages are more than any memory has.
const maxLevel = 7

// encodeKids of an inner node.
func encodeKids(edges []merkle.Edge) []byte {
	var mask uint64
	for _, e := range edges {
		mask |= 1 << e.Slot
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(edges)*sumBytes), mask)
	for _, e := range edges {
		b = append(b, e.Sum[:]...)
	}
	return b
}

func decodeKids(b []byte) (edges []merkle.Edge, err error) {
	if len(b) < 8 {
		return nil, errShort
	}
	mask, rest := binary.BigEndian.Uint64(b), b[8:]
	for i := range slots {
		if mask>>i&1 == 0 {
			continue
		}
		if len(rest) < sumBytes {
			return nil, errShort
		}
		edges = append(edges, merkle.Edge{Slot: i, Sum: merkle.Sum(rest)})
		rest = rest[sumBytes:]
	}
	if len(rest) > 0 {
		return nil, errors.New("has bytes after its end")
	}
	return edges, nil
}

var errShort = errors.New("ends too early")

// run is a number of pages of a block that follow each other in one file; file 0
// stands for young pages.
type run struct {
	slot, count int
	file        uint64
	first       uint32
}

// encodeRuns of a block; they come in order of slot.
func encodeRuns(runs []run) (b []byte) {
	for _, r := range runs {
		b = append(b, byte(r.slot), byte(r.count))
		b = binary.AppendUvarint(b, r.file)
		if r.file != 0 {
			b = binary.AppendUvarint(b, uint64(r.first))
		}
	}
	return b
}

func decodeRuns(b []byte) (runs []run, err error) {
	next := 0
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, errShort
		}
		r := run{slot: int(b[0]), count: int(b[1])}
		if r.slot < next || r.count == 0 || r.slot+r.count > slots {
			return nil, fmt.Errorf("has a run of %d pages at %d", r.count, r.slot)
		}
		next = r.slot + r.count
		b = b[2:]
		var first uint64
		for _, v := range []*uint64{&r.file, &first} {
			if v == &first && r.file == 0 {
				break
			}
			n := 0
			if *v, n = binary.Uvarint(b); n <= 0 {
				return nil, errShort
			}
			b = b[n:]
		}
		if first+uint64(r.count) > maxFilePages {
			return nil, fmt.Errorf("has page %d of a file", first)
		}
		r.first = uint32(first)
		runs = append(runs, r)
	}
	return runs, nil
}

// add puts the page of a slot at the end of runs.
func addRun(runs []run, slot int, file uint64, at uint32) []run {
	if n := len(runs); n > 0 {
		if r := &runs[n-1]; r.slot+r.count == slot && r.file == file && (file == 0 || r.first+uint32(r.count) == at) {
			r.count++
			return runs
		}
	}
	return append(runs, run{slot, 1, file, at})
}

// source reads a memory: pages.Source.
type source struct {
	s   *Store
	key string
}

// Kids implements pages.Source.
func (m source) Kids(level int, index uint64) []merkle.Edge {
	value, ok, err := m.s.get(nodeKey(m.key, level, index))
	if !ok && err == nil {
		err = errors.New("is missing")
	}
	var edges []merkle.Edge
	if err == nil {
		edges, err = decodeKids(value)
	}
	if err != nil {
		m.Damaged(fmt.Sprintf("node %d of level %d: %v", index, level, err))
	}
	return edges
}

// Pages implements pages.Source. Where pages lie may change while it reads.
func (m source) Pages(index uint64) (held []pages.Held) {
	var err error
	for range tries {
		if held, err = m.read(index); err == nil {
			return held
		}
	}
	m.Damaged(fmt.Sprintf("pages from %d: %v", index*slots, err))
	return nil
}

func (m source) read(index uint64) (held []pages.Held, err error) {
	value, ok, err := m.s.get(nodeKey(m.key, 0, index))
	if err != nil || !ok {
		return nil, errors.Join(err, errors.New("are missing"))
	}
	runs, err := decodeRuns(value)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		var f *file
		if r.file != 0 {
			if f, err = m.s.file(r.file); err != nil {
				return nil, err
			}
			if int(r.first)+r.count > f.pages {
				return nil, fmt.Errorf("lie beyond the end of file %d", r.file)
			}
		}
		for i := range r.count {
			h := pages.Held{Index: index*slots + uint64(r.slot+i)}
			if f != nil {
				h.Page, h.Owner = f.page(r.first+uint32(i)), f
			} else if h.Page, err = m.youngPage(h.Index); err != nil {
				return nil, err
			}
			held = append(held, h)
		}
	}
	return held, nil
}

func (m source) youngPage(i uint64) (pages.Page, error) {
	value, ok, err := m.s.get(youngKey(m.key, i))
	if err != nil {
		return nil, err
	}
	if !ok || len(value) != pages.Size {
		return nil, fmt.Errorf("page %d has %d bytes", i, len(value))
	}
	return pages.Page(value), nil
}

// Damaged implements pages.Source.
func (m source) Damaged(what string) {
	m.s.stop(damagedPages(m.s.dir, fmt.Sprintf("memory %x, %s", m.key, what)))
}

// stop ends a goroutine that cannot go on without what it asked for, and the store with it.
func (s *Store) stop(err error) {
	s.fail(err)
	panic(err)
}

// get reads a value, which is the caller's.
func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.readError(err)
	}
	value = append([]byte{}, v...)
	return value, true, closer.Close()
}
