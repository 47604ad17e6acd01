package sim

import (
	"slices"
	"strconv"

	"ashlar/replica/consensus"
)

// act lets one thing of the plan happen.
func (w *world) act(a Act) {
	w.log("%s", a.text())
	for _, i := range a.Nodes {
		p := w.peers[i]
		switch a.Do {
		case PowerCut:
			p.crash(true)
		case Kill:
			p.crash(false)
		case MidStep:
			p.disk.cutIn = 1 + w.rng.IntN(4)
		case MidSave:
			if p.node != nil {
				p.disk.cutSave = 1 + w.rng.IntN(12)
			}
		case Start:
			if !p.idle && !p.left {
				p.start()
			}
		case SlowDown:
			p.slow = max(a.N, 1)
		case SetClock:
			p.skew += a.By
		case FillDisk:
			p.settle()
			p.disk.full.Store(true)
		case FreeDisk:
			p.disk.full.Store(false)
			if p.node == nil && !p.idle && !p.left {
				p.start()
			}
		case Damage:
			p.crash(false)
			if err := p.disk.damage(w.rng); err != nil {
				w.fail(err)
			}
		case Wipe:
			p.crash(false)
			p.disk.wipe()
			p.forgot, p.shown, p.cup = true, 0, nil
		case Resync:
			p.crash(false)
			p.beginsAnew()
			p.start()
		case MidFetch:
			p.cutFetch = 1 + w.rng.IntN(8)
		}
	}
	switch a.Do {
	case Cut:
		others := a.To
		if len(others) == 0 {
			others = w.others(a.Nodes)
		}
		w.wire.block(a.Nodes, others)
		w.wire.block(others, a.Nodes)
	case Silence:
		w.wire.block(a.Nodes, a.To)
	case Add:
		w.net.add(a.Nodes)
	case Remove:
		w.net.remove(a.Nodes)
	case Upgrade:
		w.net.change(func(r *consensus.Record) { r.Version = a.Text })
	case Halt:
		w.net.change(func(r *consensus.Record) { r.Halt = true })
	case Resume:
		w.net.resume()
	case Recover:
		w.net.recover()
	case LongCall:
		w.users.long(a.N)
	case Heal:
		w.wire.heal()
	case Lose:
		w.lost = a.N
	}
}

func (w *world) others(than []int) (out []int) {
	for i := range w.peers {
		if !slices.Contains(than, i) {
			out = append(out, i)
		}
	}
	return out
}

// due lets happen what waited for a height, or for nodes.
func (w *world) due() {
	w.waiting = slices.DeleteFunc(w.waiting, func(a Act) bool {
		if a.When == nil && a.Height > w.truth.best || a.When != nil && !w.holds(a.When) {
			return false
		}
		w.after(0, func() { w.act(a) })
		return true
	})
}

func (w *world) holds(c *When) bool {
	for _, i := range c.Nodes {
		if !w.peers[i].has(c) {
			return false
		}
	}
	return true
}

// has come to what an act waits for.
func (p *peer) has(c *When) bool {
	switch c.What {
	case HaveLeft:
		return p.left
	case HaveVersion:
		return p.version == c.Than
	case HavePackage:
		h, err := strconv.ParseUint(c.Than, 10, 64)
		return err == nil && p.cup != nil && uint64(p.cup.Height) >= h
	}
	return p.stateBytes > 0
}
