package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ashlar/replica/api"
	"ashlar/replica/consensus"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/engine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/p2p"
	"ashlar/replica/registry"
	"ashlar/replica/state"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/records"
)

// replica is a node with what it stands on.
type replica struct {
	node     *node.Node
	store    *store.Store
	keys     *keystore.Keys
	registry *registry.Store
	userKeys *usersig.Crowd
	peers    *p2p.Host // nil: a network of one node
	// callBytes is the most that a user's call may have.
	callBytes int
	dir       string
	rotating  sync.Mutex
}

// shut ends the talk with peers, closes the store and erases the secrets; what made the store fail was
// reported when it did.
func (r *replica) shut(log func(string, ...any)) error {
	defer r.keys.Erase()
	if err := errors.Join(r.leave(), r.closeRegistry()); err != nil {
		log("%v", err)
	}
	if r.store.Err() != nil {
		return nil
	}
	if err := r.store.Close(); err != nil {
		return err
	}
	log("stopped at height %d, everything is saved", r.node.Metrics().Saved)
	return nil
}

func (r *replica) leave() error {
	if r.peers == nil {
		return nil
	}
	return r.peers.Close()
}

func (r *replica) closeRegistry() error {
	if r.registry == nil {
		return nil
	}
	return r.registry.Close()
}

// open the state directory: the store first, since it locks the directory.
func open(f flags, log func(string, ...any)) (*replica, error) {
	s, err := store.Open(f.state, store.Options{Log: func(line string) { log("store: %s", line) }})
	if err != nil {
		return nil, err
	}
	r := &replica{store: s, dir: f.state}
	if err := r.join(f, log); err != nil {
		return nil, errors.Join(err, r.leave(), r.closeRegistry(), s.Close())
	}
	return r, nil
}

func (r *replica) join(f flags, log func(string, ...any)) error {
	if err := r.network(f, log); err != nil {
		return err
	}
	view, err := r.registry.View(r.registry.Latest(), ic.SubnetID{})
	if err != nil {
		return err
	}
	start, err := startOf(r.registry, view)
	if err != nil {
		return err
	}
	mem := shareMemory(log)
	eng, err := engine.New(engine.Config{Host: sysapi.Functions(), CacheDir: filepath.Join(f.state, "compiled"), CodeBytes: mem.code})
	if err != nil {
		return err
	}
	subnet := subnetOf(view)
	r.callBytes = callBytes(&view.Subnet)
	r.userKeys = api.NewKeys(subnet.RootKey)
	machine := messaging.New(messaging.Config{Subnet: subnet, Provisional: f.dev, Version: Version, HotBytes: mem.hot,
		Pool: node.NewInstances(mem.idle), Cache: node.NewAnswers(int(mem.answers)), Parallel: engine.Parallel}, eng)
	if r.peers, err = r.listenPeers(f, view, log); err != nil {
		return err
	}
	cfg := node.Config{
		Subnet: subnet, Start: start, Version: Version, Registry: recordsOf(r.registry, view.ID),
		Keys: node.FileKeys{Keys: r.keys, Dir: f.state, Random: rand.Reader}, Machine: machine, Store: r.store, Clock: node.WallClock{}, Pace: consensus.DefaultPace,
		Limits: ingress.Default, Log: func(line string) { log("%s", line) }, Parse: parseEnvelope, Check: api.Forwarded(r.userKeys),
	}
	if f.dev && !f.strict {
		cfg.Version = "" // a developer's network runs what the developer starts
	}
	if r.peers == nil {
		r.node, err = node.New(cfg)
		return err
	}
	cfg.Net, cfg.Stage = r.peers, r.store.Staging()
	if r.node, err = node.New(cfg); err != nil {
		return err
	}
	r.peers.Start(r.node)
	return nil
}

// network loads keys and registry, or makes a new network of one node.
func (r *replica) network(f flags, log func(string, ...any)) (err error) {
	if registry.Exists(f.state) {
		if r.keys, err = keystore.Load(f.state); err != nil {
			return err
		}
		if r.registry, err = registry.Open(f.state, log); err != nil {
			return err
		}
		if err := r.registry.TakeDir(f.state, log); err != nil {
			return err
		}
		r.readmitted()
		return nil
	}
	if _, ok, err := r.store.SavedHeight(); ok || err != nil {
		return errors.Join(err, fmt.Errorf("%s holds a state and no registry\n  restore the directory from a backup", f.state))
	}
	if !f.dev {
		return fmt.Errorf("%s holds no network\n  to make a new one for development, start with --dev\n  to make one of several nodes: network new", f.state)
	}
	return r.found(f.state, log)
}

// found makes a network of this node alone. Its authority is a key beside the
// node's own: with it, `network` can change what it is.
func (r *replica) found(dir string, log func(string, ...any)) (err error) {
	if r.keys, err = keystore.Generate(); err != nil {
		return err
	}
	authority, err := registry.MakeAuthority(dir)
	if err != nil {
		return err
	}
	me, err := registry.HandIn(rand.Reader, r.keys, netip.AddrPort{}, netip.AddrPort{})
	if err != nil {
		return err
	}
	g := registry.Genesis{Nodes: [][]records.Mutation{me}, Version: Version, Interval: registry.DefaultInterval, Time: node.WallClock{}.Now(),
		Authority: []ed25519.PublicKey{authority.Public().(ed25519.PublicKey)}}
	first, subnet, err := g.Make(rand.Reader)
	if err != nil {
		return err
	}
	// Keys first: a registry that names keys nobody has would be a network nobody can run.
	if err := r.keys.Save(dir); err != nil {
		return err
	}
	log("made a new network of one node: subnet %s", subnet)
	r.registry, err = registry.Create(dir, registry.Sign(first, 1, [32]byte{}, authority))
	return err
}

func subnetOf(v *registry.View) state.Subnet {
	s := state.Subnet{ID: v.ID, Type: v.Subnet.Type.String(), PublicKey: v.Group.Key.DER(), RootKey: v.Group.Key.DER(), Ranges: v.Ranges}
	for i, id := range v.Subnet.Members {
		s.Nodes = append(s.Nodes, state.Node{ID: id, PublicKey: keystore.NodeDER(v.Nodes[i].PublicKey)})
	}
	return s
}

// callBytes is the most that a call on the subnet may have: what its record says, or the
// usual of its type; never more than a block holds.
func callBytes(s *records.Subnet) int {
	switch {
	case s.MaxIngressBytes != 0:
		return int(min(s.MaxIngressBytes, block.MaxIngressBytes))
	case s.Type == records.System:
		return ingress.SystemMaxBytes
	}
	return ingress.MaxBytes
}

func parseEnvelope(raw []byte) (*ic.Ingress, *envelope.Envelope, error) {
	e, err := envelope.Parse(raw, envelope.Call)
	if err != nil {
		return nil, nil, err
	}
	return e.Ingress(), e, nil
}

// announce says what clients need.
func (r *replica) announce(f flags, log func(string, ...any)) error {
	if f.rootKeyOut != "" {
		if err := os.WriteFile(f.rootKeyOut, []byte(hex.EncodeToString(r.node.RootKey())+"\n"), 0o644); err != nil {
			return fmt.Errorf("write the root key: %w", err)
		}
	}
	log("root key %x", r.node.RootKey())
	log("node %s of subnet %s, canisters from %s", r.node.NodeID(), r.node.SubnetID(), r.node.Ranges()[len(r.node.Ranges())-1].First)
	return nil
}

// welcome users, once there is a certified state.
func (r *replica) welcome(f flags, at doors, began time.Time, log func(string, ...any)) {
	log("healthy at height %d, %d ms after the start", r.node.Metrics().Height, time.Since(began).Milliseconds())
	if p := at.browsersAt(f); p != "" {
		log("canisters open at http://<canister-id>.%s:%s/", strings.Split(f.domains, ",")[0], p)
	}
	log("replica: http://%s", at.api.Addr())
}

// backend is the node as the API wants it.
type backend struct{ *node.Node }

// Certified is the latest certified state.
func (b backend) Certified() *api.Certified {
	v := b.View()
	if v == nil {
		return nil
	}
	return &api.Certified{Height: v.Height, Time: v.Time, Tree: v.Tree(), Signature: v.Signature, Metadata: v.State.Metadata,
		Request: func(id ic.RequestID) (api.Request, bool) {
			c := v.State.Status(id)
			if c == nil {
				return api.Request{}, false
			}
			return api.Request{Sender: c.Sender, Callee: c.Callee, Effective: c.Effective}, true
		}}
}

// Submit and Query speak of a busy node in the API's words.
func (b backend) Submit(ctx context.Context, raw []byte, msg *ic.Ingress) error {
	return busy(b.Node.Submit(ctx, raw, msg))
}

// Query runs on the latest certified state.
func (b backend) Query(ctx context.Context, q *ic.Query) (ic.Reply, error) {
	reply, err := b.Node.Query(ctx, q)
	return reply, busy(err)
}

func busy(err error) error {
	if errors.Is(err, node.ErrBusy) {
		return api.ErrBusy
	}
	return err
}
