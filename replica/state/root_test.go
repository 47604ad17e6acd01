package state

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
	"ashlar/replica/wire/hashtree"
)

// walked computes the root from the nodes alone, without what is remembered, and
// gathers the entries of the store on its way.
func walked(n merkle.Node, key string, index uint64, into map[string]string) merkle.Sum {
	var edges []merkle.Edge
	whole := ""
	for _, k := range n.Kids() {
		at, i := key+k.Label, index
		if n.Kind() == merkle.Pages {
			i = index<<6 | uint64(k.Slot)
		}
		e := merkle.Edge{Label: k.Label, Slot: k.Slot, Sum: walked(k.Node, at, i, into)}
		if n.Kind() == merkle.Long {
			whole += into[at]
		}
		edges = append(edges, e)
	}
	switch n.Kind() {
	case merkle.Value:
		into[key] = string(n.Content())
		return merkle.SumValue(n.Content())
	case merkle.Page:
		into[key+ID(index)] = string(n.Content())
		return merkle.SumPage(pages.Page(n.Content()))
	case merkle.Pages:
		return merkle.SumPages(n.Level(), edges)
	case merkle.Long:
		into[key] = whole
		return merkle.SumLong(uint64(len(whole)), edges)
	}
	return merkle.SumDir(edges)
}

// The root is that of the nodes, and the nodes hold the entries of the store.
func TestRootCoversEveryEntry(t *testing.T) {
	d := full().Draft()
	d.PutCode(make([]byte, 3*merkle.PieceBytes+5))
	big := *d.Canister(ic.CanisterIDFromUint64(1))
	big.Memory = &Memory{Stable: big.Memory.Stable.With(1<<40, []pages.Change{{Index: 1 << 20, Page: &[4096]byte{7}}}), Heap: big.Memory.Heap}
	big.StableBytes = 1 << 40
	d.Put(&big)
	s := d.Seal()
	got := map[string]string{}
	if walked(s.Merkle(), "", 0, got) != s.Root() {
		t.Error("the nodes have another root than the state")
	}
	want := map[string]string{}
	for _, e := range dump(s) {
		want[e.key] = string(e.value)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("key %q is not in the tree as it is in the store", k)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries in the tree, %d in the store", len(got), len(want))
	}
	root := s.Root()
	if leaf, _ := s.Tree().Lookup(hashtree.P("metadata", "state")); string(leaf) != string(root[:]) {
		t.Error("the certified tree does not show the root")
	}
}

// Changing any one value changes the root; changing it back brings the root back.
func TestRootFollowsContent(t *testing.T) {
	s := full()
	again, err := load(dump(s))
	if err != nil || again.Root() != s.Root() {
		t.Fatalf("another root after loading: %v", err)
	}
	for i, e := range dump(s) {
		if e.key[0] == 'w' || len(e.value) == 0 {
			continue
		}
		list := dump(s)
		list[i].value = append([]byte(nil), e.value...)
		for at := range list[i].value {
			list[i].value[at] ^= 1
			if other, err := load(list); err == nil && other.Root() == s.Root() {
				if back := dump(other); fmt.Sprintf("%x", back) != fmt.Sprintf("%x", dump(s)) {
					t.Errorf("key %q: byte %d does not count", e.key, at)
				}
			}
			list[i].value[at] ^= 1
		}
	}
}

// A memory's sum is a function of its content, whatever it went through.
func TestMemorySumForgetsHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var m pages.Map
		content := map[uint64]pages.Page{}
		for range 20 {
			var changes []pages.Change
			for range rng.IntN(100) {
				i := rng.Uint64N(1 << rng.UintN(22))
				p := &[4096]byte{byte(rng.IntN(3))}
				if rng.IntN(3) == 0 {
					p = nil
				}
				changes = append(changes, pages.Change{Index: i, Page: p})
				content[i] = p
			}
			m = m.With(1<<40, changes)
			if rng.IntN(2) == 0 {
				m.Sum()
			}
		}
		var held []pages.Held
		for i, p := range content {
			if p != nil && p[0] != 0 {
				held = append(held, pages.Held{Index: i, Page: p})
			}
		}
		fresh := pages.New(1<<40, held)
		a, _, okA := m.Sum()
		b, _, okB := fresh.Sum()
		if a != b || okA != okB || okA != (len(held) > 0) {
			t.Fatal("equal memories have different sums")
		}
	}
}

func canisterWith(b *testing.B, n int) *State {
	d := genesis().Draft()
	c := &Canister{ID: ic.CanisterIDFromUint64(1), Memory: &Memory{Stable: dirtied(pages.Map{}, n, 1)}}
	d.Put(c)
	return d.Seal()
}

func dirtied(m pages.Map, n int, by byte) pages.Map {
	var changes []pages.Change
	for i := range n {
		p := new([4096]byte)
		p[0], p[1], p[2] = by, byte(i), byte(i>>8)
		changes = append(changes, pages.Change{Index: uint64(i), Page: p})
	}
	return m.With(uint64(n)*4096, changes)
}

// BenchmarkSeal is what a round pays for the trees: idle, and with dirty pages.
func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{0, 1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d pages", n), func(b *testing.B) {
			s := canisterWith(b, 10_000)
			by := byte(2)
			for b.Loop() {
				b.StopTimer()
				d := s.Draft()
				d.Head.Height++
				if n > 0 {
					c := *d.Canister(ic.CanisterIDFromUint64(1))
					c.Memory = &Memory{Stable: dirtied(c.Memory.Stable, n, by)}
					d.Put(&c)
				}
				by++
				b.StartTimer()
				s = d.Seal()
			}
		})
	}
}
