package node

import (
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// Step hands consensus all that has happened since the last one, and does what
// it says. An error ends the node.
func (n *Node) Step() error {
	err := n.step()
	if err != nil {
		n.mu.Lock()
		n.halted = err
		n.mu.Unlock()
	}
	return err
}

func (n *Node) step() error {
	if n.leaving != nil {
		return n.linger()
	}
	if err := n.jump(); err != nil {
		return err
	}
	events := n.events()
	for _, ev := range n.pulled() { // of many heights, of which one opens the way to the next
		if err := n.tell(ev); err != nil {
			return err
		}
	}
	if err := n.tell(events...); err != nil {
		return err
	}
	if n.leaving != nil {
		return n.linger()
	}
	if !n.lost() {
		n.since.Store(n.core.Since())
	}
	n.helped()
	n.ask()
	if at := n.draftWake(); at != 0 && (n.wake == 0 || at < n.wake) {
		n.wake = at
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// tell consensus what has happened, and do what it says.
func (n *Node) tell(events ...consensus.Event) error {
	if !n.lost() {
		return n.do(n.core.Step(n.Clock.Now(), events...))
	}
	for _, ev := range events {
		if r, ok := ev.(consensus.Received); ok {
			n.heard(r.Artifact)
		}
	}
	return nil
}

// Since is the version of the registry from which on versions say who takes part in
// consensus, here or at peers that lag.
func (n *Node) Since() uint64 { return n.since.Load() }

// WakeAt is when the node wants a Step by itself; 0 for not.
func (n *Node) WakeAt() ic.Time {
	if at := n.pull.at; at != 0 && (n.wake == 0 || at < n.wake) {
		return at
	}
	return n.wake
}

func (n *Node) events() (out []consensus.Event) {
	n.mu.Lock()
	for _, r := range n.results {
		out = append(out, r)
	}
	n.results = nil
	for _, d := range n.done {
		out = append(out, d)
	}
	n.done = nil
	if n.saved > 0 {
		out = append(out, consensus.Saved{Height: n.saved})
		n.saved = 0
	}
	n.mu.Unlock()
	for {
		select {
		case p := <-n.inbox:
			if block.IsOutline(p.data) {
				if err := n.draft(p.from, p.data); err != nil {
					n.blame(p.from, "outline", err)
				}
				continue
			}
			a, err := block.Decode(p.data)
			if err != nil {
				n.blame(p.from, "artifact", err)
				continue
			}
			n.pull.saw(p.from, a)
			out = append(out, consensus.Received{Artifact: a, From: p.from})
			continue
		default:
		}
		break
	}
	out = append(out, n.drafted()...)
	if len(out) == 0 {
		out = append(out, consensus.Tick{})
	}
	return out
}

// do the effects of one step: certificates are shown first, since nothing new
// has to be durable for them; then all is written; then it is sent and executed.
// What this node votes is durable before anyone hears of it, and with it all that
// the vote stands on. All else peers can tell again, and is durable before the
// state that it leads to is shown: see settled.
func (n *Node) do(effects []consensus.Effect) error {
	n.wake = 0
	var keep []*block.Artifact
	sync := false
	for _, e := range effects {
		switch e := e.(type) {
		case consensus.Certified:
			n.certified(e)
		case consensus.Vouched:
			n.vouch(e.Height)
		case consensus.Persist:
			keep = append(keep, e.Artifact)
			switch e.Artifact.Kind {
			case block.Proposal:
				n.timeline.begin(e.Artifact.Height, n.Clock.Now())
				if n.Net != nil {
					n.keepBlock(e.Artifact)
				}
			case block.Dealing, block.CUP, block.Equivocation: // rare, and keys may be erased for them
				sync = true
			}
		case consensus.Send:
			switch e.Artifact.Kind {
			case block.Proposal, block.NotarizationShare, block.FinalizationShare: // our own: peers' are not sent on
				sync = true
			}
		}
	}
	if len(keep) > 0 {
		if err := n.Store.Persist(keep, sync); err != nil {
			return err
		}
		n.loose.Store(!sync) // before the state to which it leads is delivered
	}
	for _, e := range effects {
		switch e := e.(type) {
		case consensus.Send:
			if n.Net != nil {
				n.Net.Broadcast(e.Artifact.Height, n.encode(e.Artifact))
			}
		case consensus.Deliver:
			n.metrics.rounds.Add(1)
			n.timeline.end(e.Block.Height, Agreed, n.Clock.Now())
			n.mu.Lock()
			n.batches = append(n.batches, e)
			n.mu.Unlock()
			poke(n.work)
		case consensus.Purge:
			if n.Net != nil {
				n.Net.Purge(e.Below)
			}
			if below := min(e.Below, e.CUP); below > history {
				if err := n.Store.Purge(below - history); err != nil {
					return err
				}
			}
		case consensus.Task:
			n.task(e)
		case consensus.Keep:
			n.keep(e.Keys)
		case consensus.Reached:
			n.reached(e.CUP)
		case consensus.Behind:
			if n.pull.forgotten() {
				n.behind(e.CUP)
			}
		case consensus.Stop:
			return n.stop(e)
		case consensus.Wake:
			n.wake = e.At
		case consensus.Refused:
			n.blame(e.From, e.Artifact.Kind.String(), e.Reason)
		case consensus.Diverged:
			return fmt.Errorf("the subnet certified another state of height %d than this node computed (%x, here %x): this node is stopped and its state kept as evidence", e.Height, e.Theirs, e.Ours)
		}
	}
	return nil
}

// blame a peer for what it sent.
func (n *Node) blame(who ic.NodeID, what string, why error) {
	n.metrics.invalid.Add(1)
	if n.Net != nil && who.Principal != "" {
		n.Net.Blame(who, what, why)
	}
}

// Execute runs the next batch, and tells whether there was one.
func (n *Node) Execute() bool {
	n.applying.Lock()
	defer n.applying.Unlock()
	n.mu.Lock()
	if len(n.batches) == 0 || n.tip.Height() >= max(n.savedHeight()+maxUnsaved, n.floor) {
		n.mu.Unlock()
		return false
	}
	d := n.batches[0]
	n.mu.Unlock()

	b, ids := n.batch(d)
	next := n.Machine.Apply(n.tip, b)
	if next.Height() != b.Height || next.Time() != b.Time {
		panic(fmt.Sprintf("node: batch %d at %d gave a state of height %d at %d", b.Height, b.Time, next.Height(), next.Time()))
	}
	done := n.executed(next)
	if n.settled() != nil {
		return false // the store has failed, and stops the node
	}
	n.tip = next
	n.latest.Store(next)

	n.mu.Lock()
	n.batches = n.batches[1:]
	n.pool.Remove(ids)
	n.states[b.Height] = next
	if d.Block.Section(block.SummarySection) != nil {
		n.packed[b.Height] = next
	}
	n.results = append(n.results, done)
	n.mu.Unlock()
	n.metrics.messages.Add(uint64(len(ids)))
	n.timeline.end(b.Height, Executed, n.Clock.Now())
	poke(n.kick)
	return true
}

// settled makes the block of a state durable, if a vote since has not: readers may
// see the state once its root is out, and it must be there again after a power
// cut. The round goes on meanwhile.
func (n *Node) settled() error {
	if n.loose.Swap(false) {
		return n.Store.Flush()
	}
	return nil
}

func (n *Node) batch(d consensus.Deliver) (*messaging.Batch, []ic.RequestID) {
	b := &messaging.Batch{Height: d.Block.Height, Time: d.Block.Time, Randomness: d.Randomness,
		RegistryVersion: d.Block.Registry, Nodes: len(d.Members), Members: nodesOf(d.Members), Maker: d.Block.Maker,
		Admins: d.Record.Admins, Free: d.Record.Free, MaxCanisters: d.Record.MaxCanisters}
	list, err := queriesOf(d.Block)
	if err != nil {
		panic(fmt.Sprintf("node: final block %d: %v", d.Block.Height, err))
	}
	b.Uses = usesOf(list)
	if d.Block.Maker == n.Keys.NodeID() {
		n.queried.told(list)
	}
	var ids []ic.RequestID
	for _, data := range d.Block.Ingress {
		msg, err := n.open(data)
		if err != nil {
			panic(fmt.Sprintf("node: final block %d: %v", d.Block.Height, err))
		}
		b.Ingress = append(b.Ingress, *msg)
		ids = append(ids, msg.ID)
	}
	return b, ids
}

// executed is what consensus wants to know of a state.
func (n *Node) executed(s *state.State) consensus.Executed {
	return consensus.Executed{Height: s.Height(), Root: s.Tree().Digest(), Busy: s.Busy()}
}

// vouch for a state that was executed and has no certificate here.
func (n *Node) vouch(h ic.Height) {
	n.mu.Lock()
	s := n.states[h]
	n.mu.Unlock()
	if s != nil {
		n.vouched.Store(s)
		poke(n.dirty)
	}
}

// Unsaved is the newest state that Save has to write, nil if there is none: the latest
// certified one, or one that a catch-up package vouches for. That of height 0 may be
// written already.
func (n *Node) Unsaved() *state.State {
	var s *state.State
	if v := n.view.Load(); v != nil {
		s = v.State
	}
	if w := n.vouched.Load(); w != nil && (s == nil || w.Height() > s.Height()) {
		s = w
	}
	if s != nil && s.Height() > 0 && s.Height() <= n.savedHeight() {
		return nil
	}
	return s
}

// Save writes the latest state that counts, and tells whether there was one.
// States between the last one saved and this are never written: a page that
// changed in each costs one write. But that of a summary is, and becomes a
// checkpoint before the next one takes its place: a catch-up package may name it.
func (n *Node) Save() (bool, error) {
	n.saving.Lock()
	defer n.saving.Unlock()
	if err := n.dropCheckpoints(); err != nil { // a busy node has always something to save
		return false, err
	}
	s := n.Unsaved()
	if s == nil || n.disk != nil && n.disk.Height() >= s.Height() {
		return false, nil
	}
	s, packed := n.toSave(s)
	if err := n.Store.SaveState(s, n.disk); err != nil {
		return false, err
	}
	n.disk = s
	if packed {
		if err := n.checkpoint(s.Height()); err != nil {
			return false, err
		}
		poke(n.dirty)
	}
	n.mu.Lock()
	n.saved = s.Height()
	n.onDisk.Store(uint64(s.Height()))
	n.mu.Unlock()
	poke(n.kick)
	poke(n.work)
	return true, nil
}

// toSave is the newest state, or the first one of a summary up to it that is not saved;
// packed tells which.
func (n *Node) toSave(newest *state.State) (s *state.State, packed bool) {
	saved := n.savedHeight()
	n.mu.Lock()
	defer n.mu.Unlock()
	s = newest
	for h, p := range n.packed {
		if saved < h && h <= s.Height() {
			s, packed = p, true
		}
	}
	return s, packed
}

// dropCheckpoints that no package names any more.
func (n *Node) dropCheckpoints() error {
	n.mu.Lock()
	below := n.outdated
	n.outdated = 0
	n.mu.Unlock()
	if below == 0 {
		return nil
	}
	return n.Store.DropCheckpoints(below)
}

func (n *Node) savedHeight() ic.Height { return ic.Height(n.onDisk.Load()) }

// Describe tells where consensus stands; it belongs to the goroutine of Step.
func (n *Node) Describe() string {
	if n.lost() {
		return fmt.Sprintf("waits for the state of height %d or a later one", n.cup.Height)
	}
	return n.core.Describe()
}

// Core is what Step plays with, nil where there is no state to begin with; it belongs
// to the goroutine of Step.
func (n *Node) Core() *consensus.Core { return n.core }
