package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/p2p"
	"ashlar/replica/registry"
)

// listenPeers opens the way to the other members, nil where there are none and
// nobody asked for it. Who they are, and where, the registry says.
func (r *replica) listenPeers(f flags, v *registry.View, log func(string, ...any)) (*p2p.Host, error) {
	here, err := peerAddress(f, v, r.keys.NodeID())
	if err != nil || !here.IsValid() {
		return nil, err
	}
	members, err := r.membersFrom(v.Version)
	if err != nil {
		return nil, err
	}
	h, err := p2p.New(p2p.Config{Self: r.keys.NodeID(), Key: r.keys.NodeKey(), Sign: r.keys.Vote, Listen: here, Log: func(line string) { log("%s", line) }})
	if err != nil {
		return nil, err
	}
	if err := h.SetMembers(members); err != nil {
		h.Close()
		return nil, err
	}
	log("peers reach this node at %s", here)
	return h, nil
}

// peerAddress is where this node listens: as --p2p says, else as the registry does.
func peerAddress(f flags, v *registry.View, self ic.NodeID) (at netip.AddrPort, err error) {
	if f.p2p != "" {
		if at, err = netip.ParseAddrPort(f.p2p); err != nil {
			return at, fmt.Errorf("--p2p %s is not an address and a port: %w\n  give one of this machine's, such as --p2p 127.0.0.1:4100", f.p2p, err)
		}
		return at, nil
	}
	i := v.Index(self)
	if i < 0 || len(v.Nodes) == 1 && v.Nodes[i].P2P == "" {
		return at, nil // no member: node.New says so; or alone
	}
	return parseNode(v, i)
}

// membersFrom a version of the registry on: who is a member at the version that
// consensus runs under, or at any later one, and where the latest of them says that
// it is reached. A new member is let in before its first round, to get the state;
// one that is removed is cut off once consensus goes on without it.
func (r *replica) membersFrom(version uint64) (out []p2p.Peer, err error) {
	seen := map[ic.NodeID]bool{}
	for latest := r.registry.Latest(); latest >= version; latest-- {
		v, err := r.registry.Members(latest, ic.SubnetID{})
		if err != nil {
			return nil, err
		}
		for i, id := range v.Subnet.Members {
			if seen[id] {
				continue
			}
			seen[id] = true
			at, err := parseNode(v, i)
			if err != nil && len(v.Nodes) > 1 {
				return nil, err
			}
			out = append(out, p2p.Peer{ID: id, Key: ed25519.PublicKey(v.Nodes[i].PublicKey), Addr: at})
		}
	}
	return out, nil
}

// gateEvery is how often it is asked which version consensus runs under.
const gateEvery = time.Second

// farewell is for how long those may still connect who are members no more: they ask
// whether this node has the package with which they leave, which may be on its way to the
// disk.
const farewell = 30 * time.Second

// gate lets the members in, as the registry and consensus go on.
func (r *replica) gate(ctx context.Context, inUse func() uint64, log func(string, ...any)) {
	tick := time.NewTicker(gateEvery)
	defer tick.Stop()
	since := inUse()
	var changed time.Time // when another version came into use; zero: it is since
	for last := [2]uint64{}; ; {
		switch in := inUse(); {
		case in == since:
			changed = time.Time{}
		case changed.IsZero():
			changed = time.Now()
		case time.Since(changed) > farewell:
			since, changed = in, time.Time{}
		}
		now := [2]uint64{since, r.registry.Latest()}
		if now != last {
			members, err := r.membersFrom(now[0])
			if err == nil {
				err = r.peers.SetMembers(members)
			}
			if err != nil {
				log("who may connect: %v", err)
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func parseNode(v *registry.View, i int) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(v.Nodes[i].P2P)
	if err != nil {
		return at, fmt.Errorf("the registry (version %d) does not say where peers reach node %s: %w", v.Version, v.Subnet.Members[i], err)
	}
	return at, nil
}

// apartEvery is how often the file of partitions is read. A signal could come
// before the process is ready for it.
const apartEvery = 200 * time.Millisecond

// keepApart obeys a testnet's file of partitions.
func (r *replica) keepApart(ctx context.Context, file string, log func(string, ...any)) {
	tick := time.NewTicker(apartEvery)
	defer tick.Stop()
	for last := 0; ; {
		names, err := readApart(file)
		if err != nil {
			log("partition: %v", err)
		} else if r.peers.KeepApart(names); len(names) != last {
			log("kept apart from %d members", len(names))
			last = len(names)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func readApart(file string) (out []ic.NodeID, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, name := range strings.Fields(string(text)) {
		p, err := ic.ParsePrincipal(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, ic.NodeID{Principal: p})
	}
	return out, err
}
