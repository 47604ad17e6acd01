package engine

import (
	"bytes"
	_ "embed"
	"testing"

	"ashlar/replica/state/pages"
)

// Built from counter.mo by npm motoko 4.10.0: wasm64 and table64.
//
//go:embed testdata/motoko/counter.wasm
var motokoCounter []byte

// A Motoko counter is installed, counts, survives commit, rollback and a new
// instance, and counts the same instructions each time.
func TestMotokoCounter(t *testing.T) {
	for _, tracker := range []Tracker{TrackScan, TrackCompare} {
		t.Run(string(tracker), func(t *testing.T) {
			if _, err := chooseTracker(tracker); err != nil {
				t.Skip(err)
			}
			e := testEngine(t, Config{Tracker: tracker})
			in := install(t, e, motokoCounter)
			if in.module.Info().HasStart {
				run(t, in, "canister_start", nil)
			}
			run(t, in, "canister_init", []byte("DIDL\x00\x00"))
			d := in.Commit()
			t.Logf("init: %d heap pages, %d bytes, %d globals", len(d.Heap), d.HeapBytes, len(d.Globals))
			heap := pages.Map{}.With(d.HeapBytes, d.Heap)

			for i := uint64(1); i <= 3; i++ {
				reply, used := run(t, in, "canister_update inc", []byte("DIDL\x00\x00"))
				if !bytes.Equal(reply, candidNat(i)) {
					t.Fatalf("inc gives %x, want %x", reply, candidNat(i))
				}
				d := in.Commit()
				heap = heap.With(d.HeapBytes, d.Heap)
				t.Logf("inc: %d instructions, %d pages changed", used, len(d.Heap))
			}
			run(t, in, "canister_update inc", []byte("DIDL\x00\x00"))
			in.Rollback()
			if reply, _ := run(t, in, "canister_query get", []byte("DIDL\x00\x00")); !bytes.Equal(reply, candidNat(3)) {
				t.Fatalf("get after rollback gives %x", reply)
			}
			in.Rollback()

			again, err := in.module.Instantiate(heap, pages.Map{}, in.globals)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			for _, in := range []*Instance{in, again.(*Instance)} {
				reply, used := run(t, in, "canister_update inc", []byte("DIDL\x00\x00"))
				if !bytes.Equal(reply, candidNat(4)) {
					t.Fatalf("inc gives %x, want %x", reply, candidNat(4))
				}
				d := in.Commit()
				t.Logf("inc: %d instructions, %d pages changed", used, len(d.Heap))
			}
		})
	}
}

func BenchmarkMotokoInc(b *testing.B) {
	e := testEngine(b, Config{})
	in := install(b, e, motokoCounter)
	if in.module.Info().HasStart {
		run(b, in, "canister_start", nil)
	}
	run(b, in, "canister_init", []byte("DIDL\x00\x00"))
	in.Commit()
	b.Run("call", func(b *testing.B) {
		var used uint64
		for b.Loop() {
			_, u := run(b, in, "canister_update inc", []byte("DIDL\x00\x00"))
			used = uint64(u)
		}
		b.ReportMetric(float64(used), "instr/op")
	})
	b.Run("call+commit", func(b *testing.B) {
		for b.Loop() {
			run(b, in, "canister_update inc", []byte("DIDL\x00\x00"))
			in.Commit()
		}
	})
}
