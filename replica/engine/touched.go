package engine

import (
	"math/bits"

	"ashlar/replica/execution/machine"
	"ashlar/replica/state/pages"
)

// touched says which pages of stable memory the present run has read or written: it
// may touch so many, and the first write to one costs.
type touched struct {
	limit       uint64
	read, wrote uint64            // pages; a written one counts in both
	blocks      map[uint64]*block // by index / 64
	last        uint64            // the block used last, and
	lastBlock   *block
}

// block is one bit for each of 64 pages.
type block struct{ read, wrote uint64 }

var (
	errTouched = &limitError{machine.TrapStableTouched, "too many pages of stable memory are accessed"}
	errWritten = &limitError{machine.TrapStableWritten, "too many pages of stable memory are written"}
)

// begin forgets the run before; 0: no limit.
func (t *touched) begin(limit uint64) {
	if limit == 0 {
		limit = MaxStableBytes / pages.Size
	}
	if len(t.blocks) > keptBlocks {
		t.blocks = nil
	}
	*t = touched{limit: limit, blocks: t.blocks}
	clear(t.blocks)
}

// keptBlocks is how large a map is used again: to clear one costs what it once held.
const keptBlocks = 256

// mark notes the pages of n bytes at offset, and tells how many of them were not
// written before.
func (t *touched) mark(offset uint64, n int, write bool) (fresh uint64, err error) {
	if n == 0 {
		return 0, nil
	}
	first, last := offset/pages.Size, (offset+uint64(n)-1)/pages.Size
	for at := first / 64; at <= last/64; at++ {
		mask := ^uint64(0)
		if at == first/64 {
			mask <<= first % 64
		}
		if at == last/64 {
			mask &= ^uint64(0) >> (63 - last%64)
		}
		b := t.block(at)
		t.read += uint64(bits.OnesCount64(mask &^ b.read))
		b.read |= mask
		if write {
			fresh += uint64(bits.OnesCount64(mask &^ b.wrote))
			b.wrote |= mask
		}
	}
	t.wrote += fresh
	switch {
	case t.wrote > t.limit:
		return 0, errWritten
	case t.read > t.limit:
		return 0, errTouched
	}
	return fresh, nil
}

func (t *touched) block(at uint64) *block {
	if t.lastBlock != nil && t.last == at {
		return t.lastBlock
	}
	b := t.blocks[at]
	if b == nil {
		if t.blocks == nil {
			t.blocks = map[uint64]*block{}
		}
		b = new(block)
		t.blocks[at] = b
	}
	t.last, t.lastBlock = at, b
	return b
}
