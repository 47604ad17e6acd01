package sim

import (
	"fmt"
	"slices"
	"time"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
)

// network is the registry: all versions, of which each node learns at its own time.
type network struct {
	w       *world
	records []*consensus.Record
	start   *block.Artifact // the package that it names
}

// maxNews is how late a node may learn of a version.
const maxNews = 800 * time.Millisecond

// follower is the registry as one node knows it.
type follower struct{ p *peer }

// Latest version that the node knows.
func (f follower) Latest() uint64 { return f.p.knows }

// At a version.
func (f follower) At(version uint64) (*consensus.Record, error) {
	if version == 0 || version > f.p.knows {
		return nil, fmt.Errorf("version %d is not known", version)
	}
	return f.p.w.net.records[version-1], nil
}

// change makes a version. Each names another admin of the subnet, so that states tell
// which versions they were made by.
func (n *network) change(edit func(r *consensus.Record)) {
	next := *n.records[len(n.records)-1]
	next.Members = slices.Clone(next.Members)
	edit(&next)
	slices.SortFunc(next.Members, func(a, b block.Receiver) int { return n.w.ids.index(a.Node) - n.w.ids.index(b.Node) })
	n.records = append(n.records, &next)
	version := uint64(len(n.records))
	next.Admins = []ic.Principal{account(byte(version)).Principal}
	for _, p := range n.w.peers {
		n.w.after(n.w.span(0, maxNews), func() {
			p.knows = max(p.knows, version)
			p.planStep(n.w.now)
		})
	}
}

func (n *network) has(id ic.NodeID) bool {
	return slices.ContainsFunc(n.records[len(n.records)-1].Members, func(r block.Receiver) bool { return r.Node == id })
}

// add nodes to the registry and start them.
func (n *network) add(nodes []int) {
	n.change(func(r *consensus.Record) {
		for _, i := range nodes {
			if !n.has(n.w.ids.public[i].Node) {
				r.Members = append(r.Members, n.w.ids.public[i])
			}
		}
	})
	for _, i := range nodes {
		p := n.w.peers[i]
		n.w.after(maxNews, func() { // once it knows that it is wanted
			if p.idle || p.left {
				p.idle, p.left, p.refused = false, false, nil
				p.start()
			}
		})
	}
}

// remove nodes from the registry; they go on until their last interval has ended.
func (n *network) remove(nodes []int) {
	n.change(func(r *consensus.Record) {
		r.Members = slices.DeleteFunc(r.Members, func(m block.Receiver) bool { return slices.Contains(nodes, n.w.ids.index(m.Node)) })
	})
}

// resume what was halted: its nodes start again.
func (n *network) resume() {
	n.change(func(r *consensus.Record) { r.Halt = false })
	n.w.after(2*maxNews, func() {
		for _, p := range n.w.peers {
			if p.halted {
				p.start()
			}
		}
	})
}

// recover from the newest state that a node has on its disk, in a new era: all are
// stopped, and what was certified above that state is lost.
func (n *network) recover() {
	var last *block.Artifact
	h := ic.Height(0)
	for _, p := range n.w.peers {
		p.crash(false)
		if p.byzantine() || p.disk.damaged || p.idle || p.left {
			continue
		}
		if cup, at := p.stored(); cup != nil && (last == nil || at > h) {
			last, h = cup, at
		}
	}
	n.change(func(r *consensus.Record) { r.Halt = false })
	root, ok := n.w.truth.roots[h]
	if last == nil || !ok { // nobody executes height 0
		n.w.log("there is no state to recover from")
		n.w.over = n.w.forgotten() > consensus.Faults(len(n.records[0].Members))
		return
	}
	cup, err := consensus.Recover(consensus.Recovery{Last: last, Height: h, Root: root, Time: max(n.w.truth.clock[h], genesis+ic.Time(n.w.now)), Registry: uint64(len(n.records)), Version: n.records[len(n.records)-1].Version})
	if err != nil {
		n.w.fail(err)
		return
	}
	n.w.log("the registry says to go on from height %d", cup.Height)
	n.start = cup
	n.w.truth.forget(cup.Height)
	n.w.after(2*maxNews, func() {
		for _, p := range n.w.peers {
			p.crash(false)
			if !p.idle && !p.left {
				p.start()
			}
		}
	})
}

// stored is what an operator finds on the disk of a node that is down: a state, and the
// package before it; nil where there is none.
func (p *peer) stored() (cup *block.Artifact, h ic.Height) {
	s, err := store.Open("state", store.Options{FS: p.disk.mem, SmallFiles: true})
	if err != nil {
		p.w.log("the disk of node %d can not be read", p.index)
		return nil, 0
	}
	defer s.Close()
	cup, waits, err := s.CUP()
	if err != nil || cup == nil || waits {
		return nil, 0
	}
	st, err := s.LoadState()
	if err != nil || st == nil || st.Height() < cup.Height {
		return nil, 0
	}
	return cup, st.Height()
}

// ended is the end of a node in good order.
func (p *peer) ended(err error) bool {
	switch e := err.(type) {
	case *node.Upgrade:
		p.w.fail(p.w.truth.upgraded(p, e))
		p.version = e.Version
		p.w.after(p.w.span(0, time.Second), p.start)
	case *node.Halt:
		p.halted = true
	case *node.Left:
		if p.w.net.has(p.w.ids.public[p.index].Node) { // and is wanted again, as it learns in a while
			p.w.after(maxNews, p.start)
			return true
		}
		p.left, p.shown = true, 0 // its state could be erased, so readers may not count on it
		p.refused = err
	default:
		return false
	}
	return true
}
