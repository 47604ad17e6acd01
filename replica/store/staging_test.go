package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
	statesync "ashlar/replica/state/sync"
)

func somePart(r *rand.Rand) statesync.Part {
	kinds := []statesync.PartKind{statesync.Entry, statesync.Inner, statesync.Piece, statesync.Entry}
	p := statesync.Part{Kind: kinds[r.IntN(4)], Key: fmt.Sprintf("%04d", r.IntN(300)), Sum: statesync.Sum{byte(r.Uint32()), 9}}
	p.Content = bytes.Repeat([]byte(p.Key+string(p.Sum[:1])), r.IntN(200))
	return p
}

// A power cut loses what gathers in memory, and nothing else.
func TestStageSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewCrashableMem()
		s, err := Open("state", Options{FS: mem, StageBytes: 5000, Alone: seed%4 < 2})
		must(t, err)
		g := s.Staging()
		put := map[string]statesync.Part{}
		for range r.IntN(40) {
			p := somePart(r)
			must(t, g.Put([]statesync.Part{p}))
			put[string(stageKey(p.Kind, p.Key, p.Sum))] = p
		}
		if seed%2 == 0 {
			must(t, s.Persist(nil, true))
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		lost, flying := g.now.index, g.flying.index
		must(t, s.Close())
		s = open(t, after)
		g = s.Staging()
		for at, p := range put {
			_, wasInMemory := lost[at]
			_, wasFlying := flying[at] // lost or not
			has, err := g.Has(p.Kind, p.Key, p.Sum)
			must(t, err)
			content, ok, err := g.Get(p.Kind, p.Key, p.Sum)
			must(t, err)
			if has != ok || !wasFlying && has == wasInMemory || ok && !bytes.Equal(content, p.Content) {
				t.Errorf("seed %d: a part was lost or changed", seed)
			}
		}
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
	g := s.Staging()
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
	var gone []string
	must(t, g.Each(func(in state.Incoming) bool {
		if in.Gone {
			gone = append(gone, in.Key)
			return true
		}
		for at < len(want) && want[at].Key < in.Key {
			at++
		}
		if at == len(want) || want[at].Key != in.Key || !bytes.Equal(want[at].Content, in.Value) {
			t.Fatalf("key %q is left with %q", in.Key, in.Value)
		}
		return true
	}))
	if !slices.Equal(gone, []string{"0000x"}) {
		t.Errorf("gone: %q", gone)
	}
	if has, _ := g.Has(statesync.Inner, in.Key, in.Sum); !has {
		t.Error("a node was swept")
	}
}

// someState has canisters with heaps of many pages; each version changes some.
func someState(r *rand.Rand, old *state.State) *state.State {
	if old == nil {
		old = state.New(state.Genesis{Time: 7, Subnet: state.Subnet{ID: ic.SubnetID{Principal: "subnet"}, Type: "application",
			Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}})
	}
	d := old.Draft()
	d.Head.Height++
	for range 3 {
		id := ic.CanisterIDFromUint64(r.Uint64N(6))
		c := state.Canister{ID: id, Memory: &state.Memory{}}
		if was := d.Canister(id); was != nil {
			if c = *was; r.IntN(8) == 0 {
				d.Delete(id)
				continue
			}
		}
		var changes []pages.Change
		for range r.IntN(100) {
			ch := pages.Change{Index: r.Uint64N(1 << r.UintN(13)), Page: content(byte(1 + r.IntN(200)))}
			if r.IntN(5) == 0 {
				ch.Page = nil
			}
			changes = append(changes, ch)
		}
		m := *c.Memory
		m.Stable = m.Stable.With(1<<25, changes)
		if r.IntN(5) == 0 {
			m.Stable = pages.Map{}
		}
		c.Memory, c.StableBytes = &m, 1<<25
		c.Cycles = ic.Cycles{Lo: r.Uint64()}
		d.Put(&c)
	}
	return d.Seal()
}

// wholeBytes is what all of a state takes in answers.
func wholeBytes(t *testing.T, s *state.State) (n uint64) {
	var count func(node merkle.Node)
	count = func(node merkle.Node) {
		kids := node.Kids()
		n += uint64(len(merkle.Encode(node, kids))) + 3
		for _, k := range kids {
			count(k.Node)
		}
	}
	count(s.Merkle())
	return n
}

// A node fetches a state, with and without an older one, and loses power again and
// again: what was on disk is not fetched again, and what it loads in the end is the
// target, of which pages were written once.
func TestAStateComesFromPeers(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 8))
		mem := vfs.NewCrashableMem()
		s, err := Open("state", Options{FS: mem, StageBytes: 20 * pages.Size, Alone: seed%4 < 2})
		must(t, err)
		var older *state.State
		target := someState(r, nil)
		for range 4 {
			target = someState(r, target)
		}
		if seed%2 == 1 {
			must(t, s.SaveState(target, nil))
			older = target
			for range 1 + r.IntN(3) {
				target = someState(r, target)
			}
		}
		resumed, fetched, lives := false, uint64(0), uint64(0)
		for done := false; !done; lives++ {
			g := s.Staging()
			var tree merkle.Node
			if older != nil {
				tree = older.Merkle()
			}
			c := statesync.New(statesync.Config{Stage: g, Older: tree, Resumed: resumed})
			c.SetPeers([]ic.NodeID{{Principal: "a"}})
			must(t, c.Target(target.Root()))
			for range 1 + r.IntN(12) {
				asks, err := c.Next(0)
				must(t, err)
				for _, a := range asks {
					answer, err := statesync.Serve(a.Request, func(statesync.Sum) merkle.Node { return target.Merkle() })
					must(t, err)
					if _, err := c.Answered(0, a.Peer, a.ID, answer); err != nil {
						t.Fatal(err)
					}
				}
				done = c.Done()
			}
			fetched += c.Progress().Fetched
			if done {
				must(t, c.Finish())
				got, err := state.Over(older, g.Each)
				must(t, err)
				if got.Root() != target.Root() {
					t.Fatalf("seed %d: another state came", seed)
				}
				must(t, s.SaveState(got, older))
				must(t, g.Clear())
			}
			after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			must(t, s.Close())
			mem = after
			s, err = Open("state", Options{FS: mem, StageBytes: 20 * pages.Size, Alone: seed%4 < 2})
			must(t, err)
			if older, err = s.LoadState(); err != nil {
				t.Fatal(err)
			}
			empty, err := s.Staging().Empty()
			must(t, err)
			resumed = !empty
		}
		if older == nil || older.Root() != target.Root() {
			t.Errorf("seed %d: after the end the store has another state", seed)
		}
		if resumed || len(s.files.staged()) > 0 {
			t.Errorf("seed %d: something is still staged", seed)
		}
		// Of what each life fetched, what had gathered is lost, and nodes above it.
		if most := wholeBytes(t, target) + lives*(40*pages.Size); fetched > most {
			t.Errorf("seed %d: %d KiB came in %d lives, more than %d", seed, fetched>>10, lives, most>>10)
		}
		must(t, s.Close())
	}
}
