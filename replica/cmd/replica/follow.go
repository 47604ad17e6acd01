package main

import (
	"context"
	"net/http"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
)

// followEvery: a change of the registry takes an interval to have effect, so
// seconds do not matter, and a quarter of a thousand polls an hour cost nothing.
const followEvery = 15 * time.Second

// registryHandlers let others read the registry, and its authority change it.
func (r *replica) registryHandlers() map[string]http.Handler {
	h := r.registry.Handler()
	return map[string]http.Handler{"GET " + registry.Path: h, "POST " + registry.Path: h}
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
