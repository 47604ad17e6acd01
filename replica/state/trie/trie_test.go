package trie

import (
	"bytes"
	"fmt"
	"math/rand"
	"sort"
	"testing"

	"ashlar/replica/state/merkle"
	"ashlar/replica/wire/hashtree"
)

func keyOf(r *rand.Rand) string {
	b := make([]byte, r.Intn(4))
	for i := range b {
		b[i] = byte(r.Intn(3)) * 0x7f
	}
	return string(b)
}

func entry(_ string, v int) *hashtree.Tree { return hashtree.NewLeaf([]byte(fmt.Sprint(v))) }

func sealed(m Map[int]) [32]byte {
	m.Seal(func(key string, v int) (merkle.Sum, [32]byte) {
		return merkle.SumValue([]byte(fmt.Sprint(v))), entry(key, v).Digest()
	})
	if m.Len() == 0 {
		return [32]byte{}
	}
	return m.Tree(entry).Digest()
}

// The map agrees with Go's, in order, and its differences lead from one version to the other.
func TestAgainstGoMap(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		var m Map[int]
		own := Nobody
		want := map[string]int{}
		var versions []Map[int]
		var wants []map[string]int
		for range 60 {
			k := keyOf(r)
			if r.Intn(3) == 0 {
				m.Unset(own, k)
				delete(want, k)
			} else {
				v := r.Intn(1000)
				m.Set(own, k, v)
				want[k] = v
			}
			if r.Intn(3) == 0 {
				continue // nobody sees this version
			}
			if own = Nobody; r.Intn(2) == 0 {
				own = Owner(len(versions) + 1)
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
			sealed(a)
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
	if sealed(a) != sealed(b) {
		t.Error("equal maps have different digests")
	}
	if c := b.With("0", -1); sealed(c) == sealed(b) {
		t.Error("different maps have equal digests")
	}
}

// A map that was changed in place has the tree that it would have otherwise, and what
// the tree shows is the map.
func TestTreeOfOwner(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	var a, b Map[int]
	for round := range 50 {
		for range r.Intn(10) {
			k := fmt.Sprint(r.Intn(60))
			if r.Intn(3) == 0 {
				a.Unset(Owner(round+1), k)
				b = b.Without(k)
			} else {
				a.Set(Owner(round+1), k, round)
				b = b.With(k, round)
			}
		}
		if sealed(a) != sealed(b) {
			t.Fatalf("round %d: the map that is changed in place has another digest", round)
		}
		shown := map[string]int{}
		a.Tree(entry).Each(func(label []byte, sub *hashtree.Tree) {
			n := 0
			fmt.Sscan(string(sub.Data()), &n)
			shown[string(label)] = n
		})
		check(t, a, shown)
	}
}

// What a map shows of some labels, there or not, is what a tree that was made whole shows.
func TestWitness(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	var m Map[int]
	for round := range 300 {
		m = m.With(keyOf(r), round)
		sealed(m)
		made, err := hashtree.Decode(m.Tree(entry).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		var paths []hashtree.Path
		for range 1 + r.Intn(3) {
			paths = append(paths, hashtree.P(keyOf(r)))
			value, found := m.Tree(entry).Lookup(paths[0])
			if want, same := made.Lookup(paths[0]); found != same || string(value) != string(want) {
				t.Fatalf("round %d: %q is %q (%v), want %q (%v)", round, paths[0], value, found, want, same)
			}
		}
		shown := m.Tree(entry).Witness(paths)
		if got, want := shown.Append(nil), made.Witness(paths).Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %q is shown as %x, want %x", round, paths, got, want)
		}
		if read, err := hashtree.Decode(shown.Append(nil)); err != nil || read.Digest() != made.Digest() || shown.Digest() != made.Digest() {
			t.Fatalf("round %d: what is shown has another digest (%v)", round, err)
		}
	}
}
