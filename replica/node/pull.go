package node

import (
	"bytes"
	"encoding/binary"
	"slices"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// pull fetches what a node that lags has missed: Net keeps the newest artifacts
// only, and consensus drops what is too far ahead to be of use.
//
//	a peer is far ahead, or ahead while nothing moves here ──> Ask(artifacts from our height)
//	      ^──── as long as it helps ────┘                             │ it did not help
//	a catch-up package above us: its state is fetched (Sync) <── Ask(newest package)
//
// One question is out at a time. What peers claim costs them nothing, so a peer
// whose answer did not help is asked last, and after a pause.
type pull struct {
	seen  map[ic.NodeID]ic.Height // the newest artifact of each peer
	known []ic.NodeID             // members, to be asked where there is no state to begin with
	vain  map[ic.NodeID]uint64    // questions to a peer that did not help

	here  ic.Height          // where this node is
	since ic.Time            // when it came there
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

// When a node asks.
const (
	gap     = 10           // heights: less than consensus looks ahead, and more than a slow round or two
	stalled = ic.Time(2e9) // ns without a new height, while some peer is ahead
	rest    = ic.Time(5e8) // ns after a question that did not help, and as much more for each before it

	maxPatience = 20 // times rest
)

func newPull() pull {
	return pull{seen: map[ic.NodeID]ic.Height{}, vain: map[ic.NodeID]uint64{}, dry: map[ic.NodeID]bool{}}
}

// saw an artifact of a peer. Dealings are of the end of an interval.
func (p *pull) saw(from ic.NodeID, a *block.Artifact) {
	if a.Kind != block.Dealing {
		p.seen[from] = max(p.seen[from], a.Height)
	}
}

// forgotten tells whether a peer has no artifacts from here on.
func (p *pull) forgotten() bool { return len(p.dry) > 0 }

// ask a peer that is ahead. It belongs to the goroutine of Step.
func (n *Node) ask() {
	p, now := &n.pull, n.Clock.Now()
	p.at = 0
	here := n.cup.Height
	if !n.lost() {
		here = n.core.Height()
	}
	if here != p.here || p.since == 0 {
		p.here, p.since, p.pause = here, now, 0
		clear(p.dry)
	}
	if p.out || n.Net == nil || n.backlog() > maxSpan {
		return
	}
	ahead := p.ahead(gap)
	if n.lost() && len(ahead) == 0 {
		ahead = p.known
	}
	if len(ahead) == 0 {
		if ahead = p.ahead(1); len(ahead) == 0 {
			return
		}
		if now < p.since+stalled {
			p.at = p.since + stalled
			return
		}
	}
	if now < p.pause {
		p.at = p.pause
		return
	}
	ahead = slices.DeleteFunc(slices.Clone(ahead), func(id ic.NodeID) bool { return id == n.NodeID() })
	if len(ahead) == 0 {
		return
	}
	p.peer = slices.MinFunc(ahead, func(a, b ic.NodeID) int {
		if p.vain[a] != p.vain[b] {
			return int(min(p.vain[a], 1<<30)) - int(min(p.vain[b], 1<<30))
		}
		return bytes.Compare(a.Bytes(), b.Bytes())
	})
	p.kind = askArtifacts
	from := here + 1
	if n.lost() || p.dry[p.peer] {
		p.kind, from = askCUP, here
	}
	p.asked++
	p.id, p.out = p.asked, true
	n.Net.Ask(p.peer, p.id, binary.BigEndian.AppendUint64([]byte{p.kind}, uint64(from)))
}

// ahead are the peers that are so much.
func (p *pull) ahead(by ic.Height) (out []ic.NodeID) {
	for id := range p.seen {
		if p.seen[id] >= p.here+by {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b ic.NodeID) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	return out
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
		var list []*block.Artifact
		var err error
		if p.kind == askArtifacts {
			list, err = unbundle(a.data)
		} else if len(a.data) > 0 {
			var cup *block.Artifact
			if cup, err = block.Decode(a.data); err == nil {
				list = []*block.Artifact{cup}
			}
		}
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
	if !n.lost() && n.core.Height() > p.here {
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
