package state

import (
	"sync/atomic"

	"ashlar/replica/state/merkle"
	"ashlar/replica/state/trie"
)

// Chunk is a piece of a module on its way, in a chunk store. It never changes, and is
// the same in all versions of the state that have it; where its bytes lie may change.
type Chunk struct {
	at  atomic.Pointer[Placed]
	sum merkle.Sum
}

// NewChunk of bytes on the Go heap, which nobody changes.
func NewChunk(content []byte) *Chunk {
	if content == nil {
		content = []byte{} // nil is none
	}
	c := &Chunk{sum: merkle.SumValue(content)}
	c.at.Store(&Placed{Bytes: content})
	return c
}

// Bytes are to be used soon, or copied: see Placed.
func (c *Chunk) Bytes() []byte { return c.at.Load().Bytes }

// OnHeap tells whether they lie on the Go heap.
func (c *Chunk) OnHeap() bool { return c.at.Load().Keep == nil }

// Place lets the same bytes lie elsewhere.
func (c *Chunk) Place(p *Placed) { c.at.Store(p) }

// NewChunks yields the chunks that are not in an older state at the same place, nil: all.
func (s *State) NewChunks(old *State, yield func(*Chunk)) {
	if old == nil {
		old = &State{}
	}
	stores := func(now, was trie.Map[*Chunk]) {
		now.Diff(was, func(c trie.Change[*Chunk]) bool {
			if c.HasNew {
				yield(c.New)
			}
			return true
		})
	}
	s.canisters.Diff(old.canisters, func(c trie.Change[*Canister]) bool {
		if !c.HasNew {
			return true
		}
		was := noCanister
		if c.HadOld {
			was = c.Old
		}
		stores(c.New.Chunks, was.Chunks)
		c.New.Snapshots.Diff(was.Snapshots, func(c trie.Change[*Snapshot]) bool {
			switch {
			case c.HasNew && c.HadOld:
				stores(c.New.Chunks, c.Old.Chunks)
			case c.HasNew:
				stores(c.New.Chunks, trie.Map[*Chunk]{})
			}
			return true
		})
		return true
	})
}
