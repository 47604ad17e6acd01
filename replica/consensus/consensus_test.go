package consensus

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// lab is a subnet in one goroutine: what is sent lies in flight until the seed
// picks it, or drops it on its way.
type lab struct {
	t        *testing.T
	rng      *rand.Rand
	now      ic.Time
	nodes    []*labNode
	flight   []letter
	links    func(from, to int) bool // nil: all are up
	registry *registry
	saves    bool // states, as soon as they are certified
	key      *bls.PublicKey
	batch    map[ic.Height]block.Hash
	seed     map[ic.Height][32]byte
}

type letter struct {
	from, to int
	a        *block.Artifact
}

type labNode struct {
	*Core
	lab    *lab
	keys   *secrets
	index  int
	cfg    Config
	tasks  []func() // of the core's effects, not done
	cups   map[ic.Height]*block.Artifact
	behind *block.Artifact
	ended  *Stop
	stored []*block.Artifact
	at     ic.Time // of the next Tick
	last   ic.Height
	chain  map[ic.Height]block.Hash // of the executed states
	times  map[ic.Height]ic.Time
	work   []ic.Height // delivered, not executed
	certs  map[ic.Height][]byte
	want   int // messages still to be sent
	down   bool
}

// secrets of a node; they survive its crashes.
type secrets struct {
	vote    ed25519.PrivateKey
	node    ic.NodeID
	dealing *dkg.DecryptionKey
	shares  map[[32]byte]*bls.SecretKey
	random  *rand.ChaCha8
	receive block.Receiver
}

func (s *secrets) Vote(m []byte) []byte { return ed25519.Sign(s.vote, m) }

func (s *secrets) Share(key [32]byte, m []byte) []byte {
	if share := s.shares[key]; share != nil {
		return share.SignShare(m)
	}
	return nil
}

func (s *secrets) Deal(session Session, dealer int, previous [32]byte) ([]byte, error) {
	if previous == [32]byte{} {
		return session.Deal(s.random, dealer, nil)
	}
	if s.shares[previous] == nil {
		return nil, errors.New("no share")
	}
	return session.Deal(s.random, dealer, s.shares[previous])
}

func (s *secrets) keep(keys []Key) {
	kept := map[[32]byte]*bls.SecretKey{}
	for _, k := range keys {
		if kept[k.Hash()] = s.shares[k.Hash()]; kept[k.Hash()] == nil {
			if share, err := k.Load(s.random, s.node, s.dealing); err == nil {
				kept[k.Hash()] = share
			} else {
				delete(kept, k.Hash())
			}
		}
	}
	s.shares = kept
}

func newSecrets(t *testing.T, i int) *secrets {
	h := sha256.Sum256([]byte{byte(i)})
	s := &secrets{vote: ed25519.NewKeyFromSeed(h[:]), node: ic.NodeID{Principal: ic.Principal([]byte{byte(i)})}, random: rand.NewChaCha8(h)}
	var err error
	if s.dealing, err = dkg.GenerateKey(s.random, 1); err != nil {
		t.Fatal(err)
	}
	pub, err := s.dealing.Public(s.random, s.node)
	if err != nil {
		t.Fatal(err)
	}
	s.receive = block.Receiver{Member: block.Member{Node: s.node, Key: s.vote.Public().(ed25519.PublicKey)}, Encryption: pub.Bytes()}
	return s
}

// registry of a lab: all versions, from 1 on. Each node may know fewer.
type registry struct {
	records []*Record
	known   *int // nil: all
}

func (r registry) Latest() uint64 {
	if r.known != nil {
		return uint64(*r.known)
	}
	return uint64(len(r.records))
}

func (r registry) At(v uint64) (*Record, error) {
	if v == 0 || v > r.Latest() {
		return nil, errors.New("no such version")
	}
	return r.records[v-1], nil
}

func (n *labNode) Waiting(func(func(*block.Block) bool)) bool { return n.want > 0 }
func (n *labNode) Build(_ ic.Time, _ func(func(*block.Block) bool)) [][]byte {
	if n.want == 0 {
		return nil
	}
	n.want--
	return [][]byte{fmt.Appendf(nil, "message %d of %d", n.want, n.index)}
}
func (n *labNode) Sections(func(func(*block.Block) bool)) []block.Section { return nil }
func (n *labNode) Validate(b *block.Block, _ func(func(*block.Block) bool)) error {
	if len(b.Ingress) > 1 {
		return fmt.Errorf("a test block has one message")
	}
	return nil
}

func newLab(t *testing.T, n int, seed uint64) *lab { return newLabOf(t, n, n, seed, 0) }

// newLabOf has n members of all nodes, and intervals of a length.
func newLabOf(t *testing.T, n, all int, seed, interval uint64) *lab {
	l := &lab{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: 1_000_000_000, batch: map[ic.Height]block.Hash{}, seed: map[ic.Height][32]byte{}}
	var source [32]byte
	binary.LittleEndian.PutUint64(source[:], seed)
	rec := &Record{Interval: interval, Version: "1"}
	for i := range all {
		node := &labNode{lab: l, index: i, keys: newSecrets(t, i), chain: map[ic.Height]block.Hash{}, times: map[ic.Height]ic.Time{},
			certs: map[ic.Height][]byte{}, cups: map[ic.Height]*block.Artifact{}}
		l.nodes = append(l.nodes, node)
		if i < n {
			rec.Members = append(rec.Members, node.keys.receive)
		}
	}
	l.registry = &registry{records: []*Record{rec}}
	start, key, err := Found(Founding{Random: rand.NewChaCha8(source), Record: rec, Registry: 1, Time: 5})
	if err != nil {
		t.Fatal(err)
	}
	l.key = GroupOf(key).Key
	for i, node := range l.nodes {
		node.cfg = Config{Subnet: ic.SubnetID{Principal: "subnet"}, Node: node.keys.node, Start: start, Version: "1",
			Keys: node.keys, Payload: node, Pace: DefaultPace, Registry: l.registry}
		if node.down = i >= n; !node.down {
			node.start()
		}
	}
	return l
}

func (n *labNode) start() {
	n.cfg.Restored = slices.Clone(n.stored)
	core, err := New(n.cfg)
	if err != nil {
		n.lab.t.Fatal(err)
	}
	n.Core, n.down, n.last, n.work, n.tasks, n.ended, n.behind = core, false, n.cfg.Saved, nil, nil, nil, nil
	if n.cfg.Saved > 0 {
		n.step(Executed{Height: n.cfg.Saved, Root: n.chain[n.cfg.Saved]})
	}
	n.step(Tick{})
	for len(n.tasks) > 0 && n.cfg.Saved == 0 {
		n.labor() // keys are loaded before anything happens
	}
}

func (n *labNode) labor() {
	do := n.tasks[0]
	n.tasks = n.tasks[1:]
	do()
}

func (n *labNode) step(ev Event) {
	l := n.lab
	n.at = 0
	for _, e := range n.Step(l.now, ev) {
		switch e := e.(type) {
		case Persist:
			if e.Artifact.Kind != block.CUP {
				n.stored = append(n.stored, e.Artifact)
			}
		case Send:
			for to := range l.nodes {
				if to != n.index {
					l.flight = append(l.flight, letter{n.index, to, e.Artifact})
				}
			}
		case Deliver:
			l.delivered(n, e)
		case Certified:
			if old := n.certs[e.Height]; old != nil && string(old) != string(e.Signature) {
				l.t.Fatalf("node %d: two certificates of height %d", n.index, e.Height)
			}
			n.certs[e.Height] = e.Signature
			if err := l.key.Verify(append([]byte("\x0dic-state-root"), e.Root[:]...), e.Signature); err != nil {
				l.t.Fatal(err)
			}
		case Wake:
			n.at = e.At
		case Purge:
			n.stored = slices.DeleteFunc(n.stored, func(a *block.Artifact) bool { return a.Height < min(e.Below, e.CUP) })
		case Task:
			core := n.Core
			n.tasks = append(n.tasks, func() {
				if done := e.Do(); n.Core == core {
					n.step(done)
				}
			})
		case Keep:
			n.tasks = append(n.tasks, func() { n.keys.keep(e.Keys); n.step(Tick{}) })
		case Reached:
			l.reached(n, e.CUP)
		case Behind:
			n.behind = e.CUP
		case Stop:
			n.ended, n.down = &e, true
		case Refused:
			l.t.Fatalf("node %d refused an honest %s of height %d: %v", n.index, e.Artifact.Kind, e.Artifact.Height, e.Reason)
		case Diverged:
			l.t.Fatalf("node %d diverged: %+v", n.index, e)
		}
	}
}

// reached: all nodes have the same packages, which the subnet's key signed.
func (l *lab) reached(n *labNode, cup *block.Artifact) {
	for _, other := range l.nodes {
		if have := other.cups[cup.Height]; have != nil && have.Hash != cup.Hash {
			l.t.Fatalf("nodes %d and %d have two catch-up packages of height %d", n.index, other.index, cup.Height)
		}
	}
	if err := l.key.Verify(cup.Message(n.Subnet, block.Hash{}), cup.Signature); err != nil {
		l.t.Fatalf("catch-up package %d: %v", cup.Height, err)
	}
	n.cups[cup.Height] = cup
	n.cfg.Start = cup
}

func (l *lab) delivered(n *labNode, e Deliver) {
	h := e.Block.Height
	if h != n.last+1 {
		l.t.Fatalf("node %d: batch %d after %d", n.index, h, n.last)
	}
	if old, ok := l.batch[h]; ok && old != e.Hash {
		l.t.Fatalf("node %d: another block at height %d", n.index, h)
	}
	if old, ok := l.seed[h]; ok && old != e.Randomness {
		l.t.Fatalf("node %d: other randomness at height %d", n.index, h)
	}
	if h > 1 && e.Block.Time <= n.times[h-1] {
		l.t.Fatalf("node %d: time of height %d does not grow", n.index, h)
	}
	l.batch[h], l.seed[h], n.last, n.times[h] = e.Hash, e.Randomness, h, e.Block.Time
	before := n.chain[h-1]
	n.chain[h] = hashOf(append(before[:], e.Hash[:]...))
	n.work = append(n.work, h)
}

// turn does one thing that is due, chosen by the seed, or lets time pass.
func (l *lab) turn() {
	var due []func()
	for _, n := range l.nodes {
		if n.down {
			continue
		}
		if n.at != 0 && n.at <= l.now {
			due = append(due, func() { n.step(Tick{}) })
		}
		if len(n.work) > 0 {
			due = append(due, func() {
				h := n.work[0]
				n.work = n.work[1:]
				n.step(Executed{Height: h, Root: n.chain[h]})
			})
		}
		if l.saves && n.Certified() > n.cfg.Saved {
			due = append(due, func() {
				n.cfg.Saved = n.Certified()
				n.step(Saved{n.cfg.Saved})
			})
		}
		if len(n.tasks) > 0 {
			due = append(due, n.labor)
		}
	}
	if len(l.flight) > 0 && (len(due) == 0 || l.rng.IntN(3) > 0) {
		i := l.rng.IntN(len(l.flight))
		m := l.flight[i]
		l.flight[i] = l.flight[len(l.flight)-1]
		l.flight = l.flight[:len(l.flight)-1]
		if n := l.nodes[m.to]; !n.down && (l.links == nil || l.links(m.from, m.to)) {
			a, err := block.Decode(m.a.Encode())
			if err != nil {
				l.t.Fatal(err)
			}
			n.step(Received{a, l.nodes[m.from].keys.node})
		}
		return
	}
	if len(due) > 0 {
		due[l.rng.IntN(len(due))]()
		return
	}
	l.now += ic.Time(time.Millisecond)
}

func (l *lab) until(what string, turns int, ok func() bool) {
	l.t.Helper()
	for range turns {
		if ok() {
			return
		}
		l.turn()
	}
	for _, n := range l.nodes {
		l.t.Logf("node %d: round %d, final %d, delivered %d, executed %d, certified %d", n.index, n.height, n.finalized, n.delivered, n.executed, n.certified)
	}
	l.t.Fatalf("not after %d turns: %s", turns, what)
}

func (l *lab) certified(h ic.Height) func() bool {
	return func() bool {
		for _, n := range l.nodes {
			if !n.down && n.certs[h] == nil {
				return false
			}
		}
		return true
	}
}

func TestOneNode(t *testing.T) {
	l := newLab(t, 1, 1)
	n := l.nodes[0]
	l.until("first certificate", 1000, l.certified(1))
	if waited := time.Duration(l.now - 1_000_000_000); waited > 20*time.Millisecond {
		t.Errorf("the first certificate came after %v", waited)
	}
	before, at := n.delivered, l.now
	n.want = 1
	n.step(Tick{})
	if n.delivered != before+1 || n.want != 0 || l.now != at {
		t.Error("a waiting message was not in a block at once")
	}
	l.until("height 10", 10_000, l.certified(10))
	if pace := time.Duration(l.now-at) / 8; pace < 400*time.Millisecond {
		t.Errorf("idle rounds come every %v", pace)
	}
}

// Blocks do not run ahead of an execution that is slow.
func TestBackPressure(t *testing.T) {
	l := newLab(t, 1, 1)
	n := l.nodes[0]
	n.want = 100
	for range 1000 {
		n.step(Tick{})
		l.now += ic.Time(time.Millisecond)
	}
	if n.delivered > backlogStep+1 {
		t.Errorf("%d blocks were delivered, none was executed", n.delivered)
	}
	l.until("executed", 10_000, func() bool { return n.want == 0 })
}

func TestSubnets(t *testing.T) {
	for _, c := range []struct{ n, seeds, height int }{{1, 3, 60}, {4, 3, 12}, {7, 1, 6}} {
		for seed := range uint64(c.seeds) {
			t.Run(fmt.Sprintf("%d nodes, seed %d", c.n, seed), func(t *testing.T) {
				l := newLab(t, c.n, seed)
				for _, n := range l.nodes {
					n.want = c.height
				}
				l.until("certified", 200_000, l.certified(ic.Height(c.height)))
			})
		}
	}
}

// A node that is down is not needed, and a maker that is down only costs time.
func TestOneOfFourIsDown(t *testing.T) {
	l := newLab(t, 4, 7)
	l.nodes[2].down = true
	l.until("certified without node 2", 200_000, l.certified(10))
}

func TestTwoOfFourCannotDecide(t *testing.T) {
	l := newLab(t, 4, 8)
	l.nodes[0].down, l.nodes[1].down = true, true
	for range 20_000 {
		l.turn()
	}
	if n := l.nodes[2]; n.finalized != 0 {
		t.Errorf("two of four finalized height %d", n.finalized)
	}
}

// After a crash at any point a node goes on with what was persisted, delivers
// what it had not saved again, and contradicts nothing that it signed.
func TestCrash(t *testing.T) {
	l := newLab(t, 1, 3)
	n := l.nodes[0]
	for i := range 200 {
		n.want = 1
		for range 1 + l.rng.IntN(8) {
			l.turn()
		}
		if i%3 == 0 && n.executed > n.cfg.Saved {
			n.cfg.Saved = n.cfg.Saved + ic.Height(l.rng.Uint64N(uint64(n.executed-n.cfg.Saved)+1))
			n.step(Saved{n.cfg.Saved})
		}
		n.start()
	}
	if n.finalized < 50 {
		t.Errorf("only %d blocks after 200 crashes", n.finalized)
	}
	signed := map[string]block.Hash{}
	for _, a := range n.stored {
		k := fmt.Sprint(a.Kind, a.Height)
		if old, ok := signed[k]; ok && old != a.Hash && (a.Kind == block.Proposal || a.Kind == block.Finalization) {
			t.Errorf("two different %ss of height %d", a.Kind, a.Height)
		}
		signed[k] = a.Hash
	}
	if len(n.rounds) > 2*keep+20+int(n.finalized-n.cfg.Saved) {
		t.Errorf("%d rounds are kept", len(n.rounds))
	}
}

func TestLostBlocksAreReported(t *testing.T) {
	l := newLab(t, 1, 3)
	n := l.nodes[0]
	l.until("height 5", 10_000, l.certified(5))
	for name, gone := range map[string]func(a *block.Artifact) bool{
		"a block":          func(a *block.Artifact) bool { return a.Kind == block.Proposal && a.Height == 4 },
		"all finalization": func(a *block.Artifact) bool { return a.Kind == block.Finalization && a.Height >= 3 },
	} {
		cfg := n.cfg
		cfg.Saved = 3
		cfg.Restored = slices.DeleteFunc(slices.Clone(n.stored), gone)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is missing and nothing is said", name)
		}
	}
}

// A maker that signs two blocks at a height has none of them notarized.
func TestEquivocation(t *testing.T) {
	l := newLab(t, 4, 5)
	n := l.nodes[0]
	genesis := n.cup.last.Block.Hash()
	maker := shuffle(4, genesis[:])[0]
	if maker == 0 {
		n = l.nodes[1]
	}
	m := l.nodes[maker]
	l.flight = nil
	var two []*block.Artifact
	for i := range 2 {
		b := &block.Block{Height: 1, Parent: genesis, Maker: m.keys.node, Time: ic.Time(10 + i), Registry: 1}
		a := &block.Artifact{Kind: block.Proposal, Height: 1, Hash: b.Hash(), Signer: uint64(maker), Block: b}
		a.Signature = m.keys.Vote(m.message(a))
		two = append(two, a)
		n.take(a, false)
	}
	n.step(Tick{})
	if r := n.round(1); len(r.signed) != 0 {
		t.Error("a block of a maker that signed two was notarized")
	}
	var proof *block.Artifact
	for _, m := range l.flight {
		if m.a.Kind == block.Equivocation {
			proof = m.a
		}
	}
	if proof == nil {
		t.Fatal("no proof was sent")
	}
	// Who has the proof alone does not vote for either; who forges one is refused.
	other := l.nodes[(n.index+1)%4]
	if other == m {
		other = l.nodes[(n.index+2)%4]
	}
	forged := *proof
	forged.Other[0] ^= 0xff
	forged.Other[31]++
	for _, e := range other.Step(l.now, Received{&forged, n.keys.node}) {
		if p, ok := e.(Persist); ok && p.Artifact.Kind == block.Equivocation {
			t.Error("a forged proof was taken")
		}
	}
	other.step(Received{proof, n.keys.node})
	other.step(Received{two[0], m.keys.node})
	if r := other.round(1); len(r.signed) != 0 {
		t.Error("a block of a maker that was proved to have signed two was notarized")
	}
	stored := other.stored
	other.start()
	other.stored = stored
	other.step(Received{two[1], m.keys.node})
	if r := other.round(1); len(r.signed) != 0 {
		t.Error("the proof was forgotten in a crash")
	}
}

// A maker of two blocks told others a third one, which became final: who has all three
// starts again.
func TestThreeBlocksOfAMaker(t *testing.T) {
	l := newLab(t, 4, 5)
	n := l.nodes[0]
	genesis := n.cup.last.Block.Hash()
	maker := shuffle(4, genesis[:])[0]
	if maker == 0 {
		n = l.nodes[1]
	}
	m := l.nodes[maker]
	l.links = func(from, to int) bool { return from != n.index && to != n.index }
	for i := range 2 {
		b := &block.Block{Height: 1, Parent: genesis, Maker: m.keys.node, Time: ic.Time(10 + i), Registry: 1}
		a := &block.Artifact{Kind: block.Proposal, Height: 1, Hash: b.Hash(), Signer: uint64(maker), Block: b}
		a.Signature = m.keys.Vote(m.message(a))
		n.step(Received{a, m.keys.node})
	}
	l.until("height 2 without a node", 10_000, func() bool { return m.certified >= 2 })
	for _, kind := range []block.Kind{block.Notarization, block.Finalization, block.Proposal} {
		for _, a := range m.stored {
			if a.Height == 1 && a.Kind == kind {
				n.step(Received{a, m.keys.node})
			}
		}
	}
	if r := n.round(1); len(r.proposals) != 3 || n.finalBlock(1) == nil {
		t.Fatalf("%d blocks, final is %v", len(r.proposals), n.finalBlock(1))
	}
	n.start()
	if n.finalBlock(1) == nil {
		t.Error("the final block of height 1 is gone after a start")
	}
	few := n.cfg
	few.Restored = slices.DeleteFunc(slices.Clone(n.stored), func(a *block.Artifact) bool {
		return a.Kind == block.Notarization || a.Kind == block.Finalization
	})
	if c, err := New(few); err != nil || len(c.round(1).proposals) > maxPerMaker {
		t.Errorf("%d blocks of a maker are kept of which none is notarized: %v", len(c.round(1).proposals), err)
	}
}

func TestRefusedArtifacts(t *testing.T) {
	l := newLab(t, 4, 6)
	n, m := l.nodes[0], l.nodes[1]
	genesis := n.cup.last.Block.Hash()
	maker := shuffle(4, genesis[:])[0]
	if maker == 0 {
		n = l.nodes[2]
	}
	m = l.nodes[maker]
	proposal := func(change func(b *block.Block)) *block.Artifact {
		b := &block.Block{Height: 1, Parent: genesis, Maker: m.keys.node, Time: 10, Registry: 1}
		change(b)
		a := &block.Artifact{Kind: block.Proposal, Height: 1, Hash: b.Hash(), Signer: uint64(maker), Block: b}
		a.Signature = m.keys.Vote(m.message(a))
		return a
	}
	good := proposal(func(*block.Block) {})
	forged := *good
	forged.Signature = slices.Clone(good.Signature)
	forged.Signature[5]++
	few := &block.Artifact{Kind: block.Notarization, Height: 1, Hash: good.Hash}
	for i := range uint64(2) {
		few.Votes = append(few.Votes, block.Vote{Signer: i, Signature: l.nodes[i].keys.Vote(n.message(few))})
	}
	for name, a := range map[string]*block.Artifact{
		"a forged signature":   &forged,
		"another's rank":       proposal(func(b *block.Block) { b.Rank = 1 }),
		"a rank beyond f":      proposal(func(b *block.Block) { b.Rank = 3 }),
		"an old time":          proposal(func(b *block.Block) { b.Time = 5 }),
		"a certified future":   proposal(func(b *block.Block) { b.Certified = 1 }),
		"an invalid payload":   proposal(func(b *block.Block) { b.Ingress = [][]byte{{1}, {2}} }),
		"too few votes":        few,
		"a member out of many": {Kind: block.BeaconShare, Height: 1, Signer: 4, Signature: make([]byte, 48)},
		"a false beacon":       {Kind: block.Beacon, Height: 1, Signature: make([]byte, 48)},
		"a false certificate":  {Kind: block.Certification, Height: 1, Signature: make([]byte, 48)},
	} {
		n.start()
		refused := false
		for _, e := range n.Step(l.now, Received{a, m.keys.node}) {
			if _, ok := e.(Refused); ok {
				refused = true
			}
		}
		if !refused {
			t.Errorf("%s was not refused", name)
		}
		if len(n.round(1).signed) > 0 {
			t.Errorf("%s was notarized", name)
		}
	}
	n.start()
	n.Step(l.now, Received{good, m.keys.node})
	if len(n.round(1).signed) != 1 {
		t.Error("a good block was not notarized at once")
	}
}

func TestShuffle(t *testing.T) {
	count := [4]int{}
	for i := range 4000 {
		order := shuffle(4, []byte{byte(i), byte(i >> 8)})
		count[order[0]]++
		slices.Sort(order)
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Fatal(order)
		}
	}
	for i, n := range count {
		if n < 900 || n > 1100 {
			t.Errorf("member %d is first %d times of 4000", i, n)
		}
	}
}

func BenchmarkRound(b *testing.B) {
	l := newLab(&testing.T{}, 1, 1)
	n := l.nodes[0]
	for b.Loop() {
		n.want = 1
		n.step(Tick{})
		for _, h := range n.work {
			n.step(Executed{Height: h, Root: n.chain[h]})
		}
		n.work = nil
		n.step(Saved{n.executed})
	}
}
