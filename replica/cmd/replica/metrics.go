package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"ashlar/replica/node"
	"ashlar/replica/p2p"
)

// metrics is the page /metrics, in the text format of Prometheus.
type metrics struct {
	node  *node.Node
	peers *p2p.Host

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

func newMetrics(n *node.Node, peers *p2p.Host) *metrics {
	return &metrics{node: n, peers: peers, requests: map[request]*times{}}
}

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
		{"package_height", "gauge", "height of the newest catch-up package", uint64(n.CUP)},
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
		{"fetched_calls_total", "counter", "calls of blocks that were asked of peers, because they had not come before", n.Fetched},
		{"state_fetched_bytes", "gauge", "bytes that came of the state that is fetched from peers", n.StateBytes},
		{"state_false_total", "counter", "answers of peers to that which were false", n.FalseParts},
		{"goroutines", "gauge", "goroutines", uint64(runtime.NumGoroutine())},
	} {
		fmt.Fprintf(w, "# HELP ashlar_%s %s\n# TYPE ashlar_%s %s\nashlar_%s %d\n", v.name, v.help, v.name, v.kind, v.name, v.value)
	}
	m.writeStages(w)
	m.writePeers(w)
	m.writeRequests(w)
}

// writeStages: where the time of a block goes.
func (m *metrics) writeStages(w io.Writer) {
	fmt.Fprint(w, "# HELP ashlar_block_seconds time that blocks took until they were final, from there until executed, from there until certified\n# TYPE ashlar_block_seconds summary\n")
	all := m.node.Stages()
	for _, s := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(w, "ashlar_block_seconds_count{stage=%q} %d\nashlar_block_seconds_sum{stage=%q} %g\n", s, all[s].Blocks, s, float64(all[s].Time)/1e9)
	}
}

// writePeers: of each peer what came from it, what it got, and what was refused.
func (m *metrics) writePeers(w io.Writer) {
	if m.peers == nil {
		return
	}
	all := m.peers.Counters()
	for _, v := range []struct {
		name, kind, help string
		of               func(p2p.Counters) uint64
	}{
		{"connected", "gauge", "1 if the peer is connected", func(c p2p.Counters) uint64 {
			if c.Connected {
				return 1
			}
			return 0
		}},
		{"connects_total", "counter", "connections made with the peer", func(c p2p.Counters) uint64 { return c.Connects }},
		{"sent_bytes_total", "counter", "bytes sent to the peer", func(c p2p.Counters) uint64 { return c.SentBytes }},
		{"heard_bytes_total", "counter", "bytes that came from the peer", func(c p2p.Counters) uint64 { return c.HeardBytes }},
		{"sent_artifacts_total", "counter", "artifacts sent to the peer", func(c p2p.Counters) uint64 { return c.SentArtifacts }},
		{"artifacts_total", "counter", "artifacts that came from the peer", func(c p2p.Counters) uint64 { return c.Artifacts }},
		{"sent_calls_total", "counter", "users' calls offered to the peer", func(c p2p.Counters) uint64 { return c.SentCalls }},
		{"calls_total", "counter", "users' calls that the peer offered", func(c p2p.Counters) uint64 { return c.Calls }},
		{"unoffered_total", "counter", "users' calls not offered to the peer, because too many waited", func(c p2p.Counters) uint64 { return c.Dropped }},
	} {
		fmt.Fprintf(w, "# HELP ashlar_peer_%s %s\n# TYPE ashlar_peer_%s %s\n", v.name, v.help, v.name, v.kind)
		for _, c := range all {
			fmt.Fprintf(w, "ashlar_peer_%s{peer=%q} %d\n", v.name, c.Peer, v.of(c))
		}
	}
	fmt.Fprint(w, "# HELP ashlar_peer_refused_total what was refused of the peer, by what it was\n# TYPE ashlar_peer_refused_total counter\n")
	for _, c := range all {
		for _, what := range slices.Sorted(maps.Keys(c.Refused)) {
			fmt.Fprintf(w, "ashlar_peer_refused_total{peer=%q,what=%q} %d\n", c.Peer, what, c.Refused[what])
		}
	}
	fmt.Fprintf(w, "# HELP ashlar_strangers_total connections turned away: no member\n# TYPE ashlar_strangers_total counter\nashlar_strangers_total %d\n", m.peers.Strangers())
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
