package consensus

import (
	"fmt"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// This file: joining what members sign, and telling others of it.
//
//	shares ──> f more than the threshold, and they agree ───> signature
//	   ├─────> no more to come ── join, check by pairing ──>─────┘
//	   └─────> all members sent theirs: nobody needs to be told the whole

const (
	// patience with shares that are on their way: a check by pairing takes a
	// millisecond of all nodes. Under load members are less in step, users wait for
	// each other more than for this, and there is more to do in that millisecond.
	patience     = 10 * millisecond
	patienceCall = millisecond / 2 // more for each call of the last block that was delivered
	patienceMost = 60 * millisecond
	// Where peers are far, patience is in vain: after so many times it is tried now and
	// then only.
	vainTimes  = 3
	vainHeight = 16
	// recent heights in which a member was heard make it one to be waited for.
	recent = 3

	// Wholes that not all signed are told after a time, in which the rest mostly comes.
	tellVotes     = 20 * millisecond // the round may wait for it somewhere
	tellSignature = 200 * millisecond
)

// whole is an artifact that this node joined, of which not all members' parts are known.
type whole struct {
	*block.Artifact
	signers map[uint64]bool
	members int
	at      ic.Time // when it is told
}

// list of the shares that are not known to be bad, by signer.
func (s shares) list() []bls.Share {
	out := make([]bls.Share, 0, len(s))
	for i, sig := range s {
		if len(sig) > 0 {
			out = append(out, bls.Share{Index: int(i), Signature: sig})
		}
	}
	slices.SortFunc(out, func(a, b bls.Share) int { return a.Index - b.Index })
	return out
}

// combine makes a group's signature of shares, once there are enough. All but catch-up
// packages, which are rare and kept for long, may do without a pairing: what else this
// node does is right only as long as at most f members are faulty, too.
func (c *Core) combine(iv *interval, key Key, a *block.Artifact, s shares) ([]byte, bool) {
	if len(s) < key.Threshold() {
		return nil, false
	}
	list := s.list()
	if len(list) < key.Threshold() {
		return nil, false
	}
	if key.Holders() == 1 && list[0].Index == iv.self {
		if sig, ok := key.Agree(c.message(a), list, 0); ok {
			return sig, true // who signs alone needs no check of itself
		}
	}
	spare := Faults(len(iv.members))
	if need := key.Threshold() + spare; a.Kind != block.CUP && bls.MayAgree(key.Threshold(), spare) {
		if len(list) >= need {
			if sig, ok := key.Agree(c.message(a), list, spare); ok {
				if c.round(a.Height).ripe[a.Kind] != 0 {
					iv.vain[a.Kind] = 0
				}
				return sig, true
			}
		} else if c.awaits(iv, a, s, need-len(list)) {
			return nil, false
		}
	}
	return c.prove(iv, key, a, s, list)
}

// awaits tells whether as many more shares are likely to come soon; with it begins a
// wait that has an end.
func (c *Core) awaits(iv *interval, a *block.Artifact, s shares, more int) bool {
	for i, h := range iv.heard {
		if s[uint64(i)] == nil && h+recent >= a.Height {
			more--
		}
	}
	if more > 0 || iv.vain[a.Kind] >= vainTimes && a.Height%vainHeight != 0 {
		return false
	}
	r := c.round(a.Height)
	if r.ripe == nil {
		r.ripe = map[block.Kind]ic.Time{}
	}
	if r.ripe[a.Kind] == 0 {
		r.ripe[a.Kind] = max(c.now, 1)
	}
	until := r.ripe[a.Kind] + min(patience+ic.Time(c.calls)*patienceCall, patienceMost)
	if c.now >= until {
		iv.vain[a.Kind]++
		return false
	}
	c.wakeAt(until)
	return true
}

// prove joins shares and checks the result by pairing. Of a bad share an empty one is
// left: its sender can not stop us twice at this place, and a node whose own share is
// bad does not make it again, and again.
func (c *Core) prove(iv *interval, key Key, a *block.Artifact, s shares, list []bls.Share) ([]byte, bool) {
	sig, bad, err := key.Combine(c.message(a), list)
	for _, i := range bad {
		s[uint64(i)] = []byte{}
		share := &block.Artifact{Kind: a.Kind - 1, Height: a.Height, Hash: a.Hash, Signer: uint64(i)} // each share comes right before its whole
		c.refused(share, iv.members[i].Node, fmt.Errorf("the share of member %d does not match", i))
	}
	return sig, err == nil
}

// joined an artifact of shares. If all members made theirs, each correct one can join
// them too; else others are told of it, in a while.
func (c *Core) joined(iv *interval, a *block.Artifact, s shares) {
	w := &whole{Artifact: a, signers: map[uint64]bool{}, members: len(iv.members), at: c.now + tellSignature}
	if len(a.Votes) > 0 {
		w.at = c.now + tellVotes
	}
	for i := range s {
		w.signers[i] = true
	}
	c.take(a, false)
	c.emit(Persist{a})
	if iv.self < 0 || !w.signers[uint64(iv.self)] { // who signs nothing tells
		c.emit(Send{a})
	} else if len(w.signers) < w.members {
		c.untold = append(c.untold, w)
	}
}

// heard a member's share, whatever it is worth: the member is there, and others hear
// the same of it.
func (c *Core) heard(iv *interval, a *block.Artifact, from ic.NodeID) {
	if a.Signer >= uint64(len(iv.members)) || iv.members[a.Signer].Node != from {
		return
	}
	iv.heard[a.Signer] = max(iv.heard[a.Signer], a.Height)
	for _, w := range c.untold {
		if w.Height == a.Height && w.Kind == a.Kind+1 && w.Hash == a.Hash {
			w.signers[a.Signer] = true
		}
	}
}

// tell what is due, and all of it where this node's part ends.
func (c *Core) tell() {
	c.untold = slices.DeleteFunc(c.untold, func(w *whole) bool {
		if len(w.signers) == w.members || w.Height <= c.lowest {
			return true
		}
		if c.now < w.at && !c.ending {
			c.wakeAt(w.at)
			return false
		}
		c.emit(Send{w.Artifact})
		return true
	})
}
