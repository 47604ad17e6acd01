// Package admin makes networks, and the signed changes of those that there are:
// what is behind the command `network`.
//
//	Key(node's directory) ── node.record ──┐
//	Found ──> DIR/registry, DIR/authority.pem │  and a directory for each node made here
//	Open(DIR) ── Add, Remove, Elect, Run, ... ──> DIR/changes/N.change ── Send ──> nodes
//
// DIR/registry is the authority's own copy: each change is held against it first,
// so that what is signed is taken. A change can be sent again, or carried to a node
// as a file (registry.IncomingDir): taking it twice does no harm.
package admin

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/records"
)

// ChangesDir under a network's directory holds each change once more.
const ChangesDir = "changes"

// Network is one that the caller is the authority of. It has one subnet.
type Network struct {
	dir    string
	store  *registry.Store
	key    ed25519.PrivateKey
	subnet ic.SubnetID
}

// Open a network's directory.
func Open(dir string) (*Network, error) {
	if !registry.Exists(dir) {
		return nil, fmt.Errorf("%s holds no network\n  to make one: network new --dir %s", dir, dir)
	}
	key, err := registry.ReadAuthority(filepath.Join(dir, registry.AuthorityFile))
	if err != nil {
		return nil, err
	}
	s, err := registry.Open(dir, func(string, ...any) {})
	if err != nil {
		return nil, err
	}
	n := &Network{dir: dir, store: s, key: key}
	var root records.SubnetID
	if err := s.Get(records.KeyRootSubnet, s.Latest(), &root); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	n.subnet = root.ID
	return n, nil
}

// Take makes DIR/registry from what a node has, or brings it up to date. The first
// time it is believed: compare the root key with one that is known.
func Take(ctx context.Context, dir, url string) error {
	if !registry.Exists(dir) {
		all, err := registry.Fetch(ctx, url, 0)
		if err != nil {
			return err
		}
		return give(dir, all)
	}
	s, err := registry.Open(dir, func(string, ...any) {})
	if err != nil {
		return err
	}
	return errors.Join(s.Follow(ctx, url), s.Close())
}

// Close the directory.
func (n *Network) Close() error { return n.store.Close() }

// View is the subnet at the latest version.
func (n *Network) View() (*registry.View, error) { return n.store.View(n.store.Latest(), n.subnet) }

// change signs a version, takes it here, and leaves it as a file.
func (n *Network) change(m ...records.Mutation) error {
	head, version := n.store.Head()
	signed := registry.Sign(&records.Mutations{Mutations: m, Time: uint64(time.Now().UnixNano())}, version+1, head, n.key)
	if err := n.store.Take(signed); err != nil {
		return err
	}
	dir := filepath.Join(n.dir, ChangesDir)
	path := filepath.Join(dir, fmt.Sprintf("%08d.change", version+1))
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, registry.Join([][]byte{signed}), 0o600)); err != nil {
		return fmt.Errorf("version %d is signed, and cannot be written to a file: %w", version+1, err)
	}
	return nil
}

// subnetChange edits the subnet's record, in one version with more.
func (n *Network) subnetChange(edit func(r *records.Subnet) error, more ...records.Mutation) error {
	var r records.Subnet
	if err := n.store.Get(records.KeySubnet(n.subnet), n.store.Latest(), &r); err != nil {
		return err
	}
	if err := edit(&r); err != nil {
		return err
	}
	return n.change(append(more, update(records.KeySubnet(n.subnet), &r))...)
}

func update(key string, r records.Message) records.Mutation {
	return records.Mutation{Type: records.Update, Key: []byte(key), Value: records.Encode(r)}
}

// Add makes a node a member: by what it handed in, where it is new.
func (n *Network) Add(handedIn []byte) (ic.NodeID, error) {
	id, m, err := readHandIn(handedIn)
	if err != nil {
		return id, err
	}
	if n.has(id) {
		m = nil
	}
	return id, n.subnetChange(func(r *records.Subnet) error {
		if slices.Contains(r.Members, id) {
			return fmt.Errorf("node %s is a member already", id)
		}
		r.Members = append(r.Members, id)
		return nil
	}, m...)
}

func (n *Network) has(id ic.NodeID) bool {
	_, err := n.store.Value(records.KeyNode(id), n.store.Latest())
	return err == nil
}

// Remove takes a member out. Its records stay: until the second summary from now it
// serves, and the others must find it.
func (n *Network) Remove(id ic.NodeID) error {
	return n.subnetChange(func(r *records.Subnet) error {
		i := slices.Index(r.Members, id)
		if i < 0 {
			return fmt.Errorf("node %s is no member", id)
		}
		r.Members = slices.Delete(r.Members, i, i+1)
		return nil
	})
}

// Forget deletes the records of a node that is no member any more.
func (n *Network) Forget(id ic.NodeID) error {
	var m []records.Mutation
	for _, prefix := range []string{records.KeyNode(id), records.PrefixCrypto + id.String() + "_"} {
		for _, key := range n.store.Keys(prefix, n.store.Latest()) {
			m = append(m, records.Mutation{Type: records.Delete, Key: []byte(key)})
		}
	}
	if len(m) == 0 {
		return fmt.Errorf("there is no node %s", id)
	}
	return n.change(m...)
}

// Run names the replica version that all members change to, at one height: it is
// elected with it where it was not. sha256 and urls say where its package is, or are
// empty.
func (n *Network) Run(version, sha256 string, urls ...string) error {
	var elect []records.Mutation
	if _, err := n.store.Value(records.KeyVersion(version), n.store.Latest()); err != nil {
		elect = append(elect, records.Mutation{Key: []byte(records.KeyVersion(version)), Value: records.Encode(&records.Version{SHA256Hex: sha256, URLs: urls})})
	}
	return n.subnetChange(func(r *records.Subnet) error {
		if r.Version == version {
			return fmt.Errorf("the subnet runs version %s already", version)
		}
		r.Version = version
		return nil
	}, elect...)
}

// Interval changes how many rounds follow a summary until the next.
func (n *Network) Interval(rounds uint64) error {
	return n.subnetChange(func(r *records.Subnet) error { r.Interval = rounds; return nil })
}

// Admins names the subnet's admins: they look after all of its canisters, and no
// other user makes one on it. Without any, everybody who pays may.
func (n *Network) Admins(admins []ic.Principal) error {
	return n.subnetChange(func(r *records.Subnet) error { r.Admins = admins; return nil })
}

// Cost says whether the subnet's canisters pay.
func (n *Network) Cost(s records.CostSchedule) error {
	return n.subnetChange(func(r *records.Subnet) error { r.CostSchedule = s; return nil })
}

// Canisters is how many there may be on the subnet; 0: the usual number.
func (n *Network) Canisters(most uint64) error {
	return n.subnetChange(func(r *records.Subnet) error { r.MaxCanisters = most; return nil })
}

// Halt stops the subnet at its next catch-up package, or lets it go on.
func (n *Network) Halt(halt bool) error {
	return n.subnetChange(func(r *records.Subnet) error { r.HaltAtCUP, r.Halted = halt, false; return nil })
}

// Latest version.
func (n *Network) Latest() uint64 { return n.store.Latest() }

// Numbers of the nodes whose directories are DIR/1, DIR/2, ...
func (n *Network) Numbers() (map[ic.NodeID]string, error) {
	out := map[ic.NodeID]string{}
	for i := range maxNodes {
		number := strconv.Itoa(i + 1)
		raw, err := ReadRecord(filepath.Join(n.dir, number))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return out, err
		}
		id, _, err := readHandIn(raw)
		if err != nil {
			return out, err
		}
		out[id] = number
	}
	return out, nil
}
