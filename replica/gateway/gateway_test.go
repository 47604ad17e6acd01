package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		n.gateway("localhost", "example.org").ServeHTTP(w, r)
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
func (n *network) streamed(r reply, body string, size int, method string) {
	part := func(i int) (string, *token) {
		rest := body[i*size:]
		if len(rest) <= size {
			return rest, nil
		}
		return rest[:size], &token{Key: "k", Part: uint32(i + 1)}
	}
	first, next := part(0)
	r.Body = []byte(first)
	r.Strategy = &strategy{Callback: &callback{candid.Func{Service: canister.Principal, Method: method}, *next}}
	answer := func(m string, arg []byte) ([]byte, error) {
		if m != "more" {
			return candid.Marshal(r), nil
		}
		var k token
		if err := candid.Unmarshal(arg, &k); err != nil {
			return nil, err
		}
		b, next := part(int(k.Part))
		return candid.Marshal(&chunk{[]byte(b), next}), nil
	}
	n.query, n.call = answer, answer
}

func TestStreaming(t *testing.T) {
	n := newNetwork()
	n.streamed(n.certify(html("one two three")), "one two three", 4, "more")
	if w := n.get(home); w.Code != 200 || w.Body.String() != "one two three" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	n.streamed(n.certify(html("one two three")), "one two threE", 4, "more")
	if w := n.get(home); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "one") {
		t.Errorf("a chunk that is not certified: %d %s", w.Code, w.Body)
	}
	if w := n.get("http://ID.raw.localhost/"); w.Code != 200 || w.Body.String() != "one two threE" {
		t.Errorf("raw: %d %s", w.Code, w.Body)
	}
	big := strings.Repeat("x", 65<<20)
	n.streamed(n.certify(html(big)), big, 2<<20, "more")
	if w := n.get(home); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "too large to be verified") {
		t.Errorf("65 MiB: %d", w.Code)
	}
	// After a call the chunks are called, too.
	yes := true
	n = newNetwork()
	n.streamed(html(""), "one two three", 4, "more")
	n.answers(reply{Upgrade: &yes})
	if w := n.get(home); w.Body.String() != "one two three" || fmt.Sprint(n.called) != "[http_request_update more more more]" {
		t.Errorf("%s, called %v", w.Body, n.called)
	}
	// A callback of another canister, and one without end.
	n = newNetwork()
	r := html("")
	r.Strategy = &strategy{Callback: &callback{candid.Func{Service: "other", Method: "more"}, token{}}}
	if w := n.answers(r).get("http://ID.raw.localhost/"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "another canister") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A stream that cannot go on is cut: the browser sees that the body is not whole.
func TestAStreamThatEndsTooEarlyIsCut(t *testing.T) {
	n := newNetwork()
	n.streamed(html(""), "one two three", 4, "missing")
	server := httptest.NewServer(n.gateway())
	defer server.Close()
	n.query = func(q func(string, []byte) ([]byte, error)) func(string, []byte) ([]byte, error) {
		return func(m string, arg []byte) ([]byte, error) {
			if m == "missing" {
				return nil, &agent.Rejected{Class: ic.CanisterError, ErrorCode: "IC0503", Message: "trapped"}
			}
			return q(m, arg)
		}
	}(n.query)
	req, _ := http.NewRequest("GET", server.URL, nil)
	req.Host = canister.String() + ".raw.localhost"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "one " {
		t.Errorf("%q, %v: want an error", body, err)
	}
}

// A node that stops does not wait for a browser that does not read.
func TestStopWhileABrowserDoesNotRead(t *testing.T) {
	n := newNetwork()
	sent := make(chan struct{}, 1<<10)
	more := candid.Marshal(&chunk{make([]byte, 1<<20), &token{}}) // without end
	n.streamed(html(""), "one two", 4, "more")
	first, _ := n.query("http_request", nil)
	n.query = func(m string, _ []byte) ([]byte, error) {
		if m == "http_request" {
			return first, nil
		}
		sent <- struct{}{}
		return more, nil
	}
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(n.gateway())
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s.raw.localhost\r\n\r\n", canister)
	<-sent
	stop()
	server.Close() // waits for the handler
}

// ranged answers each request with the range that begins where it asks, certified.
func (n *network) ranged(body string, size int, change func(from int, r *reply)) {
	n.query = func(_ string, arg []byte) ([]byte, error) {
		var q request
		if err := candid.Unmarshal(arg, &q); err != nil {
			return nil, err
		}
		from := 0
		_, _ = fmt.Sscanf(q.header("range"), "bytes=%d-", &from)
		to := min(from+size, len(body))
		r := reply{Status: 206, Body: []byte(body[from:to]), Headers: []certified.Header{{Name: "Content-Type", Value: "video/mp4"}, {Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(body))}}}
		r = n.certify(r, "v")
		if change != nil {
			change(from, &r)
		}
		return candid.Marshal(r), nil
	}
}

func TestRanges(t *testing.T) {
	const url = "http://ID.localhost/v"
	n := newNetwork()
	n.ranged("0123456789", 4, nil)
	w := n.get(url)
	if w.Code != 200 || w.Body.String() != "0123456789" || w.Header().Get("Content-Length") != "10" || w.Header().Get("Content-Range") != "" || w.Header().Get("Content-Type") != "video/mp4" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := n.get(url, "Range", "bytes=4-"); w.Code != 206 || w.Body.String() != "4567" || w.Header().Get("Content-Range") != "bytes 4-7/10" {
		t.Errorf("a browser's range: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := n.open("HEAD", url); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	for name, change := range map[string]func(from int, r *reply){
		"body": func(_ int, r *reply) { r.Body[0] = 'x' }, "status": func(_ int, r *reply) { r.Status = 200 },
		"order": func(_ int, r *reply) {
			*r = n.certify(reply{Status: 206, Body: []byte("89"), Headers: []certified.Header{{Name: "Content-Range", Value: "bytes 8-9/10"}}}, "v")
		},
		"total": func(_ int, r *reply) {
			*r = n.certify(reply{Status: 206, Body: []byte("4567"), Headers: []certified.Header{{Name: "Content-Range", Value: "bytes 4-7/11"}}}, "v")
		},
		"etag": func(_ int, r *reply) { r.Headers = append(r.Headers, certified.Header{Name: "etag", Value: "2"}) },
	} {
		n.ranged("0123456789", 4, func(from int, r *reply) {
			if from == 4 {
				change(from, r)
			}
		})
		func() {
			defer func() {
				if r := recover(); r != http.ErrAbortHandler {
					t.Errorf("%s: the second range was passed on: %v", name, r)
				}
			}()
			n.get(url)
		}()
	}
	for _, head := range []string{"", "bytes */10", "bytes 4-7/10", "bytes 3-0/10", "bytes 0-3/2", "bytes 0-3", "items 0-3/10", "bytes 0-99999999999999999999/99999999999999999999", "bytes 0-2/10"} {
		bad := newNetwork()
		bad.answers(bad.certify(reply{Status: 206, Body: []byte("0123"), Headers: []certified.Header{{Name: "Content-Range", Value: head}}}, "v"))
		if w := bad.get(url); w.Code != http.StatusServiceUnavailable {
			t.Errorf("first range %q: %d %s", head, w.Code, w.Body)
		}
	}
}

func TestCORS(t *testing.T) {
	n := newNetwork().answers(reply{Status: 404})
	w := n.open("OPTIONS", home, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Private-Network", "true")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "PATCH") ||
		w.Header().Get("Access-Control-Allow-Private-Network") != "true" || w.Header().Get("Access-Control-Max-Age") != "7200" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	own := newNetwork().answers(reply{Status: 204, Headers: []certified.Header{{Name: "access-control-allow-origin", Value: "https://a.example"}}})
	w = own.open("OPTIONS", "http://ID.raw.localhost/")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" || w.Header().Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("the canister's own: %d %v", w.Code, w.Header())
	}
	if w = own.get("http://ID.raw.localhost/"); w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" || w.Header().Get("Access-Control-Expose-Headers") == "" {
		t.Errorf("%v", w.Header())
	}
}

// Replies that are no HTTP are refused; none splits the response.
func TestAnswersThatAreNoHTTP(t *testing.T) {
	with := func(name, value string) reply {
		return reply{Status: 200, Headers: []certified.Header{{Name: name, Value: value}}}
	}
	many := reply{Status: 200}
	for range 300 {
		many.Headers = append(many.Headers, certified.Header{Name: "a", Value: "b"})
	}
	for name, r := range map[string]reply{
		"status 0": {}, "status 101": {Status: 101}, "status 999": {Status: 999}, "name": with("a b", "c"), "no name": with("", "c"), "colon": with("a:", "c"),
		"line break": with("a", "b\r\nSet-Cookie: c"), "zero": with("a", "b\x00"), "many": many, "large": with("a", strings.Repeat("b", 300<<10)),
	} {
		if w := newNetwork().answers(r).get("http://ID.raw.localhost/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("X-Ic-Error-Cause") != "backend_http_gateway" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	n := newNetwork()
	n.query = func(string, []byte) ([]byte, error) { return []byte("DIDL\x00\x00"), nil }
	if w := n.get(home); w.Code != http.StatusServiceUnavailable {
		t.Errorf("no record: %d %s", w.Code, w.Body)
	}
	hop := reply{Status: 200, Body: []byte("body"), Headers: []certified.Header{{Name: "Connection", Value: "close"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Content-Length", Value: "99"}, {Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}}}
	w := n.answers(hop).get("http://ID.raw.localhost/")
	if h := w.Header(); w.Body.String() != "body" || h.Get("Connection") != "" || h.Get("Transfer-Encoding") != "" || h.Get("Content-Length") != "4" || len(h["Set-Cookie"]) != 2 || h.Get("Content-Type") != "" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

// Each failure is a page with the status and the words for it.
func TestErrorPages(t *testing.T) {
	rejected := func(class ic.RejectCode, code, text string) error {
		return &agent.Rejected{Class: class, ErrorCode: code, Message: text}
	}
	for _, c := range []struct {
		err    error
		status int
		cause  string
		words  string
	}{
		{rejected(ic.DestinationInvalid, "IC0301", "no such canister"), 404, "canister_not_found", "Canister not found"},
		{rejected(ic.CanisterError, "IC0536", "no method"), 503, "canister_error", "serves no web pages"},
		{rejected(ic.CanisterError, "IC0537", "no module"), 503, "canister_error", "icp deploy"},
		{rejected(ic.CanisterError, "IC0503", "assertion failed"), 503, "canister_error", "assertion failed"},
		{rejected(ic.CanisterError, "IC0508", "stopped"), 503, "canister_error", "icp canister start"},
		{rejected(ic.CanisterReject, "IC0406", "no"), 503, "canister_reject", "refused"},
		{rejected(ic.SysTransient, "IC0207", "is out of cycles"), 503, "canister_frozen", "top-up"},
		{rejected(ic.SysTransient, "IC0201", "queue full"), 503, "backend_other", "Try again"},
		{&agent.HTTPError{Status: 429, Text: "busy"}, 429, "load_shed", "Too many requests"},
		{&agent.HTTPError{Status: 413, Text: "large"}, 413, "client_body_too_large", "pieces"},
		{&agent.HTTPError{Status: 503, Text: "Replica is unhealthy: waiting"}, 503, "backend_http_gateway", "waiting"},
		{&agent.HTTPError{Status: 400, Text: "Canister x does not belong to the subnet"}, 404, "canister_route_not_found", "mainnet"},
		{errors.New("certificate is 9 days old"), 503, "backend_http_gateway", "9 days old"},
		{context.DeadlineExceeded, 504, "backend_timeout", "takes too long"},
	} {
		n := newNetwork()
		n.query = func(string, []byte) ([]byte, error) { return nil, fmt.Errorf("query: %w", c.err) }
		w := n.get(home, "Accept", "text/html")
		if w.Code != c.status || w.Header().Get("X-Ic-Error-Cause") != c.cause || !strings.Contains(w.Body.String(), c.words) || !strings.Contains(w.Body.String(), canister.String()) {
			t.Errorf("%v: %d %s\n%s", c.err, w.Code, w.Header().Get("X-Ic-Error-Cause"), w.Body)
		}
		if strings.Contains(w.Body.String(), "http://") && !strings.Contains(w.Body.String(), "raw") || strings.Contains(w.Body.String(), "src=") {
			t.Errorf("the page loads something: %s", w.Body)
		}
		if (w.Code == 429) && w.Header().Get("Retry-After") == "" {
			t.Errorf("%v: no Retry-After", c.err)
		}
	}
}

// No more requests at once than the limit; the others are told to come again.
func TestManyRequests(t *testing.T) {
	n := newNetwork()
	const limit = 256
	arrived, leave := make(chan struct{}, limit), make(chan struct{})
	quiet := &blocking{n, arrived, leave}
	g := gateway.New(gateway.Config{Canisters: quiet, RootKey: n.Key.PublicKey().DER(), BLS: agent.VerifyBLS, Now: func() ic.Time { return now }})
	ask := func() int {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", strings.Replace(home, "ID", canister.String(), 1), nil))
		return w.Code
	}
	ended := make(chan int, limit)
	for range limit {
		go func() { ended <- ask() }()
	}
	for range limit {
		<-arrived
	}
	if code := ask(); code != http.StatusTooManyRequests {
		t.Errorf("one more: status %d", code)
	}
	close(leave)
	for range limit {
		<-ended
	}
}

// blocking is a network that answers when it is told to.
type blocking struct {
	*network
	arrived chan struct{}
	leave   chan struct{}
}

func (b *blocking) Query(context.Context, ic.CanisterID, string, []byte) ([]byte, error) {
	b.arrived <- struct{}{}
	<-b.leave
	return nil, errors.New("late")
}

// Whatever a canister replies, the gateway answers: a status and no panic.
func FuzzReply(f *testing.F) {
	n := newNetwork()
	n.streamed(n.certify(html("one two three")), "one two three", 4, "more")
	first, _ := n.query("http_request", nil)
	more, _ := n.query("more", candid.Marshal(token{Key: "k", Part: 1}))
	f.Add(first, more)
	f.Add(candid.Marshal(n.certify(html("hello"))), []byte("DIDL"))
	f.Fuzz(func(t *testing.T, first, more []byte) {
		for _, url := range []string{home, "http://ID.raw.localhost/"} {
			n := newNetwork()
			n.query = func(m string, _ []byte) ([]byte, error) {
				if m == "http_request" {
					return first, nil
				}
				return more, nil
			}
			n.call = n.query
			func() {
				defer func() {
					if r := recover(); r != nil && r != http.ErrAbortHandler {
						panic(r)
					}
				}()
				if w := n.get(url); w.Code < 200 || w.Code > 599 {
					t.Errorf("status %d", w.Code)
				}
			}()
		}
	})
}
