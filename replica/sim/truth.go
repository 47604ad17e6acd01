package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/cert"
)

// truth knows what all honest nodes have done, over all crashes, and tells what
// can not be.
type truth struct {
	w       *world
	batches map[ic.Height][32]byte
	states  map[ic.Height][32]byte
	roots   map[ic.Height]block.Hash
	certs   map[ic.Height]string // signatures that were checked
	times   map[ic.Height]ic.Time
	clock   map[ic.Height]ic.Time // of executed states
	done    map[ic.RequestID]ic.Height
	answers map[ic.RequestID]answer
	best    ic.Height    // certified
	nodes   []state.Node // as the best state shows them
	cups    map[ic.Height]block.Hash
	upgrade map[string]ic.Height
	last    []ic.RequestID
}

func newTruth(w *world) *truth {
	return &truth{w: w, batches: map[ic.Height][32]byte{}, states: map[ic.Height][32]byte{}, roots: map[ic.Height]block.Hash{}, certs: map[ic.Height]string{}, times: map[ic.Height]ic.Time{}, clock: map[ic.Height]ic.Time{},
		done: map[ic.RequestID]ic.Height{}, answers: map[ic.RequestID]answer{},
		cups: map[ic.Height]block.Hash{}, upgrade: map[string]ic.Height{}}
}

// answer to a call, and the height at which somebody saw it first.
type answer struct {
	text string
	at   ic.Height
}

// witness is a node's state machine, watched.
type witness struct {
	node.Machine
	p *peer
}

func (t *truth) machine(p *peer) node.Machine { return &witness{t.w.users.machine(p), p} }

// Apply a batch and compare it with what other nodes did.
func (m *witness) Apply(s *state.State, b *messaging.Batch) *state.State {
	t := m.p.w.truth
	if m.p.byzantine() {
		return m.Machine.Apply(s, b)
	}
	t.w.fail(t.before(m.p, s, b))
	next := m.Machine.Apply(s, b)
	t.w.fail(t.after(m.p, next))
	return next
}

func (t *truth) before(p *peer, s *state.State, b *messaging.Batch) error {
	if b.Height != s.Height()+1 {
		return violated("node %d executes batch %d after height %d", p.index, b.Height, s.Height())
	}
	if t.outdated(p.version, b.Height) {
		return violated("node %d executes batch %d with version %s, which has ended", p.index, b.Height, p.version)
	}
	if b.Time <= s.Time() {
		return violated("node %d: batch %d has time %d, the state before it %d", p.index, b.Height, b.Time, s.Time())
	}
	var sum digest
	sum.number(uint64(b.Time), b.RegistryVersion, uint64(len(b.Members)))
	sum.text(string(b.Randomness[:]), string(b.Maker.Principal))
	for _, m := range b.Members {
		sum.text(string(m.ID.Principal), string(m.PublicKey))
	}
	for i := range b.Ingress {
		msg := &b.Ingress[i]
		sum.number(uint64(msg.Expiry))
		sum.text(string(msg.ID[:]), string(msg.Sender), string(msg.Canister.Principal), string(msg.Effective.Principal), string(msg.Arg))
		if at, ok := t.done[msg.ID]; ok && at != b.Height {
			return violated("call %x is in batch %d and in batch %d", msg.ID[:4], at, b.Height)
		}
		if !t.w.users.sent[msg.ID] {
			return violated("call %x of batch %d was sent by no user", msg.ID[:4], b.Height)
		}
		t.done[msg.ID] = b.Height
	}
	return t.agree(t.batches, b.Height, sha256.Sum256(sum), p, "batch")
}

func (t *truth) after(p *peer, next *state.State) error {
	root, cycles := next.Tree().Digest(), supply(next)
	sum := digest(root[:])
	sum.number(uint64(next.Time()), cycles.Hi, cycles.Lo)
	next.Canisters(func(c *state.Canister) bool {
		sum.number(c.Cycles.Hi, c.Cycles.Lo)
		return true
	})
	if err := t.w.users.conserved(next, cycles); err != nil {
		return err
	}
	if _, ok := t.states[next.Height()]; !ok { // the others have the same state
		if err := t.w.users.audit(next); err != nil {
			return err
		}
	}
	t.roots[next.Height()], t.clock[next.Height()] = block.Hash(root), next.Time()
	return t.agree(t.states, next.Height(), sha256.Sum256(sum), p, "state")
}

// digest is what is hashed, piece by piece: fmt would take longer than the node.
type digest []byte

func (d *digest) number(all ...uint64) {
	for _, n := range all {
		*d = binary.LittleEndian.AppendUint64(*d, n)
	}
}

func (d *digest) text(all ...string) {
	for _, s := range all {
		d.number(uint64(len(s)))
		*d = append(*d, s...)
	}
}

// agree: what one honest node has at a height, all have.
func (t *truth) agree(m map[ic.Height][32]byte, h ic.Height, now [32]byte, p *peer, what string) error {
	if old, ok := m[h]; ok && old != now {
		return violated("node %d has another %s of height %d than those before it", p.index, what, h)
	}
	m[h] = now
	return nil
}

// packaged: all have the same catch-up packages, with a state that they all have.
func (t *truth) packaged(p *peer, cup *block.Artifact) error {
	if old, ok := t.cups[cup.Height]; ok && old != cup.Hash && len(cup.Signature) > 0 {
		return violated("node %d has another catch-up package of height %d", p.index, cup.Height)
	}
	if len(cup.Signature) == 0 {
		return nil // of the registry
	}
	if err := consensus.CheckCUP(t.w.ids.high, t.w.ids.subnetID(), cup); err != nil {
		return violated("node %d: %v", p.index, err)
	}
	if root, ok := t.roots[cup.Height]; ok && root != cup.Other {
		return violated("node %d has a catch-up package of another state of height %d", p.index, cup.Height)
	}
	if _, ok := t.cups[cup.Height]; !ok {
		t.w.log("catch-up package %d", cup.Height)
	}
	t.cups[cup.Height] = cup.Hash
	return nil
}

// upgraded: all nodes change the version at one height. Who comes late finds a newer
// package.
func (t *truth) upgraded(p *peer, e *node.Upgrade) error {
	old, ok := t.upgrade[e.Version]
	if ok && e.Height < old {
		return violated("node %d changes to version %s after height %d, others after height %d", p.index, e.Version, e.Height, old)
	}
	if !ok {
		t.upgrade[e.Version] = e.Height
	}
	return nil
}

// outdated tells whether a version goes on above the height where it should have ended.
func (t *truth) outdated(version string, h ic.Height) bool {
	for v, end := range t.upgrade {
		if v > version && h > end {
			return true
		}
	}
	return false
}

// forget the heights above one: a recovery plays them again.
func (t *truth) forget(above ic.Height) {
	gone := func(h ic.Height) bool { return h > above }
	maps.DeleteFunc(t.batches, func(h ic.Height, _ [32]byte) bool { return gone(h) })
	maps.DeleteFunc(t.states, func(h ic.Height, _ [32]byte) bool { return gone(h) })
	maps.DeleteFunc(t.roots, func(h ic.Height, _ block.Hash) bool { return gone(h) })
	maps.DeleteFunc(t.certs, func(h ic.Height, _ string) bool { return gone(h) })
	maps.DeleteFunc(t.times, func(h ic.Height, _ ic.Time) bool { return gone(h) })
	maps.DeleteFunc(t.cups, func(h ic.Height, _ block.Hash) bool { return gone(h) })
	maps.DeleteFunc(t.upgrade, func(_ string, h ic.Height) bool { return gone(h) })
	maps.DeleteFunc(t.done, func(_ ic.RequestID, h ic.Height) bool { return gone(h) })
	maps.DeleteFunc(t.answers, func(_ ic.RequestID, a answer) bool { return gone(a.at) })
	t.last = slices.DeleteFunc(t.last, func(id ic.RequestID) bool { return t.answers[id].text == "" })
	t.best = min(t.best, above)
	for _, p := range t.w.peers {
		p.shown = min(p.shown, above)
	}
}

// see what readers of a node see.
func (t *truth) see(p *peer, v *node.View) error {
	if v.Height < p.shown {
		return violated("node %d showed height %d, and then %d", p.index, p.shown, v.Height)
	}
	digest := v.Tree().Digest()
	if err := t.certificate(p, v, digest); err != nil {
		return err
	}
	if old, ok := t.times[v.Height]; ok && old != v.Time {
		return violated("node %d: height %d has time %d, elsewhere %d", p.index, v.Height, v.Time, old)
	}
	t.times[v.Height] = v.Time
	if v.Height > t.best {
		t.best, t.nodes = v.Height, v.State.Subnet().Nodes
		t.w.log("height %d is certified", v.Height)
		t.w.due()
	}
	return t.answered(p, v)
}

func (t *truth) certificate(p *peer, v *node.View, digest [32]byte) error {
	key := string(v.Signature) + string(digest[:])
	if old, ok := t.certs[v.Height]; ok {
		if old != key {
			return violated("node %d: another certificate or state of height %d", p.index, v.Height)
		}
		return nil
	}
	if err := t.w.ids.high.Verify(cert.StateRoot(digest), v.Signature); err != nil {
		return violated("node %d: the certificate of height %d: %v", p.index, v.Height, err)
	}
	t.certs[v.Height] = key
	return nil
}

// answered collects new answers, and compares the latest old ones.
func (t *truth) answered(p *peer, v *node.View) error {
	for _, id := range t.last {
		a := t.answers[id]
		if a.at > v.Height {
			continue
		}
		if c := v.State.Status(id); c == nil || said(c) != a.text {
			return violated("node %d, height %d: call %x was answered %q, and is now %+v", p.index, v.Height, id[:4], a.text, c)
		}
	}
	t.w.users.ask(v, func(id ic.RequestID, c *state.Call) {
		t.answers[id] = answer{said(c), v.Height}
		if t.last = append(t.last, id); len(t.last) > 8 {
			t.last = t.last[1:]
		}
		t.w.log("call %x is answered %q", id[:4], t.answers[id].text)
	})
	return nil
}

// said is the answer that a call has.
func said(c *state.Call) string {
	if c.Reject != nil {
		return fmt.Sprintf("rejected, %s: %s", c.Reject.Code, c.Reject.Message)
	}
	return string(c.Reply)
}
