package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ashlar/replica/agent"
	"ashlar/replica/gateway/certified"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

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
