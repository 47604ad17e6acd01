package consensus

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// Founding is what a new subnet begins with.
type Founding struct {
	Random   io.Reader
	Scheme   Scheme // nil: Real
	Record   *Record
	Registry uint64 // version of Record
	Time     ic.Time
}

// Found makes the first keys of a subnet and the catch-up package of height 0. Its
// caller is a dealer who is trusted to forget: none of the nodes can deal before they
// are a subnet. The first interval's key generation replaces the shares.
func Found(f Founding) (cup *block.Artifact, key Key, err error) {
	if f.Scheme == nil {
		f.Scheme = Real{}
	}
	if len(f.Record.Members) == 0 {
		return nil, nil, errors.New("found a subnet: it has no members")
	}
	low, err := f.deal(false)
	if err == nil {
		key, err = f.deal(true)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("found a subnet: %w", err)
	}
	return Begin(Beginning{Record: f.Record, Registry: f.Registry, Low: low, High: key, Time: f.Time}), key, nil
}

// Beginning is what the registry says of where a subnet begins, or was recovered.
type Beginning struct {
	Record    *Record // at the version Registry
	Registry  uint64
	Low, High Key        // of the record's members
	Height    ic.Height  // 0: genesis
	Root      block.Hash // of the state at that height
	Time      ic.Time
}

// Begin makes the catch-up package of a beginning. Each has an era of its own:
// nothing counts that was signed before a recovery.
func Begin(b Beginning) *block.Artifact {
	c := &block.Committee{Registry: b.Registry, Low: b.Low.Bytes(), High: b.High.Bytes()}
	for _, m := range b.Record.Members {
		c.Members = append(c.Members, m.Member)
	}
	low, high := b.Low.Hash(), b.High.Hash()
	era := sha256.Sum256(append(append(append(low[:], high[:]...), b.Root[:]...), fmt.Sprint("ashlar beginning ", b.Height, b.Registry, b.Time)...))
	s := &block.Summary{Length: b.Record.interval(), NextLength: b.Record.interval(), Version: b.Record.Version,
		Era: era, Current: c, Configs: configs(b.Record, b.Registry)}
	return unsigned(&block.Block{Height: b.Height, Time: b.Time, Registry: b.Registry}, s, b.Root)
}

func (f *Founding) deal(high bool) (Key, error) {
	s, err := f.Scheme.Session(&Deal{High: high, Registry: f.Registry, Dealers: []ic.NodeID{f.Record.Members[0].Node}, Receivers: f.Record.Members})
	if err != nil {
		return nil, err
	}
	raw, err := s.Deal(f.Random, 0, nil)
	if err != nil {
		return nil, err
	}
	d, err := s.Verify(0, raw)
	if err != nil {
		return nil, err
	}
	return s.Combine([]Dealing{d})
}

// Recovery is where a subnet that came to a halt goes on from.
type Recovery struct {
	Last   *block.Artifact // its last catch-up package
	Height ic.Height       // of the state to go on from
	Root   block.Hash      // of that state
	// Time is now, by the clock of who recovers, and not before that state's. Nodes
	// that lost what they signed at least maxDrift before vote in the new era at once;
	// of those that lost it later, the blocks of the others have to tell (forgot.go). If
	// they are too many for a quorum, recover again.
	Time     ic.Time
	Registry uint64
	Version  string // "": as before
}

// Recover makes a package for the registry: the same committees and keys, and an era
// in which nothing counts that was signed before.
func Recover(r Recovery) (*block.Artifact, error) {
	s, err := block.DecodeSummary(r.Last.Block.Section(block.SummarySection))
	if err != nil {
		return nil, fmt.Errorf("recover a subnet: %w", err)
	}
	if r.Height < r.Last.Height || r.Time < r.Last.Block.Time {
		return nil, fmt.Errorf("recover a subnet: from height %d, and its last catch-up package is of height %d", r.Height, r.Last.Height)
	}
	if r.Version != "" {
		s.Version = r.Version
	}
	s.Era = sha256.Sum256(append(append(s.Era[:], r.Root[:]...), fmt.Sprint("recovery", r.Registry, r.Time)...))
	b := &block.Block{Height: r.Height, Parent: r.Last.Block.Hash(), Time: r.Time, Registry: max(r.Registry, r.Last.Block.Registry), Certified: r.Last.Block.Certified}
	return unsigned(b, s, r.Root), nil
}

// unsigned package: whoever hands it out vouches for it.
func unsigned(b *block.Block, s *block.Summary, root block.Hash) *block.Artifact {
	b.Sections = []block.Section{{Kind: block.SummarySection, Data: s.Encode()}}
	return &block.Artifact{Kind: block.CUP, Height: b.Height, Block: b, Other: root, Hash: block.CUPHash(b.Hash(), nil, root)}
}
