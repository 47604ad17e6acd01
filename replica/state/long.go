package state

import (
	"ashlar/replica/ic"
	"ashlar/replica/state/trie"
)

// Long says what a canister is in the middle of: an execution that needs more
// instructions than one round gives. It is run again from the beginning by who
// has not kept it running, so it names all that it depends on; nothing of what
// it did so far is part of the state. The message stays where it waits until
// the end: in the canister's queue, or an installation in the management canister's.
//
// Until the end nothing else runs on the canister, and calls to the management
// canister about it wait.
type Long struct {
	Kind LongKind `cbor:"1,keyasint"`
	Key  string   `cbor:"2,keyasint,omitempty"` // place in the queue
	Task string   `cbor:"3,keyasint,omitempty"` // entry point of a task
	// Start is the canister's record as it was when the execution began.
	Start *Record `cbor:"4,keyasint"`
	Now   ic.Time `cbor:"5,keyasint"`
	Nodes int     `cbor:"6,keyasint"`
	// What the canister may take, and what all canisters took: see Means.
	FreeMemory    uint64 `cbor:"7,keyasint"`
	InUseMemory   uint64 `cbor:"13,keyasint"`
	FreeMessages  uint64 `cbor:"14,keyasint,omitempty"`
	InUseMessages uint64 `cbor:"15,keyasint,omitempty"`
	FreeCalls     uint64 `cbor:"16,keyasint,omitempty"`
	InUseCalls    uint64 `cbor:"17,keyasint,omitempty"`
	FreeSections  uint64 `cbor:"18,keyasint,omitempty"`
	InUseSections uint64 `cbor:"19,keyasint,omitempty"`
	Reserve       uint64 `cbor:"20,keyasint,omitempty"`
	// Paid was withdrawn for the execution; it is not in the present balance.
	Paid ic.Cycles `cbor:"8,keyasint"`
	// Code of an installation, where it is not in the message: empty, or a SHA-256.
	Code string `cbor:"9,keyasint,omitempty"`
	// Done counts the instructions up to the pause; 0: it has to begin anew.
	Done uint64 `cbor:"10,keyasint,omitempty"`
	// Pass is the version of the instruction counting that Done belongs to.
	Pass int `cbor:"11,keyasint"`
	// Since is the height at which the execution began first.
	Since ic.Height `cbor:"12,keyasint"`
}

// LongKind tells where a long execution came from.
type LongKind uint8

// The kinds of long execution.
const (
	LongMessage LongKind = 1 // of the canister's queue
	LongTask    LongKind = 2
	LongInstall LongKind = 3 // of the management canister's queue
)

// longCode is the code that a long execution needs, "" for none.
func (c *Canister) longCode() string {
	if c == nil || c.Long == nil {
		return ""
	}
	return c.Long.Code
}

// Means are what the canister may take, and what all had taken.
func (l *Long) Means() (free, inUse Means) {
	return Means{l.FreeMemory, l.FreeMessages, l.FreeCalls, l.FreeSections, l.Reserve}, Means{l.InUseMemory, l.InUseMessages, l.InUseCalls, l.InUseSections, 0}
}

// SetMeans notes both.
func (l *Long) SetMeans(free, inUse Means) {
	l.FreeMemory, l.FreeMessages, l.FreeCalls, l.FreeSections, l.Reserve = free.Memory, free.Messages, free.Calls, free.Sections, free.Reserve
	l.InUseMemory, l.InUseMessages, l.InUseCalls, l.InUseSections = inUse.Memory, inUse.Messages, inUse.Calls, inUse.Sections
}

// Merge makes the end of a long execution a version of the canister as it is now:
// end came from start while others changed start into c. c had Long set.
func (c *Canister) Merge(start, end *Canister) *Canister {
	m := *end
	m.Long, m.LastRound, m.Credit = nil, c.LastRound, c.Credit
	m.Queue, m.NextPlace, m.queued, m.line = c.Queue, c.NextPlace, c.queued, c.line
	if c.Long.Kind == LongMessage {
		m.Take(c.Long.Key)
	}
	m.Stats, m.Reports, m.ReportEpoch = c.Stats, c.Reports, c.ReportEpoch
	m.Callbacks = c.Callbacks
	end.Callbacks.Diff(start.Callbacks, func(ch trie.Change[*Callback]) bool {
		if ch.HasNew {
			m.Callbacks = m.Callbacks.With(ch.Key, ch.New)
		} else {
			m.Callbacks = m.Callbacks.Without(ch.Key)
		}
		return true
	})
	m.Cycles = moved(c.Cycles.Add(c.Long.Paid), start.Cycles, end.Cycles)
	m.Reserved = moved(c.Reserved, start.Reserved, end.Reserved)
	m.Consumed.Ingress = moved(c.Consumed.Ingress, start.Consumed.Ingress, end.Consumed.Ingress)
	return &m
}

// moved adds to now what led from start to end; never below zero.
func moved(now, start, end ic.Cycles) ic.Cycles {
	if start.Less(end) {
		more, _ := end.Sub(start)
		return now.Add(more)
	}
	less, _ := start.Sub(end)
	if now.Less(less) {
		return ic.Cycles{} // users' messages, paid meanwhile, took from what the execution spent
	}
	left, _ := now.Sub(less)
	return left
}
