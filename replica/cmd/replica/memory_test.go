package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/state"
)

//go:embed testdata/large.wasm
var largeWasm []byte

func TestMemTotal(t *testing.T) {
	if n, ok := memTotal("MemFree: 7 kB\nMemTotal:       2097152 kB\n"); !ok || n != 2<<30 {
		t.Errorf("got %d, %v", n, ok)
	}
	for _, bad := range []string{"", "MemTotal: x kB\n", "MemTotal: 0 kB\n", "MemTotal: 18446744073709551615 kB\n"} {
		if n, ok := memTotal(bad); ok {
			t.Errorf("%q gives %d", bad, n)
		}
	}
}

func numbers(n ...uint32) (b []byte) {
	for _, v := range n {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// update calls a canister and waits for the reply.
func (s *bare) update(to ic.CanisterID, method string, arg []byte) {
	s.tb.Helper()
	id := s.send(to, to, method, arg)
	s.settle()
	for c := s.now.Status(id); c.State == state.Processing; c = s.now.Status(id) {
		s.round()
	}
	s.replied([]ic.RequestID{id})
}

// query asks the present state.
func (s *bare) query(to ic.CanisterID, method string, arg []byte) uint32 {
	s.tb.Helper()
	return s.queryOn(s.now, to, method, arg)
}

func (s *bare) queryOn(now *state.State, to ic.CanisterID, method string, arg []byte) uint32 {
	s.tb.Helper()
	a := s.machine.Query(now, &ic.Query{Canister: to, Method: method, Arg: arg, Sender: bareUser}, now.Time(), nil, nil)
	if a.Reply.Reject != nil || len(a.Reply.Data) != 4 {
		s.tb.Errorf("%s %x: %+v", method, arg, a.Reply)
		return 0
	}
	return binary.LittleEndian.Uint32(a.Reply.Data)
}

// Heaps that are mapped from page files say what was written to them, through
// saves, merges, restarts, growth, traps and old versions.
func TestLargeHeaps(t *testing.T) {
	s := newBare(t, t.TempDir())
	s.create(2, largeWasm, atOnce)
	ids := s.ids()
	rng := rand.New(rand.NewPCG(7, 7))
	model := map[ic.CanisterID][]uint32{}
	check := func() {
		t.Helper()
		for _, id := range ids {
			for range 40 {
				if i := rng.IntN(len(model[id])); i > 0 {
					if got := s.query(id, "at", numbers(uint32(i))); got != model[id][i] {
						t.Fatalf("page %d of %s is %d, want %d", i, id, got, model[id][i])
					}
				}
			}
		}
	}
	for step := range 60 {
		id := ids[rng.IntN(2)]
		from, seed := 1+rng.IntN(3000), rng.Uint32()
		to := from + rng.IntN(3000)
		if len(model[id]) == 0 {
			from, to = 1, 6000
		}
		s.update(id, "fill", numbers(uint32(from), uint32(to), seed))
		for len(model[id]) < (to+15)/16*16 {
			model[id] = append(model[id], 0)
		}
		for i := from; i < to; i++ {
			model[id][i] = uint32(i) + seed
		}
		if len(model) < 2 {
			continue
		}
		if rng.IntN(3) == 0 {
			s.save()
		}
		switch step % 20 {
		case 10:
			s.save()
			s.close()
			s = newBare(t, s.dir)
		case 15: // instances are made anew
			s.machine.Close()
		}
		check()
	}
	s.close()
}

// Queries on one state run beside updates that make the next ones, beside saves
// that move pages into files, and beside merges of files: each sees all of what the
// last message of its state wrote, and nothing of later ones.
func TestQueriesBesideUpdates(t *testing.T) {
	s := newBare(t, t.TempDir())
	s.create(1, largeWasm, atOnce)
	id := s.ids()[0]
	const rounds, last = 30, 5000
	type view struct {
		state *state.State
		seed  uint32
	}
	var shown, saving atomic.Pointer[view]
	publish := func(seed uint32) {
		v := &view{s.now, seed}
		shown.Store(v)
		saving.Store(v)
	}
	s.update(id, "fill", numbers(1, last, 1))
	publish(1)
	var done atomic.Bool
	var asked atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for !done.Load() || asked.Load() < 3*rounds {
				v := shown.Load()
				if got := s.queryOn(v.state, id, "same", numbers(1, last)); got != v.seed {
					t.Errorf("height %d: a query sees %d, want %d", v.state.Height(), got, v.seed)
				}
				asked.Add(1)
			}
		})
	}
	all.Go(func() {
		for v := saving.Swap(nil); v != nil || !done.Load(); v = saving.Swap(nil) {
			if v == nil {
				runtime.Gosched()
				continue
			}
			if err := s.store.SaveState(v.state, s.saved); err != nil {
				t.Error(err)
			}
			s.saved = v.state
		}
	})
	for seed := uint32(2); seed < rounds; seed++ {
		s.update(id, "fill", numbers(1, last, seed))
		publish(seed)
	}
	done.Store(true)
	all.Wait()
	s.close()
}

// A stable memory of 500 GiB takes the room of what was written.
func TestSparseStableMemory(t *testing.T) {
	s := newBare(t, t.TempDir())
	s.create(1, largeWasm, atOnce)
	id := s.ids()[0]
	for i, gib := range []uint32{0, 1, 4, 63, 256, 499} {
		s.update(id, "put", numbers(gib, uint32(1000+i)))
	}
	s.save()
	s.close()
	s = newBare(t, s.dir)
	if n := s.now.Canister(id).StableBytes; n != 500<<30 {
		t.Errorf("it has %d bytes", n)
	}
	for i, gib := range []uint32{0, 1, 4, 63, 256, 499} {
		if got := s.query(id, "got", numbers(gib)); got != uint32(1000+i) {
			t.Errorf("at %d GiB: %d", gib, got)
		}
	}
	if got := s.query(id, "got", numbers(300)); got != 0 {
		t.Errorf("where nothing was written: %d", got)
	}
	s.close()
}

// Start, memory and calls beside how much memory canisters have: none of it lies on
// the Go heap, and a start does not read it.
func BenchmarkHeaps(b *testing.B) {
	for _, gib := range []int{1, 4} {
		b.Run(fmt.Sprintf("GiB=%d", gib), func(b *testing.B) {
			for b.Loop() {
				benchHeaps(b, gib)
			}
		})
	}
}

func benchHeaps(b *testing.B, gib int) {
	const pagesOfGiB = 1 << 18
	s := newBare(b, b.TempDir())
	report := func(name string, f func()) {
		began, cpu := time.Now(), cpuTime()
		f()
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, name+"-ms")
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000, name+"-cpu-ms")
	}
	s.create(gib, largeWasm, atOnce)
	ids := s.ids()
	for _, id := range ids {
		const step = pagesOfGiB / 8
		for at := 1; at < pagesOfGiB; at += step {
			s.update(id, "fill", numbers(uint32(at), uint32(min(at+step, pagesOfGiB)), 7))
			s.save()
		}
	}
	b.ReportMetric(float64(heapBytes()>>20), "go-heap-MiB")
	s.close()
	before := heapBytes()
	anon, _ := rss(b)
	report("start", func() { s = newBare(b, s.dir) })
	report("first-query", func() { s.query(ids[0], "at", numbers(99)) })
	report("first-update", func() { s.update(ids[0], "fill", numbers(50, 60, 9)) })
	report("next-update", func() { s.update(ids[0], "fill", numbers(50, 60, 11)) })
	report("next-query", func() { s.query(ids[0], "at", numbers(55)) })
	report("save", s.save)
	b.ReportMetric(float64(heapBytes()-before)/(1<<20), "restarted-go-heap-MiB")
	now, file := rss(b)
	b.ReportMetric((float64(now)-float64(anon))/(1<<20), "restarted-anon-MiB")
	b.ReportMetric(float64(file)/(1<<20), "restarted-file-MiB")
	var disk int64
	filepath.Walk(s.dir, func(_ string, i os.FileInfo, err error) error {
		if err == nil && strings.HasSuffix(i.Name(), ".pages") {
			disk += i.Size()
		}
		return nil
	})
	b.ReportMetric(float64(disk)/float64(gib<<30), "disk/state")
	s.close()
}

func TestCollectorTakesItsShare(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		total, live uint64
		percent     int
	}{{25 * gib, 10 << 20, gcMost}, {25 * gib, gib / 2, 200}, {25 * gib, 8 * gib, gcLeast}, {0, gib, gcLeast}, {25 * gib, 0, gcMost}} {
		if got := gcPercent(c.total, c.live); got != c.percent {
			t.Errorf("%d of %d bytes in use: %d percent, want %d", c.live, c.total, got, c.percent)
		}
	}
}
