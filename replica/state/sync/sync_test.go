package sync

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
)

// shelf is a Stage in memory.
type shelf struct {
	parts map[string]Part // by sequence, key and sum
	puts  int
}

func newShelf() *shelf { return &shelf{parts: map[string]Part{}} }

func slot(k PartKind, key string, sum Sum) string {
	if k == Page || k == Gone {
		k = Entry
	}
	return string(rune(k)) + key + string(sum[:])
}

func (s *shelf) Put(parts []Part) error {
	for _, p := range parts {
		p.Content = slices.Clone(p.Content)
		s.parts[slot(p.Kind, p.Key, p.Sum)] = p
		s.puts++
	}
	return nil
}

func (s *shelf) Has(k PartKind, key string, sum Sum) (bool, error) {
	_, ok := s.parts[slot(k, key, sum)]
	return ok, nil
}

func (s *shelf) Get(k PartKind, key string, sum Sum) ([]byte, bool, error) {
	p, ok := s.parts[slot(k, key, sum)]
	return p.Content, ok, nil
}

func (s *shelf) Sweep(keep func(func(string, Sum) error) error) error {
	kept := map[string]bool{}
	last := ""
	err := keep(func(key string, sum Sum) error {
		if key < last {
			return fmt.Errorf("key %x after %x", key, last)
		}
		last = key
		kept[slot(Entry, key, sum)] = true
		return nil
	})
	maps.DeleteFunc(s.parts, func(at string, p Part) bool {
		return (p.Kind == Entry || p.Kind == Page || p.Kind == Gone) && !kept[at]
	})
	return err
}

// over puts what is staged over the entries of the older state.
func (s *shelf) over(older *state.State) (*state.State, error) {
	entries := map[string][]byte{}
	if older != nil {
		older.Diff(nil, func(k string, v []byte) bool { entries[k] = v; return true })
	}
	for _, at := range slices.Sorted(maps.Keys(s.parts)) {
		p := s.parts[at]
		switch p.Kind {
		case Gone:
			maps.DeleteFunc(entries, func(k string, _ []byte) bool { return strings.HasPrefix(k, p.Key) })
		case Page:
			if entries[p.Key] = p.Content; p.Content == nil {
				delete(entries, p.Key)
			}
		case Entry:
			entries[p.Key] = p.Content
		}
	}
	return state.Load(func(yield func(string, []byte) bool) error {
		for k, v := range entries {
			if !yield(k, v) {
				break
			}
		}
		return nil
	})
}

// grown is a state with canisters, calls, pages, modules; each step changes some of it.
type grown struct {
	rng *rand.Rand
	s   *state.State
}

func newGrown(seed uint64) *grown {
	g := &grown{rng: rand.New(rand.NewPCG(seed, 5))}
	g.s = state.New(state.Genesis{Time: 7, Subnet: state.Subnet{ID: ic.SubnetID{Principal: "subnet"}, Type: "application",
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}})
	for range 6 {
		g.step(4)
	}
	return g
}

func (g *grown) step(changes int) {
	d := g.s.Draft()
	d.Head.Height++
	r := g.rng
	for range changes {
		id := ic.CanisterIDFromUint64(r.Uint64N(12))
		c := &state.Canister{ID: id, Memory: &state.Memory{}}
		if old := d.Canister(id); old != nil {
			if r.IntN(12) == 0 {
				d.Delete(id)
				continue
			}
			copied := *old
			c = &copied
		}
		c.Cycles = ic.Cycles{Lo: r.Uint64()}
		m := *c.Memory
		var more []pages.Change
		for range r.IntN(90) {
			ch := pages.Change{Index: r.Uint64N(1 << r.UintN(14)), Page: g.page()}
			if r.IntN(9) == 0 {
				ch.Page = nil
			}
			more = append(more, ch)
		}
		m.Heap = m.Heap.With(1<<26, more)
		if r.IntN(6) == 0 {
			m.Heap = pages.Map{}.With(1<<26, []pages.Change{{Index: r.Uint64N(200), Page: g.page()}})
		}
		c.Memory, c.HeapBytes = &m, 1<<26
		if r.IntN(3) == 0 {
			code := make([]byte, 8+r.IntN(3*merkle.PieceBytes))
			code[0] = byte(r.Uint32())
			hash := d.PutCode(code)
			c.Module = state.NewModule(state.Module{Hash: hash, Bytes: uint64(len(code))})
		}
		if r.IntN(3) == 0 {
			c.Chunks = c.Chunks.With(strings.Repeat(string(rune('a'+r.IntN(20))), 32), state.NewChunk([]byte{byte(r.Uint32())}))
		}
		if r.IntN(4) == 0 && c.Module != nil {
			c.Snapshots = c.Snapshots.With(state.ID(r.Uint64N(3)), &state.Snapshot{Module: c.Module, Memory: c.Memory, HeapBytes: 1 << 26})
		}
		d.Put(c)
	}
	for range 5 * changes {
		d.SetCall(ic.RequestID{byte(r.Uint32()), byte(r.Uint32())}, &state.Call{State: state.Received, Expiry: ic.Time(r.Uint64N(100))})
	}
	d.Forget(ic.Time(r.Uint64N(50)))
	g.s = d.Seal()
}

func (g *grown) page() pages.Page {
	p := new([pages.Size]byte)
	for i := range 64 {
		p[i*50] = byte(g.rng.Uint32())
	}
	return p
}

// net is peers that know states, and answer in any order.
type net struct {
	t      *testing.T
	rng    *rand.Rand
	now    ic.Time
	states map[Sum]*state.State
	lies   map[ic.NodeID]func(answer []byte) []byte
	flying []flight
	sent   int // bytes of answers
	faults map[ic.NodeID]int
}

type flight struct {
	Ask
	at ic.Time
}

func node(i int) ic.NodeID { return ic.NodeID{Principal: ic.Principal(fmt.Sprintf("node %d", i))} }

func newNet(t *testing.T, seed uint64, states ...*state.State) *net {
	n := &net{t: t, rng: rand.New(rand.NewPCG(seed, 9)), states: map[Sum]*state.State{}, lies: map[ic.NodeID]func([]byte) []byte{}, faults: map[ic.NodeID]int{}}
	for _, s := range states {
		n.states[s.Root()] = s
	}
	return n
}

func nodes(n int) (out []ic.NodeID) {
	for i := range n {
		out = append(out, node(i))
	}
	return out
}

func (n *net) find(root Sum) merkle.Node {
	if s := n.states[root]; s != nil {
		return s.Merkle()
	}
	return nil
}

// turn sends what there is to be sent and brings one answer; false: nothing can happen.
func (n *net) turn(c *Client) bool {
	asks, err := c.Next(n.now)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, a := range asks {
		n.flying = append(n.flying, flight{a, n.now + ic.Time(n.rng.Uint64N(uint64(second/4)))})
	}
	at := c.WakeAt(n.now)
	slices.SortStableFunc(n.flying, func(a, b flight) int { return cmp.Compare(a.at, b.at) })
	if len(n.flying) == 0 || at != 0 && n.flying[0].at > at {
		n.now = at
		return at != 0
	}
	f := n.flying[0]
	n.flying = n.flying[1:]
	n.now = max(n.now, f.at)
	answer, err := Serve(f.Request, n.find)
	if err != nil {
		n.t.Fatalf("a request is refused: %v", err)
	}
	if lie := n.lies[f.Peer]; lie != nil {
		answer = lie(slices.Clone(answer))
	}
	n.sent += len(answer)
	fault, err := c.Answered(n.now, f.Peer, f.ID, answer)
	if err != nil {
		n.t.Fatal(err)
	}
	if fault != nil {
		n.faults[fault.Peer]++
		if n.lies[fault.Peer] == nil {
			n.t.Fatalf("an honest peer is blamed: %v", fault.Why)
		}
	}
	return true
}

func (n *net) run(c *Client) {
	for turns := 0; !c.Done(); turns++ {
		if !n.turn(c) || turns > 1_000_000 {
			n.t.Fatalf("the sync does not end: %+v", c.Progress())
		}
	}
}

func finish(t *testing.T, c *Client, s *shelf, older, want *state.State) {
	t.Helper()
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	got, err := s.over(older)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root() != want.Root() {
		t.Fatalf("the state that came has another root than the target")
	}
}

func start(t *testing.T, cfg Config, peers int, target *state.State) *Client {
	t.Helper()
	c := New(cfg)
	c.SetPeers(nodes(peers))
	if err := c.Target(target.Root()); err != nil {
		t.Fatal(err)
	}
	return c
}

// size is what all of a state takes as one answer.
func size(s *state.State) int {
	w := server{out: []byte{here}, budget: 1 << 40}
	w.write(s.Merkle(), wholeSubtree)
	return len(w.out)
}

// A node with nothing gets the state from three peers, each byte once.
func TestFromNothing(t *testing.T) {
	for seed := range uint64(3) {
		g := newGrown(seed)
		n, s := newNet(t, seed, g.s), newShelf()
		c := start(t, Config{Stage: s}, 3, g.s)
		n.run(c)
		finish(t, c, s, nil, g.s)
		if whole := size(g.s); n.sent > whole+whole/50+1000 {
			t.Errorf("seed %d: %d bytes came for a state of %d", seed, n.sent, whole)
		}
	}
}

// A node with an older state gets what has changed.
func TestFromAnOlderState(t *testing.T) {
	for seed := range uint64(12) {
		g := newGrown(seed)
		older := g.s
		for range 1 + seed%4 {
			g.step(1)
		}
		n, s := newNet(t, seed, g.s), newShelf()
		c := start(t, Config{Stage: s, Older: older.Merkle()}, 3, g.s)
		n.run(c)
		finish(t, c, s, older, g.s)
		if whole := size(g.s); seed%4 == 0 && n.sent > whole/2 {
			t.Errorf("seed %d: %d bytes came though one canister of a state of %d has changed", seed, n.sent, whole)
		}
	}
}

// The older state is the target: nothing is asked for.
func TestNothingToDo(t *testing.T) {
	g := newGrown(1)
	s := newShelf()
	c := start(t, Config{Stage: s, Older: g.s.Merkle()}, 3, g.s)
	if !c.Done() {
		t.Fatal("not done")
	}
	finish(t, c, s, g.s, g.s)
}

// The target moves again and again while the sync goes on: what was verified is
// not fetched again. With and without an older state.
func TestTheTargetMoves(t *testing.T) {
	for seed := range uint64(12) {
		g := newGrown(seed)
		first := g.s
		cfg := Config{Stage: newShelf()}
		var older *state.State
		if seed%2 == 1 {
			older = g.s
			cfg.Older = older.Merkle()
			g.step(6)
		}
		n := newNet(t, seed, g.s)
		c := start(t, cfg, 4, g.s)
		for range 4 {
			for range n.rng.IntN(12) {
				n.turn(c)
			}
			if c.Done() {
				break
			}
			g.step(1)
			n.states[g.s.Root()] = g.s
			if err := c.Target(g.s.Root()); err != nil {
				t.Fatal(err)
			}
		}
		n.run(c)
		finish(t, c, cfg.Stage.(*shelf), older, n.states[c.Root()])
		if whole := size(g.s) + size(first)/2; n.sent > whole {
			t.Errorf("seed %d: %d bytes came for states of %d that changed little", seed, n.sent, size(g.s))
		}
	}
}

// The node crashes again and again, and keeps what was verified.
func TestResumes(t *testing.T) {
	for seed := range uint64(6) {
		g := newGrown(seed)
		n, s := newNet(t, seed, g.s), newShelf()
		c := start(t, Config{Stage: s}, 3, g.s)
		for range 5 {
			for range 1 + n.rng.IntN(6) {
				n.turn(c)
			}
			n.flying = nil
			c = start(t, Config{Stage: s, Resumed: true}, 3, g.s)
		}
		n.run(c)
		finish(t, c, s, nil, g.s)
		if whole := size(g.s); n.sent > whole*3/2 {
			t.Errorf("seed %d: %d bytes came for a state of %d", seed, n.sent, whole)
		}
	}
}

// Two of four peers lie, each in its way: they are named, and the state comes from
// the others.
func TestLiars(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	g := newGrown(3)
	other := newGrown(4)
	lies := map[string]func([]byte) []byte{
		"changed": func(a []byte) []byte { a[rng.IntN(len(a))] ^= 1 << rng.IntN(8); return a },
		"cut":     func(a []byte) []byte { return a[:len(a)-1] },
		"empty":   func([]byte) []byte { return []byte{here} },
		"garbage": func([]byte) []byte { return []byte("\x03garbage") },
		"more":    func(a []byte) []byte { return append(a, a[1:]...) },
		"long":    func(a []byte) []byte { return append(a, make([]byte, 2<<20)...) },
		"another": func([]byte) []byte {
			w := server{out: []byte{here}, budget: 1 << 20}
			w.write(other.s.Merkle(), 9)
			return w.out
		},
		"huge node":    func([]byte) []byte { return []byte{here, 0xff, 0xff, 0xff, 0xff, 0x7f} },
		"a first half": nil, // truncated at a node: no lie
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			n, s := newNet(t, 1, g.s), newShelf()
			if lie == nil {
				lie = func(a []byte) []byte {
					node, _, err := split(a[1:])
					if err != nil {
						return a
					}
					return a[:1+len(a)-1-len(a[1:])+len(node)+uvarintLen(len(node))]
				}
			}
			n.lies[node(0)], n.lies[node(1)] = lie, lie
			c := start(t, Config{Stage: s}, 4, g.s)
			n.run(c)
			finish(t, c, s, nil, g.s)
			if blamed := n.faults[node(0)] > 0 && c.Progress().Faults[node(0)] > 0; blamed != (name != "a first half") {
				t.Errorf("blamed: %v", blamed)
			}
		})
	}
}

func uvarintLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}

// Peers that answer nothing, or late, or have no such state, do not stop the rest.
func TestPeersThatDoNotHelp(t *testing.T) {
	g := newGrown(5)
	n, s := newNet(t, 5, g.s), newShelf()
	n.lies[node(0)] = func([]byte) []byte { return nil }
	n.lies[node(1)] = func([]byte) []byte { return []byte{lacks} }
	c := start(t, Config{Stage: s}, 4, g.s)
	for !c.Done() {
		if !n.turn(c) {
			t.Fatal("it does not end")
		}
		for i := range n.flying {
			if n.flying[i].Peer == node(2) && n.flying[i].at < n.now+patience {
				n.flying[i].at = n.now + 10*patience
			}
		}
	}
	finish(t, c, s, nil, g.s)
	if p := c.Progress(); p.Late == 0 || len(p.Faults) > 0 {
		t.Errorf("%+v", p)
	}
	// Nobody has it: a newer target is needed, and is taken.
	n, s = newNet(t, 5), newShelf()
	c = start(t, Config{Stage: s}, 2, g.s)
	for !c.Lacking() {
		n.turn(c)
	}
	g.step(2)
	n.states[g.s.Root()] = g.s
	if err := c.Target(g.s.Root()); err != nil {
		t.Fatal(err)
	}
	n.run(c)
	finish(t, c, s, nil, g.s)
}

func FuzzServe(f *testing.F) {
	g := newGrown(2)
	r := Request{Root: g.s.Root(), Budget: MaxAnswer, Items: []Want{{Depth: 2}, {Path: []int{0, 1, 0}, Depth: 300}}}
	f.Add(r.Encode()[32:])
	f.Add((&Request{Budget: 5, Items: []Want{{Path: make([]int, 300)}}}).Encode()[32:])
	f.Fuzz(func(t *testing.T, b []byte) {
		root := g.s.Root()
		answer, err := Serve(append(root[:], b...), func(Sum) merkle.Node { return g.s.Merkle() })
		if err == nil && (len(answer) < 2 || len(answer) > MaxAnswer+merkle.MaxEncoding) {
			t.Fatalf("an answer of %d bytes", len(answer))
		}
	})
}

// Whatever is answered, the client goes on, and keeps nothing but parts of the target.
func FuzzAnswered(f *testing.F) {
	g := &grown{rng: rand.New(rand.NewPCG(1, 5)), s: state.New(state.Genesis{})}
	g.step(1)
	all := newShelf()
	n := newNet(&testing.T{}, 1, g.s)
	c := New(Config{Stage: all})
	c.SetPeers(nodes(1))
	if err := c.Target(g.s.Root()); err != nil {
		f.Fatal(err)
	}
	n.run(c)
	whole := server{out: []byte{here}, budget: 3000}
	whole.write(g.s.Merkle(), wholeSubtree)
	f.Add(whole.out)
	f.Add([]byte{here, 1, 1})
	f.Add([]byte{lacks})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newShelf()
		c := start(t, Config{Stage: s}, 1, g.s)
		asks, err := c.Next(0)
		if err != nil || len(asks) != 1 {
			t.Fatal(asks, err)
		}
		fault, err := c.Answered(0, node(0), asks[0].ID, b)
		if err != nil {
			t.Fatal(err)
		}
		for at, p := range s.parts {
			if want, ok := all.parts[at]; !ok || !bytes.Equal(p.Content, want.Content) {
				t.Fatalf("what is no part of the target is kept: %q", p.Key)
			}
		}
		if p := c.Progress(); fault == nil && p.Nodes == 0 && len(b) > 1 || p.Waiting == 0 && !c.Done() {
			t.Fatalf("fault %v, %+v", fault, p)
		}
	})
}
