package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ashlar/replica/execution/machine"
	"ashlar/replica/state/pages"
)

// An instance that is moved between versions of a canister's memory, forward
// and back, answers and counts as one that was made for each of them.
func TestRebase(t *testing.T) {
	for _, tracker := range []Tracker{TrackScan, TrackPagemap, TrackCompare} {
		t.Run(string(tracker), func(t *testing.T) {
			if _, err := chooseTracker(tracker); err != nil {
				t.Skip(err)
			}
			e := testEngine(t, Config{Tracker: tracker})
			in := install(t, e, motokoCounter)
			run(t, in, "canister_start", nil)
			run(t, in, "canister_init", []byte("DIDL\x00\x00"))
			type version struct {
				heap    pages.Map
				globals []machine.Global
			}
			var versions []version
			var heap pages.Map
			for i := range 20 {
				d := in.Commit()
				bytes := d.HeapBytes
				if i%5 == 4 { // some versions are longer: memory that grew and is still zero
					bytes += wasmPage
				}
				heap = heap.With(d.HeapBytes, d.Heap)
				versions = append(versions, version{heap.With(bytes, nil), d.Globals})
				run(t, in, "canister_update inc", []byte("DIDL\x00\x00"))
			}
			moving, err := in.module.Instantiate(versions[0].heap, pages.Map{}, versions[0].globals)
			if err != nil {
				t.Fatal(err)
			}
			defer moving.Close()
			rng := rand.New(rand.NewPCG(1, 1))
			for range 50 {
				i := rng.IntN(len(versions))
				v := versions[i]
				moving.Rebase(v.heap, pages.Map{}, v.globals)
				fresh, err := in.module.Instantiate(v.heap, pages.Map{}, v.globals)
				if err != nil {
					t.Fatal(err)
				}
				if moving.HeapBytes() != v.heap.Bytes() || !bytes.Equal(moving.(*Instance).Heap(), fresh.(*Instance).Heap()) {
					t.Fatalf("the heap of version %d differs", i)
				}
				got, used := run(t, moving, "canister_update inc", []byte("DIDL\x00\x00"))
				_, want := run(t, fresh, "canister_update inc", []byte("DIDL\x00\x00"))
				if !bytes.Equal(got, candidNat(uint64(i)+1)) || used != want {
					t.Fatalf("version %d: reply %x with %d instructions, a fresh instance took %d", i, got, used, want)
				}
				fresh.Close()
				moving.Rollback()
			}
		})
	}
}
