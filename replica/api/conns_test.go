package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/wire/envelope"
)

// wire is a network without sockets, so that the clock of a test rules it.
type wire struct {
	conns chan net.Conn
	done  chan struct{}
}

func newWire() *wire { return &wire{make(chan net.Conn), make(chan struct{})} }

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}
func (w *wire) Close() error   { close(w.done); return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

// client is one end of a connection.
type client struct {
	net.Conn
	in *bufio.Reader
}

// dial connects; the server may not have accepted yet.
func (w *wire) dial() *client {
	here, there := net.Pipe()
	go func() {
		select {
		case w.conns <- there:
		case <-w.done:
		}
	}()
	return &client{here, bufio.NewReader(here)}
}

func (c *client) send(text string) { go io.WriteString(c, text) }

// drip sends a byte a second until the connection ends.
func (c *client) drip(text string) (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		for _, b := range []byte(text) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	return ended
}

// status reads one response; 0 where the connection ends without one.
func (c *client) status() int {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// served runs a server on the wire during a test in a bubble.
func served(t *testing.T, n *apitest.Node, limits api.Limits, test func(w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- api.New(n, api.Config{Limits: limits}).Run(ctx, w) }()
		test(w)
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

const getStatus = "GET /api/v2/status HTTP/1.1\r\nHost: x\r\n\r\n"

func TestSlowHeaders(t *testing.T) {
	served(t, apitest.New(false), api.Limits{}, func(w *wire) {
		c := w.dial()
		began := time.Now()
		ended := c.drip(getStatus) // the headers never come to their end in time
		if got := c.status(); got == http.StatusOK || time.Since(began) > 11*time.Second {
			t.Errorf("status %d after %v", got, time.Since(began))
		}
		c.Close()
		<-ended
	})
}

func TestLongHeaders(t *testing.T) {
	served(t, apitest.New(false), api.Limits{}, func(w *wire) {
		c := w.dial()
		c.send("GET /api/v2/status HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 64<<10) + "\r\n\r\n")
		if got := c.status(); got != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("64 KiB of headers: status %d", got)
		}
		c.Close()
	})
}

// Bodies that do not come take no place among the calls, and are not waited for.
func TestSlowBodies(t *testing.T) {
	n := apitest.New(false)
	raw, _ := seal(t, message(n, envelope.Call, "echo", apitest.Canister.Principal, []byte("hello")), newUser(1))
	post := func(bytes int) string {
		return fmt.Sprintf("POST /api/v4%s/call HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n", canisterPath, bytes)
	}
	served(t, n, api.Limits{Calls: 1}, func(w *wire) {
		began := time.Now()
		var slow []*client
		for range 3 {
			c := w.dial()
			c.send(post(1000) + "begun")
			slow = append(slow, c)
		}
		trickle := w.dial()
		ended := make(chan struct{})
		go func() {
			io.WriteString(trickle, post(1000))
			<-trickle.drip(strings.Repeat("a", 1000))
			close(ended)
		}()
		synctest.Wait()
		honest := w.dial()
		honest.send(post(len(raw)) + string(raw))
		if got := honest.status(); got != http.StatusOK || time.Since(began) > time.Second {
			t.Errorf("a call beside slow ones: status %d after %v", got, time.Since(began))
		}
		for _, c := range append(slow, trickle) {
			if got := c.status(); got == http.StatusOK || time.Since(began) > 7*time.Second {
				t.Errorf("a slow body: status %d after %v", got, time.Since(began))
			}
			c.Close()
		}
		honest.Close()
		<-ended
	})
}

// A body that is too large is refused before it is sent.
func TestAnnouncedSize(t *testing.T) {
	served(t, apitest.New(false), api.Limits{}, func(w *wire) {
		c := w.dial()
		c.send("POST /api/v2" + canisterPath + "/query HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n")
		if got := c.status(); got != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", got)
		}
		c.Close()
	})
}

// Of large bodies some come at once, the others are asked to come again.
func TestManyLargeBodies(t *testing.T) {
	served(t, apitest.New(false), api.Limits{}, func(w *wire) {
		part := "POST /api/v2" + canisterPath + "/query HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("a", 100<<10)
		var held []*client
		for range 64 {
			c := w.dial()
			c.send(part)
			held = append(held, c)
		}
		synctest.Wait()
		c := w.dial()
		c.send(part)
		if got := c.status(); got != http.StatusTooManyRequests {
			t.Errorf("status %d", got)
		}
		c.Close()
		for _, c := range held {
			c.Close()
		}
	})
}

// Connections that say nothing give way to those that do.
func TestQuietConnectionsGiveWay(t *testing.T) {
	served(t, apitest.New(false), api.Limits{Connections: 2}, func(w *wire) {
		silent, idle := w.dial(), w.dial()
		synctest.Wait()
		idle.send(getStatus)
		if got := idle.status(); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
		synctest.Wait()
		third := w.dial() // takes the place of the one that never spoke
		third.send(getStatus)
		if got := third.status(); got != http.StatusOK {
			t.Errorf("the third: status %d", got)
		}
		if _, err := silent.in.ReadByte(); err == nil {
			t.Error("the silent one is still there")
		}
		idle.send(getStatus)
		if got := idle.status(); got != http.StatusOK {
			t.Errorf("the second again: status %d", got)
		}
		synctest.Wait()
		fourth := w.dial() // now the third is the oldest
		fourth.send(getStatus)
		if got := fourth.status(); got != http.StatusOK {
			t.Errorf("the fourth: status %d", got)
		}
		if _, err := third.in.ReadByte(); err == nil {
			t.Error("the third is still there")
		}
		idle.Close()
		fourth.Close()
	})
}

// When all are at work a new one waits, and gets the first place that is free.
func TestConnectionsAtWork(t *testing.T) {
	n := apitest.New(false)
	n.Hold = true
	raw, id := seal(t, message(n, envelope.Call, "echo", apitest.Canister.Principal, nil), newUser(1))
	served(t, n, api.Limits{Connections: 1}, func(w *wire) {
		busy := w.dial()
		busy.send(fmt.Sprintf("POST /api/v4%s/call HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n%s", canisterPath, len(raw), raw))
		synctest.Wait()
		next := w.dial()
		next.send(getStatus)
		synctest.Wait()
		n.AwaitSubmit(id)
		n.Release()
		if got := busy.status(); got != http.StatusOK {
			t.Errorf("the call: status %d", got)
		}
		if got := next.status(); got != http.StatusOK {
			t.Errorf("the next: status %d", got)
		}
		if _, err := busy.in.ReadByte(); err == nil {
			t.Error("the first kept its place")
		}
		next.Close()
	})
}

// A handler that goes on for ever, such as a stream, ends when the node stops,
// and the node ends well.
func TestStopEndsWhatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- api.New(apitest.New(false), api.Config{}).RunBehind(ctx, w, endless) }()
		c := w.dial()
		c.send(getStatus)
		go io.Copy(io.Discard, c) // a wire has no buffers
		synctest.Wait()
		cancel()
		began := time.Now()
		if err := <-ended; err != nil || time.Since(began) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.Close()
	})
}

// RunBehind serves what stands in front.
func TestRunBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := api.New(apitest.New(false), api.Config{})
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			s.ServeHTTP(w, r)
			return
		}
		io.WriteString(w, "the front")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.RunBehind(ctx, l, front) }()
	for path, want := range map[string]string{"/": "the front", "/api/v2/status": "healthy"} {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: %q", path, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A connection on which nothing was asked yet, as clients keep in reserve, is no request
// that is under way when the node stops.
func TestStopWithAFreshConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.New(apitest.New(false), api.Config{}).Run(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(50 * time.Millisecond) // until it is accepted
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
}
