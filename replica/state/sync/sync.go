// Package sync brings a node a state that it did not compute.
//
//	certified root ──> Client.Target          peers: Source.Serve
//	                      │                        ^      │
//	   missing nodes, newest first ── Next ── requests    │ nodes with all below, up to a budget
//	                      ^                               v
//	                      └──── kids ──── Answered: each node is what its parent's sum says
//	                                         │
//	            Stage: verified parts, on disk as they come ── Finish ──> the state of the node
//
// It walks the tree of replica/state/merkle from the root. Every node is compared
// with the sum that its parent names before anything is made of it, so a peer can
// withhold, and nothing else; what one did not bring is asked of another. What the
// node has already, from its own older state, from an earlier target or from before
// a crash, is found by its place and sum and not asked for. A part in the Stage is
// named by place and sum too, so it stays right whatever the target is: a node with
// all that is below is marked when it is complete, and skipped from then on.
//
// Client is for one goroutine. Source may be used by many. Memory of a Client is
// bounded by its requests, whatever the size of the state: pages go to the Stage as
// they come.
package sync

import (
	"encoding/binary"

	"ashlar/replica/ic"
	"ashlar/replica/state/merkle"
)

// Sum names a node and all below it.
type Sum = merkle.Sum

// Limits of requests and of what is kept in memory.
const (
	maxItems     = 256       // nodes of one request
	maxPath      = 512       // steps from the root: an id of 10 bytes and a hash of 32 fork at most 378 times
	maxRequest   = 48 << 10  // bytes, less than a peer takes
	maxRequests  = 32        // that are out: answers of 32 MiB
	window       = 4         // of them at one peer
	maxKept      = 16 << 10  // nodes of earlier targets
	manyWaiting  = 16 << 10  // nodes that are known to miss; beyond, a request is for fewItems, so that depth comes before breadth
	fewItems     = 16        //
	nearEntries  = 1 << 20   // of one map of the older state that are looked up; what is beyond is fetched
	carefulDepth = 3         // levels that are asked for where some of them may be here
	wholeSubtree = maxPath   // levels
	unknownBytes = 2 << 10   // what a node is taken for of which nothing is known
	blockBytes   = 4096 * 64 // of the pages below a node of the lowest level
)

// MaxAnswer is what a request may ask for, in bytes: a fraction of a second on a
// slow line. A slow peer is asked for less, down to minAnswer.
const (
	MaxAnswer   = 1 << 20
	minAnswer   = 64 << 10
	firstAnswer = 256 << 10 // before anything is known of a peer
)

// Spans of time.
const (
	second     ic.Time = 1e9
	patience           = 5 * second // until a request is given to another peer
	lackPause          = 2 * second // until a peer that had no such state is asked again
	firstPause         = second / 2 // after a question without an answer; doubled each time
	lastPause          = 16 * second
	faultPause         = 10 * second // after a false answer; doubled each time
	lastFault          = 3600 * second
)

// Stage keeps what was verified until it is a whole state: replica/store.
type Stage interface {
	// Put keeps parts; they are durable when a later one is. Nobody changes their
	// content from then on.
	Put(parts []Part) error
	// Has tells whether a part is kept.
	Has(kind PartKind, key string, sum Sum) (bool, error)
	// Get is the content of a part; ok is false where it is not kept.
	Get(kind PartKind, key string, sum Sum) (content []byte, ok bool, err error)
	// Sweep drops entries and pages except for those that keep yields, in order of
	// key, and with them what Put said of entries that are gone.
	Sweep(keep func(yield func(key string, sum Sum) error) error) error
}

// PartKind is what a part is.
type PartKind byte

// The kinds. Entry, Page and Gone are of one sequence by key: what is to become
// the state.
const (
	Entry PartKind = 'e' // of the state
	Page  PartKind = 'p' // the same, a page; without content: a page that is gone
	Gone  PartKind = 'g' // an entry, or memory, that the node's older state has and the new one has not
	Inner PartKind = 'n' // a node all below which is kept, or is in the older state
	Piece PartKind = 'l' // of a Long; the entry is Put when all are there
)

// Part of a state, named by its place and its sum.
type Part struct {
	Kind    PartKind
	Key     string // Entry, Page, Gone: in the store. Else the place, see item
	Sum     Sum
	Content []byte
}

// item is a node of the target on its way: asked for, or waiting for what is below.
type item struct {
	up  *item
	at  int // which kid it is
	sum Sum

	expect expect
	key    string // labels on the way
	index  uint64 // of a page; of the first page below Pages, in units of their level
	slot   int    // of a piece
	near   near   // the node's older state at this place

	raw     []byte // of a node that waits for what is below
	long    bool   // it is a Long
	missing int
}

// expect is what is known of a node before it comes.
type expect uint8

const (
	anything expect = iota
	aPage
	aPiece
	aBlock    // Pages of the lowest level
	somePages // Pages of higher levels
)

// estimate of the bytes that it brings, with so many levels below.
func (it *item) estimate(depth int) int {
	switch {
	case it.expect == aPage:
		return merkle.PageBytes
	case it.expect == aPiece, it.expect == aBlock && depth > 0:
		return blockBytes
	case it.expect == somePages && depth > 0:
		return MaxAnswer
	}
	return unknownBytes
}

// place names where an inner node is: its sum says what it is.
func (it *item) place() string { return place(it.key, it.index) }

func place(key string, index uint64) string {
	return key + string(binary.BigEndian.AppendUint64(nil, index))
}

// piece names the place of a piece of a Long.
func piece(key string, long Sum, slot int) string {
	return key + string(long[:]) + string(binary.BigEndian.AppendUint32(nil, uint32(slot)))
}

// path from the root.
func (it *item) path() (path []int) {
	n := 0
	for i := it; i.up != nil; i = i.up {
		n++
	}
	path = make([]int, n)
	for i := it; i.up != nil; i = i.up {
		n--
		path[n] = i.at
	}
	return path
}

// Progress of a sync.
type Progress struct {
	Root             Sum
	Nodes            uint64 // verified
	Fetched, Stale   uint64 // bytes of answers; of those that came too late
	Kept             uint64 // subtrees that were here already
	Asked, Late      uint64 // requests; those given to another peer
	Faults           map[ic.NodeID]uint64
	Waiting, Targets int // nodes that are known to miss; targets so far
}
