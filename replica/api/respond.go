package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
)

// handler answers a request or returns the error to answer with.
type handler func(w http.ResponseWriter, r *http.Request) error

// httpError is an answer that is not the endpoint's: a status and a text.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return &httpError{http.StatusForbidden, fmt.Sprintf(format, args...)}
}

// edge is an error of what mainnet has in front of its subnets, by which clients tell
// one from another.
func edge(status int, name, format string, args ...any) error {
	return &httpError{status, "error: " + name + "\ndetails: " + fmt.Sprintf(format, args...)}
}

func tooLarge(limit int64) error {
	return edge(http.StatusRequestEntityTooLarge, "payload_too_large", "Payload is too large: maximum body size is %d bytes.", limit)
}

// retryAfter is in seconds; a round takes less.
const retryAfter = 1

func writeError(w http.ResponseWriter, err error) {
	var known *httpError
	switch {
	case errors.As(err, &known):
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		known = &httpError{http.StatusTooManyRequests, err.Error()}
	default: // what failed inside is not the client's to know
		known = &httpError{http.StatusInternalServerError, "Internal error, the request may succeed if retried later"}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(known.status)
	fmt.Fprint(w, known.text)
}

func writeCBOR(w http.ResponseWriter, v any) error { return writeBytes(w, cbor.Marshal(v)) }

// writeBytes answers with CBOR.
func writeBytes(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", contentCBOR)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
	return nil
}

// rejection is the body of a call that was refused before it became part of the state.
type rejection struct {
	Status    string `cbor:"status,omitempty"` // v3 and later
	Code      uint8  `cbor:"reject_code"`
	Message   string `cbor:"reject_message"`
	ErrorCode string `cbor:"error_code,omitempty"`
}

func rejectionOf(e *ic.UserError, status string) rejection {
	r := e.Reject()
	return rejection{Status: status, Code: uint8(r.Class), Message: r.Message, ErrorCode: errorCode(r.Code)}
}

func errorCode(c ic.ErrorCode) string {
	if c == 0 {
		return ""
	}
	return c.String()
}

// cors lets scripts of any origin use the API: it has no cookies, what a
// request may do is in its signature.
func cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, X-Request-Id, Retry-After")
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", "HEAD, GET, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Accept, Accept-Encoding, Content-Type, Cache-Control, If-Modified-Since, If-None-Match, Range, User-Agent, X-Requested-With, X-IC-Canister-Id")
		h.Set("Access-Control-Max-Age", "7200") // seconds: the most that browsers accept
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// status answers GET /api/v2/status.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		RootKey []byte `cbor:"root_key,omitempty"`
		Version string `cbor:"impl_version,omitempty"`
		Health  string `cbor:"replica_health_status"`
		Height  uint64 `cbor:"certified_height"`
	}{Version: s.cfg.Version, Health: s.node.Healthy()}
	if !s.cfg.HideRootKey {
		out.RootKey = s.node.RootKey()
	}
	if state := s.node.Certified(); state != nil {
		out.Height = uint64(state.Height)
	}
	return writeCBOR(w, out)
}

// health answers GET /health, as load balancers ask boundary nodes: 204 or 503.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	_, err := s.ready()
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}
