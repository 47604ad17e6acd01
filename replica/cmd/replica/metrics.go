package main

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"ashlar/replica/node"
)

// metrics is the page /metrics, in the text format of Prometheus.
type metrics struct {
	node *node.Node

	mu       sync.Mutex
	requests map[request]*times
}

type request struct {
	pattern string
	status  int
}

type times struct {
	count   uint64
	seconds float64
}

func newMetrics(n *node.Node) *metrics { return &metrics{node: n, requests: map[request]*times{}} }

func (m *metrics) observe(pattern string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := request{pattern, status}
	if m.requests[k] == nil {
		m.requests[k] = &times{}
	}
	m.requests[k].count++
	m.requests[k].seconds += took.Seconds()
}

// ServeHTTP writes the page.
func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	n := m.node.Metrics()
	for _, v := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"certified_height", "gauge", "height of the latest certified state", uint64(n.Height)},
		{"saved_height", "gauge", "height of the state on disk", uint64(n.Saved)},
		{"rounds_total", "counter", "batches delivered since the start", n.Rounds},
		{"messages_total", "counter", "users' calls executed since the start", n.Messages},
		{"submitted_total", "counter", "users' calls taken into the pool", n.Submitted},
		{"refused_total", "counter", "users' calls refused by inspection", n.Refused},
		{"expired_total", "counter", "users' calls that expired in the pool", n.Expired},
		{"busy_total", "counter", "calls and queries turned away because a queue was full", n.Busy},
		{"queries_total", "counter", "queries executed", n.Queries},
		{"queries_recalled_total", "counter", "queries answered as the same query was before", n.Recalled},
		{"queries_waiting", "gauge", "queries executing or waiting", uint64(n.Waiting)},
		{"watchers", "gauge", "clients that wait for the end of a call", uint64(n.Watchers)},
		{"pool_messages", "gauge", "calls in the pool", uint64(n.Pool)},
		{"pool_bytes", "gauge", "bytes of the calls in the pool", uint64(n.PoolBytes)},
		{"batches_waiting", "gauge", "batches delivered and not executed", uint64(n.Batches)},
		{"peer_invalid_total", "counter", "artifacts of peers that were refused", n.Invalid},
		{"peer_dropped_total", "counter", "artifacts of peers dropped because too many waited", n.Dropped},
		{"goroutines", "gauge", "goroutines", uint64(runtime.NumGoroutine())},
	} {
		fmt.Fprintf(w, "# HELP ashlar_%s %s\n# TYPE ashlar_%s %s\nashlar_%s %d\n", v.name, v.help, v.name, v.kind, v.name, v.value)
	}
	m.writeRequests(w)
}

func (m *metrics) writeRequests(w http.ResponseWriter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for k, t := range m.requests {
		labels := fmt.Sprintf(`{endpoint=%q,status="%d"}`, k.pattern, k.status)
		lines = append(lines, fmt.Sprintf("ashlar_request_seconds_count%s %d\nashlar_request_seconds_sum%s %g\n", labels, t.count, labels, t.seconds))
	}
	slices.Sort(lines)
	fmt.Fprintf(w, "# HELP ashlar_request_seconds time to answer requests\n# TYPE ashlar_request_seconds summary\n%s", strings.Join(lines, ""))
}
