package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// pull fetches what a node that lags has missed: Net keeps the newest artifacts
// only, and consensus drops what is too far ahead to be of use.
//
//	a peer is far ahead, or ahead while nothing moves here ──> Ask(artifacts from our round on)
//	      ^──── as long as it helps ────┘                             │ it did not help
//	a catch-up package above us: its state is fetched (Sync) <── Ask(newest package)
//
// One question is out at a time. What peers claim costs them nothing, so a peer
// whose answer did not help is asked last, and after a pause.
type pull struct {
	seen  map[ic.NodeID]ic.Height // the newest artifact of each peer
	found []ic.NodeID             // see ahead
	known []ic.NodeID             // members, to be asked where there is no state to begin with
	vain  map[ic.NodeID]uint64    // questions to a peer that did not help

	here  place
	since ic.Time            // when this node came here
	round ic.Height          // in progress; 0: no state to begin with
	moved ic.Time            // when this node came to the round
	dry   map[ic.NodeID]bool // peers whose artifacts from here on did not help
	at    ic.Time            // when to look again; 0: only when something comes
	pause ic.Time            // no question before

	id    uint64 // of the question that is out
	out   bool
	kind  byte
	peer  ic.NodeID
	came  bool // an answer did, in the Step in progress
	asked uint64
}

// place of a node: what it delivered, its catch-up package, and the one that is due.
type place struct{ height, cup, due ic.Height }

// When a node asks.
const (
	gap     = 10           // heights: less than consensus looks ahead, and more than a slow round or two
	stalled = ic.Time(2e9) // ns at one place, while some peer is ahead or a package is due
	rest    = ic.Time(5e8) // ns after a question that did not help, and as much more for each before it

	maxPatience = 20 // times rest
)

func newPull() pull {
	return pull{seen: map[ic.NodeID]ic.Height{}, vain: map[ic.NodeID]uint64{}, dry: map[ic.NodeID]bool{}}
}

// saw an artifact of a peer. Dealings are of the end of an interval.
func (p *pull) saw(from ic.NodeID, a *block.Artifact) {
	if a.Kind == block.Dealing {
		return
	}
	p.heard(from, a.Height)
}

func (p *pull) heard(from ic.NodeID, h ic.Height) { p.seen[from] = max(p.seen[from], h) }

// forgotten tells whether a peer has no artifacts from here on.
func (p *pull) forgotten() bool { return len(p.dry) > 0 }

func (n *Node) place() place {
	if n.lost() {
		return place{n.height(), n.cup.Height, 0}
	}
	cup, due := n.core.CUP()
	return place{n.height(), cup, due}
}

// height is the last delivered one.
func (n *Node) height() ic.Height {
	if n.lost() {
		return n.cup.Height
	}
	return n.core.Height()
}

// ask a peer for what this node lacks. It belongs to the goroutine of Step.
func (n *Node) ask() {
	p, now := &n.pull, n.Clock.Now()
	p.at = 0
	before := p.from()
	if here := n.place(); here != p.here || p.since == 0 {
		p.here, p.since, p.pause = here, now, 0
		clear(p.dry)
	}
	if round := n.round(); round != p.round {
		p.round, p.moved = round, now
	}
	if p.from() != before {
		clear(p.dry)
	}
	if p.out || n.Net == nil || n.backlog() > maxSpan {
		return
	}
	stuck := p.since + stalled
	if p.round <= p.here.height {
		stuck = min(stuck, p.moved+stalled)
	}
	who, kind := n.lack(now >= stuck)
	if len(who) == 0 {
		return
	}
	if kind == 0 { // not yet
		p.at = stuck
		return
	}
	if now < p.pause {
		p.at = p.pause
		return
	}
	p.peer = slices.MinFunc(who, func(a, b ic.NodeID) int {
		if p.vain[a] != p.vain[b] {
			return int(min(p.vain[a], 1<<30)) - int(min(p.vain[b], 1<<30))
		}
		return bytes.Compare(a.Bytes(), b.Bytes())
	})
	from := p.from()
	if kind == askCUP || p.dry[p.peer] || p.seen[p.peer] < from {
		kind, from = askCUP, p.here.cup
	}
	p.asked++
	p.id, p.out, p.kind = p.asked, true, kind
	n.Net.Ask(p.peer, p.id, binary.BigEndian.AppendUint64([]byte{kind}, uint64(from)))
}

// from is the first height of which this node may lack something. That is in its round
// where that is behind what was delivered: what comes before its interval is known here
// is dropped.
func (p *pull) from() ic.Height { return min(p.round, p.here.height+1) }

// lack tells who may have what this node lacks: kind 0, and somebody, says that it is
// to be looked at again later.
func (n *Node) lack(late bool) (who []ic.NodeID, kind byte) {
	p := &n.pull
	if n.lost() {
		if who = p.ahead(p.here.height + 1); len(who) == 0 {
			who = slices.DeleteFunc(slices.Clone(p.known), func(id ic.NodeID) bool { return id == n.NodeID() })
		}
		return who, askCUP
	}
	if late && p.here.due > 0 { // who has it may go on from it in another era, and not be ahead of anybody
		return p.ahead(0), askArtifacts
	}
	if who = p.ahead(p.here.height + gap); len(who) > 0 {
		return who, askArtifacts
	}
	if who = p.ahead(min(p.round, p.here.height) + 1); len(who) > 0 {
		kind = askArtifacts
	} else if p.here.due > 0 {
		who, kind = p.ahead(0), askCUP
	}
	if !late {
		kind = 0
	}
	return who, kind
}

// round in progress, 0 where there is no state to begin with.
func (n *Node) round() ic.Height {
	if n.lost() {
		return 0
	}
	return n.core.Round()
}

// ahead are the peers that are at a height, or above, in no order, until it is called again.
func (p *pull) ahead(of ic.Height) []ic.NodeID {
	p.found = p.found[:0]
	for id, at := range p.seen {
		if at >= of {
			p.found = append(p.found, id)
		}
	}
	return p.found
}

// inOrder of their names.
func inOrder(list []ic.NodeID) []ic.NodeID {
	slices.SortFunc(list, func(a, b ic.NodeID) int { return cmp.Compare(a.Principal, b.Principal) })
	return list
}

// backlog is how many batches wait for execution.
func (n *Node) backlog() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.batches)
}

// pulled are the artifacts that answers brought.
func (n *Node) pulled() (out []consensus.Event) {
	n.mu.Lock()
	answers := n.answers
	n.answers = nil
	n.mu.Unlock()
	p := &n.pull
	for _, a := range answers {
		if !p.out || a.id != p.id || a.from != p.peer {
			continue
		}
		p.out, p.came = false, true
		list, err := unbundle(a.data)
		if err != nil {
			n.blame(a.from, "answer", err)
		}
		for _, x := range list {
			p.saw(a.from, x)
			out = append(out, consensus.Received{Artifact: x, From: a.from})
		}
	}
	return out
}

// helped is told what the last Step made of the answers.
func (n *Node) helped() {
	p := &n.pull
	if !p.came {
		return
	}
	p.came = false
	if here := n.place(); here.height > p.here.height || here.cup > p.here.cup || n.round() > p.round && p.round <= p.here.height {
		p.vain[p.peer] = 0
		return
	}
	p.vain[p.peer]++
	p.pause = n.Clock.Now() + rest*ic.Time(min(p.vain[p.peer], maxPatience))
	if p.kind == askArtifacts {
		p.dry[p.peer] = true
	} else {
		delete(p.dry, p.peer)
	}
}
