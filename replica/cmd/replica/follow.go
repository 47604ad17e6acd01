package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
)

// followEvery: a change of the registry takes an interval to have effect, so
// seconds do not matter, and a quarter of a thousand polls an hour cost nothing.
const followEvery = 15 * time.Second

// registryHandlers let others read the registry, its authority change it, and who
// recovers the subnet see where this node is.
func (r *replica) registryHandlers() map[string]http.Handler {
	h := r.registry.Handler()
	return map[string]http.Handler{"GET " + registry.Path: h, "POST " + registry.Path: h, "GET " + registry.StandingPath: http.HandlerFunc(r.standing),
		"GET " + registry.DealingPath: http.HandlerFunc(r.offer)}
}

// standing says where this node is.
func (r *replica) standing(w http.ResponseWriter, _ *http.Request) {
	at, err := r.node.Standing()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out := registry.Standing{Node: r.node.NodeID().String(), Version: r.registry.Latest(), Height: at.Height, Root: at.Root[:], Time: at.Time, Certified: at.Certified, Forgot: at.Forgot}
	if at.Package != nil {
		out.Package = at.Package.Encode()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// watchEvery: a recovery is awaited by whoever called for it.
const watchEvery = time.Second

// goneAfter: a node that the registry does not name, and to whom no peer talks for so
// long, has missed the end of its last interval.
const goneAfter = 30 * time.Second

// lastCall: for so long after its last interval a node that leaves waits for members to
// come back that may have lost what it has.
const lastCall = time.Hour

// watch for what ends this life of the node: a recovery in the registry, or its members
// going on without it while it was away.
func (r *replica) watch(ctx context.Context, log func(string, ...any)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	alone := time.Now()
	for seen, since := uint64(0), uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := r.registry.Latest()
		if r.peers == nil || r.connected() || r.named(now) {
			alone = time.Now()
		} else if time.Since(alone) > goneAfter && time.Since(time.Unix(0, int64(r.node.Leaving()))) > lastCall {
			return &node.Left{Height: r.node.Metrics().Saved, Subnet: r.node.SubnetID()}
		}
		if at := r.node.Since(); at != since {
			if err := r.retire(at, log); err != nil {
				return err
			}
			since = at
		}
		if now == seen {
			continue
		}
		seen = now
		start, err := r.startAt(now)
		if err != nil {
			log("from where the registry says that the subnet begins: %v", err)
		} else if r.node.Superseded(start) {
			return &node.Renewed{Height: start.Height}
		}
	}
}

// named tells whether this node is a member at a version of the registry.
func (r *replica) named(version uint64) bool {
	v, err := r.registry.Members(version, ic.SubnetID{})
	return err != nil || v.Index(r.keys.NodeID()) >= 0
}

func (r *replica) connected() bool {
	for _, c := range r.peers.Counters() {
		if c.Connected {
			return true
		}
	}
	return false
}

// askTimeout of each member, of a node that is none as far as it knows.
const askTimeout = 2 * time.Second

// readmitted takes what the members have of the registry where it does not name this
// node: it may have come back to them since.
func (r *replica) readmitted() {
	for turn := 0; turn < maxAsked && !r.named(r.registry.Latest()); turn++ {
		if url := r.another(turn); url != "" {
			ctx, stop := context.WithTimeout(context.Background(), askTimeout)
			_ = r.registry.Follow(ctx, url) // the next one may know
			stop()
		}
	}
}

// maxAsked members: one of f+1 is honest, and most know.
const maxAsked = 4

func (r *replica) startAt(version uint64) (*block.Artifact, error) {
	view, err := r.registry.View(version, ic.SubnetID{})
	if err != nil {
		return nil, err
	}
	return startOf(r.registry, view)
}

// follow keeps the registry up to date: with what somebody laid into the directory,
// and with what the other members have, one after the other.
func (r *replica) follow(ctx context.Context, dir string, log func(string, ...any)) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := r.registry.TakeDir(dir, log); err != nil {
			log("%v", err)
		}
		before := r.registry.Latest()
		if url := r.another(turn); url != "" {
			ask, stop := context.WithTimeout(ctx, followEvery)
			if err := r.registry.Follow(ask, url); err != nil && ctx.Err() == nil && r.registry.Latest() == before {
				log("follow the registry of %s: %v", url, err)
			}
			stop()
		}
		if now := r.registry.Latest(); now > before {
			log("registry: now at version %d", now)
		}
	}
}

// another member's HTTP interface; each has its turn.
func (r *replica) another(turn int) string {
	v, err := r.registry.Members(r.registry.Latest(), ic.SubnetID{})
	if err != nil {
		return ""
	}
	var urls []string
	for i, id := range v.Subnet.Members {
		if id != r.keys.NodeID() && v.Nodes[i].HTTP != "" {
			urls = append(urls, "http://"+v.Nodes[i].HTTP)
		}
	}
	if len(urls) == 0 {
		return ""
	}
	return urls[turn%len(urls)]
}
