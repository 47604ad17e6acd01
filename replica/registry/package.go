package registry

import (
	"bytes"
	"errors"
	"fmt"

	"ashlar/replica/crypto/dkg"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/records"
)

// Founder makes the package with which a new subnet begins, and its keys:
// consensus.Found.
type Founder func(r *Record, registry uint64, now ic.Time) (*block.Artifact, error)

// Begin is a catch-up package as the registry holds it: of genesis, or of a recovery
// where it names a state.
func Begin(p *block.Artifact) (*records.CUP, error) {
	low, high, err := transcripts(p)
	if err != nil {
		return nil, err
	}
	c := &records.CUP{Low: Wrap(low), High: Wrap(high), Height: uint64(p.Height), Time: uint64(p.Block.Time), Package: p.Encode()}
	if p.Other == (block.Hash{}) {
		c.Genesis = &records.Genesis{Height: c.Height}
		return c, nil
	}
	c.StateHash = p.Other[:]
	c.Recovery = &records.Recovery{Height: c.Height, Time: c.Time, StateHash: c.StateHash}
	return c, nil
}

// transcripts of the committee that a package begins with.
func transcripts(p *block.Artifact) (low, high *dkg.Transcript, err error) {
	if p == nil || p.Kind != block.CUP || p.Block == nil || p.Block.Height != p.Height || len(p.Signature) > 0 {
		return nil, nil, errors.New("not an unsigned catch-up package")
	}
	s, err := block.DecodeSummary(p.Block.Section(block.SummarySection))
	if err != nil {
		return nil, nil, err
	}
	if low, err = dkg.DecodeTranscript(s.Current.Low); err == nil {
		high, err = dkg.DecodeTranscript(s.Current.High)
	}
	return low, high, err
}

// packageOf reads the package of a record, nil where it has none, and holds it
// against the rest.
func packageOf(c *records.CUP) (*block.Artifact, error) {
	if len(c.Package) == 0 {
		return nil, nil
	}
	p, err := block.Decode(c.Package)
	if err != nil {
		return nil, fmt.Errorf("the catch-up package: %w", err)
	}
	again, err := Begin(p)
	if err != nil {
		return nil, fmt.Errorf("the catch-up package: %w", err)
	}
	again.Registry, again.Unknown = c.Registry, c.Unknown
	if !bytes.Equal(records.Encode(again), records.Encode(c)) {
		return nil, errors.New("the catch-up package is not the one that the record describes")
	}
	return p, nil
}
