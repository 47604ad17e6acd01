package sim

import (
	"errors"
	"fmt"
	"time"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/node"
	"ashlar/replica/sim/ram"
	"ashlar/replica/state"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
)

// What the steps of a node take on a machine that is not slow.
const (
	stepLow, stepHigh = 20 * time.Microsecond, 300 * time.Microsecond
	execLow, execHigh = 50 * time.Microsecond, 2 * time.Millisecond
	saveLow, saveHigh = time.Millisecond, 50 * time.Millisecond
	workLow, workHigh = time.Millisecond, 40 * time.Millisecond
)

// stageBytes of a state gather before they are on disk: few, so that crashes find some there.
const stageBytes = 100 << 10

// maxInbox is how many messages a node may have before its peers wait: it drops
// what is beyond its own bound, and the network must not lose what it promised.
const maxInbox = 500

// peer is one node with its machine: what is left when the node is down.
type peer struct {
	w     *world
	index int
	disk  *disk
	skew  time.Duration
	slow  int

	life    int // starts so far
	store   *store.Store
	node    *node.Node // nil: down
	ends    func()     // ends what its state machine runs; nil: nothing runs
	refused error      // why it stopped, or does not start

	version string // of the replica on it
	knows   uint64 // of the registry
	idle    bool   // not started: it is no member yet
	halted  bool   // the registry halted the subnet
	left    bool   // its last interval has ended
	forgot  bool   // what it signed
	cup     *block.Artifact

	stepping, executing, saving, working bool          // planned
	free                                 time.Duration // when the present step ends
	wake, fetchWake                      time.Duration
	inbox                                int // messages since the last step

	stateBytes int // of answers for states, in all lives
	cutFetch   int // the power fails after so many of them; 0: not

	shown ic.Height // the latest certified height that readers saw
	view  *node.View
	said  *sayings
	liar  *liar
}

func newPeer(w *world, index int) *peer {
	p := &peer{w: w, index: index, disk: newDisk(w), skew: w.Skew[index], slow: max(w.Slow[index], 1), said: newSayings(), version: firstVersion, knows: 1}
	if lies := w.Lies[index]; len(lies) > 0 {
		p.liar = newLiar(p, lies)
	}
	return p
}

func (p *peer) byzantine() bool { return p.liar != nil }

// Now is the node's clock.
func (p *peer) Now() ic.Time { return genesis + ic.Time(p.w.now+p.skew) }

// Broadcast is the node's way to its peers.
func (p *peer) Broadcast(_ ic.Height, data []byte) {
	if !p.byzantine() {
		p.w.fail(p.said.check(p, data))
		p.w.wire.broadcast(p, data)
		return
	}
	p.liar.send(data)
}

// Purge withdraws what peers need no more.
func (p *peer) Purge(below ic.Height) { p.w.wire.purge(p, below) }

// Gossip offers a user's call to the peers that it reaches at once.
func (p *peer) Gossip(call []byte) { p.w.wire.gossip(p, call) }

// Blame is noted: what is refused belongs to the trace.
func (p *peer) Blame(who ic.NodeID, _ string, _ error) {
	p.w.note('b', p.index, p.w.ids.index(who), 0)
}

// Ask a peer; a question or answer may get lost, which the asker notices.
func (p *peer) Ask(to ic.NodeID, id uint64, request []byte) { p.w.wire.ask(p, to, id, request) }

// start the node on what its disk has.
func (p *peer) start() {
	if p.node != nil {
		return
	}
	p.life++
	p.refused, p.inbox, p.free, p.wake, p.fetchWake, p.disk.cutIn = nil, 0, p.w.now, 0, 0, 0
	p.stepping, p.executing, p.saving, p.working, p.halted = false, false, false, false, false
	p.disk.refused.Store(false)
	if err := p.open(); errors.Is(err, errPower) {
		p.lost(p.disk.clone())
		return
	} else if err != nil {
		p.refused = err
		p.w.log("node %d does not start: %v", p.index, err)
		if p.left = !p.w.net.has(p.w.ids.public[p.index].Node) && contains(err.Error(), "is no member"); p.left {
			return // and its disk does not know any more that it was one
		}
		if contains(err.Error(), "is no member") && p.knows < uint64(len(p.w.net.records)) { // it is wanted again, as it learns in a while
			p.refused = nil
			p.w.after(maxNews, p.start)
			return
		}
		p.w.fail(p.excuse(err))
		return
	}
	p.w.log("node %d starts", p.index)
	p.w.wire.connect(p)
	p.plan()
}

func (p *peer) open() (err error) {
	if p.store, err = store.Open("state", store.Options{FS: p.disk.fs(), SmallFiles: true, StageBytes: stageBytes, Alone: true}); err != nil {
		return err
	}
	p.disk.rest = p.store.Rest
	if p.node, err = node.New(p.config()); err != nil {
		p.node = nil
		if errors.Is(err, errPower) {
			p.disk.cut = p.disk.clone()
		}
		p.shut()
	}
	return err
}

func (p *peer) subnet() state.Subnet {
	ids := p.w.ids
	return state.Subnet{ID: ids.subnetID(), Type: "application", PublicKey: ids.der, RootKey: ids.der,
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}
}

func (p *peer) config() node.Config {
	ids := p.w.ids
	cfg := node.Config{Subnet: p.subnet(), Start: p.w.net.start, Version: p.version, Registry: follower{p}, Stage: p.store.Staging(),
		Keys: ids.keys[p.index], Scheme: ids.scheme, Machine: p.w.truth.machine(p), Store: &guarded{Store: p.store, p: p}, Net: p, Clock: p,
		Pace: consensus.DefaultPace, Limits: ingress.Limits{Messages: 200, Bytes: 1 << 20, SenderMessages: 100, SenderBytes: 1 << 20}, Parse: p.w.users.parse, Check: p.w.users.check}
	switch {
	case p.byzantine(): // its lies are about whole blocks
		cfg.Whole = block.MaxBytes
	case p.w.Seed%2 == 1: // calls go by their hashes, however few
		cfg.Whole = -1
	}
	p.w.Bug.plant(p, &cfg)
	return cfg
}

// plan what the node has to do next.
func (p *peer) plan() {
	if p.node == nil {
		return
	}
	p.planStep(max(p.w.now, p.free))
	p.planExec()
	p.planSave()
	p.planWork()
	p.planFetch()
}

func (p *peer) planStep(t time.Duration) {
	if !p.stepping && p.node != nil {
		p.stepping = true
		life := p.life
		p.w.at(max(t, p.free), func() {
			if p.life == life && p.node != nil {
				p.step()
			}
		})
	}
}

func (p *peer) planExec() {
	if p.executing || p.node.Metrics().Batches == 0 {
		return
	}
	p.executing = true
	life := p.life
	p.w.after(p.takes(execLow, execHigh), func() {
		if p.life != life || p.node == nil {
			return
		}
		p.executing = false
		ran := false
		err := p.guard(func() error {
			ran = p.node.Execute()
			return nil
		})
		if err != nil {
			p.stop(err)
		} else if ran {
			p.w.note('x', p.index, 0, 0)
			p.plan()
		}
	})
}

// planFetch plans what brings a state from peers, where there is something to do.
func (p *peer) planFetch() {
	select {
	case <-p.node.FetchKick():
		p.fetchAt(p.w.now + p.takes(stepLow, stepHigh))
	default:
	}
}

func (p *peer) fetchAt(t time.Duration) {
	life := p.life
	p.w.at(t, func() {
		if p.life == life && p.node != nil {
			p.fetch()
		}
	})
}

func (p *peer) fetch() {
	err := p.node.Fetch()
	p.w.note('S', p.index, 0, p.node.Metrics().StateBytes)
	if err != nil {
		p.stop(err)
		return
	}
	p.planFetch()
	p.planStep(p.w.now) // a state may have come
	at := p.node.FetchAt()
	if at == 0 {
		return
	}
	t := max(time.Duration(at-genesis)-p.skew, p.w.now)
	if p.fetchWake <= p.w.now || p.fetchWake > t { // else an earlier one asks again
		p.fetchWake = t
		p.fetchAt(t)
	}
}

// fetched an answer for a state on its way: the power may fail.
func (p *peer) fetched(bytes int) {
	p.stateBytes += bytes
	if p.cutFetch == 0 || bytes == 0 {
		return
	}
	if p.cutFetch--; p.cutFetch == 0 {
		p.crash(true)
	}
}

// begins anew: nothing is left of what it signed, and it knows.
func (p *peer) beginsAnew() {
	if _, err := store.SetAside("state", p.Now(), store.Options{FS: p.disk.mem}); err != nil {
		p.w.fail(err)
	}
	p.disk.damaged, p.forgot, p.refused, p.shown, p.cup = false, true, nil, 0, nil
}

// planWork plans what keys are made of.
func (p *peer) planWork() {
	if p.working || p.node.Metrics().Chores == 0 {
		return
	}
	p.working = true
	life := p.life
	p.w.after(p.takes(workLow, workHigh), func() {
		if p.life != life || p.node == nil {
			return
		}
		p.working = false
		if p.node.Labor() {
			p.w.note('w', p.index, 0, 0)
			p.plan()
		}
	})
}

func (p *peer) planSave() {
	if p.saving || p.node.Unsaved() == nil {
		return
	}
	p.saving = true
	life := p.life
	p.w.after(p.takes(saveLow, saveHigh), func() {
		if p.life != life || p.node == nil {
			return
		}
		p.saving = false
		saved := false
		err := p.guard(func() (err error) {
			saved, err = p.node.Save()
			if err == nil && p.node.Unsaved() == nil {
				_, err = p.node.Save() // has nothing to write, and tidies
			}
			return err
		})
		p.w.note('s', p.index, 0, uint64(p.node.Metrics().Saved))
		if p.disk.cut != nil {
			p.crash(true)
			return
		}
		if err != nil {
			p.stop(err)
		} else if saved {
			p.plan()
		}
	})
}

// guard makes a panic over what the store cannot read an error.
func (p *peer) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if err = p.store.Err(); err == nil {
				panic(r)
			}
		}
	}()
	return f()
}

func (p *peer) takes(low, high time.Duration) time.Duration {
	return p.w.span(low, high) * time.Duration(p.slow)
}

func (p *peer) step() {
	p.stepping, p.inbox = false, 0
	p.free = p.w.now + p.takes(stepLow, stepHigh)
	err := p.guard(p.node.Step)
	p.w.note('t', p.index, 0, uint64(p.free))
	switch {
	case errors.Is(err, errPower):
		p.crash(true)
		return
	case err != nil:
		p.stop(err)
		return
	}
	p.said.stepped(p)
	p.look()
	p.planExec()
	p.planSave()
	p.planWork()
	p.planFetch()
	p.planWake()
}

// planWake plans the step that consensus wants by itself.
func (p *peer) planWake() {
	at := p.node.WakeAt()
	if at == 0 {
		return
	}
	t := max(time.Duration(at-genesis)-p.skew, p.free)
	if p.wake > p.w.now && p.wake <= t {
		return // an earlier one asks again
	}
	p.wake = t
	life := p.life
	p.w.at(t, func() {
		if p.life == life && p.node != nil && p.wake == t {
			p.wake = 0
			p.planStep(p.w.now)
		}
	})
}

// packaged looks at the node's newest catch-up package.
func (p *peer) packaged() {
	if cup, _ := p.node.Package(); cup != nil && (p.cup == nil || cup.Height > p.cup.Height) {
		p.cup = cup
		if !p.byzantine() {
			p.w.fail(p.w.truth.packaged(p, cup))
		}
	}
}

// look at what readers see.
func (p *peer) look() {
	p.packaged()
	v := p.node.View()
	if v == nil || v == p.view {
		return
	}
	if !p.byzantine() {
		p.w.fail(p.w.truth.see(p, v))
	}
	p.view, p.shown = v, v.Height
	p.w.note('v', p.index, 0, uint64(v.Height))
}

// stop is the end of a node by itself; its database may not be fit to be closed.
func (p *peer) stop(err error) {
	if errors.Is(err, errPower) { // the write that was to be cut came outside of a step
		p.crash(true)
		return
	}
	if p.disk.refused.Load() {
		p.w.log("node %d stops: its disk is full", p.index)
		p.w.say("%v", err) // in the words of whoever noticed first
	} else {
		p.w.log("node %d stops: %v", p.index, err)
	}
	p.packaged()
	after := p.disk.clone()
	p.down()
	p.disk.mem = after
	if p.ended(err) {
		return
	}
	p.refused = err
	p.w.fail(p.excuse(err))
}

// excuse tells whether an honest node had a reason to stop; nil: it had.
func (p *peer) excuse(err error) error {
	if p.byzantine() || p.disk.refused.Load() || p.disk.damaged {
		return nil
	}
	return violated("node %d stopped: %v", p.index, err)
}

// crash: a power cut loses what was not synced, a killed process nothing.
func (p *peer) crash(power bool) {
	if p.node == nil {
		return
	}
	if power {
		p.lost(p.disk.clone())
	} else {
		p.w.crashes++
		p.w.log("node %d is killed", p.index)
		p.down()
	}
}

// lost power: this is what the disk has.
func (p *peer) lost(after *ram.FS) {
	p.w.crashes++
	p.w.log("power cut at node %d", p.index)
	p.down()
	p.said.forget()
	p.disk.mem = after
}

func (p *peer) down() {
	p.node, p.view, p.disk.cutSave = nil, nil, 0
	p.life++
	p.said.told = nil
	p.w.wire.disconnect(p)
	p.shut()
}

func (p *peer) shut() {
	p.disk.rest = nil
	if p.ends != nil {
		p.ends()
		p.ends = nil
	}
	if p.store != nil {
		if p.store.Close() != nil { // the database is stuck and holds its lock: the next one gets another disk
			p.disk.mem = p.disk.clone()
			p.disk.lost.Store(true)
			p.store.Abandon()
		}
		p.store = nil
	}
}

func (p *peer) status() string {
	if p.node == nil {
		return fmt.Sprintf("down, %v", p.refused)
	}
	m := p.node.Metrics()
	return fmt.Sprintf("certified %d, saved %d, %d batches wait, %d calls in the pool, %d artifacts refused; %s", p.shown, m.Saved, m.Batches, m.Pool, m.Invalid, p.node.Describe())
}

// members of the committee at a height, as the node knows it.
func (p *peer) members(h ic.Height) []block.Member {
	if p.node == nil || p.node.Core() == nil {
		return nil
	}
	return p.node.Core().Members(h)
}

// own tells whether a committee's index is the node's.
func (p *peer) own(a *block.Artifact) bool {
	m := p.members(a.Height)
	return a.Signer < uint64(len(m)) && m[a.Signer].Node == p.w.ids.public[p.index].Node
}

// errPower ends a step in its middle.
var errPower = errors.New("the power was cut")

// guarded is the node's store, with power cuts in the middle of a step.
type guarded struct {
	*store.Store
	p *peer
}

// Persist may be cut before or after the write.
func (g *guarded) Persist(artifacts []*block.Artifact, sync bool) error {
	if g.p.disk.cutIn == 0 {
		return g.noticed(g.Store.Persist(artifacts, sync))
	}
	g.p.disk.cutIn--
	if g.p.disk.cutIn > 0 {
		return g.noticed(g.Store.Persist(artifacts, sync))
	}
	if g.p.w.rng.IntN(2) == 0 {
		if err := g.Store.Persist(artifacts, sync); err != nil {
			return err
		}
	}
	return errPower
}

// SaveState notices a full disk.
func (g *guarded) SaveState(next, old *state.State) error {
	return g.noticed(g.Store.SaveState(next, old))
}

// Purge notices a full disk.
func (g *guarded) Purge(below ic.Height) error { return g.noticed(g.Store.Purge(below)) }

// noticed: that the disk is full is seen at once, and not when the database's own
// goroutine comes to write its log.
func (g *guarded) noticed(err error) error {
	if err == nil && g.p.disk.full.Load() {
		return g.Store.Flush()
	}
	return err
}

// settle lets the database's own goroutine write what it has.
func (p *peer) settle() {
	if p.node != nil {
		_ = p.store.Flush() // if it failed, the node's next write tells
	}
}
