package state

import (
	"encoding/binary"

	"github.com/fxamacker/cbor/v2"

	"ashlar/replica/state/pages"
	"ashlar/replica/state/trie"
)

// The keys of the store, in their order. A canister's are "c", the length of its
// id, the id, and one of the field letters with what follows.
const (
	keyCanister = "c"
	keyCall     = "i" // request id
	keyHead     = "m"
	keyQueue    = "q" // place
	keySubnet   = "s"
	keyCode     = "w" // SHA-256

	fieldCallback = 'b' // id
	fieldHeap     = 'h' // page
	fieldChunk    = 'k' // SHA-256
	fieldLog      = 'l' // index
	fieldModule   = 'm'
	fieldSnapshot = 'n' // number, then 'a' or one of c h k s
	fieldQueue    = 'q' // place
	fieldRecord   = 'r'
	fieldStable   = 's' // page
	fieldContext  = 'x' // id
	fieldHistory  = 'y'
	fieldGlobals  = 'z'

	fieldSnapshotRecord = 'a'
	fieldSnapshotCode   = 'c' // page of an uploaded module
)

// canisterIDBytes is the length of every canister id on a subnet: keys of the
// store sort as ids do only while they are of one length.
const canisterIDBytes = 10

// differ writes out differences until somebody has had enough.
type differ struct {
	yield  func(key string, value []byte) bool
	memory func(key string, old, now pages.Map) bool
	done   bool
}

func (d *differ) put(key string, value []byte) {
	if !d.done && !d.yield(key, value) {
		d.done = true
	}
}

func (d *differ) set(key string, v any) {
	d.put(key, encoded(v))
}

// Diff yields what leads from old to s, sorted by key: value nil deletes. With
// old nil it yields all of s. Each page is an entry, its key that of the memory and
// the page's index.
func (s *State) Diff(old *State, yield func(key string, value []byte) bool) {
	s.Changes(old, yield, func(key string, old, now pages.Map) (more bool) {
		more = true
		now.Diff(old, func(i uint64, p pages.Page) bool {
			var value []byte
			if p != nil {
				value = p[:]
			}
			more = yield(key+string(binary.BigEndian.AppendUint64(nil, i)), value)
			return more
		})
		return more
	})
}

// Changes is Diff for who keeps memories in another way than entries: memory gets
// those that may have changed, by key.
func (s *State) Changes(old *State, yield func(key string, value []byte) bool, memory func(key string, old, now pages.Map) bool) {
	if old == nil {
		old = &State{}
	}
	d := &differ{yield: yield, memory: memory}
	s.canisters.Diff(old.canisters, func(c trie.Change[*Canister]) bool {
		prefix := keyCanister + string(byte(len(c.Key))) + c.Key
		d.canister(prefix, c.Old, c.New)
		return !d.done
	})
	entries(d, keyCall, old.calls, s.calls)
	if s.head.Height != old.head.Height || old.subnet == nil {
		d.set(keyHead, s.head)
	}
	entries(d, keyQueue, old.queue, s.queue)
	if s.subnet != old.subnet {
		d.set(keySubnet, s.subnet)
	}
	s.codes.Diff(old.codes, func(c trie.Change[*Code]) bool {
		switch {
		case !c.HasNew:
			d.put(keyCode+c.Key, nil)
		case !c.HadOld:
			d.put(keyCode+c.Key, c.New.bytes())
		}
		return !d.done
	})
}

// entries writes a map whose values are encoded one by one.
func entries[V any](d *differ, prefix string, old, now trie.Map[V]) {
	if d.done {
		return
	}
	now.Diff(old, func(c trie.Change[V]) bool {
		if c.HasNew {
			d.set(prefix+c.Key, c.New)
		} else {
			d.put(prefix+c.Key, nil)
		}
		return !d.done
	})
}

func chunks(d *differ, prefix string, old, now trie.Map[*Chunk]) {
	now.Diff(old, func(c trie.Change[*Chunk]) bool {
		var content []byte
		if c.HasNew {
			content = c.New.Bytes()
		}
		d.put(prefix+c.Key, content)
		return !d.done
	})
}

func memory(d *differ, key string, old, now pages.Map) {
	if !d.done && now.Changed(old) {
		d.done = !d.memory(key, old, now)
	}
}

// Memory is the memory with this key, one that Changes gave; empty where there is none.
func (s *State) Memory(key string) (m pages.Map) {
	const id = len(keyCanister) + 1
	if len(key) < id+canisterIDBytes+1 || key[:1] != keyCanister {
		return m
	}
	c, ok := s.canisters.Get(key[id : id+canisterIDBytes])
	if !ok {
		return m
	}
	of, field := c.Memory, key[id+canisterIDBytes:]
	if field[0] == fieldSnapshot && len(field) == 10 {
		snap, ok := c.Snapshots.Get(field[1:9])
		if !ok {
			return m
		}
		if of, field = snap.Memory, field[9:]; field[0] == fieldSnapshotCode {
			return snap.Upload
		}
	}
	switch field {
	case string(fieldHeap):
		return of.Heap
	case string(fieldStable):
		return of.Stable
	}
	return m
}

var noCanister = &Canister{Memory: &Memory{}}

func (d *differ) canister(prefix string, old, now *Canister) {
	gone := now == nil
	fresh := old == nil
	if gone {
		now = noCanister
	}
	if fresh {
		old = noCanister
	}
	one := func(field byte, had, has, same bool, v any) {
		if has && !same {
			d.set(prefix+string(field), v)
		} else if had && !has {
			d.put(prefix+string(field), nil)
		}
	}
	entries(d, prefix+string(fieldCallback), old.Callbacks, now.Callbacks)
	memory(d, prefix+string(fieldHeap), old.Memory.Heap, now.Memory.Heap)
	chunks(d, prefix+string(fieldChunk), old.Chunks, now.Chunks)
	entries(d, prefix+string(fieldLog), old.Logs, now.Logs)
	one(fieldModule, old.Module != nil, now.Module != nil, old.Module == now.Module, now.Module)
	now.Snapshots.Diff(old.Snapshots, func(c trie.Change[*Snapshot]) bool {
		d.snapshot(prefix+string(fieldSnapshot)+c.Key, c.Old, c.New)
		return !d.done
	})
	entries(d, prefix+string(fieldQueue), old.Queue, now.Queue)
	one(fieldRecord, !fresh, !gone, false, now.Record)
	memory(d, prefix+string(fieldStable), old.Memory.Stable, now.Memory.Stable)
	entries(d, prefix+string(fieldContext), old.Contexts, now.Contexts)
	one(fieldHistory, len(old.History) > 0, len(now.History) > 0, !fresh && sameHistory(old, now), now.History)
	one(fieldGlobals, len(old.Memory.Globals) > 0, len(now.Memory.Globals) > 0, old.Memory == now.Memory, now.Memory.Globals)
}

func sameHistory(a, b *Canister) bool {
	return a.Changes == b.Changes && len(a.History) == len(b.History)
}

func (d *differ) snapshot(prefix string, old, now *Snapshot) {
	none := &Snapshot{Memory: &Memory{}}
	if now == nil {
		d.put(prefix+string(fieldSnapshotRecord), nil)
		now = none
	} else {
		d.set(prefix+string(fieldSnapshotRecord), now)
	}
	if old == nil {
		old = none
	}
	memory(d, prefix+string(fieldSnapshotCode), old.Upload, now.Upload)
	memory(d, prefix+string(fieldHeap), old.Memory.Heap, now.Memory.Heap)
	chunks(d, prefix+string(fieldChunk), old.Chunks, now.Chunks)
	memory(d, prefix+string(fieldStable), old.Memory.Stable, now.Memory.Stable)
}

// storage is the encoding of values in the store: deterministic CBOR.
var storage = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Limits of what is read back from the store; a value beyond them was not
// written by us.
const (
	maxElements = 1 << 20 // of one array or map: environment, history, ranges, nodes
	maxDepth    = 16      // of nesting
)

var reading = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxElements,
		MaxNestedLevels:  maxDepth,
		UTF8:             cbor.UTF8DecodeInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()
