package p2p

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"golang.org/x/time/rate"
)

// remote is one peer, connected or not.
type remote struct {
	Peer
	h    *Host
	id   peer.ID
	ctx  context.Context
	stop context.CancelFunc
	came chan struct{} // the peer connected

	dialed bool // used by run alone

	artifacts, calls, serves *rate.Limiter // what it may send or have sent
	serving                  chan struct{}
	asking                   chan struct{}
	giving                   chan struct{}

	mu        sync.Mutex
	wants     []wanted // large artifacts to be fetched
	fetchers  int
	queue     [][]byte // calls to be offered
	queued    int      // bytes of them
	filled    chan struct{}
	refused   map[string]uint64
	wrongs    int
	lastWrong time.Time
	until     time.Time                   // banned
	apart     bool                        // kept apart from this host
	reading   map[byte]context.CancelFunc // the newest stream of each kind

	counters
}

func newRemote(h *Host, m Peer, id peer.ID) *remote {
	r := &remote{Peer: m, h: h, id: id, came: make(chan struct{}, 1), filled: make(chan struct{}, 1), refused: map[string]uint64{}, reading: map[byte]context.CancelFunc{},
		artifacts: rate.NewLimiter(artifactBytes, maxArtifact), calls: rate.NewLimiter(callBytes, maxCall), serves: rate.NewLimiter(serveBytes, maxResponse),
		serving: make(chan struct{}, serving), asking: make(chan struct{}, serving), giving: make(chan struct{}, fetching)}
	r.ctx, r.stop = context.WithCancel(h.ctx)
	return r
}

// run keeps the peer connected and says what there is to say.
func (r *remote) run() {
	backoff := firstBackoff
	var complained time.Time
	for r.ctx.Err() == nil {
		if err := r.connect(); err != nil {
			if time.Since(complained) > quietTime && err != errCutOff && r.ctx.Err() == nil {
				complained = time.Now()
				r.h.cfg.Log(r.complaint(err))
			}
			r.wait(backoff + rand.N(backoff))
			backoff = min(2*backoff, lastBackoff)
			continue
		}
		complained = time.Time{}
		began := time.Now()
		r.connects.Add(1)
		r.h.cfg.Log(fmt.Sprintf("peer %s is connected", r.Peer.ID))
		err := r.speak()
		if r.ctx.Err() == nil {
			r.h.cfg.Log(fmt.Sprintf("peer %s is lost: %v", r.Peer.ID, err))
			r.h.swarm.ClosePeer(r.id)
			if time.Since(began) > lastBackoff { // else it may be that we are not welcome
				backoff = firstBackoff
			}
			r.wait(backoff)
			backoff = min(2*backoff, lastBackoff)
		}
	}
}

func (r *remote) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.came:
	case <-r.ctx.Done():
	}
}

// poke ends a wait.
func (r *remote) poke() {
	select {
	case r.came <- struct{}{}:
	default:
	}
}

// connect dials the peer, or waits for it: the one with the smaller id dials, and
// who has just started, since the other may be in the middle of a pause.
func (r *remote) connect() error {
	if r.h.swarm.Connectedness(r.id) == network.Connected {
		return nil
	}
	if r.banned() {
		return errCutOff
	}
	if first := !r.dialed; r.h.cfg.Self.Principal > r.Peer.ID.Principal && !first {
		r.wait(lastBackoff)
		if r.h.swarm.Connectedness(r.id) != network.Connected {
			return errors.New("it has not come; of two peers the one with the smaller name dials")
		}
		return nil
	}
	r.dialed = true
	at, err := multiaddress(r.Addr)
	if err != nil {
		return err
	}
	r.h.swarm.Peerstore().SetAddr(r.id, at, peerstore.PermanentAddrTTL)
	r.h.swarm.Backoff().Clear(r.id) // ours is enough
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	defer cancel()
	_, err = r.h.swarm.DialPeer(ctx, r.id)
	return err
}

var errCutOff = errors.New("the peer is cut off")

// complaint says why a peer is not connected, and what to look at.
func (r *remote) complaint(err error) string {
	var other sec.ErrPeerIDMismatch
	if errors.As(err, &other) {
		return fmt.Sprintf("peer %s: who answers at %s has another key than the registry names: two nodes have changed places, or it is of another network", r.Peer.ID, r.Addr)
	}
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		err = dial.DialErrors[0].Cause
	}
	return fmt.Sprintf("peer %s at %s is not connected: %v; trying again and again", r.Peer.ID, r.Addr, err)
}

// speak opens this node's streams and writes to them until one fails.
func (r *remote) speak() error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	ends := make(chan error, 2)
	for kind, write := range map[byte]func(context.Context, *frames) error{kindArtifacts: r.sayArtifacts, kindCalls: r.sayCalls} {
		s, err := r.open(ctx, kind)
		if err != nil {
			return err
		}
		defer s.Reset()
		go func() { ends <- write(ctx, newFrames(s, &r.sent)) }()
		go func() { // the other end says nothing on it, but closes it when it goes
			s.Read(make([]byte, 1))
			cancel()
		}()
	}
	err := <-ends
	cancel()
	return err
}

// open a stream and say what it is for.
func (r *remote) open(ctx context.Context, kind byte) (network.Stream, error) {
	s, err := r.h.swarm.NewStream(network.WithNoDial(ctx, "only run dials"), r.id)
	if err != nil {
		return nil, err
	}
	s.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.Write([]byte{kind}); err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// sayArtifacts writes what the log has, from its beginning: what was written to an
// earlier connection may not have arrived.
func (r *remote) sayArtifacts(ctx context.Context, out *frames) error {
	for cursor := uint64(0); ; {
		e, after, more := r.h.log.next(cursor)
		cursor = after
		if e.data != nil {
			frame := [][]byte{{frameWhole}, e.data}
			if len(e.data) > largeBytes {
				frame = [][]byte{{frameLarge}, announcement(e.name, len(e.data))}
			}
			if err := out.write(frame...); err != nil {
				return err
			}
			r.sentArtifacts.Add(1)
			continue
		}
		if err := out.flush(); err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return errGone
		}
	}
}

// offer a call; it is dropped where too many wait.
func (r *remote) offer(call []byte) {
	r.mu.Lock()
	full := len(r.queue) >= queuedCalls || r.queued+len(call) > queuedBytes
	if !full {
		r.queue = append(r.queue, call)
		r.queued += len(call)
	}
	r.mu.Unlock()
	if full {
		r.dropped.Add(1)
		return
	}
	select {
	case r.filled <- struct{}{}:
	default:
	}
}

// callPause is the least time between two packets of calls: what comes in between goes
// together, and is checked together. A call that comes alone goes at once.
const callPause = 5 * time.Millisecond

func (r *remote) sayCalls(ctx context.Context, out *frames) error {
	for {
		r.mu.Lock()
		queue := r.queue
		r.queue, r.queued = nil, 0
		r.mu.Unlock()
		for _, call := range queue {
			if err := out.write(call); err != nil {
				return err
			}
			r.sentCalls.Add(1)
		}
		if err := out.flush(); err != nil {
			return err
		}
		pause := time.After(callPause)
		select {
		case <-r.filled:
		case <-ctx.Done():
			return errGone
		}
		select {
		case <-pause:
		case <-ctx.Done():
			return errGone
		}
	}
}

// ask on a stream of its own; nil for no answer.
func (r *remote) ask(request []byte) []byte {
	ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
	defer cancel()
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return nil
	}
	s, err := r.open(ctx, kindAsk)
	if err != nil {
		return nil
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(askTimeout))
	out := newFrames(s, &r.sent)
	if out.write(request) != nil || out.flush() != nil {
		return nil
	}
	response, err := readFrame(s, maxResponse, usualResponse)
	if err != nil {
		return nil
	}
	r.heard.Add(uint64(len(response)))
	return response
}

// wrong counts what only a faulty peer does, and cuts it off when it does not stop.
func (r *remote) wrong(what string, err error) {
	r.count(what, err)
	r.mu.Lock()
	now := time.Now()
	r.wrongs = max(r.wrongs-int(now.Sub(r.lastWrong)/wrongDecay), 0) + 1
	r.lastWrong = now
	ban := r.wrongs >= maxWrong && now.After(r.until)
	if ban {
		r.until, r.wrongs = now.Add(banned), 0
	}
	r.mu.Unlock()
	if ban {
		r.h.cfg.Log(fmt.Sprintf("peer %s is cut off for %s: %v", r.Peer.ID, banned, err))
		r.h.swarm.ClosePeer(r.id)
	}
}

func (r *remote) banned() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apart || time.Now().Before(r.until)
}

// count what was refused; the first of each kind is worth a line in the log.
func (r *remote) count(what string, why error) {
	r.mu.Lock()
	if r.refused[what] == 0 && len(r.refused) >= maxReasons {
		what = "other"
	}
	r.refused[what]++
	first := r.refused[what] == 1
	r.mu.Unlock()
	if first {
		r.h.cfg.Log(fmt.Sprintf("peer %s: its %s was refused: %v; further ones are counted", r.Peer.ID, what, why))
	}
}

func (r *remote) reasons() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.refused)
}
