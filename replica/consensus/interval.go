package consensus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Limits of intervals.
const (
	// MinInterval leaves time for dealings to be made, checked and put into blocks.
	// Each height is also a chance for the summary before it to become final, which
	// the next summary waits for.
	MinInterval     = 8
	DefaultInterval = 499     // as on mainnet (replica.md B.2): half a second each when idle, four minutes
	MaxInterval     = 100_000 // keys and catch-up packages must not grow old
)

// Registry is what consensus reads of the network. Versions are never taken back.
type Registry interface {
	Latest() uint64
	// At a version not above Latest.
	At(version uint64) (*Record, error)
}

// Record of the subnet at one version.
type Record struct {
	Members  []block.Receiver // by node id
	Interval uint64           // heights between summaries; 0: DefaultInterval
	Version  string           // of the replica that is to run
	Halt     bool             // stop at the next catch-up package
	Admins   []ic.Principal   // of the subnet
	Free     bool             // canisters pay nothing

	MaxCanisters uint64 // on the subnet; 0: the usual
}

func (r *Record) interval() uint64 {
	if r.Interval == 0 {
		return DefaultInterval
	}
	return min(max(r.Interval, MinInterval), MaxInterval)
}

// interval is a stretch of heights whose committee and keys are those of one summary.
//
//	S_k ────── governs S_k+1 .. S_k+1 ──────> S_k+1
//	 └ final and delivered: all of it is known, and of the next one what is fixed by now
//
// A vote at a height must mean the same on all forks. So all that signatures need is
// fixed one summary ahead, and no block of S_k+1 is made before S_k is final.
type interval struct {
	start, end ic.Height // of its summary, and of the next one
	members    []block.Member
	self       int // this node's index, -1 where it is no member
	registry   uint64
	low, high  Key
	heard      []ic.Height        // the newest share of each member
	vain       map[block.Kind]int // waits for shares that did not come in time, one after the other

	// Of a summary that is final and delivered; nil before.
	block    *block.Block
	named    block.Hash // block's
	summary  *block.Summary
	makings  []*making
	dealt    map[dealer][]byte  // in the final blocks so far
	prepared bool               // its keys are being made
	cheats   map[ic.NodeID]bool // makers of blocks with bad dealings
}

func (iv *interval) hash() block.Hash { return iv.named }

// at is the interval that governs a height; nil: not known here.
func (c *Core) at(h ic.Height) *interval {
	for _, iv := range c.intervals {
		if iv.start < h && h <= iv.end {
			return iv
		}
	}
	return nil
}

// last is the newest interval whose summary is final.
func (c *Core) last() *interval {
	for _, iv := range slices.Backward(c.intervals) {
		if iv.summary != nil {
			return iv
		}
	}
	panic("consensus: no interval is known")
}

// begin with the summary of a catch-up package.
func (c *Core) begin(b *block.Block) error {
	s, err := block.DecodeSummary(b.Section(block.SummarySection))
	if err != nil {
		return fmt.Errorf("consensus: the catch-up package of height %d: %w", b.Height, err)
	}
	if c.Version == "" {
		c.Version = s.Version
	}
	c.era = s.Era
	if c.cup.high, err = c.key(s.Current.High); err != nil {
		return err
	}
	iv, err := c.interval(b.Height, s.Length, s.Current)
	if err != nil {
		return err
	}
	c.intervals = []*interval{iv}
	return c.open(b, s)
}

// interval from a height on.
func (c *Core) interval(start ic.Height, length uint64, of *block.Committee) (iv *interval, err error) {
	iv = &interval{start: start, end: start + ic.Height(length), members: of.Members, registry: of.Registry, heard: make([]ic.Height, len(of.Members)), vain: map[block.Kind]int{}, dealt: map[dealer][]byte{}, cheats: map[ic.NodeID]bool{}}
	iv.self = slices.IndexFunc(of.Members, func(m block.Member) bool { return m.Node == c.Node })
	if length == 0 || len(of.Members) == 0 {
		return nil, fmt.Errorf("consensus: the interval from height %d has %d heights and %d members", start, length, len(of.Members))
	}
	if iv.low, err = c.key(of.Low); err != nil {
		return nil, err
	}
	if iv.high, err = c.key(of.High); err != nil {
		return nil, err
	}
	if n := len(of.Members); iv.low.Holders() != n || iv.high.Holders() != n {
		return nil, fmt.Errorf("consensus: %d members, and keys for %d and %d holders", n, iv.low.Holders(), iv.high.Holders())
	}
	return iv, nil
}

// key reads a transcript, or finds it where it was read or made before.
func (c *Core) key(transcript []byte) (Key, error) {
	id := sha256.Sum256(transcript)
	if k := c.keys[id]; k != nil {
		return k, nil
	}
	k, err := c.Scheme.Key(transcript)
	if err == nil {
		c.keys[id] = k
	}
	return k, err
}

// open the interval of a summary that is final here.
func (c *Core) open(b *block.Block, s *block.Summary) error {
	iv := c.at(b.Height + 1)
	iv.block, iv.named, iv.summary = b, b.Hash(), s
	next := s.Next
	if next == nil {
		next = s.Current
	}
	preview, err := c.interval(iv.end, s.NextLength, next)
	if err != nil {
		return err
	}
	c.intervals = append(c.intervals, preview)
	c.generate(iv)
	c.keep()
	return nil
}

// passed is told of each block of the final chain in order.
func (c *Core) passed(b *block.Block) {
	iv := c.at(b.Height)
	if raw := b.Section(block.DealingsSection); raw != nil {
		list, err := block.DecodeDealings(raw)
		if err != nil {
			panic(fmt.Sprintf("consensus: final block %d: %v", b.Height, err))
		}
		for _, d := range list {
			iv.dealt[dealer{d.Config, d.Dealer}] = d.Raw
		}
		c.combineEarly(iv)
	}
	if b.Height != iv.end {
		return
	}
	s, err := block.DecodeSummary(b.Section(block.SummarySection))
	if err == nil {
		err = c.open(b, s)
	}
	if err != nil {
		panic(fmt.Sprintf("consensus: the final summary at height %d: %v", b.Height, err))
	}
}

// keep the shares that this node may still sign with: above the last catch-up
// package. The caller has them durable before the older ones are erased.
func (c *Core) keep() {
	var keys []Key
	for _, iv := range c.intervals {
		if iv.end > c.cup.last.Height {
			keys = append(keys, iv.low, iv.high)
		}
	}
	c.emit(Keep{keys})
}

// forget intervals below all that is kept, and the keys that nothing names.
func (c *Core) forget() {
	c.intervals = slices.DeleteFunc(c.intervals, func(iv *interval) bool { return iv.end < c.lowest && iv.end < c.cup.last.Height })
	used := map[Key]bool{}
	for _, iv := range c.intervals {
		used[iv.low], used[iv.high] = true, true
	}
	for id, k := range c.keys {
		if !used[k] {
			delete(c.keys, id)
		}
	}
}

// Members of the committee at a height, nil where it is not known here.
func (c *Core) Members(h ic.Height) []block.Member {
	if iv := c.at(h); iv != nil {
		return iv.members
	}
	return nil
}

// Since is the oldest version of the registry whose members are in office, or were
// at heights that are kept: from there on versions say who takes part.
func (c *Core) Since() uint64 {
	since := c.intervals[0].registry
	for _, iv := range c.intervals {
		since = min(since, iv.registry)
	}
	return since
}

// stops tells how the heights after a final summary are played: with another
// version of the replica, or not at all. Then this node delivers nothing after it.
func (c *Core) stops(iv *interval) (upgrade, halt bool) {
	if iv.summary.Version != c.Version {
		return true, false
	}
	return false, c.halted(iv.block.Registry) && c.halted(c.Registry.Latest())
}

// goesOn: not known to stop.
func (c *Core) goesOn(iv *interval) bool {
	if iv.summary == nil {
		return true
	}
	up, halt := c.stops(iv)
	return !up && !halt
}

func (c *Core) halted(version uint64) bool {
	if version > c.Registry.Latest() {
		return false
	}
	r, err := c.Registry.At(version)
	return err == nil && r.Halt
}

// era of the heights above a summary that changes the version.
func eraOf(old block.Hash, version string, h ic.Height) block.Hash {
	m := append([]byte("\x0aashlar-era"), old[:]...)
	return sha256.Sum256(append(binary.BigEndian.AppendUint64(m, uint64(h)), version...))
}
