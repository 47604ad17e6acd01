package admin

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/records"
)

// RecordFile under a node's directory is what it hands in.
const RecordFile = "node.record"

const (
	maxNodes       = 40      // the largest subnets have 40
	maxRecordBytes = 1 << 16 // a node and its keys have 700
)

// Key makes a node's keys, where it has none, and writes what it hands in to become
// part of a network: DIR/node.record.
func Key(dir string, p2p, http netip.AddrPort) (id ic.NodeID, handIn []byte, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return id, nil, err
	}
	k, err := keystore.Load(dir)
	if errors.Is(err, os.ErrNotExist) {
		if k, err = keystore.Generate(); err == nil {
			err = k.Save(dir)
		}
	}
	if err != nil {
		return id, nil, err
	}
	defer k.Erase()
	m, err := registry.HandIn(rand.Reader, k, p2p, http)
	if err != nil {
		return id, nil, err
	}
	handIn = records.Encode(&records.Mutations{Mutations: m})
	return k.NodeID(), handIn, os.WriteFile(filepath.Join(dir, RecordFile), handIn, 0o600)
}

// ReadRecord reads what a node hands in, from a file or from the node's directory.
func ReadRecord(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, RecordFile)
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read a node's record: %w\n  the node makes it: network key --dir ITS-DIRECTORY --at ITS-ADDRESS", err)
	}
	if info.Size() > maxRecordBytes {
		return nil, fmt.Errorf("read a node's record: %s has %d bytes, the limit is %d", path, info.Size(), maxRecordBytes)
	}
	return os.ReadFile(path)
}

// readHandIn is one node's record and keys, and nothing else.
func readHandIn(raw []byte) (id ic.NodeID, m []records.Mutation, err error) {
	var all records.Mutations
	if err := records.Decode(raw, &all); err != nil {
		return id, nil, fmt.Errorf("a node's record that cannot be read: %w", err)
	}
	for _, one := range all.Mutations {
		if p, isNode := parseNode(string(one.Key)); isNode {
			id = p
		}
	}
	for _, one := range all.Mutations {
		of, _, isKey := records.ParseCrypto(string(one.Key))
		if string(one.Key) != records.KeyNode(id) && (!isKey || of != id) || one.Type != records.Insert {
			return id, nil, fmt.Errorf("a node's record that wants to change %q", one.Key)
		}
	}
	if id.Principal == "" {
		return id, nil, errors.New("this is not a node's record")
	}
	return id, all.Mutations, nil
}

func parseNode(key string) (ic.NodeID, bool) {
	if len(key) < len(records.PrefixNode) || key[:len(records.PrefixNode)] != records.PrefixNode {
		return ic.NodeID{}, false
	}
	p, err := ic.ParsePrincipal(key[len(records.PrefixNode):])
	return ic.NodeID{Principal: p}, err == nil
}

// Founding says what network is to be made.
type Founding struct {
	Dir       string
	At        []netip.Addr // of nodes whose keys are made here, in DIR/1, DIR/2, ...
	HTTP, P2P uint16       // their ports
	HandedIn  [][]byte     // records of nodes that made their keys themselves
	Version   string       // of the replica
	Interval  uint64
	Random    io.Reader // nil: the machine's
}

// Found makes a network. The registries of the nodes are written last: where there
// is one, all keys are there.
func Found(f Founding) (*Network, error) {
	if n := len(f.At) + len(f.HandedIn); n < 1 || n > maxNodes {
		return nil, fmt.Errorf("a subnet has 1 to %d nodes, %d are named", maxNodes, n)
	}
	if registry.Exists(f.Dir) || registry.Exists(f.NodeDir(0)) {
		return nil, fmt.Errorf("%s holds a network already\n  remove it, or choose another --dir", f.Dir)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, err
	}
	key, err := registry.MakeAuthority(f.Dir)
	if err != nil {
		return nil, err
	}
	g := registry.Genesis{Version: f.Version, Interval: f.Interval, Time: ic.Time(time.Now().UnixNano()), Authority: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
	handedIn := f.HandedIn
	for i, at := range f.At {
		_, raw, err := Key(f.NodeDir(i), netip.AddrPortFrom(at, f.P2P), netip.AddrPortFrom(at, f.HTTP))
		if err != nil {
			return nil, err
		}
		handedIn = append(handedIn, raw)
	}
	for _, raw := range handedIn {
		_, m, err := readHandIn(raw)
		if err != nil {
			return nil, err
		}
		g.Nodes = append(g.Nodes, m)
	}
	random := f.Random
	if random == nil {
		random = rand.Reader
	}
	first, subnet, err := g.Make(random)
	if err != nil {
		return nil, err
	}
	signed := registry.Sign(first, 1, [32]byte{}, key)
	for i := len(f.At) - 1; i >= 0; i-- {
		if err := give(f.NodeDir(i), [][]byte{signed}); err != nil {
			return nil, err
		}
	}
	s, err := registry.Create(f.Dir, signed)
	if err != nil {
		return nil, err
	}
	return &Network{dir: f.Dir, store: s, key: key, subnet: subnet}, nil
}

// NodeDir is the directory of a node whose keys are made here.
func (f *Founding) NodeDir(i int) string { return filepath.Join(f.Dir, strconv.Itoa(i+1)) }

// Give writes the registry into the directory of a node that has none yet.
func (n *Network) Give(dir string) error { return give(dir, n.store.ChangesSince(0)) }

func give(dir string, changes [][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s, err := registry.Create(dir, changes...)
	if err != nil {
		return err
	}
	return s.Close()
}

// KeyAt is Key at one address.
func KeyAt(dir string, at netip.Addr, p2p, http uint16) (ic.NodeID, error) {
	id, _, err := Key(dir, netip.AddrPortFrom(at, p2p), netip.AddrPortFrom(at, http))
	return id, err
}
