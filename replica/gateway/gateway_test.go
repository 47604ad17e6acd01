package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ashlar/replica/agent"
	"ashlar/replica/gateway"
	"ashlar/replica/gateway/certified"
	"ashlar/replica/gateway/certified/certifiedtest"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/hashtree"
)

const now = ic.Time(1_800_000_000_000_000_000)

var canister = ic.CanisterIDFromUint64(7)

// token is the type that the test's canister uses for its streams.
type token struct {
	Key  string  `candid:"key"`
	Part uint32  `candid:"part"`
	Hash *[]byte `candid:"sha256"`
}

type strategy struct {
	candid.OneOf
	Callback *callback `candid:"Callback"`
}

type callback struct {
	Callback candid.Func `candid:"callback"`
	Token    token       `candid:"token"`
}

type reply struct {
	Status   uint16             `candid:"status_code"`
	Headers  []certified.Header `candid:"headers"`
	Body     []byte             `candid:"body"`
	Upgrade  *bool              `candid:"upgrade"`
	Strategy *strategy          `candid:"streaming_strategy"`
}

type request struct {
	Method  string             `candid:"method"`
	URL     string             `candid:"url"`
	Headers []certified.Header `candid:"headers"`
	Body    []byte             `candid:"body"`
	Version *uint16            `candid:"certificate_version"`
}

func (r request) header(name string) string {
	for _, h := range r.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

type chunk struct {
	Body  []byte `candid:"body"`
	Token *token `candid:"token"`
}

// network is one canister, in Go.
type network struct {
	*certifiedtest.Site
	query, call func(method string, arg []byte) ([]byte, error)
	metadata    *hashtree.Tree // what read_state shows; nil for an error
	asked       []request
	to          []ic.CanisterID
	called      []string
}

func newNetwork() *network { return &network{Site: certifiedtest.New(canister, now)} }

func (n *network) Query(_ context.Context, c ic.CanisterID, method string, arg []byte) ([]byte, error) {
	n.to = append(n.to, c)
	if method == "http_request" {
		var r request
		if err := candid.Unmarshal(arg, &r); err != nil {
			return nil, err
		}
		n.asked = append(n.asked, r)
	}
	return n.query(method, arg)
}

func (n *network) Call(_ context.Context, _ ic.CanisterID, method string, arg []byte) ([]byte, error) {
	n.called = append(n.called, method)
	return n.call(method, arg)
}

func (n *network) ReadState(context.Context, ic.CanisterID, ...hashtree.Path) (*cert.Certificate, error) {
	if n.metadata == nil {
		return nil, errors.New("no answer")
	}
	return &cert.Certificate{Tree: n.metadata}, nil
}

// answers makes the canister answer http_request with this.
func (n *network) answers(r reply) *network {
	n.query = func(string, []byte) ([]byte, error) { return candid.Marshal(r), nil }
	return n
}

func (n *network) gateway(domains ...string) *gateway.Gateway {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the API's ", r.URL.Path) })
	return gateway.New(gateway.Config{Canisters: n, RootKey: n.Key.PublicKey().DER(), BLS: agent.VerifyBLS,
		Now: func() ic.Time { return now }, API: api, Domains: domains})
}

func (n *network) open(method, url string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, strings.Replace(url, "ID", canister.String(), 1), nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	n.gateway().ServeHTTP(w, r)
	return w
}

func (n *network) get(url string, header ...string) *httptest.ResponseRecorder {
	return n.open("GET", url, header...)
}

func html(body string) reply {
	return reply{Status: 200, Body: []byte(body), Headers: []certified.Header{{Name: "content-type", Value: "text/html"}, {Name: "X-Other", Value: "1"}}}
}

// certify signs the reply for everything at the site.
func (n *network) certify(r reply, url ...string) reply {
	path := certifiedtest.Path("<*>")
	resp := n.Put(path, certifiedtest.Reply, certified.Request{}, certified.Response{Status: r.Status, Headers: r.Headers, Body: r.Body})
	if len(url) == 0 {
		url = []string{""}
	}
	r.Headers = n.Sign(url, path, resp).Headers
	return r
}

const home = "http://ID.localhost:4943/"

// The ways to name a canister.
func TestHosts(t *testing.T) {
	id := canister.String()
	for _, c := range []struct {
		url, referer string
		found        bool
		raw          bool
	}{
		{"http://" + id + ".localhost:4943/a", "", true, false},
		{"http://" + strings.ToUpper(id) + ".LOCALHOST./a", "", true, false},
		{"http://my-app--" + id + ".localhost/a", "", true, false},
		{"http://" + id + ".raw.localhost:4943/a", "", true, true},
		{"http://" + id + ".example.org/a", "", true, false},
		{"http://" + id + ".raw.example.org:1/a", "", true, true},
		{"http://" + id + ".app.example.org/a", "", true, false},
		{"http://127.0.0.1:4943/a?canisterId=" + id, "", true, false},
		{"http://localhost:4943/a?b=c&canisterId=" + id, "", true, false},
		{"http://localhost:4943/a.css", "http://localhost:4943/?canisterId=" + id, true, false},
		{"http://localhost:4943/a.css", "http://elsewhere:4943/?canisterId=" + id, false, false},
		{"http://localhost:4943/a.css", "http://localhost:4943/?canisterId=x", false, false},
		{"http://localhost:4943/a", "", false, false},
		{"http://" + id + ".other.org/a", "", false, false},
		{"http://a." + id + ".localhost/a", "", false, false},
		{"http://" + id[1:] + ".localhost/a", "", false, false},
		{"http://aaaaa-aa.localhost/a", "", false, false},
		{"http://localhost:4943/a?canisterId=x", "", false, false},
	} {
		n := newNetwork().answers(html("hello"))
		r := httptest.NewRequest("GET", c.url, nil)
		r.Header.Set("Referer", c.referer)
		w := httptest.NewRecorder()
		n.gateway("localhost", "example.org", "App.example.org").ServeHTTP(w, r)
		found := len(n.to) == 1 && n.to[0] == canister
		if found != c.found || c.raw != (w.Code == 200) || !c.found && w.Code != http.StatusBadRequest {
			t.Errorf("%s: asked %v, status %d: %s", c.url, n.to, w.Code, w.Body)
		}
	}
}

// What is not a canister's goes to the API, or says what the address is.
func TestPathsThatAreNoCanisters(t *testing.T) {
	n := newNetwork().answers(html("hello"))
	for url, want := range map[string]string{
		"http://localhost:4943/api/v2/status": "the API's", "http://ID.localhost/api/v3/canister/x/query": "the API's", "http://127.0.0.1/api/v4/subnet/x/call": "the API's",
		"http://localhost:4943/metrics": "the API's", "http://localhost/_/dashboard": "the API's", "http://localhost:4943/": "http://<canister-id>.localhost:4943/", "http://localhost/x": "names no canister", "http://host/x": "Unknown domain",
	} {
		if w := n.get(url); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
	if len(n.asked) > 0 {
		t.Errorf("the canister was asked: %+v", n.asked)
	}
	n.get("http://ID.localhost/metrics")
	n.get("http://ID.localhost/api/v1/mine")
	if len(n.asked) != 2 {
		t.Errorf("paths of the canister's own: it was asked %d times", len(n.asked))
	}
}

func TestTheRequest(t *testing.T) {
	n := newNetwork().answers(html("hello"))
	r := httptest.NewRequest("POST", "http://"+canister.String()+".raw.localhost/a%20b/c?d=e%26", strings.NewReader("body"))
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Add("X-Two", "1")
	r.Header.Add("X-Two", "2")
	r.Header.Set("X-Request-Id", "9")
	n.gateway().ServeHTTP(httptest.NewRecorder(), r)
	q := n.asked[0]
	if q.Method != "POST" || q.URL != "/a%20b/c?d=e%26" || string(q.Body) != "body" || q.Version == nil || *q.Version != 2 {
		t.Errorf("%+v", q)
	}
	if got := fmt.Sprint(q.Headers); got != "[{accept-encoding gzip, identity} {host "+canister.String()+".raw.localhost} {x-two 1} {x-two 2}]" {
		t.Errorf("headers: %s", got)
	}
	r = httptest.NewRequest("POST", "http://"+canister.String()+".localhost/", bytes.NewReader(make([]byte, 4<<20)))
	w := httptest.NewRecorder()
	if n.gateway().ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge || len(n.asked) != 1 {
		t.Errorf("4 MiB: %d %s", w.Code, w.Body)
	}
	r = httptest.NewRequest("GET", "http://"+canister.String()+".localhost/", nil)
	r.Header.Set("X-Latin", "caf\xe9")
	w = httptest.NewRecorder()
	if n.gateway().ServeHTTP(w, r); w.Code != http.StatusBadRequest || len(n.asked) != 1 {
		t.Errorf("a header that is not UTF-8: %d %s", w.Code, w.Body)
	}
}

// A certified page arrives, with the headers that are certified.
func TestCertified(t *testing.T) {
	n := newNetwork()
	n.answers(n.certify(html("<h1>hello</h1>")))
	w := n.get(home)
	if w.Code != 200 || w.Body.String() != "<h1>hello</h1>" || w.Header().Get("Content-Type") != "text/html" || w.Header().Get("X-Other") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w.Header().Get("Ic-Certificate") == "" || w.Header().Get("X-Ic-Canister-Id") != canister.String() || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", w.Header())
	}
	if w := n.open("HEAD", home); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") != "14" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	moved := newNetwork()
	moved.answers(moved.certify(reply{Status: 302, Headers: []certified.Header{{Name: "Location", Value: "/new"}}}))
	if w := moved.get(home); w.Code != 302 || w.Header().Get("Location") != "/new" {
		t.Errorf("redirect: %d %v", w.Code, w.Header())
	}
}

// What is not certified is a page that says so, and what the raw address is for.
func TestUncertified(t *testing.T) {
	n := newNetwork()
	good := n.certify(html("hello"))
	evil := good
	evil.Body = []byte("HELLO")
	for name, r := range map[string]reply{"no certificate": html("hello"), "another body": evil} {
		w := n.answers(r).get(home, "Accept", "text/html,*/*")
		body := w.Body.String()
		if w.Code != http.StatusServiceUnavailable || strings.Contains(body, "HELLO") || !strings.Contains(body, "Response verification failed") ||
			!strings.Contains(body, `href="http://`+canister.String()+`.raw.localhost:4943/"`) || w.Header().Get("X-Ic-Error-Cause") != "backend_response_verification" {
			t.Errorf("%s: %d %v\n%s", name, w.Code, w.Header(), body)
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", name, w.Header())
		}
		if w := n.get("http://ID.raw.localhost/"); w.Code != 200 || w.Body.String() != string(r.Body) || w.Header().Get("X-Other") != "1" {
			t.Errorf("%s, raw: %d %s", name, w.Code, w.Body)
		}
	}
	if w := n.get(home); !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || strings.Contains(w.Body.String(), "<p>") {
		t.Errorf("for a program: %v %s", w.Header(), w.Body)
	}
	if w := n.get(home+"?<script>alert(1)</script>", "Accept", "text/html"); strings.Contains(w.Body.String(), "<script>") {
		t.Error("the page repeats what it was given")
	}
}

// Version 1 is believed unless the canister promises more.
func TestDowngrade(t *testing.T) {
	promise := func(v string) *hashtree.Tree {
		return hashtree.NewLabeled([]byte("canister"), hashtree.NewLabeled([]byte(canister.Principal), hashtree.NewLabeled([]byte("metadata"),
			hashtree.NewLabeled([]byte("supported_certificate_versions"), hashtree.NewLeaf([]byte(v))))))
	}
	for name, c := range map[string]struct {
		metadata *hashtree.Tree
		ok       bool
	}{
		"no promise": {hashtree.NewLabeled([]byte("canister"), nil), true}, "1": {promise("1"), true}, "1,2": {promise("1, 2"), false},
		"unknown": {hashtree.NewPruned([32]byte{}), false}, "no answer": {nil, false},
	} {
		n := newNetwork()
		n.metadata = c.metadata
		n.PutLegacy("/", []byte("hello"))
		r := html("hello")
		r.Headers = n.SignLegacy("/", certified.Response{Headers: append(r.Headers, certified.Header{Name: "cache-control", Value: "max-age=9"})}).Headers
		w := n.answers(r).get(home)
		if (w.Code == 200) != c.ok || c.ok && (w.Body.String() != "hello" || w.Header().Get("Cache-Control") != "") {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}

// upgrade makes a call of it; the reply of a call needs no certificate of its own.
func TestUpgrade(t *testing.T) {
	n, yes := newNetwork(), true
	n.answers(reply{Status: 1, Upgrade: &yes})
	n.call = func(method string, arg []byte) ([]byte, error) {
		var r request
		if err := candid.Unmarshal(arg, &r); err != nil || r.Version != nil || r.URL != "/form" {
			t.Errorf("%s: %+v, %v", method, r, err)
		}
		return candid.Marshal(html("done")), nil
	}
	if w := n.open("POST", "http://ID.localhost/form"); w.Code != 200 || w.Body.String() != "done" || w.Header().Get("X-Other") != "1" || fmt.Sprint(n.called) != "[http_request_update]" {
		t.Errorf("%d %s, called %v", w.Code, w.Body, n.called)
	}
}

// streamed answers with its body in chunks of size bytes.
// A stream that cannot go on is cut: the browser sees that the body is not whole.
// A node that stops does not wait for a browser that does not read.
// ranged answers each request with the range that begins where it asks, certified.
// Replies that are no HTTP are refused; none splits the response.
// Each failure is a page with the status and the words for it.
// No more requests at once than the limit; the others are told to come again.
// blocking is a network that answers when it is told to.
// Whatever a canister replies, the gateway answers: a status and no panic.
