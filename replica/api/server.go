package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ashlar/replica/api/body"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/usersig"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// Config of a server. All of it is optional.
type Config struct {
	Limits  Limits
	Keys    *usersig.Crowd // NewKeys; nil: its own
	Version string         // shown by the status endpoint as impl_version
	Metrics http.Handler   // served at /metrics
	// HideRootKey leaves the root key out of the status: clients of a
	// network that lasts must know it from elsewhere.
	HideRootKey bool
	// Observe is told of each request that ended: a pattern such as "/api/v4/canister/{id}/call".
	Observe func(pattern string, status int, took time.Duration)
	// More adds handlers beside the API, such as "GET /_/dashboard".
	More map[string]http.Handler
}

// Server is the handler of the API.
type Server struct {
	node    Backend
	cfg     Config
	limits  Limits
	keys    envelope.Verifier
	senders *senders
	bodies  *body.Reader
	handler http.Handler
	stop    chan struct{} // closed when calls shall no longer wait
	stopped sync.Once
}

// New makes the handler.
func New(node Backend, cfg Config) *Server {
	s := &Server{node: node, cfg: cfg, limits: cfg.Limits.withDefaults(), stop: make(chan struct{}), keys: cfg.Keys}
	if cfg.Keys == nil {
		s.keys = NewKeys(node.RootKey())
	}
	s.bodies = body.New()
	s.senders = &senders{count: map[ic.Principal]int{}, limit: s.limits.PerSender}
	s.handler = cors(s.routes())
	return s
}

func verifyBLS(der, message, sig []byte) error {
	key, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return key.Verify(message, sig)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// routes is the table of endpoints (replica.md A.1).
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	calls, queries, reads := newGate(s.limits.Calls), newGate(s.limits.Queries), newGate(s.limits.Reads)
	for pattern, h := range map[string]handler{
		"GET /api/v2/status": reads.handle(s.status),
		"GET /health":        reads.handle(s.health),

		"POST /api/v2/canister/{id}/call": calls.handle(s.call(scope{version: 2})),
		"POST /api/v3/canister/{id}/call": calls.handle(s.call(scope{version: 3, wait: true})),
		"POST /api/v4/canister/{id}/call": calls.handle(s.call(scope{version: 4, wait: true, shards: true})),
		"POST /api/v4/subnet/{id}/call":   calls.handle(s.call(scope{version: 4, wait: true, shards: true, subnet: true})),

		"POST /api/v2/canister/{id}/query": queries.handle(s.query(scope{version: 2})),
		"POST /api/v3/canister/{id}/query": queries.handle(s.query(scope{version: 3})),
		"POST /api/v3/subnet/{id}/query":   queries.handle(s.query(scope{version: 3, subnet: true})),

		"POST /api/v2/canister/{id}/read_state": reads.handle(s.readState(scope{version: 2})),
		"POST /api/v3/canister/{id}/read_state": reads.handle(s.readState(scope{version: 3, shards: true})),
		"POST /api/v2/subnet/{id}/read_state":   reads.handle(s.readState(scope{version: 2, subnet: true})),
		"POST /api/v3/subnet/{id}/read_state":   reads.handle(s.readState(scope{version: 3, subnet: true, shards: true})),
	} {
		mux.Handle(pattern, s.observed(s.buffered(h)))
	}
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	for pattern, h := range s.cfg.More {
		mux.Handle(pattern, h)
	}
	return mux
}

// scope is how the forms of an endpoint differ.
type scope struct {
	version int
	subnet  bool // the id in the URL is a subnet's
	wait    bool // a call waits for its certificate
	shards  bool // the delegation shows /canister_ranges, not /subnet/<id>/canister_ranges
}

// observed writes the error of a handler, if any, and reports to Observe.
func (s *Server) observed(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if err := h(counted, r); err != nil {
			writeError(counted, err)
		}
		if s.cfg.Observe != nil {
			s.cfg.Observe(r.Pattern, counted.status, time.Since(start))
		}
	})
}

// buffered reads the body before next takes a place among those at work.
func (s *Server) buffered(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		data, done, err := s.bodies.Read(w, r, s.limits.BodyBytes)
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			return tooLarge(large.Limit)
		case errors.Is(err, body.ErrBusy):
			return ErrBusy
		case err != nil:
			return badRequest("Could not read the body: %v", err)
		}
		defer done()
		r.Body = held{bytes.NewReader(data), data}
		return next(w, r)
	}
}

const contentCBOR = "application/cbor"

// isCBOR tells whether a request says that its body is CBOR, in the very words that
// mainnet's replicas want.
func isCBOR(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Content-Type"), func(v string) bool { return strings.EqualFold(v, contentCBOR) })
}

// held is a body that was read.
type held struct {
	*bytes.Reader
	all []byte
}

func (held) Close() error { return nil }

type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController find the connection's deadlines.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// ready returns the state to answer from, or says why there is none.
func (s *Server) ready() (*Certified, error) {
	state := s.node.Certified()
	if health := s.node.Healthy(); health != "healthy" || state == nil {
		return nil, &httpError{http.StatusServiceUnavailable,
			fmt.Sprintf("Replica is unhealthy: %s. Check the /api/v2/status for more information.", health)}
	}
	return state, nil
}

// request authenticates the body of a POST.
func (s *Server) request(r *http.Request, kind string, limit int) (*envelope.Envelope, envelope.Targets, error) {
	raw := r.Body.(held).all // as buffered leaves it
	e, err := envelope.Parse(raw, kind)
	switch {
	case errors.Is(err, envelope.ErrSyntax):
		return nil, nil, edge(http.StatusBadRequest, "unable_to_parse_cbor", "Failed to parse the CBOR request body: %v", err)
	case !isCBOR(r.Header):
		return nil, nil, badRequest("Unexpected content-type, expected %s.", contentCBOR)
	case err != nil && kind == envelope.Call:
		return nil, nil, badRequest("Could not parse body as call message: %v", err)
	case err != nil:
		return nil, nil, badRequest("Malformed request: %v", err)
	case len(raw) > limit:
		return nil, nil, &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("Request 0x%x is too large. Message byte size %d is larger than the max allowed %d.", e.ID, len(raw), limit)}
	}
	targets, err := e.Authenticate(s.node.Now(), s.keys)
	if err != nil {
		return nil, nil, badRequest("%v", err)
	}
	return e, targets, nil
}

// Run serves until ctx ends, then lets requests under way finish: calls that
// wait for their certificate answer 202 at once.
func (s *Server) Run(ctx context.Context, l net.Listener) error { return s.RunBehind(ctx, l, s) }

// RunBehind is Run with a handler in front that passes on to the Server what is
// the API's: the gateway.
func (s *Server) RunBehind(ctx context.Context, l net.Listener, front http.Handler) error {
	limited := newLimitListener(l, s.limits.Connections)
	work, abort := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx: what is under way may finish
	defer abort()
	srv := &http.Server{Handler: front, BaseContext: func(net.Listener) context.Context { return work }, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ConnState: limited.state}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(limited) }()
	select {
	case err := <-failed:
		return fmt.Errorf("HTTP API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.stopped.Do(func() { close(s.stop) })
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	defer time.AfterFunc(finishTimeout, abort).Stop()
	if err := srv.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("HTTP API on %s: requests were still under way: %w", l.Addr(), err), srv.Close())
	}
	return nil
}
