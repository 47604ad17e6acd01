package consensus

import (
	"bytes"
	"errors"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// cups are what this node knows of catch-up packages.
//
//	summary S delivered, its state certified ── share ──> n-f of them: a package ── state saved ──> last
//
// A package says: with this block, this beacon and this state a node can begin. It
// counts here once the state is saved, so that a restart never needs anything from
// below it. One of a peer stands for the certificate of its state too: where the
// subnet goes on in another era, nobody makes that again for a node that lost it.
type cups struct {
	last *block.Artifact
	next *block.Artifact // whole, and waits for the state to be saved
	says *block.Artifact // the caller was told that it vouches for a state
	high Key             // the subnet's: it stays the same from resharing to resharing
}

// CheckCUP tells whether a catch-up package is of the subnet with a key for
// certificates, of which any transcript will do.
func CheckCUP(high Key, subnet ic.SubnetID, a *block.Artifact) error {
	if a.Kind != block.CUP {
		return fmt.Errorf("%s is no catch-up package", a.Kind)
	}
	if err := high.Verify(a.Message(subnet, block.Hash{}), a.Signature); err != nil {
		return fmt.Errorf("the catch-up package of height %d: %w", a.Height, err)
	}
	_, err := block.DecodeSummary(a.Block.Section(block.SummarySection))
	return err
}

// receiveCUP of a peer.
func (c *Core) receiveCUP(a *block.Artifact, from ic.NodeID) {
	if a.Height <= c.cup.last.Height || c.cup.next != nil && a.Height <= c.cup.next.Height {
		return
	}
	if err := CheckCUP(c.cup.high, c.Subnet, a); err != nil {
		c.refused(a, from, err)
		return
	}
	if a.Height > c.delivered {
		c.emit(Behind{a})
		return
	}
	c.cup.next = a
}

// packages makes shares of catch-up packages and joins them, and takes what is whole.
func (c *Core) packages() (moved bool) {
	for _, iv := range c.intervals {
		if iv.block == nil || iv.start <= c.cup.last.Height || c.cup.next != nil && c.cup.next.Height >= iv.start {
			continue
		}
		r, by := c.rounds[iv.start], c.at(iv.start)
		if r == nil || by == nil || r.certification == nil || r.beacon == nil {
			continue
		}
		a := &block.Artifact{Kind: block.CUP, Height: iv.start, Block: iv.block, Data: r.beacon, Other: r.certification.Hash}
		a.Hash = block.CUPHash(iv.named, r.beacon, a.Other)
		if by.self >= 0 && ofHash(r.cups, a.Hash)[uint64(by.self)] == nil {
			moved = c.share(by, by.high, &block.Artifact{Kind: block.CUPShare, Height: a.Height, Hash: a.Hash}) || moved
		}
		if sig, ok := c.combine(by, by.high, a, r.cups[a.Hash]); ok {
			a.Signature = sig
			c.cup.next, moved = a, true
		}
	}
	if c.cup.next != nil && c.saved >= c.cup.next.Height {
		c.reach(c.cup.next)
		return true
	}
	c.vouch()
	return moved
}

// vouch for the state of a package that waits for it to be saved, once it is executed.
func (c *Core) vouch() {
	a := c.cup.next
	if a == nil || a == c.cup.says || c.certified >= a.Height {
		return
	}
	r := c.rounds[a.Height]
	if r == nil || r.root == nil {
		return
	}
	c.cup.says = a
	if *r.root != a.Other {
		c.emit(Diverged{Height: a.Height, Ours: *r.root, Theirs: a.Other})
		return
	}
	c.emit(Vouched{a.Height})
}

// reach a catch-up package: what lies before it is not needed any more.
func (c *Core) reach(a *block.Artifact) {
	c.cup.next = nil
	if r := c.rounds[a.Height]; r != nil && r.certification != nil && r.certification.Hash != a.Other {
		c.emit(Diverged{Height: a.Height, Ours: r.certification.Hash, Theirs: a.Other})
		return
	}
	c.cup.last = a
	c.emit(Persist{a})
	c.emit(Reached{a})
	c.keep()
	c.purge()
	c.ends()
}

// ends tells the caller if this node's part ends at the last catch-up package.
func (c *Core) ends() {
	iv, stop := c.at(c.cup.last.Height+1), Stop{CUP: c.cup.last}
	switch up, halt := c.stops(iv); {
	case up:
		stop.Version = iv.summary.Version
	case halt:
		stop.Halt = true
	case !c.Belongs(iv.summary):
		stop.Left = true
	default:
		return
	}
	c.ending = true
	c.tell()
	c.emit(stop)
}

// Belongs tells whether this node is, or is about to be, of use.
func (c *Core) Belongs(s *block.Summary) bool { return Belongs(c.Registry, c.Node, s) }

// Belongs tells whether a node is a member of a committee that is known, a receiver of its
// key, or registered.
func Belongs(registry Registry, node ic.NodeID, s *block.Summary) bool {
	in := func(list []block.Member) bool {
		for _, m := range list {
			if m.Node == node {
				return true
			}
		}
		return false
	}
	if in(s.Current.Members) || s.Next != nil && in(s.Next.Members) {
		return true
	}
	lists := s.Configs
	if rec, err := registry.At(registry.Latest()); err == nil {
		lists = append([]block.Config{{Receivers: rec.Members}}, lists...)
	}
	for _, cfg := range lists {
		for _, r := range cfg.Receivers {
			if r.Node == node {
				return true
			}
		}
	}
	return false
}

// checkStart: the package to begin with has a form that a node can begin with.
func checkStart(a *block.Artifact) error {
	switch {
	case a == nil || a.Kind != block.CUP || a.Block == nil:
		return errors.New("consensus: there is no catch-up package to begin with")
	case a.Block.Height != a.Height:
		return fmt.Errorf("consensus: a catch-up package of height %d with a block of height %d", a.Height, a.Block.Height)
	}
	return nil
}

// beaconOf a package that has none, since nobody signed it, is its block's hash.
func beaconOf(a *block.Artifact) []byte {
	if len(a.Data) > 0 {
		return bytes.Clone(a.Data)
	}
	h := a.Block.Hash()
	return h[:]
}

// CUP is the height of the last catch-up package, and due that of one that this node
// could have by now; 0: none.
func (c *Core) CUP() (last, due ic.Height) {
	if iv := c.last(); iv.start > c.cup.last.Height && c.cup.next == nil {
		due = iv.start
	}
	return c.cup.last.Height, due
}
