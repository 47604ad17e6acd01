package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ashlar/replica/ic"
)

// target is the canister that a request is for.
type target struct {
	canister ic.CanisterID
	raw      bool // its answers are not verified
}

func (t target) none() bool { return t.canister.Principal == "" }

// resolve finds the canister, the first that there is:
//
//	<canister>.localhost, name--<canister>.localhost, <canister>.raw.localhost
//	?canisterId=<canister>
//	the same in the Referer: what a page that was opened in this way loads
func (g *Gateway) resolve(r *http.Request) (target, *fault) {
	host := hostname(r.Host)
	for _, d := range g.domains {
		label, ok := strings.CutSuffix(host, "."+d)
		if !ok {
			continue
		}
		label, raw := strings.CutSuffix(label, ".raw")
		if i := strings.LastIndex(label, "--"); i >= 0 {
			label = label[i+len("--"):]
		}
		return targetOf(label, raw)
	}
	if id := r.URL.Query().Get("canisterId"); id != "" {
		return targetOf(id, false)
	}
	return fromReferer(r), nil
}

var errManagement = errors.New("that is the management canister, which serves no web pages")

func targetOf(id string, raw bool) (target, *fault) {
	p, err := ic.ParsePrincipal(id)
	if err == nil && p == ic.Management {
		err = errManagement
	}
	if err != nil {
		return target{}, faultBadCanister(id, err)
	}
	return target{ic.CanisterID{Principal: p}, raw}, nil
}

// fromReferer believes a page of the same host only: the address of another
// site's page says nothing about what is meant here.
func fromReferer(r *http.Request) (to target) {
	if u, err := url.Parse(r.Referer()); err == nil && u.Host == r.Host {
		to, _ = targetOf(u.Query().Get("canisterId"), false)
	}
	return to
}

// hostname is the host without port, in lower case, without a final dot.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isBase tells whether a host is one of the domains themselves, or an address.
func (g *Gateway) isBase(host string) bool {
	host = hostname(host)
	return net.ParseIP(strings.Trim(host, "[]")) != nil || slices.Contains(g.domains, host)
}

// address is a URL at which a canister can be opened here.
func (g *Gateway) address(r *http.Request, to target, raw bool) string {
	host, port := hostname(r.Host), ""
	if _, p, err := net.SplitHostPort(r.Host); err == nil {
		port = ":" + p
	}
	domain := g.cfg.Domains[0]
	if i := slices.IndexFunc(g.domains, func(d string) bool { return strings.HasSuffix(host, "."+d) }); i >= 0 {
		domain = g.domains[i]
	}
	middle := "."
	if raw {
		middle = ".raw."
	}
	return "http://" + to.canister.String() + middle + domain + port + r.URL.RequestURI()
}
