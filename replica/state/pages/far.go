package pages

import (
	"fmt"

	"ashlar/replica/state/merkle"
)

// This file: memories that a store has. Their nodes are read when they are first
// needed, and compared with the sum that the node above has of them.

// Source reads the nodes of one memory that a store has. What cannot be read ends
// the process: a Source does not return then.
type Source interface {
	// Kids are the slots and sums below an inner node.
	Kids(level int, index uint64) []merkle.Edge
	// Pages are those of a node of the lowest level, in order of Index.
	Pages(index uint64) []Held
	// Damaged is told what is not as its sum says.
	Damaged(what string)
}

// Open makes a memory on what from has: the stripped root's level and sum.
func Open(from Source, level int, sum merkle.Sum, bytes uint64) Map {
	root := &node{from: from, summed: true, stripped: true, sum: sum}
	return Map{root: root, levels: level + 1, bytes: bytes}
}

// below are the kids of an inner node.
func (n *node) below(level int) *[fanout]*node {
	if kids := n.kids.Load(); kids != nil {
		return kids
	}
	edges := n.from.Kids(level, n.index)
	if merkle.SumPages(level, edges) != n.sum {
		n.damaged(level)
	}
	kids, made := new([fanout]*node), make([]node, len(edges))
	for i, e := range edges {
		k := &made[i]
		k.from, k.index, k.summed, k.sum = n.from, n.index<<fanoutBits|uint64(e.Slot), true, e.Sum
		kids[e.Slot] = k
	}
	n.kids.CompareAndSwap(nil, kids) // another reader may have been first
	return n.kids.Load()
}

// lowest is the block of a node of the lowest level.
func (n *node) lowest() *block {
	if b := n.block.Load(); b != nil {
		return b
	}
	b := &block{}
	for _, h := range n.from.Pages(n.index) {
		b.set(h.Index%fanout, h.Page, h.Owner)
	}
	b.hash()
	var s merkle.PagesSum
	if b.add(&s); s.Sum(0) != n.sum {
		n.damaged(0)
	}
	n.block.CompareAndSwap(nil, b)
	return n.block.Load()
}

func (n *node) damaged(level int) {
	what := fmt.Sprintf("node %d of level %d", n.index, level)
	n.from.Damaged(what)
	panic("pages: " + what + " is not what its sum says")
}
