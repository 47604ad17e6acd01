package node

import (
	"encoding/binary"
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// leaving is the last that a node does whose last interval has ended. The members that
// stay may need its part of the package of that end, or the package itself: if more than
// f leave together, and the power fails at the others, nobody else has it. So it stays,
// and answers what they ask, until enough of them have it durably.
//
//	last package ──> Ask the members of the next interval for theirs ──> n-f have it, or one has a later one ──> Left
//	                       ^────── in a while, and tell them ────┘
type leaving struct {
	cup     *block.Artifact
	summary *block.Summary
	have    map[ic.NodeID]bool   // of the members that stay
	asked   map[uint64]ic.NodeID // questions that are out
	turn    uint64
	at      ic.Time // of the next turn
}

// leave with a package, at once where nobody stays who could need it.
func (n *Node) leave(cup *block.Artifact) error {
	s, err := block.DecodeSummary(cup.Block.Section(block.SummarySection))
	if err != nil {
		return err
	}
	if n.Net == nil {
		return n.left(cup)
	}
	n.Log(fmt.Sprintf("the last interval of this node has ended at height %d: it waits until the members that stay have that package", cup.Height))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving = &leaving{cup: cup, summary: s, have: map[ic.NodeID]bool{}, asked: map[uint64]ic.NodeID{}}
	return nil
}

// left for good: what it signed counts no more, and another start ends at once.
func (n *Node) left(cup *block.Artifact) error {
	if err := n.Store.Begin(cup, true); err != nil {
		return err
	}
	return &Left{Height: cup.Height, Subnet: n.SubnetID()}
}

// Leaving is the time of the package with which this node is about to leave; 0: it is not.
func (n *Node) Leaving() ic.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leaving == nil {
		return 0
	}
	return n.leaving.cup.Block.Time
}

// linger is Step of a node that leaves.
func (n *Node) linger() error {
	for range len(n.inbox) {
		<-n.inbox
	}
	n.mu.Lock()
	answers := n.answers
	n.answers, n.results, n.done, n.saved = nil, nil, nil, 0
	n.mu.Unlock()
	l := n.leaving
	for _, a := range answers {
		if l.asked[a.id] == a.from && n.passedOn(a) {
			return n.left(l.cup)
		}
		delete(l.asked, a.id)
	}
	members := l.summary.Current.Members
	if len(l.have) >= consensus.Quorum(len(members)) {
		return n.left(l.cup)
	}
	if n.core.Belongs(l.summary) { // it is wanted again, and starts anew
		return &Left{Height: l.cup.Height, Subnet: n.SubnetID()}
	}
	if now := n.Clock.Now(); now >= l.at {
		if l.turn++; l.turn == 2 { // most have it, most of the time
			n.Net.Broadcast(l.cup.Height, l.cup.Encode())
		}
		l.at = now + rest*ic.Time(min(l.turn, maxPatience))
		clear(l.asked)
		for _, m := range members {
			if !l.have[m.Node] {
				n.pull.asked++
				l.asked[n.pull.asked] = m.Node
				n.Net.Ask(m.Node, n.pull.asked, binary.BigEndian.AppendUint64([]byte{askCUP}, uint64(l.cup.Height-1)))
			}
		}
	}
	n.wake, n.pull.at = l.at, 0
	return nil
}

// passedOn: a member has the package, and with a later one nobody needs it any more.
func (n *Node) passedOn(a answer) bool {
	list, err := unbundle(a.data)
	if err != nil {
		n.blame(a.from, "answer", err)
	}
	for _, x := range list {
		if err := consensus.CheckCUP(n.high, n.SubnetID(), x); err != nil {
			n.blame(a.from, "answer", err)
			continue
		}
		switch h := n.leaving.cup.Height; {
		case x.Height > h:
			return true
		case x.Height == h:
			n.leaving.have[a.from] = true
		}
	}
	return false
}
