package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

type node struct {
	got                 []byte
	err                 error
	restarted, shutdown string
}

func (n *node) Status() Status { return Status{Name: "node-1"} }
func (n *node) Identity(context.Context) (any, error) {
	return nil, fmt.Errorf("no TPM: %w", ErrUnavailable)
}
func (n *node) Attest(_ context.Context, b []byte) (any, error) { return b, nil }
func (n *node) Activate(_ context.Context, c json.RawMessage) (any, error) {
	return c, nil
}
func (n *node) Upgrade(_ context.Context, r io.Reader) (Upgraded, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return Upgraded{}, err
	}
	n.got = b
	return Upgraded{Version: "2"}, n.err
}
func (n *node) Restart(why string)  { n.restarted = why }
func (n *node) Shutdown(why string) { n.shutdown = why }

type lab struct {
	t   *testing.T
	n   *node
	srv *httptest.Server
	key ed25519.PrivateKey
}

func newLab(t *testing.T) *lab {
	pub, key, _ := ed25519.GenerateKey(rand.Reader)
	l := &lab{t: t, n: &node{}, key: key}
	l.srv = httptest.NewServer(Handler(l.n, []ed25519.PublicKey{pub}))
	t.Cleanup(l.srv.Close)
	return l
}

func (l *lab) do(r *http.Request) (int, string) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (l *lab) request(method, path string, body []byte) *http.Request {
	r, err := http.NewRequest(method, l.srv.URL+path, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *lab) nonce() string {
	_, body := l.do(l.request("GET", "/v1/nonce", nil))
	var n Nonce
	if err := json.Unmarshal([]byte(body), &n); err != nil || len(n.Nonce) != 64 {
		l.t.Fatalf("nonce %q %v", body, err)
	}
	return n.Nonce
}

func (l *lab) signed(path string, body []byte) *http.Request {
	r := l.request("POST", path, body)
	Sign(r, l.key, l.nonce(), sha256.Sum256(body))
	return r
}

func TestASignedUpgrade(t *testing.T) {
	l := newLab(t)
	code, body := l.do(l.signed("/v1/upgrade", []byte("bundle")))
	if code != 200 || !strings.Contains(body, `"version":"2"`) || string(l.n.got) != "bundle" || l.n.restarted == "" {
		t.Errorf("%d %s, got %q, restarted %q", code, body, l.n.got, l.n.restarted)
	}
	l.n.err, l.n.restarted = fmt.Errorf("an upgrade runs: %w", ErrBusy), ""
	if code, body := l.do(l.signed("/v1/upgrade", nil)); code != 409 || l.n.restarted != "" {
		t.Errorf("busy: %d %s, restarted %q", code, body, l.n.restarted)
	}
	if code, _ := l.do(l.signed("/v1/shutdown", nil)); code != 200 || l.n.shutdown == "" {
		t.Errorf("shutdown: %d", code)
	}
}

func TestUnsignedAndForgedRequestsAreDenied(t *testing.T) {
	l := newLab(t)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	for _, tc := range []struct {
		name, says string
		make       func() *http.Request
	}{
		{"unsigned", "not signed", func() *http.Request { return l.request("POST", "/v1/reboot", nil) }},
		{"a stranger's key", "not an administrator's", func() *http.Request {
			r := l.request("POST", "/v1/reboot", nil)
			Sign(r, stranger, l.nonce(), sha256.Sum256(nil))
			return r
		}},
		{"made for another path", "does not fit", func() *http.Request {
			r := l.signed("/v1/shutdown", nil)
			r.URL.Path = "/v1/reboot"
			return r
		}},
		{"a nonce of our own", "before, or too late", func() *http.Request {
			r := l.request("POST", "/v1/reboot", nil)
			Sign(r, l.key, strings.Repeat("ab", 32), sha256.Sum256(nil))
			return r
		}},
		{"another body announced", "does not fit", func() *http.Request {
			r := l.signed("/v1/reboot", nil)
			r.Header.Set(headerBody, strings.Repeat("00", 32))
			return r
		}},
		{"no body announced", "what it will send", func() *http.Request {
			r := l.signed("/v1/reboot", nil)
			r.Header.Del(headerBody)
			return r
		}},
	} {
		code, body := l.do(tc.make())
		if code != 403 || !strings.Contains(body, tc.says) || l.n.restarted != "" {
			t.Errorf("%s: %d %s", tc.name, code, body)
		}
	}
}

func TestARequestWorksOnce(t *testing.T) {
	l := newLab(t)
	r := l.signed("/v1/reboot", nil)
	again := l.request("POST", "/v1/reboot", nil)
	again.Header = r.Header.Clone()
	if code, _ := l.do(r); code != 200 {
		t.Fatalf("first: %d", code)
	}
	if code, body := l.do(again); code != 403 || !strings.Contains(body, "sent before") {
		t.Errorf("again: %d %s", code, body)
	}
}

func TestAnotherBodyThanSignedFailsTheUpgrade(t *testing.T) {
	l := newLab(t)
	r := l.request("POST", "/v1/upgrade", []byte("changed"))
	Sign(r, l.key, l.nonce(), sha256.Sum256([]byte("bundle!")))
	if code, body := l.do(r); code != 422 || !strings.Contains(body, "not what was signed") || l.n.got != nil || l.n.restarted != "" {
		t.Errorf("%d %s", code, body)
	}
}

func TestPlainRequests(t *testing.T) {
	l := newLab(t)
	for _, tc := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/v1/status", "", 200, `"name":"node-1"`},
		{"GET", "/v1/identity", "", 503, "no TPM"},
		{"POST", "/v1/attest", `{"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`, 200, "AAAAAAAAAAAAAAAAAAAAAA=="},
		{"POST", "/v1/attest", `{"nonce":"AAAA"}`, 400, "a nonce of 3 bytes"},
		{"POST", "/v1/attest", `x`, 400, "the body is not"},
		{"POST", "/v1/activate", `{`, 400, "not JSON"},
		{"POST", "/v1/activate", `"` + strings.Repeat("x", maxBody) + `"`, 413, "too large"},
		{"GET", "/v1/upgrade", "", 405, ""},
		{"GET", "/", "", 404, ""},
	} {
		code, body := l.do(l.request(tc.method, tc.path, []byte(tc.body)))
		if code != tc.code || !strings.Contains(body, tc.says) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, code, body)
		}
	}
}

func TestNoncesExpireAndNobodyPushesThemOut(t *testing.T) {
	g := newGate(nil)
	now := time.Hour
	g.since = func() time.Duration { return now }
	first := g.nonce()
	for range 10000 { // a stranger asks for many
		g.nonce()
	}
	if len(g.used) != 0 || !g.take(first) || g.take(first) {
		t.Errorf("%d kept; the first nonce must be good, once", len(g.used))
	}
	n := g.nonce()
	now += nonceLife + 1
	if g.take(n) {
		t.Error("a nonce lives for ever")
	}
	g.take(g.nonce())
	if len(g.used) != 1 {
		t.Errorf("%d used nonces are kept that have expired anyway", len(g.used))
	}
	for range 2 * maxUsed {
		g.take(g.nonce())
	}
	if len(g.used) != maxUsed {
		t.Errorf("%d used nonces are kept, want at most %d", len(g.used), maxUsed)
	}
}

func TestANonceIsThisNodesAndThisBoots(t *testing.T) {
	g := newGate(nil)
	n := g.nonce()
	for name, n := range map[string]string{
		"another node's": newGate(nil).nonce(), "empty": "", "not hex": strings.Repeat("x", 64), "short": n[:62],
		"another time": strings.Replace(n, n[:16], "ffffffffffffffff", 1), "of zeros": strings.Repeat("0", 64),
	} {
		if g.take(n) {
			t.Errorf("%s: taken", name)
		}
	}
	if !g.take(n) {
		t.Error("our own is refused")
	}
}

func TestAConnectionGivesItsPlaceBackOnce(t *testing.T) {
	l := &limited{slots: make(chan struct{}, 2)}
	l.slots <- struct{}{}
	l.slots <- struct{}{}
	here, _ := net.Pipe()
	c := &slotted{Conn: here, l: l}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { c.Close() })
	}
	both.Wait()
	if len(l.slots) != 1 {
		t.Errorf("%d places are taken, want one", len(l.slots))
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, l, &node{}, nil) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
