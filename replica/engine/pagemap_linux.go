package engine

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"ashlar/replica/state/pages"
)

// Written pages without PAGEMAP_SCAN (Linux before 6.7): /proc/self/pagemap tells for
// each page whether it is in memory or swapped out, and whether it is a file's. What
// was never touched, and what of a mapped file was only read, was not written. All
// else is named each time, as it cannot be protected again: so a message costs a
// comparison of what the instance holds, where PAGEMAP_SCAN costs what was written.
// See Documentation/admin-guide/mm/pagemap.rst; the bits need no privilege.
const (
	pagemapEntry   = 8       // bytes of a page
	pagemapPresent = 1 << 63 // in memory
	pagemapSwapped = 1 << 62
	pagemapOfFile  = 1 << 61 // or shared: not written, in a private mapping
	pagemapBatch   = 4096    // entries at a time
)

var openPagemap = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/pagemap") })

var pagemapPool = sync.Pool{New: func() any { return new([pagemapBatch * pagemapEntry]byte) }}

// probePagemap tries it on one mapping.
func probePagemap() (trackerMaker, error) {
	f, err := openPagemap()
	if err != nil {
		return nil, err
	}
	space, err := reserve(8 * pages.Size)
	if err != nil {
		return nil, err
	}
	defer unmap(space)
	t := &pagemapTracker{f}
	if err := namesWritten("/proc/self/pagemap", space, t.read); err != nil {
		return nil, err
	}
	return func() tracker { return t }, nil
}

// namesWritten tries whether a way to find written pages names the one that is written
// in a space where no other is.
func namesWritten(how string, space []byte, find func(buf []byte, yield func(uint64)) error) error {
	space[3*pages.Size] = 1
	var got []uint64
	if err := find(space, func(i uint64) { got = append(got, i) }); err != nil {
		return err
	}
	if len(got) != 1 || got[0] != 3 {
		return fmt.Errorf("%s names pages %v where 3 was written", how, got)
	}
	return nil
}

type pagemapTracker struct{ f *os.File }

func (t *pagemapTracker) begin([]byte) {}
func (t *pagemapTracker) clean([]byte) {}

func (t *pagemapTracker) written(buf []byte, yield func(uint64)) {
	if err := t.read(buf, yield); err != nil {
		panic("engine: " + err.Error())
	}
}

func (t *pagemapTracker) read(buf []byte, yield func(uint64)) error {
	entries := pagemapPool.Get().(*[pagemapBatch * pagemapEntry]byte)
	defer pagemapPool.Put(entries)
	if len(buf) == 0 {
		return nil
	}
	first, all := address(buf)/pages.Size, uint64(len(buf)/pages.Size)
	for at := uint64(0); at < all; at += pagemapBatch {
		n := min(all-at, pagemapBatch)
		if _, err := t.f.ReadAt(entries[:n*pagemapEntry], int64((first+at)*pagemapEntry)); err != nil {
			return fmt.Errorf("read /proc/self/pagemap: %w", err)
		}
		for i := range n {
			if e := binary.NativeEndian.Uint64(entries[i*pagemapEntry:]); e&(pagemapPresent|pagemapSwapped) != 0 && e&pagemapOfFile == 0 {
				yield(at + i)
			}
		}
	}
	return nil
}
