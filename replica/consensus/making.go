package consensus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Limits of key generation.
const (
	maxDealt  = 8  // dealings in one block: 13 nodes need 14 in an interval, which may have ten blocks
	maxChecks = 16 // dealings of a key that are looked at, for each dealer: no more than cheats bring
)

// making is the generation of one key.
//
//	summary ── Session ── own Deal ──> Dealing artifacts ── Verify ──> blocks ── Combine ──> next summary
//
// All that takes long is a Task.
type making struct {
	config  block.Config
	name    block.Hash // what Dealing artifacts are for
	deal    Deal
	session Session // nil: not ready, or never if err says so
	err     error
	busy    bool
	mine    *block.Artifact         // this node's dealing
	pool    map[uint64]*dealing     // that dealers sent
	checks  map[block.Hash]*dealing // each is verified once, wherever it comes from
	joins   map[block.Hash]*joined  // keys, by the dealings
}

// dealer of a key of an interval.
type dealer struct{ config, index uint64 }

// dealing and what is known of it.
type dealing struct {
	raw        []byte
	busy, done bool
	good       Dealing
	err        error
}

// joined is the key that comes of some dealings.
type joined struct {
	done bool
	key  Key // nil: none comes of them
}

// task is handed to the caller; then runs in the Step that gets the task's Done.
func (c *Core) task(do func() func(c *Core)) {
	c.emit(Task{func() Done { return Done{c, do()} }})
}

// generate the keys that a summary asks for.
func (c *Core) generate(iv *interval) {
	var dealers []ic.NodeID
	for _, m := range iv.members {
		dealers = append(dealers, m.Node)
	}
	for i, cfg := range iv.summary.Configs {
		m := &making{config: cfg, pool: map[uint64]*dealing{}, checks: map[block.Hash]*dealing{}, joins: map[block.Hash]*joined{},
			deal: Deal{Subnet: c.Subnet, Target: cfg.Target, Start: iv.start, High: cfg.High, Registry: cfg.Registry, Dealers: dealers, Receivers: cfg.Receivers}}
		if cfg.High {
			m.deal.Previous = iv.high
		}
		h := iv.hash()
		m.name = sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("\x0eashlar-dealing"), h[:]...), uint64(i)))
		iv.makings = append(iv.makings, m)
	}
}

// deals opens sessions and makes this node's dealings, for the interval in progress.
func (c *Core) deals() (moved bool) {
	iv := c.last()
	if iv.prepared || c.finalized >= iv.end || iv.end < c.height {
		return false
	}
	if !c.goesOn(iv) {
		return false // who goes on does
	}
	iv.prepared = true
	for _, m := range iv.makings {
		m.busy = true
		for _, a := range c.dealt {
			if a.Hash == m.name {
				m.mine = a
			}
		}
		scheme, deal, keys, self := c.Scheme, m.deal, c.Keys, iv.self
		if m.mine != nil {
			self = -1 // dealt in an earlier life
		}
		c.task(func() func(*Core) {
			s, err := scheme.Session(&deal)
			var raw []byte
			if err == nil && self >= 0 {
				previous := [32]byte{}
				if deal.Previous != nil {
					previous = deal.Previous.Hash()
				}
				raw, _ = keys.Deal(s, self, previous) // who has no share deals none
			}
			return func(c *Core) { c.opened(iv, m, s, err, raw) }
		})
	}
	return true
}

func (c *Core) opened(iv *interval, m *making, s Session, err error, raw []byte) {
	m.session, m.err, m.busy = s, err, false
	if err != nil {
		return
	}
	if raw != nil && m.mine == nil {
		a := &block.Artifact{Kind: block.Dealing, Height: iv.end, Hash: m.name, Signer: uint64(iv.self), Data: raw}
		a.Signature = c.Keys.Vote(c.message(a))
		m.mine = a
		c.emit(Persist{a})
		c.emit(Send{a})
	}
	if m.mine != nil {
		m.pool[m.mine.Signer] = c.verify(m, m.mine.Signer, m.mine.Data)
	}
	for _, by := range slices.Sorted(maps.Keys(m.pool)) {
		c.verify(m, by, m.pool[by].raw)
	}
	c.combineEarly(iv)
}

// making that a dealing is for.
func (iv *interval) making(name block.Hash) *making {
	for _, m := range iv.makings {
		if m.name == name {
			return m
		}
	}
	return nil
}

// receiveDealing of a peer.
func (c *Core) receiveDealing(a *block.Artifact, from ic.NodeID) {
	iv := c.at(a.Height)
	if iv == nil || iv.end != a.Height || iv.summary == nil {
		return // of another interval: long ago, or not yet
	}
	m := iv.making(a.Hash)
	if m == nil {
		c.refused(a, from, fmt.Errorf("a dealing for no key of the interval from height %d", iv.start))
		return
	}
	if m.pool[a.Signer] != nil || iv.count(m.index(iv)) >= m.needed() {
		return
	}
	if err := c.checkVote(iv, a.Signer, c.message(a), a.Signature); err != nil {
		c.refused(a, from, err)
		return
	}
	m.pool[a.Signer] = c.verify(m, a.Signer, a.Data)
}

func (m *making) index(iv *interval) uint64 { return uint64(slices.Index(iv.makings, m)) }

// needed dealings; all dealers as long as that is not known.
func (m *making) needed() int {
	if m.session == nil {
		return len(m.deal.Dealers)
	}
	return m.session.Needed()
}

// count of the dealings of a key in final blocks.
func (iv *interval) count(config uint64) int { return count(iv.dealt, config) }

func count(dealt map[dealer][]byte, config uint64) (n int) {
	for d := range dealt {
		if d.config == config {
			n++
		}
	}
	return n
}

// verify a dealing, once.
func (c *Core) verify(m *making, by uint64, raw []byte) *dealing {
	id := hashOf(append(binary.BigEndian.AppendUint64(nil, by), raw...))
	d := m.checks[id]
	if d == nil {
		d = &dealing{raw: raw}
		if len(m.checks) >= maxChecks*len(m.deal.Dealers) {
			d.done, d.err = true, fmt.Errorf("dealings of more than any honest dealers")
			return d
		}
		m.checks[id] = d
	}
	if d.busy || d.done || m.session == nil {
		return d
	}
	d.busy = true
	s := m.session
	c.task(func() func(*Core) {
		good, err := s.Verify(int(by), raw)
		return func(c *Core) {
			d.busy, d.done, d.good, d.err = false, true, good, err
			if err != nil {
				d.raw = nil
				c.refused(&block.Artifact{Kind: block.Dealing, Hash: m.name, Signer: by}, m.deal.Dealers[by], err)
			}
		}
	})
	return d
}

// chain is what was dealt on the way to a block at h whose parent is given; false
// if a block of that way is not here.
func (c *Core) chain(iv *interval, h ic.Height, parent block.Hash) (map[dealer][]byte, bool) {
	out := maps.Clone(iv.dealt)
	for h--; h > max(c.delivered, iv.start); h-- {
		r := c.rounds[h]
		if r == nil || r.proposals[parent] == nil {
			return nil, false
		}
		b := r.proposals[parent].Block
		if raw := b.Section(block.DealingsSection); raw != nil {
			list, err := block.DecodeDealings(raw)
			if err != nil {
				return nil, false
			}
			for _, d := range list {
				out[dealer{d.Config, d.Dealer}] = d.Raw
			}
		}
		parent = b.Parent
	}
	return out, true
}

// pick dealings for a block.
func (c *Core) pick(iv *interval, h ic.Height, parent block.Hash) (out []block.Dealt) {
	if !slices.ContainsFunc(iv.makings, func(m *making) bool { return m.session != nil && len(m.pool) > 0 }) {
		return nil
	}
	chain, ok := c.chain(iv, h, parent)
	if !ok {
		return nil
	}
	size := 0
	for i, m := range iv.makings {
		have := count(chain, uint64(i))
		for _, by := range slices.Sorted(maps.Keys(m.pool)) {
			d := m.pool[by]
			if m.session == nil || have >= m.session.Needed() || len(out) == maxDealt || size+len(d.raw) > maxDealtBytes {
				break
			}
			if _, there := chain[dealer{uint64(i), by}]; there || !d.done || d.err != nil {
				continue
			}
			out = append(out, block.Dealt{Config: uint64(i), Dealer: by, Raw: d.raw})
			have++
			size += len(d.raw)
		}
	}
	return out
}

// maxDealtBytes of dealings in a block leaves room for their heads.
const maxDealtBytes = block.MaxDealingsBytes - 32*maxDealt

// checkDealings of a block that is no summary.
func (c *Core) checkDealings(iv *interval, b *block.Block) error {
	raw := b.Section(block.DealingsSection)
	if raw == nil {
		return nil
	}
	if iv.summary == nil {
		return ErrNotYet
	}
	list, err := block.DecodeDealings(raw)
	if err != nil {
		return fmt.Errorf("block %d: %w", b.Height, err)
	}
	if len(list) > maxDealt {
		return fmt.Errorf("block %d has %d dealings, the limit is %d", b.Height, len(list), maxDealt)
	}
	if iv.cheats[b.Maker] {
		return fmt.Errorf("block %d brings dealings, and those of its maker were bad before: one look in an interval is enough", b.Height)
	}
	chain, ok := c.chain(iv, b.Height, b.Parent)
	if !ok {
		return ErrNotYet
	}
	later := false
	for _, d := range list {
		if d.Config >= uint64(len(iv.makings)) || d.Dealer >= uint64(len(iv.members)) {
			return fmt.Errorf("block %d has a dealing of member %d for key %d, which there is not", b.Height, d.Dealer, d.Config)
		}
		m, at := iv.makings[d.Config], dealer{d.Config, d.Dealer}
		if _, twice := chain[at]; twice || count(chain, d.Config) >= m.needed() {
			return fmt.Errorf("block %d has a dealing of member %d for key %d that is not needed", b.Height, d.Dealer, d.Config)
		}
		chain[at] = d.Raw
		if m.session == nil {
			later = true
			continue
		}
		v := c.verify(m, d.Dealer, d.Raw)
		if v.err != nil {
			iv.cheats[b.Maker] = true
			return fmt.Errorf("block %d: %w", b.Height, v.err)
		}
		later = later || !v.done
	}
	if later {
		return ErrNotYet
	}
	return nil
}

// join the dealings of a key; done says whether that has come to an end.
func (c *Core) join(m *making, config uint64, dealt map[dealer][]byte) *joined {
	var who []uint64
	for d := range dealt {
		if d.config == config {
			who = append(who, d.index)
		}
	}
	slices.Sort(who)
	var id []byte
	var parts []*dealing
	for _, by := range who {
		raw := dealt[dealer{config, by}]
		h := hashOf(append(binary.BigEndian.AppendUint64(nil, by), raw...))
		id = append(id, h[:]...)
		d := m.checks[h]
		if d == nil || d.good == nil {
			d = &dealing{raw: raw} // it came in a final block, and was judged by others
		}
		parts = append(parts, d)
	}
	j := m.joins[hashOf(id)]
	if j != nil {
		return j
	}
	j = &joined{}
	m.joins[hashOf(id)] = j
	s := m.session
	known := make([]Dealing, len(parts))
	for i, d := range parts {
		known[i] = d.good
	}
	c.task(func() func(*Core) {
		var key Key
		var err error
		for i := range known {
			if known[i] == nil && err == nil {
				known[i], err = s.Verify(int(who[i]), parts[i].raw)
			}
		}
		if err == nil {
			key, err = s.Combine(known)
		}
		return func(c *Core) {
			j.done = true
			if err == nil {
				j.key = key
				c.keys[hashOf(key.Bytes())] = key
			}
		}
	})
	return j
}

// combineEarly: as soon as all dealings of a key are final, not when the summary is due.
func (c *Core) combineEarly(iv *interval) {
	if iv != c.last() || c.finalized >= iv.end {
		return
	}
	for i, m := range iv.makings {
		if m.session != nil && iv.count(uint64(i)) >= m.needed() {
			c.join(m, uint64(i), iv.dealt)
		}
	}
}
