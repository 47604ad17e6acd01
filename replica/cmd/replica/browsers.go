package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/api"
	"ashlar/replica/gateway"
)

// browsers makes the gateway in front of the API.
func browsers(b backend, server *api.Server, domains string, log func(string, ...any)) (http.Handler, error) {
	now := func() time.Time { return time.Unix(0, int64(b.Now())) }
	a, err := agent.New("http://inside", agent.Options{RootKey: b.RootKey(), Client: gateway.Inside(server), Now: now})
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{Canisters: a, RootKey: b.RootKey(), BLS: agent.VerifyBLS, Now: b.Now, API: server,
		Domains: strings.Fields(strings.ReplaceAll(domains, ",", " ")), Log: log}), nil
}

// doors are the addresses that the node serves.
type doors struct {
	api     net.Listener
	gateway net.Listener // nil: browsers come to api, if they do at all
}

// openDoors listens before anything else happens, so that a busy port leaves no trace.
func openDoors(f flags) (d doors, err error) {
	if d.api, err = listen(f.listen, "--listen"); err != nil || f.gateway == "" {
		return d, err
	}
	if d.gateway, err = listen(f.gateway, "--gateway"); err != nil {
		d.api.Close()
	}
	return d, err
}

func (d doors) close() {
	d.api.Close()
	if d.gateway != nil {
		d.gateway.Close()
	}
}

// serve starts a server at each door; each tells ends how it ended.
func (d doors) serve(ctx context.Context, f flags, server *api.Server, front http.Handler, ends chan<- error) (running int) {
	start := func(l net.Listener, h http.Handler) {
		running++
		go func() { ends <- server.RunBehind(ctx, l, h) }()
	}
	switch {
	case d.gateway != nil:
		start(d.api, server)
		start(d.gateway, front)
	case f.dev:
		start(d.api, front)
	default:
		start(d.api, server)
	}
	return running
}

// browsersAt is the port at which browsers are served; "" if they are not.
func (d doors) browsersAt(f flags) string {
	switch {
	case d.gateway != nil:
		return port(d.gateway.Addr().String())
	case f.dev:
		return port(d.api.Addr().String())
	}
	return ""
}
