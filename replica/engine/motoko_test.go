package engine

import (
	"bytes"
	_ "embed"
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// Built from counter.mo by npm motoko 4.10.0: wasm64 and table64.
//
//go:embed testdata/motoko/counter.wasm
var motokoCounter []byte

// A Motoko counter is installed, counts, survives commit, rollback and a new
// instance, and counts the same instructions each time.
func TestMotokoCounter(t *testing.T) {
	for _, tracker := range []Tracker{TrackScan, TrackPagemap, TrackCompare} {
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

// BenchmarkMotokoInc is a whole update, Candid and a dozen system calls included:
// the call alone, then with its changes committed, and rolled back.
func BenchmarkMotokoInc(b *testing.B) {
	for name, after := range map[string]func(*Instance){
		"call":          func(*Instance) {},
		"call+commit":   func(in *Instance) { in.Commit() },
		"call+rollback": (*Instance).Rollback,
	} {
		b.Run(name, func(b *testing.B) {
			in := install(b, testEngine(b, Config{}), motokoCounter)
			if in.module.Info().HasStart {
				run(b, in, "canister_start", nil)
			}
			run(b, in, "canister_init", []byte("DIDL\x00\x00"))
			in.Commit()
			var used machine.Instructions
			for b.Loop() {
				_, used = run(b, in, "canister_update inc", []byte("DIDL\x00\x00"))
				after(in)
			}
			b.ReportMetric(float64(used), "instr/op")
			b.ReportMetric(float64(in.HeapBytes()>>20), "heap-MiB")
		})
	}
}

// BenchmarkColdStart makes an instance of an installed canister and calls it once.
func BenchmarkColdStart(b *testing.B) {
	e := testEngine(b, Config{})
	in := install(b, e, motokoCounter)
	run(b, in, "canister_start", nil)
	run(b, in, "canister_init", []byte("DIDL\x00\x00"))
	d := in.Commit()
	heap := pages.Map{}.With(d.HeapBytes, d.Heap)
	for b.Loop() {
		again, err := in.module.Instantiate(heap, pages.Map{}, d.Globals)
		if err != nil {
			b.Fatal(err)
		}
		run(b, again, "canister_query get", []byte("DIDL\x00\x00"))
		again.Close()
	}
}

// BenchmarkCompile is what an install costs: check, rewrite, compile.
func BenchmarkCompile(b *testing.B) {
	e := testEngine(b, Config{})
	b.Run("prepare", func(b *testing.B) {
		b.SetBytes(int64(len(motokoCounter)))
		for b.Loop() {
			if _, err := wasm.Prepare(motokoCounter, e.imports); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			prep, err := wasm.Prepare(motokoCounter, e.imports)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := e.compile(prep); err != nil {
				b.Fatal(err)
			}
		}
	})
}
