package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// load is what users send: each has a connection and sends its next request when
// the last one is answered. Requests are made, and signed, before the clock runs;
// the sender knows just enough HTTP, since it takes its share of the machine.
type load struct {
	url, path, kind, method string
	id                      ic.CanisterID
	users                   int
	signed                  bool
	arg                     func(i int) []byte // nil: none
	pause                   time.Duration      // between the requests of one user, as a clock says it
}

func (l load) requests(b *testing.B) [][]byte {
	out := make([][]byte, b.N)
	for i := range out {
		var by envelope.Signer = agent.Anonymous
		if l.signed {
			secret := make([]byte, 32)
			secret[0], secret[1] = byte(i%l.users), byte(i%l.users>>8)
			var err error
			if by, err = agent.Ed25519(secret); err != nil {
				b.Fatal(err)
			}
		}
		c := envelope.Content{Type: l.kind, Canister: l.id.Bytes(), Method: l.method, Nonce: make([]byte, 16), Expiry: uint64(time.Now().Add(4 * time.Minute).UnixNano())}
		rand.Read(c.Nonce)
		if l.arg != nil {
			c.Arg = l.arg(i)
		}
		body, _, err := envelope.Seal(c, by)
		if err != nil {
			b.Fatal(err)
		}
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n", l.path, len(body))
		out[i] = append([]byte(head), body...)
	}
	return out
}

func (l load) run(b *testing.B) {
	requests := l.requests(b)
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var all sync.WaitGroup
	cpu := cpuTime()
	b.ResetTimer()
	for range l.users {
		conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 16<<10)
			due := time.Now()
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				began := time.Now()
				if err := exchange(conn, in, requests[i]); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
				if due = due.Add(l.pause); l.pause > 0 {
					time.Sleep(time.Until(due))
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/request")
}

// exchange sends a request and reads its answer, which must be a reply.
func exchange(conn net.Conn, in *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok, length := bytes.HasPrefix(status, []byte("HTTP/1.1 200")), 0
	said := string(status)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	body, err := in.Peek(min(length, in.Size()))
	if err != nil {
		return err
	}
	if !ok || !bytes.Contains(body, []byte("replied")) {
		return fmt.Errorf("%s %.200q", said, body)
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return err
}

// cpuTime is what this process has used: of the sender and the node.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func network(b *testing.B) (string, ic.CanisterID) {
	p := start(b, b.TempDir())
	return p.url, install(b, connect(b, p.url))
}

// BenchmarkUpdates: signed calls, answered with a certificate.
func BenchmarkUpdates(b *testing.B) {
	url, id := network(b)
	l := load{url: url, path: "/api/v4/canister/" + id.String() + "/call", kind: "call", method: "inc", id: id, signed: true}
	for _, n := range []int{1, 16, 256} {
		l.users = n
		b.Run(fmt.Sprintf("users=%d", n), l.run)
	}
	l.users, l.pause = 10, 100*time.Millisecond
	b.Run("steady=100", l.run)
}

// BenchmarkQueries: answered with a node's signature. Each asks something else,
// except for the repeated ones.
func BenchmarkQueries(b *testing.B) {
	url, id := network(b)
	l := load{url: url, path: "/api/v3/canister/" + id.String() + "/query", kind: "query", method: "get", id: id}
	fresh := func(i int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(i)+uint64(b.N)<<32) }
	for _, c := range []struct {
		name   string
		signed bool
		arg    func(int) []byte
	}{{"anonymous", false, fresh}, {"repeated", false, nil}, {"signed", true, fresh}} {
		for _, n := range []int{1, 16, 64} {
			l.users, l.signed, l.arg = n, c.signed, c.arg
			b.Run(fmt.Sprintf("%s/users=%d", c.name, n), l.run)
		}
	}
}
