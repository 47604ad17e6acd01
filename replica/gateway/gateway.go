// Package gateway lets browsers open canisters: the HTTP gateway protocol.
//
//	http://<canister>.localhost:4943/path ── host -> canister ── query http_request ─┬─ verify (gateway/certified) ─> browser
//	                                                                                 ├─ upgrade ── call http_request_update
//	                                                                                 └─ streaming callbacks, further ranges
//	/api/v2|v3|v4/… ──────────────────────────────────────────────────────────────────> the node's API, whatever the host
//
// New returns the handler; it stands in front of a replica/api handler (see
// Inside) or talks to a node elsewhere. It trusts the root key and nothing else:
// what is neither certified nor the answer of a call is only shown at
// <canister>.raw.localhost, or if the canister certified that it wants no
// certificate. Whatever goes wrong is a page that says what to do.
// Specification: http-gateway-spec.md; statuses and CORS are those of ic-gateway.
package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"ashlar/replica/api/body"
	"ashlar/replica/gateway/certified"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

// Limits on one browser and on all together. Those of bodies to a canister and of
// connections are the API's, which stands behind or around.
const (
	requestBytes   = 3 << 20          // of a request's body: what a query holds, at the least
	callBytes      = 2 << 20          // of one that an update call is to carry, on most subnets
	headersBytes   = 256 << 10        // of a response's headers: what Chromium reads
	maxHeaders     = 256              // of a response
	maxRequests    = 256              // under way at once: each may hold some copies of a reply of 3 MiB
	maxAssemblies  = 8                // bodies being put together to be verified, at once: half a GiB
	assembledBytes = 64 << 20         // of a body that is verified as a whole
	maxChunks      = 4096             // of one response: 8 GiB in chunks of 2 MB
	requestTime    = 60 * time.Second // until the first byte of the answer, an update call included
	chunkTime      = 60 * time.Second // to get and to write one chunk
	bodyTime       = time.Hour        // for all of them: no canister holds a place for ever
)

// Canisters is how the gateway reaches them: agent.Agent has these methods and
// verifies what it returns.
type Canisters interface {
	Query(ctx context.Context, canister ic.CanisterID, method string, arg []byte) ([]byte, error)
	Call(ctx context.Context, canister ic.CanisterID, method string, arg []byte) ([]byte, error)
	ReadState(ctx context.Context, effective ic.CanisterID, paths ...hashtree.Path) (*cert.Certificate, error)
}

// Config of a gateway.
type Config struct {
	Canisters Canisters
	RootKey   []byte         // in DER
	BLS       cert.VerifyBLS // agent.VerifyBLS
	Now       func() ic.Time
	// API serves /api/… and, at hosts that name no canister, /metrics and /_/….
	API http.Handler
	// Domains below which canisters are found; "localhost" if there is none.
	Domains []string
	Log     func(format string, args ...any) // failures that are not the browser's; optional
}

// Gateway is the handler.
type Gateway struct {
	cfg        Config
	bls        cert.VerifyBLS
	domains    []string // in lower case, the longest first
	bodies     *body.Reader
	requests   chan struct{}
	assemblies chan struct{}
}

// New makes the handler.
func New(cfg Config) *Gateway {
	if len(cfg.Domains) == 0 {
		cfg.Domains = []string{"localhost"}
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	domains := make([]string, len(cfg.Domains))
	for i, d := range cfg.Domains {
		domains[i] = strings.ToLower(d)
	}
	slices.SortStableFunc(domains, func(a, b string) int { return len(b) - len(a) })
	return &Gateway{cfg: cfg, domains: domains, bls: remember(cfg.BLS), bodies: body.New(), requests: make(chan struct{}, maxRequests), assemblies: make(chan struct{}, maxAssemblies)}
}

// ServeHTTP answers a browser.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isAPI(r.URL.Path) {
		g.cfg.API.ServeHTTP(w, r)
		return
	}
	to, fault := g.resolve(r)
	switch {
	case fault != nil:
		g.fail(w, r, to, fault)
	case to.none() && g.isOwn(r.URL.Path):
		g.cfg.API.ServeHTTP(w, r)
	case to.none() && r.Method == http.MethodOptions:
		preflight(w, r)
	case to.none() && r.URL.Path == "/":
		g.welcome(w, r)
	case to.none():
		g.fail(w, r, to, g.faultNoCanister(r))
	default:
		g.enter(w, r, to)
	}
}

func isAPI(path string) bool {
	return strings.HasPrefix(path, "/api/v2/") || strings.HasPrefix(path, "/api/v3/") || strings.HasPrefix(path, "/api/v4/")
}

func (g *Gateway) isOwn(path string) bool {
	return path == "/metrics" || path == "/health" || strings.HasPrefix(path, "/_/")
}

// enter reads the request, and lets a number of them in at once.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, to target) {
	data, done, err := g.bodies.Read(w, r, requestBytes)
	if err != nil {
		g.fail(w, r, to, faultBody(err))
		return
	}
	defer done()
	select {
	case g.requests <- struct{}{}:
		defer func() { <-g.requests }()
		g.serve(w, r, to, data)
	default:
		g.fail(w, r, to, faultBusy())
	}
}

// serve asks the canister and passes its answer on.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, to target, body []byte) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	late := time.AfterFunc(requestTime, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	x := &exchange{gateway: g, to: to, ctx: ctx}
	fault := x.run(r, body)
	late.Reset(bodyTime) // each chunk has its own time, too
	if fault == nil {
		fault = x.write(w, r)
	}
	switch {
	case fault == nil:
	case r.Method == http.MethodOptions && !x.begun:
		preflight(w, r) // canisters seldom answer these; the gateway allows what it allows to all
	case x.begun: // no page fits into the middle of a body: the browser shall see that it is cut
		if fault.cause != "" { // else it is the browser that left
			g.cfg.Log("gateway: %s of canister %s was cut: %s", r.URL.Path, to.canister, fault.detail)
		}
		panic(http.ErrAbortHandler)
	default:
		g.fail(w, r, to, fault)
	}
}

// trust is what a response is checked against now.
func (g *Gateway) trust() certified.Trust {
	return certified.Trust{RootKey: g.cfg.RootKey, BLS: g.bls, Now: g.cfg.Now()}
}
