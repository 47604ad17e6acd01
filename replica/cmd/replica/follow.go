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
	return map[string]http.Handler{"GET " + registry.Path: h, "POST " + registry.Path: h, "GET " + registry.StandingPath: http.HandlerFunc(r.standing)}
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

// watch for a recovery in the registry: it ends this life of the node.
func (r *replica) watch(ctx context.Context, log func(string, ...any)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for seen := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := r.registry.Latest()
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
