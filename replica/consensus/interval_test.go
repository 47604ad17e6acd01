package consensus

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// packaged tells whether all nodes that run have a catch-up package of a height or above.
func (l *lab) packaged(h ic.Height) func() bool {
	return func() bool {
		for _, n := range l.nodes {
			if n.down {
				continue
			}
			if last, _ := n.Core.CUP(); last < h {
				return false
			}
		}
		return true
	}
}

// change the registry.
func (l *lab) change(edit func(r *Record)) {
	next := *l.registry.records[len(l.registry.records)-1]
	next.Members = slices.Clone(next.Members)
	edit(&next)
	l.registry.records = append(l.registry.records, &next)
}

func (l *lab) members(nodes ...int) {
	l.change(func(r *Record) {
		r.Members = nil
		for _, i := range nodes {
			r.Members = append(r.Members, l.nodes[i].keys.receive)
		}
	})
}

// join starts a node with what another one began with, and its state.
func (l *lab) join(i, from int) {
	n, other := l.nodes[i], l.nodes[from]
	n.cfg.Start = other.cfg.Start
	n.cfg.Saved = n.cfg.Start.Height
	n.chain[n.cfg.Saved] = n.cfg.Start.Other
	n.stored = nil
	n.start()
	for _, a := range other.stored { // as if its peers sent what it lacks
		if a.Height > n.cfg.Saved && (!a.Kind.Signed() || a.Kind == block.Proposal) {
			l.flight = append(l.flight, letter{from, i, a})
		}
	}
}

// size of the committee at a height, as a node knows it.
func (n *labNode) size(h ic.Height) int { return len(n.Members(h)) }

func TestIntervals(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			l := newLabOf(t, n, n, 1, MinInterval)
			l.saves = true
			seen := map[[32]byte]bool{}
			for k := ic.Height(1); k <= 4; k++ {
				l.until("the next package", 400_000, l.packaged(k*MinInterval))
				iv := l.nodes[0].Core.at(l.nodes[0].height)
				if !GroupOf(iv.high).Key.Equal(l.key) {
					t.Error("the subnet's key has changed")
				}
				low, high := l.nodes[0].KeysAt(l.nodes[0].height)
				seen[low], seen[high] = true, true
			}
			if len(seen) < 6 {
				t.Errorf("%d keys in four intervals: they are not made anew", len(seen))
			}
			for _, node := range l.nodes {
				if n := len(node.intervals); n > 6+2*keep/MinInterval {
					t.Errorf("node %d keeps %d intervals", node.index, n)
				}
				if n := len(node.keys.shares); n > 12 {
					t.Errorf("node %d keeps %d shares", node.index, n)
				}
			}
		})
	}
}

// Four nodes become seven, and four again of which three are new. The subnet's key
// stays; who joins begins from a package, and who left is told.
func TestMembershipChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("real key generation among seven nodes")
	}
	l := newLabOf(t, 4, 7, 2, MinInterval)
	l.saves = true
	l.until("the first package", 400_000, l.packaged(MinInterval))
	l.members(0, 1, 2, 3, 4, 5, 6)
	for i := 4; i < 7; i++ {
		l.join(i, 0)
	}
	l.until("seven members", 3_000_000, func() bool {
		return l.nodes[6].size(l.nodes[6].delivered+1) == 7 && l.nodes[6].delivered > 0 && l.nodes[0].size(l.nodes[0].height) == 7
	})
	at := l.nodes[0].delivered
	l.until("seven members certify", 3_000_000, l.certified(at+MinInterval))
	l.members(3, 4, 5, 6)
	l.until("three nodes left", 6_000_000, func() bool {
		return !slices.ContainsFunc(l.nodes[:3], func(n *labNode) bool { return n.ended == nil })
	})
	for _, n := range l.nodes[:3] {
		if !n.ended.Left {
			t.Errorf("node %d ended: %+v", n.index, n.ended)
		}
	}
	top := l.nodes[4].delivered
	l.until("four members go on", 3_000_000, l.certified(top+MinInterval))
	if n := l.nodes[4].size(l.nodes[4].height); n != 4 {
		t.Errorf("%d members", n)
	}
	if !GroupOf(l.nodes[4].Core.last().high).Key.Equal(l.key) {
		t.Error("the subnet's key has changed")
	}
}

// Without enough dealings all stays as it is, and the next interval tries again.
func TestWithheldDealings(t *testing.T) {
	l := newLabOf(t, 4, 4, 3, MinInterval)
	l.saves = true
	for _, n := range l.nodes[:2] { // two of four: too few are left for the high key
		n.cfg.Keys = mute{n.keys}
		n.stored = nil
		n.start()
	}
	l.until("two packages", 400_000, l.packaged(2*MinInterval))
	for _, n := range l.nodes {
		if s := n.Core.last().summary; s.Next != nil {
			t.Fatalf("node %d has a new committee", n.index)
		}
	}
	for _, n := range l.nodes[:2] {
		n.cfg.Keys = n.keys
		n.start()
	}
	l.until("new keys", 400_000, func() bool { return l.nodes[3].Core.last().summary.Next != nil })
}

type mute struct{ *secrets }

func (mute) Deal(Session, int, [32]byte) ([]byte, error) { return nil, errors.New("not today") }

// A registry version that names another replica version ends all nodes at one
// height, and the other version goes on from there.
func TestUpgrade(t *testing.T) {
	l := newLabOf(t, 4, 4, 4, MinInterval)
	l.saves = true
	l.until("height 3", 100_000, l.certified(3))
	l.change(func(r *Record) { r.Version = "2" })
	l.until("all have stopped", 400_000, func() bool {
		for _, n := range l.nodes {
			if n.ended == nil {
				return false
			}
		}
		return true
	})
	at := l.nodes[0].ended.CUP.Height
	for _, n := range l.nodes {
		if e := n.ended; e.Version != "2" || e.CUP.Height != at || n.delivered != at {
			t.Fatalf("node %d stopped after height %d with %+v", n.index, n.delivered, e)
		}
	}
	old := l.nodes[0].era
	l.flight = nil
	for _, n := range l.nodes {
		n.cfg.Version, n.stored = "2", nil // the caller forgets what is above the package
		n.start()
	}
	if l.nodes[0].era == old {
		t.Error("what the old version signed counts for the new one")
	}
	l.until("the new version goes on", 400_000, l.certified(at+MinInterval+2))
}

// Who stops tells at once what it joined and others may lack: nobody tells it later.
func TestWhoStopsTells(t *testing.T) {
	l := newLabOf(t, 4, 4, 4, MinInterval)
	l.until("height 3", 100_000, l.certified(3))
	l.change(func(r *Record) { r.Version = "2" })
	n := l.nodes[0]
	l.until("its last package waits for its state to be saved", 400_000, func() bool {
		return n.cup.next != nil && !n.goesOn(n.Core.at(n.cup.next.Height+1))
	})
	h := n.cup.next.Height
	n.untold = []*whole{{Artifact: n.rounds[h].certification, members: 4, at: l.now + 1e9}}
	n.saved = h
	told := false
	for _, e := range n.Step(l.now, Tick{}) {
		switch e := e.(type) {
		case Send:
			told = told || e.Artifact == n.rounds[h].certification
		case Stop:
			if !told {
				t.Error("it stops, and the certificate is not told")
			}
			return
		}
	}
	t.Error("it does not stop")
}

func TestHalt(t *testing.T) {
	l := newLabOf(t, 1, 1, 5, MinInterval)
	l.saves = true
	n := l.nodes[0]
	l.until("height 3", 10_000, l.certified(3))
	l.change(func(r *Record) { r.Halt = true })
	l.until("it has stopped", 100_000, func() bool { return n.ended != nil })
	at := n.ended.CUP.Height
	if !n.ended.Halt || n.delivered != at {
		t.Fatalf("stopped after height %d with %+v", n.delivered, n.ended)
	}
	n.start()
	if n.ended == nil {
		t.Error("a subnet that is still halted goes on")
	}
	l.change(func(r *Record) { r.Halt = false })
	n.start()
	l.until("it goes on", 100_000, l.certified(at+2))
}

// A recovery begins from a height that the registry names; what was signed before counts no more.
func TestRecovery(t *testing.T) {
	l := newLabOf(t, 1, 1, 6, MinInterval)
	l.saves = true
	n := l.nodes[0]
	l.until("height 12", 100_000, l.certified(12))
	last := n.cfg.Start
	before := n.era
	cup, err := Recover(Recovery{Last: last, Height: 10, Root: n.chain[10], Time: n.times[10], Registry: 2})
	if err != nil {
		t.Fatal(err)
	}
	l.change(func(*Record) {})
	n.cfg.Start, n.cfg.Saved, n.stored = cup, 10, nil
	for h := ic.Height(11); h < 100; h++ {
		delete(l.batch, h)
		delete(l.seed, h)
		delete(n.certs, h)
	}
	n.start()
	if n.era == before || n.delivered != 10 {
		t.Errorf("era %x at height %d", n.era, n.delivered)
	}
	l.until("it goes on", 100_000, l.certified(14))
	if _, err := Recover(Recovery{Last: last, Height: last.Height - 1, Time: n.times[10]}); err == nil {
		t.Error("recovered from below the last package")
	}
}

// Packages that were tampered with are refused; true ones tell who lags.
func TestFalsePackages(t *testing.T) {
	l := newLabOf(t, 4, 4, 7, MinInterval)
	l.saves = true
	lagging := l.nodes[3]
	l.links = func(from, to int) bool { return from != 3 && to != 3 }
	l.until("a package", 400_000, func() bool { return l.nodes[0].cups[MinInterval] != nil })
	cup := l.nodes[0].cups[MinInterval]
	for name, change := range map[string]func(a *block.Artifact){
		"another state":  func(a *block.Artifact) { a.Other[0] ^= 1 },
		"another beacon": func(a *block.Artifact) { a.Data = []byte("beacon") },
		"another block":  func(a *block.Artifact) { b := *a.Block; b.Time++; a.Block = &b },
		"no signature":   func(a *block.Artifact) { a.Signature = nil },
	} {
		bad := *cup
		change(&bad)
		back, err := block.Decode(bad.Encode())
		if err != nil {
			t.Fatal(name, err)
		}
		refused := false
		for _, e := range lagging.Step(l.now, Received{back, l.nodes[0].keys.node}) {
			switch e.(type) {
			case Refused:
				refused = true
			case Behind:
				t.Errorf("a package with %s was believed", name)
			}
		}
		if !refused {
			t.Errorf("a package with %s was not refused", name)
		}
	}
	lagging.step(Received{cup, l.nodes[0].keys.node})
	if lagging.behind == nil || lagging.behind.Height != MinInterval {
		t.Error("a node that lags does not know it")
	}
}

// What a node keeps of peers that send all they can is bounded, as replica.md B.1
// asks: by members, heights that are open, and what one member can have of each.
func TestPoolsAreBounded(t *testing.T) {
	l := newLab(t, 4, 8)
	n, m := l.nodes[0], l.nodes[1]
	flood := func(kind block.Kind, h ic.Height, i int) {
		a := &block.Artifact{Kind: kind, Height: h, Signer: 1, Hash: block.Hash{byte(i), byte(i >> 8)}, Signature: []byte{byte(i)}}
		switch kind {
		case block.NotarizationShare, block.FinalizationShare:
			a.Signature = m.keys.Vote(m.message(a))
		case block.Proposal:
			a.Block = &block.Block{Height: h, Maker: m.keys.node, Time: ic.Time(1000 + i), Registry: 1}
			a.Hash = a.Block.Hash()
			a.Signature = m.keys.Vote(m.message(a))
		case block.Dealing:
			a.Height, a.Hash, a.Data = n.Core.last().end, n.Core.last().makings[0].name, []byte{byte(i)}
			a.Signature = m.keys.Vote(m.message(a))
		}
		for _, e := range n.Step(l.now, Received{a, m.keys.node}) {
			if task, ok := e.(Task); ok {
				n.Step(l.now, task.Do())
			}
		}
	}
	kinds := []block.Kind{block.BeaconShare, block.TapeShare, block.NotarizationShare, block.FinalizationShare, block.CertificationShare, block.CUPShare, block.Proposal, block.Dealing}
	for i := range 40 {
		for _, kind := range kinds {
			for _, h := range []ic.Height{1, 2, maxAhead, maxAhead + 2, 400} {
				flood(kind, h, i)
			}
		}
	}
	count := func(m map[block.Hash]shares) (sum int) {
		for _, s := range m {
			if s[1] != nil {
				sum++
			}
		}
		return sum
	}
	for h, r := range n.rounds {
		if h > n.height+maxAhead {
			t.Errorf("round %d is kept", h)
		}
		if a, b, c, d, e := count(r.notary), count(r.finality), count(r.certShares), count(r.cups), len(r.by(1)); a > maxNotary || b > maxSame || c > maxSame || d > maxSame || e > maxPerMaker {
			t.Errorf("round %d keeps %d %d %d %d shares and %d blocks of one member", h, a, b, c, d, e)
		}
	}
	if m := n.Core.last().makings[0]; len(m.pool) > 4 || len(m.checks) > maxChecks*4 {
		t.Errorf("%d dealings are kept, %d are known", len(m.pool), len(m.checks))
	}
	if got, most := n.Pools(), Bounds(4, DefaultInterval); got.Shares > most.Shares || got.Blocks > most.Blocks || got.Dealings > most.Dealings {
		t.Errorf("the pools hold %+v, the bounds are %+v", got, most)
	}
}

// A package vouches for a state that was executed here and has no certificate: to be
// saved, once. If it is of another state, this node has diverged.
func TestPackageVouches(t *testing.T) {
	l := newLabOf(t, 4, 4, 3, 10)
	n := l.nodes[1]
	l.until("a package that waits for its state to be saved", 200_000, func() bool { return n.cup.next != nil && n.cup.next.Height == 10 })
	count := func() (vouched, diverged int) {
		for _, e := range n.Step(l.now, Tick{}) {
			switch e := e.(type) {
			case Vouched:
				if vouched++; e.Height != 10 {
					t.Errorf("the package of height 10 vouches for height %d", e.Height)
				}
			case Diverged:
				diverged++
			}
		}
		return vouched, diverged
	}
	if v, d := count(); v+d > 0 {
		t.Errorf("a state with a certificate is vouched for %d times, %d diverged", v, d)
	}
	n.certified, n.rounds[10].certification = 9, nil // as after a power cut
	n.rounds[10].certShares = map[block.Hash]shares{}
	if v, d := count(); v != 1 || d > 0 {
		t.Errorf("vouched %d times, diverged %d times", v, d)
	}
	if v, _ := count(); v > 0 {
		t.Error("vouched for again")
	}
	n.cup.says, n.rounds[10].root = nil, &block.Hash{1}
	if v, d := count(); v > 0 || d != 1 {
		t.Errorf("the package of another state: vouched %d times, diverged %d times", v, d)
	}
}
