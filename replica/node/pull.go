package node

import (
	"encoding/binary"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
)

// pull fetches what a node that lags has missed: Net keeps the newest artifacts
// only, and consensus drops what is too far ahead to be of use.
//
//	a peer's artifact lies far ahead, or ahead for long ──> Ask(peer, from our height) ──> a bundle ──> consensus
//	                                          ^──── as long as it helps ────┘
//
// One question is out at a time. What peers claim costs them nothing, so a peer
// whose answer did not help is asked last.
type pull struct {
	seen  map[ic.NodeID]ic.Height // the newest artifact of each peer
	id    uint64                  // of the question that is out
	out   bool
	from  ic.Height
	peer  ic.NodeID
	vain  map[ic.NodeID]uint64 // questions to a peer that did not help
	asked uint64
	here  ic.Height // delivered
	since ic.Time   // when that was first so
}

// gap is how far a node may lag before it asks: less than consensus looks ahead,
// and more than a slow round or two.
const gap = 10

// stall is how long a node waits for what is less far ahead. A block reaches us
// from its maker alone; if that dies before, and the others need our vote, nobody
// gets far ahead. The next block maker's turn comes after a second.
const stall ic.Time = 1500 * 1e6

func newPull() pull { return pull{seen: map[ic.NodeID]ic.Height{}, vain: map[ic.NodeID]uint64{}} }

// saw an artifact of a peer.
func (p *pull) saw(from ic.NodeID, h ic.Height) { p.seen[from] = max(p.seen[from], h) }

// ask a peer that is ahead. It belongs to the goroutine of Step.
func (n *Node) ask() {
	p := &n.pull
	now, here := n.Clock.Now(), n.core.Height()
	if here != p.here || p.since == 0 {
		p.here, p.since = here, now
	}
	if p.out || n.Net == nil || n.backlog() > maxSpan {
		return
	}
	ahead := ic.Height(gap)
	if now >= p.since+stall {
		ahead = 1
	}
	best, wait := -1, false
	for i, m := range n.Members {
		if p.seen[m.Node] < here+ahead {
			wait = wait || p.seen[m.Node] > here
			continue
		}
		if best < 0 || p.vain[m.Node] < p.vain[n.Members[best].Node] {
			best = i
		}
	}
	if best < 0 {
		if at := p.since + stall; wait && now < at && (n.wake == 0 || at < n.wake) {
			n.wake = at
		}
		return
	}
	p.since = now
	p.asked++
	p.id, p.out, p.from, p.peer = p.asked, true, here, n.Members[best].Node
	n.Net.Ask(p.peer, p.id, binary.BigEndian.AppendUint64([]byte{askArtifacts}, uint64(here+1)))
}

// backlog is how many batches wait for execution.
func (n *Node) backlog() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.batches)
}

// pulled are the artifacts that answers brought.
func (n *Node) pulled() (out []event) {
	n.mu.Lock()
	answers := n.answers
	n.answers = nil
	n.mu.Unlock()
	p := &n.pull
	for _, a := range answers {
		if !p.out || a.id != p.id || a.from != p.peer {
			continue
		}
		p.out = false
		p.seen[a.from] = 0 // until it speaks again
		list, err := unbundle(a.data)
		if err != nil {
			n.blame(a.from, "answer", err)
		}
		if len(list) == 0 {
			p.vain[a.from]++
			continue
		}
		for _, x := range list {
			p.saw(a.from, x.Height)
			out = append(out, event{consensus.Received{Artifact: x}, a.from})
		}
	}
	return out
}

// helped is told what the last Step made of the answers.
func (n *Node) helped() {
	p := &n.pull
	if p.out || p.peer.Principal == "" {
		return
	}
	if n.core.Height() <= p.from {
		p.vain[p.peer]++
	}
	p.peer = ic.NodeID{}
}
