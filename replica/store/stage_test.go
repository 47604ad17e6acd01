package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	statesync "ashlar/replica/state/sync"
)

func somePart(r *rand.Rand) statesync.Part {
	kinds := []statesync.PartKind{statesync.Entry, statesync.Page, statesync.Inner, statesync.Piece}
	p := statesync.Part{Kind: kinds[r.IntN(4)], Key: fmt.Sprintf("%04d", r.IntN(300)), Sum: statesync.Sum{byte(r.IntN(3)), 9}}
	p.Content = []byte(p.Key + string(p.Sum[:1]))
	return p
}

// A power cut leaves the parts that were put first, none of them changed.
func TestStageSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewCrashableMem()
		s := open(t, mem)
		g := s.Stage()
		var put []statesync.Part
		for range r.IntN(40) {
			var parts []statesync.Part
			for range 1 + r.IntN(5) {
				p := somePart(r)
				if r.IntN(10) == 0 {
					p.Content = append(p.Content, make([]byte, 1<<20)...)
				}
				parts = append(parts, p)
				if !slices.ContainsFunc(put, func(q statesync.Part) bool { return string(stageKey(q.Kind, q.Key, q.Sum)) == string(stageKey(p.Kind, p.Key, p.Sum)) }) {
					put = append(put, p)
				}
			}
			must(t, g.Put(parts))
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		must(t, s.Close())
		s = open(t, after)
		g = s.Stage()
		lost, left := false, 0
		for _, p := range put {
			has, err := g.Has(p.Kind, p.Key, p.Sum)
			must(t, err)
			content, ok, err := g.Get(p.Kind, p.Key, p.Sum)
			must(t, err)
			if has != ok || ok && !bytes.HasPrefix(content, []byte(p.Key+string(p.Sum[:1]))) {
				t.Errorf("seed %d: a part was changed", seed)
			}
			if lost = lost || !has; lost && has {
				t.Errorf("seed %d: an earlier part was lost, this one was not", seed)
			}
			if has {
				left++
			}
		}
		t.Logf("seed %d: %d of %d parts are left", seed, left, len(put))
		must(t, g.Clear())
		if empty, err := g.Empty(); !empty || err != nil {
			t.Errorf("seed %d: not empty: %v", seed, err)
		}
		must(t, s.Close())
	}
}

// Sweep leaves the parts that it is told of, and Each yields them in order.
func TestStageIsSwept(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	s := open(t, vfs.NewMem())
	defer s.Close()
	g := s.Stage()
	var want []statesync.Part
	for i := range 3000 {
		p := statesync.Part{Kind: statesync.Entry, Key: fmt.Sprintf("%04d", i), Sum: statesync.Sum{byte(i)}, Content: []byte(fmt.Sprint(i))}
		old := p
		old.Sum[1], old.Content = byte(1+r.IntN(9)), []byte("old")
		parts := []statesync.Part{old, p}
		switch r.IntN(4) {
		case 0: // yielded, and of the older state
			parts = nil
		case 1: // gone
			parts = []statesync.Part{old, {Kind: statesync.Gone, Key: p.Key}}
			p.Content = nil
		}
		must(t, g.Put(parts))
		if p.Content != nil {
			want = append(want, p)
		}
	}
	in := statesync.Part{Kind: statesync.Inner, Key: "0001", Content: []byte("node")}
	must(t, g.Put([]statesync.Part{in}))
	must(t, g.Sweep(func(yield func(string, statesync.Sum) error) error {
		for _, p := range want {
			if err := yield(p.Key, p.Sum); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, g.Put([]statesync.Part{{Kind: statesync.Gone, Key: "0000x"}}))
	at := 0
	var values []string
	must(t, g.Each(func(key string, value []byte) bool {
		if value == nil {
			values = append(values, key)
			return true
		}
		for at < len(want) && want[at].Key < key {
			at++
		}
		if at == len(want) || want[at].Key != key || !bytes.Equal(want[at].Content, value) {
			t.Fatalf("key %q is left with %q", key, value)
		}
		return true
	}))
	if !slices.Equal(values, []string{"0000x"}) {
		t.Errorf("gone: %q", values)
	}
	if has, _ := g.Has(statesync.Inner, in.Key, in.Sum); !has {
		t.Error("a node was swept")
	}
}
