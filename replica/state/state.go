// Package state is the replicated state: all that a subnet's canisters are
// between two rounds.
//
//	State(h) ── Draft ── a round's changes ── Seal ──> State(h+1)
//	   │                                                 │
//	   └ read by queries, certification        Diff ──> store ──> Load
//
// A State is immutable and shares with its predecessor all that did not change.
// A Draft is one round's working copy, for one goroutine. To the store a State
// is a sorted map of keys to values (see keys.go); its hash tree is that of the
// specification, section "The system state tree".
package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/trie"
	"ashlar/replica/wire/hashtree"
)

// Subnet is what the registry says of the subnet; the tree shows it.
type Subnet struct {
	ID        ic.SubnetID        `cbor:"1,keyasint"`
	Type      string             `cbor:"2,keyasint"` // application, system, ...
	PublicKey []byte             `cbor:"3,keyasint"` // BLS, DER
	Ranges    []ic.CanisterRange `cbor:"4,keyasint"`
	Nodes     []Node             `cbor:"5,keyasint"`
	RootKey   []byte             `cbor:"6,keyasint"` // of the root subnet, DER
	// Others are the further subnets of the network, of which the root subnet tells.
	Others []Subnet `cbor:"7,keyasint,omitempty"`
	// Admins look after all canisters of the subnet, and are the only users who make
	// some on it. Free subnets charge canisters nothing, except for what other subnets
	// do for them.
	Admins []ic.Principal `cbor:"8,keyasint,omitempty"`
	Free   bool           `cbor:"9,keyasint,omitempty"`
	// MaxCanisters on the subnet; 0: the usual.
	MaxCanisters uint64 `cbor:"10,keyasint,omitempty"`
}

// Node of the subnet.
type Node struct {
	ID        ic.NodeID `cbor:"1,keyasint"`
	PublicKey []byte    `cbor:"2,keyasint"` // Ed25519, DER
}

// Genesis begins a subnet.
type Genesis struct {
	Subnet Subnet
	Time   ic.Time
}

// Head is the state's own small record.
type Head struct {
	Height       ic.Height `cbor:"1,keyasint"`
	Time         ic.Time   `cbor:"2,keyasint"`
	NextCanister uint64    `cbor:"3,keyasint"` // counter inside the ranges
	NextPlace    uint64    `cbor:"4,keyasint,omitempty"`
	Updates      uint64    `cbor:"5,keyasint,omitempty"` // update messages ever executed
	Burned       ic.Cycles `cbor:"6,keyasint"`           // cycles ever consumed
	Registry     uint64    `cbor:"7,keyasint,omitempty"`
	MemoryBytes  uint64    `cbor:"8,keyasint,omitempty"` // of all canisters
	Swept        ic.Time   `cbor:"9,keyasint,omitempty"` // when storage was last charged
	// Metrics are the blocks that nodes made, by day.
	Metrics []DayMetrics `cbor:"10,keyasint,omitempty"`
	// Nodes of the subnet at the last batch: costs grow with it.
	Nodes int `cbor:"11,keyasint,omitempty"`
	// Taken is the memory that all canisters use or are allocated, in bytes, and
	// Compute the sum of their compute allocations, in percent.
	Taken   uint64 `cbor:"20,keyasint,omitempty"`
	Compute uint64 `cbor:"21,keyasint,omitempty"`
	// Guaranteed and BestEffort are the memory of all canisters' messages, in bytes.
	Guaranteed uint64 `cbor:"22,keyasint,omitempty"`
	BestEffort uint64 `cbor:"23,keyasint,omitempty"`
	// Open is the number of calls that canisters wait for, Sections the bytes of their
	// modules' custom sections, and Answers those of all answers to users' calls that are
	// kept. They follow from the rest, and are not stored.
	Open, Sections, Answers uint64 `cbor:"-"`
}

// DayMetrics is one sample of node_metrics_history.
type DayMetrics struct {
	Time  ic.Time       `cbor:"1,keyasint"`
	Nodes []NodeMetrics `cbor:"2,keyasint"`
}

// NodeMetrics counts a node's blocks.
type NodeMetrics struct {
	Node     ic.NodeID `cbor:"1,keyasint"`
	Proposed uint64    `cbor:"2,keyasint"`
	Failed   uint64    `cbor:"3,keyasint"`
}

// State is one version, immutable.
type State struct {
	head      Head
	subnet    *Subnet
	canisters trie.Map[*Canister]
	calls     trie.Map[*Call]
	codes     trie.Map[*Code]
	queue     trie.Map[*Message] // for the management canister
	line      line               // who sent what is in it
	tree      *hashtree.Tree
	ended     []ic.RequestID // see Ended

	// owner of the nodes that the draft of this version made in the maps; it grows from
	// version to version, so no node of a version is its draft's.
	owner trie.Owner

	root      merkle.Sum
	hashed    uint64 // pages, see PagesHashed
	subnetSum subnetSum

	// Indexes: made from the rest, not stored.
	ready     trie.Map[struct{}]       // canisters with messages
	beating   trie.Map[struct{}]       // canisters with a heartbeat or low-memory hook to run
	timers    trie.Map[struct{}]       // time, canister
	deadlines trie.Map[struct{}]       // time, canister, callback
	ends      trie.Map[[]ic.RequestID] // by time: calls whose status may be forgotten then
	stopping  trie.Map[struct{}]       // canisters that wait to be stopped
	long      trie.Map[struct{}]       // canisters in the middle of a long execution
	thin      string                   // key in ends: all calls up to it are Done, and no others will come there
}

// New is the state at height 0.
func New(g Genesis) *State {
	subnet := g.Subnet
	d := (&State{head: Head{Time: g.Time}, subnet: &subnet}).Draft()
	return d.Seal()
}

// Height of the batch that made this state.
func (s *State) Height() ic.Height { return s.head.Height }

// Time of that batch.
func (s *State) Time() ic.Time { return s.head.Time }

// Head is a copy of the small record.
func (s *State) Head() Head { return s.head }

// Subnet is not to be changed.
func (s *State) Subnet() *Subnet { return s.subnet }

// Tree is the certified tree.
func (s *State) Tree() *hashtree.Tree { return s.tree }

// Canister finds a canister, nil where there is none.
func (s *State) Canister(id ic.CanisterID) *Canister {
	c, _ := s.canisters.Get(string(id.Principal))
	return c
}

// Canisters yields all of them in order of id.
func (s *State) Canisters(yield func(*Canister) bool) {
	s.canisters.Each(func(_ string, c *Canister) bool { return yield(c) })
}

// NumCanisters on this subnet.
func (s *State) NumCanisters() int { return s.canisters.Len() }

// Code finds a module's bytes as uploaded, by their SHA-256. They are to be used
// while somebody has the state, or copied.
func (s *State) Code(hash [32]byte) ([]byte, bool) {
	c, ok := s.codes.Get(string(hash[:]))
	if !ok {
		return nil, false
	}
	return c.bytes(), true
}

// Metadata tells whether a canister has the section icp:public or icp:private name.
func (s *State) Metadata(id ic.CanisterID, name string) (public, found bool) {
	c := s.Canister(id)
	if c == nil || c.Module == nil {
		return false, false
	}
	sec := c.Module.Section(name)
	return sec != nil && sec.Public, sec != nil
}

// Busy tells whether messages wait that a further round can work on: the subnet
// then makes its next block soon, though no user waits.
func (s *State) Busy() bool { return s.ready.Len() > 0 || s.queue.Len() > 0 }

// Queued yields the messages for the management canister, in their order.
func (s *State) Queued(yield func(*Message) bool) {
	s.queue.Each(func(_ string, m *Message) bool { return yield(m) })
}

// Draft begins the next version.
func (s *State) Draft() *Draft {
	next := *s
	next.tree, next.ended, next.owner = nil, nil, s.owner+1
	return &Draft{Head: s.head, s: &next, edited: map[string]*Canister{}, ended: map[ic.Time][]ic.RequestID{}}
}

// Draft is a working copy. It is for one goroutine, and ends with Seal.
type Draft struct {
	Head   Head
	s      *State
	edited map[string]*Canister       // nil: deleted
	order  []string                   // ids in edited, in order of their first edit
	bytes  int64                      // change of Head.MemoryBytes
	ended  map[ic.Time][]ic.RequestID // what is to be added to ends

	inducted map[string]*Canister // the present versions that Induct made
	forked   bool                 // the round has begun

	// Of a fork only.
	parent *Draft
	own    *Canister
	codes  []NamedCode
}

// Subnet is what the registry says.
func (d *Draft) Subnet() *Subnet { return d.s.subnet }

// SetSubnet replaces it.
func (d *Draft) SetSubnet(s *Subnet) { d.s.subnet = s }

// Canister finds the present version of a canister, nil where there is none.
func (d *Draft) Canister(id ic.CanisterID) *Canister {
	if d.parent != nil {
		if d.own.ID == id {
			return d.own
		}
		return d.parent.Canister(id)
	}
	if c, ok := d.edited[string(id.Principal)]; ok {
		return c
	}
	return d.s.Canister(id)
}

// Put makes c the present version of its canister.
func (d *Draft) Put(c *Canister) {
	if len(c.ID.Principal) != canisterIDBytes {
		panic(fmt.Sprintf("state: %s is not the id of a canister", c.ID))
	}
	old := d.Canister(c.ID)
	if old == c {
		panic(fmt.Sprintf("state: canister %s was put already: copy it, then change the copy", c.ID))
	}
	if d.parent != nil {
		d.putFork(c)
		return
	}
	d.note(string(c.ID.Principal), c)
	d.reindex(old, c)
}

// Delete removes a canister for ever.
func (d *Draft) Delete(id ic.CanisterID) {
	old := d.Canister(id)
	d.note(string(id.Principal), nil)
	d.reindex(old, nil)
}

func (d *Draft) note(key string, c *Canister) {
	if _, ok := d.edited[key]; !ok {
		d.order = append(d.order, key)
	}
	d.edited[key] = c
}

// MemoryInUse by all canisters, with the edits of this round.
func (d *Draft) MemoryInUse() uint64 { return uint64(int64(d.Head.MemoryBytes) + d.bytes) }

// Before is the small record of the state that the draft began with.
func (d *Draft) Before() *Head { return &d.s.head }

// NumCanisters with the edits of this round.
func (d *Draft) NumCanisters() int {
	n := d.s.canisters.Len()
	for _, key := range d.order {
		_, before := d.s.canisters.Get(key)
		if now := d.edited[key] != nil; now && !before {
			n++
		} else if before && !now {
			n--
		}
	}
	return n
}

// IDs are all canisters in order, with the edits of this round.
func (d *Draft) IDs() []ic.CanisterID {
	d.flush()
	ids := make([]ic.CanisterID, 0, d.s.canisters.Len())
	d.s.canisters.Each(func(key string, _ *Canister) bool {
		ids = append(ids, ic.CanisterID{Principal: ic.Principal(key)})
		return true
	})
	return ids
}

func (d *Draft) flush() {
	for _, key := range d.order {
		if c := d.edited[key]; c != nil {
			d.s.canisters.Set(d.s.owner, key, c)
		} else {
			d.s.canisters.Unset(d.s.owner, key)
		}
	}
	clear(d.edited)
	d.order = d.order[:0]
}

// PutCode keeps a module's bytes and returns their hash. Use counts from the
// canisters and snapshots that are Put with a Module of this hash; what nobody
// uses when the round is sealed is dropped.
func (d *Draft) PutCode(code []byte) [32]byte {
	n := NamedCode{sha256.Sum256(code), code}
	d.PutNamed(n)
	return n.Hash
}

// NamedCode is a module with its SHA-256, which takes a while to compute.
type NamedCode struct {
	Hash  [32]byte
	Bytes []byte
}

// PutNamed is PutCode of code whose hash is known.
func (d *Draft) PutNamed(n NamedCode) {
	if d.parent != nil {
		d.putCodeFork(n)
		return
	}
	if _, ok := d.Code(n.Hash); !ok {
		d.s.codes.Set(d.s.owner, string(n.Hash[:]), newCode(n.Bytes))
	}
}

// Code finds a module's bytes.
func (d *Draft) Code(hash [32]byte) ([]byte, bool) {
	if d.parent != nil {
		return d.codeOfFork(hash)
	}
	return d.s.Code(hash)
}

func (d *Draft) useCode(hash [32]byte, by int) {
	c, ok := d.s.codes.Get(string(hash[:]))
	if !ok {
		panic("state: a canister uses code that is not in the state")
	}
	next := &Code{c.text, c.users + by, c.total(), true}
	d.s.codes.Set(d.s.owner, string(hash[:]), next)
}

// Induct puts a message at the end of a canister's queue, for which pay lets it pay:
// where that gives an error nothing happens. It is for messages that come before the
// round begins: nobody sees the versions in between, so there is one, changed in place.
func (d *Draft) Induct(id ic.CanisterID, m *Message, pay func(c *Canister) *ic.UserError) *ic.UserError {
	if d.forked {
		panic("state: messages come before a round begins")
	}
	key := string(id.Principal)
	c := d.inducted[key]
	if c == nil || c != d.edited[key] {
		next := *d.Canister(id)
		c = &next
	}
	was := *c
	if err := pay(c); err != nil {
		*c = was
		return err
	}
	c.push(d.s.owner, m)
	if d.inducted == nil {
		d.inducted = map[string]*Canister{}
	}
	d.inducted[key] = c
	d.note(key, c)
	d.reindex(&was, c)
	return nil
}

// Enqueue puts a message at the end of the management canister's queue.
func (d *Draft) Enqueue(m *Message) {
	key := d.s.line.next(d.s.queue, m, d.Head.NextPlace)
	d.s.queue.Set(d.s.owner, key, m)
	d.s.line = d.s.line.joined(key, m)
	d.Head.NextPlace++
}

// Queued is the management canister's queue, in order.
func (d *Draft) Queued(yield func(key string, m *Message) bool) { d.s.queue.Each(yield) }

// Dequeue removes a message by the key that Queued gave.
func (d *Draft) Dequeue(key string) {
	if m, ok := d.s.queue.Get(key); ok {
		d.s.queue.Unset(d.s.owner, key)
		d.s.line = d.s.line.left(key, m, d.s.queue)
	}
}

// Seal ends the draft: indexes and tree of the new version are complete.
func (d *Draft) Seal() *State {
	d.flush()
	d.flushEnds()
	var unused []string
	d.s.codes.Each(func(key string, c *Code) bool {
		if c.users == 0 {
			unused = append(unused, key)
		}
		return true
	})
	for _, key := range unused {
		d.s.codes.Unset(d.s.owner, key)
	}
	d.Head.MemoryBytes = d.MemoryInUse()
	d.s.head = d.Head
	s := d.s
	d.s = nil
	s.sum()
	s.tree = s.seal()
	return s
}

func timeKey(t ic.Time, rest string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(t))) + rest
}

// Count adds to a node's blocks. The sample must not be shared yet.
func (d *DayMetrics) Count(n ic.NodeID, proposed, failed uint64) {
	for i := range d.Nodes {
		if d.Nodes[i].Node == n {
			d.Nodes[i].Proposed += proposed
			d.Nodes[i].Failed += failed
			return
		}
	}
	d.Nodes = append(d.Nodes, NodeMetrics{n, proposed, failed})
}
