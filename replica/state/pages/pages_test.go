package pages

import (
	"math/rand/v2"
	"testing"
)

// A map behaves as a plain Go map does, whatever is written in whatever order,
// and an older version never changes.
func TestAgainstPlainMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var m Map
	want := map[uint64]Page{}
	for range 200 {
		old := m
		oldWant := map[uint64]Page{}
		for k, v := range want {
			oldWant[k] = v
		}
		var changes []Change
		changed := map[uint64]Page{}
		for range rng.IntN(5) {
			p := new([Size]byte)
			p[0] = byte(rng.Uint32())
			i := rng.Uint64N(1 << rng.UintN(24))
			if rng.IntN(4) == 0 {
				p = nil
			}
			changes = append(changes, Change{i, p})
			changed[i] = p
			want[i] = p
		}
		m = m.With(m.bytes+1, changes)
		for k, v := range want {
			if m.Get(k) != v {
				t.Fatalf("page %d is wrong", k)
			}
		}
		for k, v := range oldWant {
			if old.Get(k) != v {
				t.Fatalf("page %d of the old version changed", k)
			}
		}
		m.Diff(old, func(i uint64, p Page) bool {
			if q, ok := changed[i]; !ok || q != p {
				t.Fatalf("Diff names page %d, which did not change", i)
			}
			delete(changed, i)
			return true
		})
		for i, p := range changed {
			if p != oldWant[i] {
				t.Fatalf("Diff misses page %d", i)
			}
		}
	}
	last := -1
	m.Each(func(i uint64, p Page) bool {
		if int(i) <= last || want[i] != p {
			t.Fatalf("Each: page %d after %d", i, last)
		}
		last = int(i)
		return true
	})
}
