package main

import (
	"bytes"
	"fmt"
	"sync"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/records"
)

// subnetRecords is the registry as consensus reads it: several times a step, so
// what was read is kept. To decode a version is to check its members' keys, which
// takes longer than all else in a round.
type subnetRecords struct {
	registry.Subnet
	mu   sync.Mutex
	read map[uint64]*consensus.Record
}

// maxVersions that are kept: a block names a recent one.
const maxVersions = 8

func recordsOf(reg *registry.Store, id ic.SubnetID) *subnetRecords {
	return &subnetRecords{Subnet: registry.Subnet{Store: reg, ID: id}, read: map[uint64]*consensus.Record{}}
}

// At a version, not above Latest: it never changes.
func (r *subnetRecords) At(version uint64) (*consensus.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.read[version]; rec != nil {
		return rec, nil
	}
	rec, err := r.Subnet.At(version)
	if err != nil {
		return nil, err
	}
	if len(r.read) >= maxVersions {
		clear(r.read)
	}
	r.read[version] = (*consensus.Record)(rec)
	return r.read[version], nil
}

// startOf is the catch-up package that the registry tells of: of the genesis, or of
// the last recovery.
func startOf(reg *registry.Store, v *registry.View) (*block.Artifact, error) {
	since := v.Version // when the record was written
	record := func(version uint64) ([]byte, error) { return reg.Value(records.KeyCUP(v.ID), version) }
	now, err := record(since)
	if err != nil {
		return nil, err
	}
	for since > 1 {
		before, err := record(since - 1)
		if err != nil || !bytes.Equal(before, now) {
			break
		}
		since--
	}
	rec, err := recordsOf(reg, v.ID).At(since)
	if err != nil {
		return nil, err
	}
	b := consensus.Beginning{Record: rec, Registry: since, Height: ic.Height(v.CUP.Height), Time: ic.Time(v.CUP.Time)}
	if b.Low, err = (consensus.Real{}).Key(v.Low.Bytes()); err == nil {
		b.High, err = (consensus.Real{}).Key(v.High.Bytes())
	}
	if err != nil {
		return nil, err
	}
	if r := v.CUP.Recovery; r != nil {
		if len(r.StateHash) != len(b.Root) {
			return nil, fmt.Errorf("the registry recovers the subnet from a state whose hash has %d bytes, it must have %d", len(r.StateHash), len(b.Root))
		}
		b.Height, b.Time, b.Root = ic.Height(r.Height), ic.Time(r.Time), block.Hash(r.StateHash)
	}
	return consensus.Begin(b), nil
}
