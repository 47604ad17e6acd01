package gateway_test

import (
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
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

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

type blocking struct {
	*network
	arrived chan struct{}
	leave   chan struct{}
}

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

func (b *blocking) Query(context.Context, ic.CanisterID, string, []byte) ([]byte, error) {
	b.arrived <- struct{}{}
	<-b.leave
	return nil, errors.New("late")
}
