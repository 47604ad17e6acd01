package api

import (
	"net/http"
	"sync"
	"time"

	"ashlar/replica/ic"
)

// Limits bounds what clients together may ask of a node. Zero fields take the default.
type Limits struct {
	BodyBytes    int64         // of any request
	IngressBytes int           // of a call's envelope
	Connections  int           // open at once
	Calls        int           // under way at once, most of them waiting for their certificate
	Queries      int           // under way at once
	Reads        int           // read_state and status, under way at once
	PerSender    int           // calls of one sender under way at once
	SyncWait     time.Duration // how long a v3 or v4 call waits for its certificate
}

// The defaults.
const (
	defaultBodyBytes    = 5 << 20 // that of the production network
	defaultIngressBytes = 2 << 20 // an application subnet's
	defaultConnections  = 4096    // each takes about 12 KiB when idle
	defaultCalls        = 2048    // at 10 s each that is 200 calls/s that never end
	defaultQueries      = 512     // two per core of a large machine; the backend has a queue of its own
	defaultReads        = 512     // a witness takes microseconds
	defaultPerSender    = 512     // one sender fills no more than a quarter
	defaultSyncWait     = 10 * time.Second

	headerTimeout = 10 * time.Second  // a client sends its headers at once
	bodyTimeout   = 90 * time.Second  // 5 MiB take 85 s at the slowest (api/body)
	writeTimeout  = 150 * time.Second // the body, the wait for a certificate, and 3 MiB of answer at 60 kB/s
	idleTimeout   = 120 * time.Second // agents keep their connection between polls
	headerBytes   = 16 << 10          // of all headers
	finishTimeout = 3 * time.Second   // for requests under way when the node stops; then their contexts end
	drainTimeout  = 8 * time.Second   // until their connections are closed: net/http gives one that has asked nothing yet 5 seconds
)

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = defaultBodyBytes
	}
	set(&l.IngressBytes, defaultIngressBytes)
	set(&l.Connections, defaultConnections)
	set(&l.Calls, defaultCalls)
	set(&l.Queries, defaultQueries)
	set(&l.Reads, defaultReads)
	set(&l.PerSender, defaultPerSender)
	if l.SyncWait == 0 {
		l.SyncWait = defaultSyncWait
	}
	return l
}

// gate lets a number of requests in at once and refuses the others.
type gate chan struct{}

func newGate(n int) gate { return make(gate, n) }

func (g gate) handle(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case g <- struct{}{}:
			defer func() { <-g }()
			return next(w, r)
		default:
			return ErrBusy
		}
	}
}

// senders counts the calls under way of each sender.
type senders struct {
	mu    sync.Mutex
	count map[ic.Principal]int
	limit int
}

func (s *senders) enter(p ic.Principal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[p] >= s.limit {
		return false
	}
	s.count[p]++
	return true
}

func (s *senders) leave(p ic.Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[p]--; s.count[p] == 0 {
		delete(s.count, p)
	}
}
