package main

import (
	"crypto/rand"
	"errors"
	"fmt"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
)

// records is the registry as consensus reads it: what it says of one subnet.
type records struct {
	*registry.Store
	subnet ic.SubnetID
}

// Latest version.
func (r records) Latest() uint64 { return r.Version() }

// At a version.
func (r records) At(version uint64) (*consensus.Record, error) {
	v, err := r.View(version, r.subnet)
	if err != nil {
		return nil, err
	}
	out := &consensus.Record{Interval: v.Subnet.Interval, Version: v.Subnet.Version, Halt: v.Subnet.Halt}
	for i, id := range v.Subnet.Members {
		n := v.Nodes[i]
		out.Members = append(out.Members, block.Receiver{Member: block.Member{Node: id, Key: n.PublicKey}, Encryption: n.Encryption})
	}
	return out, nil
}

// startOf is the catch-up package that the registry names.
func startOf(v *registry.View) (*block.Artifact, error) {
	if len(v.CUP) == 0 {
		return nil, errors.New("the registry names no catch-up package: an older replica made this network\n  go on with that one, or begin with a new directory")
	}
	a, err := block.Decode(v.CUP)
	if err != nil {
		return nil, fmt.Errorf("the catch-up package in the registry: %w", err)
	}
	return a, nil
}

// found the network of one node.
func found(k *keystore.Keys, now ic.Time) (*block.Artifact, consensus.Key, registry.Node, error) {
	e, err := k.EncryptionKey(rand.Reader)
	if err != nil {
		return nil, nil, registry.Node{}, err
	}
	me := registry.Node{PublicKey: k.NodeKey(), Encryption: e.Bytes()}
	rec := &consensus.Record{Version: Version, Members: []block.Receiver{{Member: block.Member{Node: k.NodeID(), Key: me.PublicKey}, Encryption: me.Encryption}}}
	cup, key, err := consensus.Found(consensus.Founding{Random: rand.Reader, Record: rec, Registry: 1, Time: now})
	return cup, key, me, err
}
