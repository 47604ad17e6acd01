package agent

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cbor"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

func identity(t *testing.T, n byte) Identity {
	t.Helper()
	i, err := Ed25519(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// serve runs the API over a test node and returns an agent for it. Each step
// between the two may be changed.
func serve(t *testing.T, n *apitest.Node, between func(http.Handler) http.Handler) *Agent {
	t.Helper()
	var h http.Handler = api.New(n, api.Config{Limits: api.Limits{SyncWait: time.Millisecond}})
	if between != nil {
		h = between(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	a, err := New(srv.URL, Options{Identity: identity(t, 1), Now: func() time.Time { return time.Unix(0, int64(n.Clock)) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.FetchRootKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCallAndQuery(t *testing.T) {
	for _, delegated := range []bool{false, true} {
		n := apitest.New(delegated)
		a := serve(t, n, nil)
		for name, by := range map[string]envelope.Signer{"Ed25519": identity(t, 1), "nobody": Anonymous} {
			as := a.As(by)
			if reply, err := as.Call(t.Context(), apitest.Canister, "echo", []byte("hello")); err != nil || string(reply) != "hello" {
				t.Errorf("call by %s: %q, %v", name, reply, err)
			}
			if reply, err := as.Query(t.Context(), apitest.Canister, "echo", []byte("hello")); err != nil || string(reply) != "hello" {
				t.Errorf("query by %s: %q, %v", name, reply, err)
			}
			var rej *Rejected
			if _, err := as.Call(t.Context(), apitest.Canister, "trap", nil); !errors.As(err, &rej) || rej.Class != ic.CanisterError || rej.ErrorCode != "IC0503" || !rej.Certified {
				t.Errorf("trap: %v", err)
			}
			if _, err := as.Call(t.Context(), apitest.Canister, "refuse", nil); !errors.As(err, &rej) || rej.ErrorCode != "IC0406" || rej.Certified {
				t.Errorf("refuse: %v", err)
			}
			if _, err := as.Query(t.Context(), apitest.Canister, "reject", nil); !errors.As(err, &rej) || rej.ErrorCode != "IC0406" {
				t.Errorf("rejected query: %v", err)
			}
		}
		s, err := a.Status(t.Context())
		if err != nil || s.Health != "healthy" {
			t.Errorf("%+v, %v", s, err)
		}
		c, err := a.ReadSubnet(t.Context(), n.SubnetID(), hashtree.P("subnet", string(n.SubnetID().Principal), "type"))
		if err != nil {
			t.Error(err)
		} else if v, s := c.Tree.Lookup(hashtree.P("subnet", string(n.SubnetID().Principal), "type")); s != hashtree.Found || string(v) != "application" {
			t.Errorf("type is %q, %v", v, s)
		}
	}
}

// held is a call that a node has accepted and holds.
func held(t *testing.T) (*apitest.Node, *Sent) {
	t.Helper()
	n := apitest.New(false)
	n.Hold = true
	sent, err := serve(t, n, nil).Submit(t.Context(), apitest.Canister, apitest.Canister, "echo", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return n, sent
}

// A call that takes longer than the node waits is polled for.
func TestPoll(t *testing.T) {
	n, sent := held(t)
	n.Release()
	if reply, err := sent.Wait(t.Context()); err != nil || string(reply) != "hello" {
		t.Errorf("%q, %v", reply, err)
	}
}

// A call that no block took is told to have expired, as soon as that is certain.
func TestExpired(t *testing.T) {
	n, sent := held(t)
	n.Lose(ic.Time(requestTTL) - 1) // it may still be executed
	ctx, cancel := context.WithTimeout(t.Context(), 4*pollFirst)
	defer cancel()
	if _, err := sent.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before its expiry: %v", err)
	}
	n.Lose(2)
	if _, err := sent.Wait(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("after its expiry: %v", err)
	}
}

// A node without v4 is called by v2.
func TestOlderNode(t *testing.T) {
	n := apitest.New(false)
	a := serve(t, n, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/v4") {
				http.NotFound(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	if reply, err := a.Call(t.Context(), apitest.Canister, "echo", []byte("hello")); err != nil || string(reply) != "hello" {
		t.Errorf("%q, %v", reply, err)
	}
}

// A node that lies is not believed.
func TestLies(t *testing.T) {
	type body = map[string]any
	n := apitest.New(true)
	other := apitest.New(true)
	for name, c := range map[string]struct {
		endpoint string
		change   func(body)
	}{
		"another reply": {"/query", func(b body) { b["reply"] = body{"arg": []byte("other")} }},
		"a reject for reply": {"/query", func(b body) {
			delete(b, "reply")
			b["status"], b["reject_code"], b["reject_message"] = "rejected", 4, "no"
		}},
		"no signature": {"/query", func(b body) { b["signatures"] = []any{} }},
		"another node": {"/query", func(b body) {
			b["signatures"].([]any)[0].(map[any]any)["identity"] = other.NodeID().Bytes()
		}},
		"an old signature": {"/query", func(b body) {
			b["signatures"].([]any)[0].(map[any]any)["timestamp"] = uint64(n.Clock) - 600e9
		}},
		"no certificate":    {"/call", func(b body) { b["certificate"] = []byte{} }},
		"a certificate cut": {"/call", func(b body) { b["certificate"] = b["certificate"].([]byte)[:100] }},
		"a byte changed":    {"/call", func(b body) { c := b["certificate"].([]byte); c[bytes.Index(c, []byte("hello"))] ^= 1 }},
		"a certificate of another call": {"/call", func(b body) {
			c := n.Certified()
			raw := cbor.Marshal(struct {
				Tree *hashtree.Tree `cbor:"tree"`
				Sig  []byte         `cbor:"signature"`
				D    cbor.Raw       `cbor:"delegation"`
			}{c.Tree.Witness([]hashtree.Path{hashtree.P("time"), hashtree.P("subnet")}), c.Signature, c.Delegation(true)})
			b["certificate"] = raw
		}},
	} {
		a := serve(t, n, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, c.endpoint) {
					h.ServeHTTP(w, r)
					return
				}
				honest := httptest.NewRecorder()
				h.ServeHTTP(honest, r)
				b := body{}
				if err := cbor.Unmarshal(honest.Body.Bytes(), &b); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				c.change(b)
				_, _ = w.Write(cbor.Marshal(b))
			})
		})
		var err error
		if c.endpoint == "/call" {
			_, err = a.Call(t.Context(), apitest.Canister, "echo", []byte("hello"))
		} else {
			_, err = a.Query(t.Context(), apitest.Canister, "echo", []byte("hello"))
		}
		var rej *Rejected
		if err == nil || errors.As(err, &rej) {
			t.Errorf("%s: believed: %v", name, err)
		}
	}
}

// A certificate by the right keys that is too old is not believed, nor one of
// another network.
func TestOldCertificate(t *testing.T) {
	n := apitest.New(false)
	a := serve(t, n, nil)
	if _, err := a.ReadState(t.Context(), apitest.Canister); err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return time.Unix(0, int64(n.Clock)).Add(6 * time.Minute) }
	if _, err := a.As(Anonymous).ReadState(t.Context(), apitest.Canister); err == nil || !strings.Contains(err.Error(), "6m0s old") {
		t.Errorf("an old certificate: %v", err)
	}
	a.now = func() time.Time { return time.Unix(0, int64(n.Clock)) }
	a.rootKey = apitest.New(false).RootKey()
	if _, err := a.ReadState(t.Context(), apitest.Canister); err == nil {
		t.Error("another network: believed")
	}
	a.rootKey = nil
	if _, err := a.ReadState(t.Context(), apitest.Canister); err == nil || !strings.Contains(err.Error(), "no root key") {
		t.Errorf("no root key: %v", err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := New("not a url", Options{}); err == nil {
		t.Error("a URL without host was accepted")
	}
	n := apitest.New(false)
	a := serve(t, n, nil)
	var h *HTTPError
	if _, err := a.Call(t.Context(), ic.CanisterIDFromUint64(1<<40), "echo", nil); !errors.As(err, &h) || h.Status != 400 {
		t.Errorf("a canister of another subnet: %v", err)
	}
	big := serve(t, n, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				next.ServeHTTP(w, r)
				return
			}
			_, _ = w.Write(make([]byte, maxReplyBytes+1))
		})
	})
	if _, err := big.Query(t.Context(), apitest.Canister, "echo", nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an answer without end: %v", err)
	}
}
