// Package api is the node's own HTTP interface, on port 4944 of the host.
//
//	GET  /v1/status    what runs, how it boots, how it is
//	GET  /v1/identity  the TPM's keys            ┐
//	POST /v1/activate  proves that they are one  ├ for nodectl attest
//	POST /v1/attest    a quote over your nonce   ┘
//	GET  /v1/nonce     for the next signed request
//	POST /v1/upgrade   body: a release bundle    ┐
//	POST /v1/reboot                              ├ signed by an admin_key of node.conf
//	POST /v1/shutdown                            ┘
//
// It is plain HTTP: what matters is signed, in the one direction by the
// administrator, in the other by the TPM. Everything is bounded: connections,
// bodies, times. Answers and errors are JSON; an error is {"error": "sentence"}.
package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"ashlar/attestation/evidence"
)

const (
	// Port of the node API.
	Port = 4944

	maxConns     = 64       // a node provider and a few monitors
	maxBody      = 64 << 10 // bytes of a JSON body
	maxBundle    = 2 << 30  // bytes; a release has about 130 MB
	headTimeout  = 10 * time.Second
	replyTimeout = 60 * time.Second // a TPM is slow, an emulated one slower
	uploadTime   = 30 * time.Minute // a bundle over a poor line
	idleTimeout  = 5 * time.Second  // an idle connection keeps others out
	maxHeader    = 16 << 10
)

// A Node is what the interface is to.
type Node interface {
	Status() Status
	Identity(ctx context.Context) (any, error)
	Activate(ctx context.Context, challenge json.RawMessage) (any, error)
	Attest(ctx context.Context, nonce []byte) (any, error)
	// Upgrade reads a bundle to its end, leaves the release ready for its trial
	// boot, and returns before the restart.
	Upgrade(ctx context.Context, bundle io.Reader) (Upgraded, error)
	Restart(reason string)
	Shutdown(reason string)
}

// Upgraded is the answer to an upgrade.
type Upgraded struct {
	Version string `json:"version"`
	Slot    string `json:"slot"`
	Next    string `json:"next"` // what happens now
}

// ErrBusy is an error of Node for what can be tried again later.
var ErrBusy = errors.New("busy")

// ErrUnavailable is an error of Node for what this machine cannot do.
var ErrUnavailable = errors.New("not available")

// Serve answers on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, node Node, admins []ed25519.PublicKey) error {
	srv := &http.Server{
		Handler:           Handler(node, admins),
		ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		// The time for a body is set by each handler: a bundle takes long.
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(&limited{Listener: l, slots: make(chan struct{}, maxConns)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("node API: %w", err)
}

// Handler is the interface without its socket.
func Handler(node Node, admins []ed25519.PublicKey) http.Handler {
	s := &server{node: node, gate: newGate(admins)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.plain(func(*http.Request) (any, error) { return node.Status(), nil }))
	mux.HandleFunc("GET /v1/nonce", s.plain(func(*http.Request) (any, error) { return Nonce{s.gate.nonce()}, nil }))
	mux.HandleFunc("GET /v1/identity", s.plain(func(r *http.Request) (any, error) { return node.Identity(r.Context()) }))
	mux.HandleFunc("POST /v1/activate", s.plain(s.activate))
	mux.HandleFunc("POST /v1/attest", s.plain(s.attest))
	mux.HandleFunc("POST /v1/upgrade", s.upgrade)
	mux.HandleFunc("POST /v1/reboot", s.order(node.Restart, "an administrator asks for a restart"))
	mux.HandleFunc("POST /v1/shutdown", s.order(node.Shutdown, "an administrator asks for a shutdown"))
	return mux
}

// Nonce is the answer of GET /v1/nonce.
type Nonce struct {
	Nonce string `json:"nonce"`
}

// AttestRequest is the body of POST /v1/attest.
type AttestRequest struct {
	Nonce []byte `json:"nonce"` // base64 in JSON
}

type server struct {
	node Node
	gate *gate
}

func (s *server) plain(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		deadlines(w, replyTimeout)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		answer, err := do(r)
		reply(w, answer, err)
	}
}

func (s *server) activate(r *http.Request) (any, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, badRequest{err}
	}
	if !json.Valid(raw) {
		return nil, badRequest{errors.New("the body is not JSON")}
	}
	return s.node.Activate(r.Context(), raw)
}

func (s *server) attest(r *http.Request) (any, error) {
	var req AttestRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, badRequest{fmt.Errorf("the body is not {\"nonce\": BASE64}: %w", err)}
	}
	if len(req.Nonce) < evidence.MinNonce || len(req.Nonce) > evidence.MaxNonce {
		return nil, badRequest{fmt.Errorf("a nonce of %d bytes: want %d to %d", len(req.Nonce), evidence.MinNonce, evidence.MaxNonce)}
	}
	return s.node.Attest(r.Context(), req.Nonce)
}

// upgrade streams the body to the node; what was signed and what came are
// compared before its end reaches the reader.
func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	deadlines(w, uploadTime)
	sum, err := s.gate.check(r)
	if err != nil {
		reply(w, nil, denied{err})
		return
	}
	body := &checked{r: http.MaxBytesReader(w, r.Body, maxBundle), hash: sha256.New(), want: sum}
	answer, err := s.node.Upgrade(r.Context(), body)
	if err != nil {
		_, _ = io.Copy(io.Discard, body) // who is still sending would not hear the answer
	}
	reply(w, answer, err)
	if err == nil {
		_ = http.NewResponseController(w).Flush()
		s.node.Restart("release " + answer.Version + " is to be tried")
	}
}

func (s *server) order(do func(string), reason string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		deadlines(w, replyTimeout)
		if _, err := s.gate.check(r); err != nil {
			reply(w, nil, denied{err})
			return
		}
		reply(w, map[string]string{"next": reason}, nil)
		_ = http.NewResponseController(w).Flush()
		do(reason)
	}
}

// checked gives the body and fails at its end if it is not what was signed.
type checked struct {
	r    io.Reader
	hash hash.Hash
	want [sha256.Size]byte
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && [sha256.Size]byte(c.hash.Sum(nil)) != c.want {
		return n, errors.New("the body is not what was signed: it was damaged on the way")
	}
	return n, err
}

// What went wrong, as HTTP knows it.
type (
	badRequest struct{ error }
	denied     struct{ error }
)

func (b badRequest) Unwrap() error { return b.error }

func reply(w http.ResponseWriter, answer any, err error) {
	code := http.StatusOK
	if err != nil {
		code = statusOf(err)
		answer = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func statusOf(err error) int {
	var bad badRequest
	var no denied
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &no):
		return http.StatusForbidden
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, ErrBusy):
		return http.StatusConflict
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusUnprocessableEntity
}

func deadlines(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(d))
	_ = c.SetWriteDeadline(time.Now().Add(d + replyTimeout)) // writing a slot goes on after the last byte came
}

// limited accepts no more connections than it has slots for: the others wait
// in the kernel's queue.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, l: l}, nil
}

type slotted struct {
	net.Conn
	l    *limited
	once sync.Once // net/http closes when it is done, and when the server is closed meanwhile
}

func (s *slotted) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() { <-s.l.slots })
	return err
}
