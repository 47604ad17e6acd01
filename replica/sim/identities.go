package sim

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/dkg"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/block"
)

// identities are the keys of all nodes, and what checks them.
type identities struct {
	keys   []node.Keys
	public []block.Receiver // by node id, as the nodes are numbered
	scheme consensus.Scheme
	high   consensus.Key // of the subnet
	der    []byte        // its public half
	start  *block.Artifact
}

// signatures have the sizes of the real ones, so that traffic has too.
const voteBytes, groupBytes = ed25519.SignatureSize, bls.SignatureBytes

// drawn are the nodes' own keys: to make them takes longer than to play a seed, and
// a seed does not depend on them.
var drawn struct {
	sync.Mutex
	keys   []*keystore.Keys
	public []block.Receiver
	share  *bls.SecretKey
}

// draw the keys of all nodes that there may be, in order of their names.
func draw() error {
	drawn.Lock()
	defer drawn.Unlock()
	if drawn.keys != nil {
		return nil
	}
	random := rand.NewChaCha8([32]byte{'s'})
	share, err := bls.GenerateKey(random)
	if err != nil {
		return err
	}
	var keys []*keystore.Keys
	for i := range MaxNodes {
		keys = append(keys, keystore.FromSeed([32]byte{byte(i + 1), 's'}))
	}
	slices.SortFunc(keys, func(a, b *keystore.Keys) int { return bytes.Compare(a.NodeID().Bytes(), b.NodeID().Bytes()) })
	for _, k := range keys {
		r, err := receiver(k, random)
		if err != nil {
			return err
		}
		drawn.public = append(drawn.public, r)
	}
	drawn.keys, drawn.share = keys, share
	return nil
}

// found a subnet of some of the nodes.
func found(p *Plan, rec *consensus.Record) (*identities, error) {
	if err := draw(); err != nil {
		return nil, err
	}
	ids := &identities{public: drawn.public[:p.Nodes], scheme: consensus.Real{}}
	c := &cheap{seed: p.Seed, votes: map[string]uint64{}, nodes: map[ic.NodeID]uint64{}, few: p.Bug == WrongThreshold}
	for i := range p.Nodes {
		k := drawn.keys[i]
		if p.Real {
			ids.keys = append(ids.keys, &realKeys{FileKeys: node.FileKeys{Keys: fresh(k), Random: rand.NewChaCha8([32]byte{byte(i), byte(p.Seed)})}})
			continue
		}
		c.votes[string(k.NodeKey())], c.nodes[k.NodeID()] = uint64(i), uint64(i)
		ids.keys = append(ids.keys, &cheapKeys{Keys: k, scheme: c, secret: uint64(i), held: map[[32]byte]*cheapKey{}})
	}
	if !p.Real {
		ids.scheme = c
	}
	for _, i := range p.founders() {
		rec.Members = append(rec.Members, ids.public[i])
	}
	var err error
	ids.start, ids.high, err = consensus.Found(consensus.Founding{Random: rand.NewChaCha8([32]byte{byte(p.Seed), 'f'}), Scheme: ids.scheme, Record: rec, Registry: 1, Time: genesis})
	if err != nil {
		return nil, err
	}
	ids.der = drawn.share.PublicKey().DER()
	if p.Real {
		ids.der = consensus.GroupOf(ids.high).Key.DER()
	}
	return ids, nil
}

// fresh is the same node without the shares of another run.
func fresh(k *keystore.Keys) *keystore.Keys {
	for i := range MaxNodes {
		if f := keystore.FromSeed([32]byte{byte(i + 1), 's'}); f.NodeID() == k.NodeID() {
			return f
		}
	}
	panic("sim: a node that was not drawn")
}

// realKeys are a key store whose disk never fails.
type realKeys struct {
	node.FileKeys
	used bool
}

// MarkUsed notes that the node signs from now on.
func (k *realKeys) MarkUsed() error {
	k.used = true
	return nil
}

// Used tells whether it may have signed before.
func (k *realKeys) Used() bool { return k.used }

// Keep the shares of these keys, and no others.
func (k *realKeys) Keep(keys []consensus.Key) (lost, err error) {
	var ids [][32]byte
	for _, key := range keys {
		if err := k.Keys.Load(k.Random, key); err != nil && !errors.Is(err, dkg.ErrNotReceiver) {
			lost = err
		}
		ids = append(ids, key.Hash())
	}
	k.Keys.Retain(ids...)
	return lost, nil
}

// subnetID of the nodes.
func (ids *identities) subnetID() ic.SubnetID {
	return ic.SubnetID{Principal: ic.SelfAuthenticating(ids.der)}
}

// index of a node, -1 for nobody.
func (ids *identities) index(id ic.NodeID) int {
	return slices.IndexFunc(ids.public, func(r block.Receiver) bool { return r.Node == id })
}
