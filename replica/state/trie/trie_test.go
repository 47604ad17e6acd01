package trie

import (
	"fmt"
	"math/rand"
	"sort"
	"testing"

	"ashlar/replica/wire/hashtree"
)

func keyOf(r *rand.Rand) string {
	b := make([]byte, r.Intn(4))
	for i := range b {
		b[i] = byte(r.Intn(3)) * 0x7f
	}
	return string(b)
}

func label(_ string, v int) *hashtree.Tree { return hashtree.NewLeaf([]byte(fmt.Sprint(v))) }

// The map agrees with Go's, in order, and its differences lead from one version to the other.
func TestAgainstGoMap(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		var m Map[int]
		want := map[string]int{}
		var versions []Map[int]
		var wants []map[string]int
		for range 60 {
			k := keyOf(r)
			if r.Intn(3) == 0 {
				m = m.Without(k)
				delete(want, k)
			} else {
				v := r.Intn(1000)
				m = m.With(k, v)
				want[k] = v
			}
			copied := map[string]int{}
			for k, v := range want {
				copied[k] = v
			}
			versions, wants = append(versions, m), append(wants, copied)
		}
		for i, v := range versions {
			check(t, v, wants[i])
			j := r.Intn(len(versions))
			moved := map[string]int{}
			for k, x := range wants[j] {
				moved[k] = x
			}
			last := ""
			first := true
			v.Diff(versions[j], func(c Change[int]) bool {
				if !first && c.Key <= last {
					t.Fatalf("seed %d: differences out of order: %x after %x", seed, c.Key, last)
				}
				first, last = false, c.Key
				if c.HasNew {
					moved[c.Key] = c.New
				} else {
					delete(moved, c.Key)
				}
				return true
			})
			check(t, v, moved)
		}
	}
}

func check(t *testing.T, m Map[int], want map[string]int) {
	t.Helper()
	if m.Len() != len(want) {
		t.Fatalf("%d entries, want %d", m.Len(), len(want))
	}
	var keys []string
	for k := range want {
		keys = append(keys, k)
		if v, ok := m.Get(k); !ok || v != want[k] {
			t.Fatalf("%x: got %d, %v, want %d", k, v, ok, want[k])
		}
	}
	sort.Strings(keys)
	i := 0
	m.Each(func(k string, v int) bool {
		if k != keys[i] {
			t.Fatalf("entry %d is %x, want %x", i, k, keys[i])
		}
		i++
		return true
	})
}

// The hash is a function of the content, not of the way there.
func TestSealIsHistoryIndependent(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	var a Map[int]
	want := map[string]int{}
	for i := range 300 {
		k := fmt.Sprint(r.Intn(100))
		a = a.With(k, i)
		want[k] = i
		if i%7 == 0 {
			a.Seal(label)
		}
		if i%5 == 0 {
			k := fmt.Sprint(r.Intn(100))
			a = a.Without(k)
			delete(want, k)
		}
	}
	var b Map[int]
	for k, v := range want {
		b = b.With(k, v)
	}
	if a.Seal(label).Digest() != b.Seal(label).Digest() {
		t.Error("equal maps have different digests")
	}
	if c := b.With("0", -1); c.Seal(label).Digest() == b.Seal(label).Digest() {
		t.Error("different maps have equal digests")
	}
}
