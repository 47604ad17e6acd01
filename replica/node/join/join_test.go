package join

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/pages"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
)

// subnet is a node that fetches, and the sources of its peers.
type subnet struct {
	t       *testing.T
	rng     *rand.Rand
	now     ic.Time
	disk    vfs.FS
	store   *store.Store
	saved   *state.State
	fetch   *Fetch
	sources []*Source
	lies    []func(request, answer []byte) []byte // nil: honest
	state   *state.State                          // the newest
	flying  []func()
	blamed  map[int]string
	refuse  error // of Adopt
	bytes   int
}

func id(i int) ic.NodeID { return ic.NodeID{Principal: ic.Principal(fmt.Sprint("node ", i))} }

func newSubnet(t *testing.T, seed uint64, peers int) *subnet {
	s := &subnet{t: t, rng: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewMem(), blamed: map[int]string{}, lies: make([]func(_, _ []byte) []byte, peers)}
	for range peers {
		s.sources = append(s.sources, NewSource(func(string) {}))
	}
	s.state = state.New(state.Genesis{Time: 7, Subnet: state.Subnet{ID: ic.SubnetID{Principal: "subnet"}, Type: "application",
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}})
	s.start()
	return s
}

// start the node on its disk.
func (s *subnet) start() {
	var err error
	if s.store, err = store.Open("state", store.Options{FS: s.disk, StageBytes: 16 * pages.Size}); err != nil {
		s.t.Fatal(err)
	}
	if s.saved, err = s.store.LoadState(); err != nil {
		s.t.Fatal(err)
	}
	s.flying = nil
	s.fetch = New(Config{Self: id(9), Stage: s.store.Staging(), Now: func() ic.Time { return s.now }, Ask: s.ask,
		Older: func() *state.State { return s.saved }, Adopt: s.adopt, Saved: s.height,
		Log: func(line string) { s.t.Log(line) }, Blame: s.blame})
}

func (s *subnet) stop() {
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *subnet) height() ic.Height {
	if s.saved == nil {
		return 0
	}
	return s.saved.Height()
}

func (s *subnet) adopt(st *state.State) error {
	if s.refuse != nil {
		return s.refuse
	}
	if err := s.store.SaveState(st, s.saved); err != nil {
		s.t.Fatal(err)
	}
	s.saved = st
	return nil
}

func (s *subnet) blame(peer ic.NodeID, why error) {
	for i := range s.sources {
		if id(i) == peer {
			s.blamed[i] = why.Error()
		}
	}
}

func (s *subnet) ask(peer ic.NodeID, q uint64, request []byte) {
	for i, src := range s.sources {
		if id(i) != peer {
			continue
		}
		s.flying = append(s.flying, func() {
			answer, err := src.Serve(request)
			if err != nil {
				s.t.Fatalf("node %d refuses a request: %v", i, err)
			}
			if s.lies[i] != nil {
				answer = s.lies[i](request, answer)
			}
			s.bytes += len(answer)
			s.fetch.Answered(peer, q, answer)
		})
	}
}

// grow the state by some pages, and have a package for it.
func (s *subnet) grow(n int) *block.Artifact {
	d := s.state.Draft()
	d.Head.Height += 10
	for range 3 {
		can := ic.CanisterIDFromUint64(s.rng.Uint64N(4))
		c := state.Canister{ID: can, Memory: &state.Memory{}}
		if old := d.Canister(can); old != nil {
			c = *old
		}
		var changes []pages.Change
		for range n {
			p := new([pages.Size]byte)
			p[0], p[1] = 1, byte(s.rng.Uint32())
			changes = append(changes, pages.Change{Index: s.rng.Uint64N(1 << 13), Page: p})
		}
		m := *c.Memory
		m.Heap = m.Heap.With(1<<25, changes)
		c.Memory, c.HeapBytes, c.Cycles = &m, 1<<25, ic.Cycles{Lo: s.rng.Uint64()}
		d.Put(&c)
	}
	s.state = d.Seal()
	for _, src := range s.sources {
		src.Keep(s.state)
	}
	sum := &block.Summary{Current: &block.Committee{}}
	for i := range s.sources {
		sum.Current.Members = append(sum.Current.Members, block.Member{Node: id(i), Key: make([]byte, 32)})
	}
	sum.Current.Members = append(sum.Current.Members, block.Member{Node: id(9), Key: make([]byte, 32)})
	return &block.Artifact{Kind: block.CUP, Height: s.state.Height(), Other: block.Hash(s.state.Tree().Digest()),
		Block: &block.Block{Height: s.state.Height(), Sections: []block.Section{{Kind: block.SummarySection, Data: sum.Encode()}}}}
}

// turn lets something happen; false: nothing can.
func (s *subnet) turn() bool {
	if err := s.fetch.Turn(); err != nil {
		s.t.Fatal(err)
	}
	if len(s.flying) == 0 {
		at := s.fetch.WakeAt()
		s.now = max(s.now, at)
		return at != 0
	}
	i := s.rng.IntN(len(s.flying))
	f := s.flying[i]
	s.flying = append(s.flying[:i:i], s.flying[i+1:]...)
	s.now += 1e6
	f()
	return true
}

func (s *subnet) run() {
	for turns := 0; s.height() < s.state.Height(); turns++ {
		if !s.turn() && turns > 10 || turns > 100_000 {
			s.t.Fatalf("it does not end: %+v", s.fetch.Progress())
		}
	}
	if s.saved.Root() != s.state.Root() {
		s.t.Fatal("another state came")
	}
	for range 10 {
		s.turn()
	}
	if empty, err := s.store.Staging().Empty(); !empty || err != nil {
		s.t.Errorf("something is still staged: %v", err)
	}
}

// A wiped node, then one that lags: the second time it fetches what has changed.
func TestJoin(t *testing.T) {
	s := newSubnet(t, 1, 3)
	s.fetch.Want(s.grow(300))
	s.run()
	first := s.bytes
	s.fetch.Want(s.grow(10))
	s.run()
	if s.bytes-first > first/4 {
		t.Errorf("%d bytes came, then %d for a tenth of the state", first, s.bytes-first)
	}
	s.stop()
	s.start()
	if s.saved == nil || s.saved.Root() != s.state.Root() {
		t.Error("the state is not on disk")
	}
	s.stop()
}

// Packages get newer while the node crashes again and again.
func TestCrashesAndNewerPackages(t *testing.T) {
	for seed := range uint64(8) {
		s := newSubnet(t, seed, 3)
		cup := s.grow(300)
		for i := range 6 {
			s.fetch.Want(cup)
			for range 3 + s.rng.IntN(9) {
				s.turn()
			}
			if i%2 == 0 {
				cup = s.grow(5)
			}
			if i%3 == 0 {
				s.stop()
				s.start()
			}
		}
		s.fetch.Want(cup)
		s.run()
		s.stop()
	}
}

// Sources that show a false root, another state, or none, are blamed or passed over.
func TestFalseSources(t *testing.T) {
	other := newSubnet(t, 7, 1)
	other.grow(50)
	lies := map[string]func(request, answer []byte) []byte{
		"the root of another state": func(r, a []byte) []byte {
			if r[0] == askRoot {
				d := other.state.Tree().Digest()
				a, _ = other.sources[0].witness(d[:])
			}
			return a
		},
		"a witness that is none": func(r, a []byte) []byte {
			if r[0] == askRoot {
				return []byte("garbage")
			}
			return a
		},
		"cut answers": func(r, a []byte) []byte {
			if len(a) > 3 {
				return a[:len(a)-1]
			}
			return a
		},
		"": func(r, a []byte) []byte { return nil },
	}
	for lie, f := range lies {
		t.Run(lie, func(t *testing.T) {
			s := newSubnet(t, 3, 4)
			s.lies[0], s.lies[2] = f, f
			s.fetch.Want(s.grow(300))
			s.run()
			if why := s.blamed[0] + s.blamed[2]; (why == "") != (lie == "") {
				t.Errorf("blamed: %v", s.blamed)
			}
			if s.blamed[1]+s.blamed[3] != "" {
				t.Errorf("honest peers are blamed: %v", s.blamed)
			}
			s.stop()
		})
	}
}

// The node went on by itself meanwhile: what was fetched is dropped.
func TestNotWantedAnyMore(t *testing.T) {
	s := newSubnet(t, 5, 3)
	s.refuse = fmt.Errorf("not wanted any more")
	s.fetch.Want(s.grow(100))
	for range 50 {
		s.turn()
	}
	if s.saved != nil {
		t.Fatal("adopted though it was refused")
	}
	s.refuse = nil
	if err := s.adopt(s.state); err != nil {
		t.Fatal(err)
	}
	s.fetch.Reached()
	s.run()
	s.stop()
}

func TestSourceKeepsFew(t *testing.T) {
	s := newSubnet(t, 1, 1)
	first := s.grow(1)
	for range kept {
		s.grow(1)
	}
	if w, err := s.sources[0].witness(first.Other[:]); len(w) != 0 || err != nil {
		t.Errorf("the oldest state is still there: %v", err)
	}
	for _, r := range []string{"", "x", "r", "rabc", "n", "n" + strings.Repeat("a", 40)} {
		if _, err := s.sources[0].Serve([]byte(r)); err == nil && r != "n"+strings.Repeat("a", 40) {
			t.Errorf("request %q is answered", r)
		}
	}
	s.stop()
}
