package engine

import (
	"container/list"
	"sync"

	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// This file: what installations of one module have in common. Each one runs the code's
// own initialisation; most of the pages that it leaves are those that the one before left:
//
//	data segments ── initialisation ──> heap ── compared with the last installation's ──┬─ equal: its page
//	                                                                                    └─ other: a new one
//
// A page that is shared lies in memory once, is hashed once, and is saved once.

const (
	// installedPages of the last installation are kept, if it has no more: 4 MiB.
	installedPages = 1 << 10
	// maxInstalled modules are remembered in this way, those installed last.
	maxInstalled = 64
)

// initialHeap is the heap that the data segments make, hashed already.
func initialHeap(p *wasm.Prepared) pages.Map {
	heap := pages.Map{}.With(p.MinPages*wasmPage, nil)
	for _, d := range p.Data {
		heap = heap.WriteAt(d.Bytes, d.Offset) // fits: Prepare checked it
	}
	heap.Sum()
	return heap
}

// installed is the first commit of an instance that began with the data segments. The
// changes are all pages of its heap.
func (in *Instance) installed() (all []pages.Change) {
	in.uncommitted = false
	initial, bytes := in.heapBase, in.HeapBytes()
	last, ok := in.module.engine.last.get(in.module, bytes)
	if !ok {
		last = initial
	}
	in.heapBase = last.With(bytes, in.heap.changesTo(initial, last))
	in.heapBase.Sum() // before the next one shares it
	in.heapBase.Each(func(i uint64, p pages.Page) bool {
		all = append(all, pages.Change{Index: i, Page: p})
		return true
	})
	if len(all) <= installedPages {
		in.module.engine.last.put(in.module, in.heapBase)
	}
	return all
}

// installations remembers the heap that the last installation of a module left.
type installations struct {
	mu    sync.Mutex
	heaps map[*wasm.Prepared]*list.Element // of installation
	order list.List                        // the newest first
}

type installation struct {
	of   *wasm.Prepared
	heap pages.Map
}

func (l *installations) get(m *Module, bytes uint64) (heap pages.Map, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.heaps[m.prep]; at != nil {
		heap = at.Value.(installation).heap
		ok = heap.Bytes() == bytes
	}
	return heap, ok
}

func (l *installations) put(m *Module, heap pages.Map) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heaps == nil {
		l.heaps = map[*wasm.Prepared]*list.Element{}
	}
	if at := l.heaps[m.prep]; at != nil {
		at.Value = installation{m.prep, heap}
		l.order.MoveToFront(at)
		return
	}
	l.heaps[m.prep] = l.order.PushFront(installation{m.prep, heap})
	if l.order.Len() > maxInstalled {
		old := l.order.Remove(l.order.Back()).(installation)
		delete(l.heaps, old.of)
	}
}
