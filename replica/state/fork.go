package state

import (
	"fmt"
	"slices"

	"ashlar/replica/ic"
)

// Fork is a draft for the work on one canister, beside forks for others. It reads
// d, which nobody changes while forks of it are in use, and keeps for itself what
// is put: only versions of this canister, and code. start is the version to begin
// with. Burned and Updates of its Head count what the fork adds.
func (d *Draft) Fork(start *Canister) *Draft {
	d.forked = true
	f := &Draft{Head: d.Head, s: d.s, parent: d, own: start}
	f.Head.Burned, f.Head.Updates = ic.Cycles{}, 0
	return f
}

// Rebase makes the fork one of a later draft, of which it reads nothing but code.
func (d *Draft) Rebase(parent *Draft) { d.s, d.parent = parent.s, parent }

// Reset makes c, an earlier version, the fork's present one.
func (d *Draft) Reset(c *Canister) { d.own = c }

// Codes are the modules that were put into a fork.
func (d *Draft) Codes() []NamedCode { return d.codes }

func (d *Draft) mine(id ic.CanisterID) {
	if d.own == nil || d.own.ID != id {
		panic(fmt.Sprintf("state: canister %s is put into a fork for another one", id))
	}
}

func (d *Draft) putFork(c *Canister) {
	d.mine(c.ID)
	d.Head.Taken += c.MemoryTaken() - d.own.MemoryTaken()
	d.Head.Guaranteed += c.Guaranteed() - d.own.Guaranteed()
	d.Head.Open += uint64(c.Callbacks.Len()) - uint64(d.own.Callbacks.Len())
	d.Head.Sections += c.Module.SectionBytes() - d.own.Module.SectionBytes()
	d.own = c
}

// putCodeFork keeps code until the parent gets it, also where the parent has it now: who
// uses it there may stop to, while the fork's work goes on in later rounds.
func (d *Draft) putCodeFork(n NamedCode) {
	if !slices.ContainsFunc(d.codes, func(has NamedCode) bool { return has.Hash == n.Hash }) {
		d.codes = append(d.codes, n)
	}
}

func (d *Draft) codeOfFork(hash [32]byte) ([]byte, bool) {
	for i := range d.codes {
		if d.codes[i].Hash == hash {
			return d.codes[i].Bytes, true
		}
	}
	return d.s.Code(hash)
}

// QueuedAt is the message at a place of the management canister's queue, nil where there is none.
func (d *Draft) QueuedAt(key string) *Message {
	m, _ := d.s.queue.Get(key)
	return m
}
