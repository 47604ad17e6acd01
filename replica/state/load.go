package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
	"ashlar/replica/state/trie"
)

// maxPages bounds the index of a page: 2^36 pages are 256 TiB, far above the
// limits of heap and stable memory.
const maxPages = 1 << 36

// Load builds a state from what Diff has yielded over time: each gives every key
// that is left with its last value, in any order. An error names the key.
func Load(each func(yield func(key string, value []byte) bool) error) (*State, error) {
	return Open(each, nil, nil)
}

// Open builds a state from what Changes has yielded. For a memory there is one
// entry with its key, of which open makes the memory. Chunks are shown to place, if it is
// not nil, so that they need not all lie on the Go heap.
func Open(each func(yield func(key string, value []byte) bool) error, open func(key string, value []byte) (pages.Map, error), place func(*Chunk)) (*State, error) {
	if open == nil {
		open = func(string, []byte) (m pages.Map, err error) { return m, errors.New("a page has an index") }
	}
	l := &loader{s: &State{owner: trie.Nobody + 1}, canisters: map[string]*loading{}, open: open, place: place}
	var bad error
	err := each(func(key string, value []byte) bool {
		if err := l.entry(key, value); err != nil {
			bad = fmt.Errorf("state: key %x: %w", key, err)
			return false
		}
		return true
	})
	if bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	return l.finish()
}

// Lease is a state whose memories are read where they lie, when they are needed, for as
// long as it is not closed.
type Lease struct {
	*State
	Err   func() error // what was found wrong while it was read, nil: nothing
	Close func() error // nobody may use the state any more
}

type loader struct {
	s                  *State
	canisters          map[string]*loading
	open               func(key string, value []byte) (pages.Map, error)
	place              func(*Chunk)
	ids                []string
	hasHead, hasSubnet bool
}

// loading is a canister of which not all keys were read yet.
type loading struct {
	c            *Canister
	heap, stable loadingMemory
	snapshots    map[string]*loadingSnapshot
	hasRecord    bool
}

type loadingSnapshot struct {
	s                  *Snapshot
	code, heap, stable loadingMemory
	chunks             trie.Map[*Chunk]
}

// loadingMemory is what was opened, or pages one by one.
type loadingMemory struct {
	opened  pages.Map
	changes []pages.Change
}

func (m *loadingMemory) finish(bytes uint64) pages.Map { return m.opened.With(bytes, m.changes) }

func decode(value []byte, into any) error { return reading.Unmarshal(value, into) }

func (l *loader) entry(key string, value []byte) error {
	if key == "" {
		return errors.New("is empty")
	}
	rest := key[1:]
	switch key[:1] {
	case keyCanister:
		return l.canister(key, value)
	case keyCall:
		if len(rest) != 32 {
			return errors.New("a request id has 32 bytes")
		}
		c := &Call{}
		if err := decode(value, c); err != nil {
			return err
		}
		if c.State < Received || c.State > Done || c.State == Rejected && c.Reject == nil {
			return errors.New("is not the status of a call")
		}
		l.s.calls.Set(l.s.owner, rest, c)
	case keyHead:
		l.hasHead = true
		return decode(value, &l.s.head)
	case keyQueue:
		return place(&l.s.queue, rest, value)
	case keySubnet:
		l.hasSubnet = true
		l.s.subnet = &Subnet{}
		return decode(value, l.s.subnet)
	case keyCode:
		if len(rest) != 32 {
			return errors.New("the hash of a module has 32 bytes")
		}
		l.s.codes.Set(l.s.owner, rest, newCode(append([]byte(nil), value...)))
	default:
		return errors.New("is of no known kind")
	}
	return nil
}

// place reads one entry of a map by number.
func place[V any](m *trie.Map[*V], id string, value []byte) error {
	if len(id) != 8 {
		return errors.New("a number in a key has 8 bytes")
	}
	v := new(V)
	if err := decode(value, v); err != nil {
		return err
	}
	*m = m.With(id, v)
	return nil
}

func (l *loader) canister(key string, value []byte) error {
	rest := key[1:]
	if len(rest) < 1+canisterIDBytes+1 || rest[0] != canisterIDBytes {
		return errors.New("a canister id has 10 bytes")
	}
	id, field, rest := rest[1:1+canisterIDBytes], rest[1+canisterIDBytes], rest[2+canisterIDBytes:]
	x := l.canisters[id]
	if x == nil {
		x = &loading{c: &Canister{ID: ic.CanisterID{Principal: ic.Principal(id)}, Memory: &Memory{}}, snapshots: map[string]*loadingSnapshot{}}
		l.canisters[id] = x
		l.ids = append(l.ids, id)
	}
	c := x.c
	switch field {
	case fieldCallback:
		return place(&c.Callbacks, rest, value)
	case fieldContext:
		return place(&c.Contexts, rest, value)
	case fieldLog:
		return place(&c.Logs, rest, value)
	case fieldQueue:
		return place(&c.Queue, rest, value)
	case fieldHeap:
		return l.page(&x.heap, key, rest, value)
	case fieldStable:
		return l.page(&x.stable, key, rest, value)
	case fieldChunk:
		return l.chunk(&c.Chunks, rest, value)
	case fieldModule:
		c.Module = &Module{}
		if err := decode(value, c.Module); err != nil {
			return err
		}
		c.Module.seal()
	case fieldRecord:
		x.hasRecord = true
		return decode(value, &c.Record)
	case fieldHistory:
		return decode(value, &c.History)
	case fieldGlobals:
		return decode(value, &c.Memory.Globals)
	case fieldSnapshot:
		return l.snapshot(x, key, rest, value)
	default:
		return fmt.Errorf("has no field %q", field)
	}
	return nil
}

func (l *loader) snapshot(x *loading, key, rest string, value []byte) error {
	if len(rest) < 9 {
		return errors.New("the number of a snapshot has 8 bytes")
	}
	id, field, rest := rest[:8], rest[8], rest[9:]
	s := x.snapshots[id]
	if s == nil {
		s = &loadingSnapshot{}
		x.snapshots[id] = s
	}
	switch field {
	case fieldSnapshotRecord:
		s.s = &Snapshot{}
		if err := decode(value, s.s); err != nil {
			return err
		}
		if s.s.Module != nil {
			s.s.Module.seal()
		}
	case fieldSnapshotCode:
		return l.page(&s.code, key, rest, value)
	case fieldHeap:
		return l.page(&s.heap, key, rest, value)
	case fieldStable:
		return l.page(&s.stable, key, rest, value)
	case fieldChunk:
		return l.chunk(&s.chunks, rest, value)
	default:
		return fmt.Errorf("has no snapshot field %q", field)
	}
	return nil
}

func (l *loader) page(into *loadingMemory, key, rest string, value []byte) (err error) {
	if rest == "" {
		into.opened, err = l.open(key, value)
		return err
	}
	if len(rest) != 8 || len(value) != pages.Size {
		return fmt.Errorf("a page has an index of 8 bytes and %d bytes of content, not %d and %d", pages.Size, len(rest), len(value))
	}
	index := binary.BigEndian.Uint64([]byte(rest))
	if index >= maxPages {
		return fmt.Errorf("page %d lies beyond any memory", index)
	}
	into.changes = append(into.changes, pages.Change{Index: index, Page: pages.Page(append([]byte(nil), value...))})
	return nil
}

func (l *loader) chunk(into *trie.Map[*Chunk], hash string, value []byte) error {
	if len(hash) != 32 || len(value) > ChunkBytes {
		return errors.New("a chunk has a hash of 32 bytes and at most 1 MiB")
	}
	c := NewChunk(append([]byte(nil), value...))
	if *into = into.With(hash, c); l.place != nil {
		l.place(c)
	}
	return nil
}

// finish joins the parts and makes indexes and tree.
func (l *loader) finish() (*State, error) {
	if !l.hasHead || !l.hasSubnet {
		return nil, errors.New("state: the store holds no state: its head or its subnet is missing")
	}
	d := l.s.Draft()
	d.Head.MemoryBytes, d.Head.Compute, d.Head.BestEffort = 0, 0, 0 // counted again as the canisters come
	d.Head.SetInUse(Means{})
	for _, id := range l.ids {
		c, err := l.canisters[id].finish()
		if err == nil {
			err = l.checkCode(c)
		}
		if err != nil {
			return nil, fmt.Errorf("state: canister %s: %w", ic.Principal(id), err)
		}
		d.Put(c)
	}
	d.s.line = lineOf(d.s.queue)
	d.Head.Answers = 0
	l.s.calls.Each(func(key string, c *Call) bool {
		d.Head.Answers += c.answerBytes()
		d.ending(ic.RequestID([]byte(key)), c)
		return true
	})
	return d.Seal(), nil
}

func (l *loader) checkCode(c *Canister) (err error) {
	has := func(m *Module) {
		if m == nil {
			return
		}
		if _, ok := l.s.codes.Get(string(m.Hash[:])); !ok {
			err = fmt.Errorf("its module %x is missing", m.Hash)
		}
	}
	has(c.Module)
	if code := c.longCode(); code != "" {
		has(&Module{Hash: [32]byte([]byte(code))})
	}
	c.Snapshots.Each(func(_ string, s *Snapshot) bool {
		has(s.Module)
		return err == nil
	})
	return err
}

func (x *loading) finish() (*Canister, error) {
	c := x.c
	if !x.hasRecord {
		return nil, errors.New("its record is missing")
	}
	if c.HeapBytes > maxPages*pages.Size || c.StableBytes > maxPages*pages.Size {
		return nil, errors.New("its memory is larger than any can be")
	}
	if l := c.Long; l != nil && (l.Start == nil || l.Start.Long != nil || len(l.Code) != 0 && len(l.Code) != 32) {
		return nil, errors.New("its long execution cannot be run again")
	}
	c.Memory = &Memory{
		Heap:    x.heap.finish(c.HeapBytes),
		Stable:  x.stable.finish(c.StableBytes),
		Globals: c.Memory.Globals,
	}
	c.Callbacks.Each(func(_ string, cb *Callback) bool {
		c.open(cb)
		return true
	})
	c.Queue.Each(func(_ string, m *Message) bool {
		c.queued.add(m)
		return true
	})
	c.line = lineOf(c.Queue)
	for id, s := range x.snapshots { // the order does not matter: a map is a function of its entries
		if s.s == nil {
			return nil, fmt.Errorf("the record of snapshot %x is missing", id)
		}
		if s.s.CodeBytes > maxPages*pages.Size || s.s.HeapBytes > maxPages*pages.Size || s.s.StableBytes > maxPages*pages.Size {
			return nil, fmt.Errorf("snapshot %x is larger than any memory", id)
		}
		s.s.Memory = &Memory{
			Heap:    s.heap.finish(s.s.HeapBytes),
			Stable:  s.stable.finish(s.s.StableBytes),
			Globals: s.s.Globals,
		}
		if s.s.Uploaded {
			s.s.Upload = s.code.finish(s.s.CodeBytes)
		}
		s.s.Chunks = s.chunks
		c.Snapshots = c.Snapshots.With(id, s.s)
	}
	return c, nil
}
