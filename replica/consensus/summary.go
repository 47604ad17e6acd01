package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"ashlar/replica/wire/block"
)

// summaryOf is the summary that a block at the end of an interval has to bring: it
// follows from the chain before and the registry at the version that b names.
func (c *Core) summaryOf(iv *interval, b *block.Block) (*block.Summary, error) {
	if iv.summary == nil || b.Registry > c.Registry.Latest() {
		return nil, ErrNotYet
	}
	rec, err := c.Registry.At(b.Registry)
	if err != nil {
		return nil, ErrNotYet
	}
	chain, ok := c.chain(iv, b.Height, b.Parent)
	if !ok {
		return nil, ErrNotYet
	}
	last := iv.summary
	s := &block.Summary{Length: last.NextLength, NextLength: rec.interval(), Era: last.Era, Version: last.Version, Current: last.Next}
	if s.Current == nil {
		s.Current = last.Current
	}
	if rec.Version != "" && rec.Version != last.Version {
		s.Version, s.Era = rec.Version, eraOf(last.Era, rec.Version, b.Height)
	}
	if s.Next, err = c.committee(iv, chain); err != nil {
		return nil, err
	}
	s.Configs = configs(rec, b.Registry)
	return s, nil
}

// configs of both keys of the subnet.
func configs(rec *Record, version uint64) (out []block.Config) {
	if len(rec.Members) == 0 {
		return nil
	}
	for _, high := range []bool{false, true} {
		out = append(out, block.Config{High: high, Registry: version, Receivers: rec.Members})
	}
	return out
}

// committee that the dealings of an interval make; nil where they do not suffice:
// then all stays as it is, and the next interval tries again.
func (c *Core) committee(iv *interval, dealt map[dealer][]byte) (*block.Committee, error) {
	var keys [2]Key // low, high
	for i, m := range iv.makings {
		if m.config.Target != (block.Hash{}) {
			continue
		}
		if m.session == nil && m.err == nil {
			return nil, ErrNotYet
		}
		if m.err != nil || count(dealt, uint64(i)) < m.needed() {
			return nil, nil
		}
		j := c.join(m, uint64(i), dealt)
		if !j.done {
			return nil, ErrNotYet
		}
		if m.config.High {
			keys[1] = j.key
		} else {
			keys[0] = j.key
		}
	}
	if keys[0] == nil || keys[1] == nil {
		return nil, nil
	}
	out := &block.Committee{Registry: iv.makings[0].config.Registry, Low: keys[0].Bytes(), High: keys[1].Bytes()}
	for _, r := range iv.makings[0].config.Receivers {
		out.Members = append(out.Members, r.Member)
	}
	return out, nil
}

// checkSections of a block: a summary at the end of an interval, alone and as the
// chain says; elsewhere dealings, and what users sent only if the interval is open.
func (c *Core) checkSections(iv *interval, b *block.Block) error {
	raw := b.Section(block.SummarySection)
	if b.Height != iv.end {
		if raw != nil {
			return fmt.Errorf("block %d brings a summary, the next one is due at height %d", b.Height, iv.end)
		}
		payload := len(b.Ingress) > 0 || slices.ContainsFunc(b.Sections, func(s block.Section) bool { return s.Kind > block.DealingsSection })
		if payload && !c.accepts(iv) {
			return ErrNotYet
		}
		return c.checkDealings(iv, b)
	}
	if raw == nil || len(b.Sections) != 1 || len(b.Ingress) != 0 {
		return fmt.Errorf("block %d must be a summary and nothing else", b.Height)
	}
	s, err := c.summaryOf(iv, b)
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, s.Encode()) {
		return fmt.Errorf("block %d: its summary is not what the chain before it says", b.Height)
	}
	return nil
}

// accepts tells whether users' messages may be in blocks: the summary is known, and
// the same replica goes on after it.
func (c *Core) accepts(iv *interval) bool { return iv.summary != nil && c.goesOn(iv) }
