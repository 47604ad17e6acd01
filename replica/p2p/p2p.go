// Package p2p connects the members of a subnet.
//
//	Broadcast ──> log of what is not purged ──┬─ cursor of peer 1 ── stream ──> peer 1: Hear
//	                 (one for all peers)      └─ cursor of peer 2 ── stream ──> peer 2: Hear
//	              large artifacts: their names only; fetched on streams of their own (large.go)
//	Gossip ──> short queue of each peer, drops when full ── stream ──> Offered
//	Ask ──> a stream of its own ──> Serve ──> Answered
//
// It is an abortable broadcast (arXiv 2410.22080): what the sender holds reaches
// each connected peer, what it purges is no longer sent, and nothing is kept for
// a single peer but a cursor. So a peer that stalls costs a cursor, and one that
// comes back gets all that still matters. A receiver that is full stops reading;
// the stream's flow control stops that sender, and only that one.
//
// Transport is libp2p's TCP with Noise and yamux; peers are who the registry says
// (an Ed25519 key and an address), and nobody else gets past the handshake. Of
// libp2p only the swarm is used: its streams, a byte of which says what they are for, need no negotiation,
// discovery or relays. See docs/decisions/0012.
package p2p

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"ashlar/replica/ic"
)

// Limits of what one peer may take of this node.
const (
	maxArtifact   = 12 << 20 // bytes of one artifact
	maxCall       = 2<<20 + 64
	maxRequest    = 64 << 10
	maxResponse   = 16 << 20
	firstRead     = 64 << 10      // bytes that are made room for when a frame names its size; then as many again as came
	usualResponse = 1<<20 + 8<<10 // the same of an answer, of which there are few: what state sync asks for
	artifactBytes = 64 << 20      // bytes a second, after which a peer's artifacts are read more slowly
	callBytes     = 16 << 20      // the same for calls
	serveBytes    = 128 << 20     // the same for answers to its requests
	queuedCalls   = 2048          // that wait for one peer
	queuedBytes   = 8 << 20
	serving       = 4  // requests of one peer in service
	maxWrong      = 20 // things of a peer that were wrong, after which it is cut off for a while
)

// Spans of time.
const (
	dialTimeout  = 5 * time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second
	writeTimeout = 20 * time.Second // without any progress of a frame
	askTimeout   = 20 * time.Second
	banned       = 30 * time.Second
	wrongDecay   = time.Second // one wrong thing is forgotten
	quietTime    = time.Minute // between two lines in the log about the same trouble
)

// blameCost is what a refused artifact takes of its sender's budget: checking it
// took up to a millisecond, so that a liar gets 64 of them a second checked.
const blameCost = 1 << 20 // bytes

// maxReasons bounds what is told apart of what a peer did wrong.
const maxReasons = 32

// Handler is the node.
type Handler interface {
	// Hear takes an artifact, and waits while there is no room.
	Hear(ctx context.Context, from ic.NodeID, artifact []byte) error
	// Offered takes users' calls; each error is the peer's fault.
	Offered(calls [][]byte) (wrong []error)
	// Serve answers a request; an error is the peer's fault.
	Serve(request []byte) ([]byte, error)
	// Answered brings the answer to a question, nil for none.
	Answered(from ic.NodeID, id uint64, response []byte)
}

// Peer is a member of the subnet.
type Peer struct {
	ID   ic.NodeID
	Key  ed25519.PublicKey
	Addr netip.AddrPort
}

// Config of a Host.
type Config struct {
	Self ic.NodeID
	Key  ed25519.PublicKey
	// Sign with the node's key.
	Sign   func(message []byte) []byte
	Listen netip.AddrPort
	// Log gets a line when a peer comes, goes, or misbehaves.
	Log func(line string)
}

// Host is this node among its peers.
type Host struct {
	cfg     Config
	swarm   *swarm.Swarm
	handler Handler
	log     *log
	shelf   shelf
	started chan struct{} // handler is set

	mu     sync.Mutex
	byPeer map[peer.ID]*remote
	byNode map[ic.NodeID]*remote
	closed bool
	ctx    context.Context
	stop   context.CancelFunc
	all    sync.WaitGroup

	strangers atomic.Uint64
	told      atomic.Int64 // when the log last had a line about a stranger
}

// New listens; nobody is let in before SetMembers, nothing is read before Start.
func New(cfg Config) (*Host, error) {
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	h := &Host{cfg: cfg, log: newLog(), started: make(chan struct{}), byPeer: map[peer.ID]*remote{}, byNode: map[ic.NodeID]*remote{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	if err := h.listen(); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

// Start gives the host its node.
func (h *Host) Start(n Handler) {
	h.handler = n
	close(h.started)
}

// Addr is where the host listens.
func (h *Host) Addr() (netip.AddrPort, error) {
	for _, a := range h.swarm.ListenAddresses() {
		if at, ok := addrPort(a); ok {
			return at, nil
		}
	}
	return netip.AddrPort{}, errors.New("p2p: the host does not listen")
}

// SetMembers is told who belongs to the subnet now. Others are cut off.
func (h *Host) SetMembers(members []Peer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	keep := map[ic.NodeID]bool{}
	for _, m := range members {
		if m.ID == h.cfg.Self {
			continue
		}
		keep[m.ID] = true
		if r := h.byNode[m.ID]; r != nil && r.Addr == m.Addr && r.Key.Equal(m.Key) {
			continue
		} else if r != nil {
			h.forget(r)
		}
		if err := h.add(m); err != nil {
			return err
		}
	}
	for id, r := range h.byNode {
		if !keep[id] {
			h.forget(r)
		}
	}
	return nil
}

// KeepApart cuts the host off from some members, until it is called again: a
// testnet's partitions.
func (h *Host) KeepApart(from []ic.NodeID) {
	for _, r := range h.remotes() {
		apart := slices.Contains(from, r.Peer.ID)
		r.mu.Lock()
		changed := r.apart != apart
		r.apart = apart
		r.mu.Unlock()
		switch {
		case changed && apart:
			h.swarm.ClosePeer(r.id)
		case changed:
			r.poke()
		}
	}
}

func (h *Host) add(m Peer) error {
	id, err := peerID(m.Key)
	if err != nil {
		return fmt.Errorf("member %s: %w", m.ID, err)
	}
	r := newRemote(h, m, id)
	if h.closed {
		return errors.New("p2p: the host is closed")
	}
	h.byPeer[id], h.byNode[m.ID] = r, r
	h.all.Add(1)
	go func() {
		defer h.all.Done()
		r.run()
	}()
	return nil
}

func (h *Host) forget(r *remote) {
	delete(h.byPeer, r.id)
	delete(h.byNode, r.Peer.ID)
	r.stop()
	go h.swarm.ClosePeer(r.id)
}

func (h *Host) remote(id peer.ID) *remote {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byPeer[id]
}

func (h *Host) remotes() (out []*remote) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.byNode {
		out = append(out, r)
	}
	return out
}

// Broadcast an artifact of a height to all peers, until it is purged.
func (h *Host) Broadcast(height ic.Height, artifact []byte) { h.log.add(height, artifact) }

// Purge withdraws the artifacts below a height.
func (h *Host) Purge(below ic.Height) { h.log.purge(below) }

// Gossip offers a call to all peers that have room.
func (h *Host) Gossip(call []byte) {
	for _, r := range h.remotes() {
		r.offer(call)
	}
}

// Ask a peer; Handler.Answered gets the answer, or nil.
func (h *Host) Ask(to ic.NodeID, id uint64, request []byte) {
	if !h.enter() {
		return
	}
	r := h.member(to)
	go func() {
		defer h.all.Done()
		var response []byte
		if r != nil {
			response = r.ask(request)
		}
		h.handler.Answered(to, id, response)
	}()
}

// Blame counts an artifact of a peer that was refused, and slows the peer down.
func (h *Host) Blame(who ic.NodeID, what string, why error) {
	r := h.member(who)
	if r == nil {
		return
	}
	r.count(what, why)
	r.artifacts.ReserveN(time.Now(), blameCost)
}

func (h *Host) member(id ic.NodeID) *remote {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byNode[id]
}

// enter keeps Close waiting for something that uses the node, until all.Done.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.all.Add(1)
	}
	return !h.closed
}

// Close ends all connections; the node is not called any more when it returns.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	err := h.swarm.Close()
	h.all.Wait()
	return err
}

// Counters of one peer, for the metrics.
type Counters struct {
	Peer                     ic.NodeID
	Connected                bool
	Connects                 uint64
	SentBytes, HeardBytes    uint64
	SentArtifacts, Artifacts uint64 // Artifacts and Calls are those that came from it
	SentCalls, Calls         uint64
	Dropped                  uint64            // calls that were not offered, because too many waited
	Refused                  map[string]uint64 // by what it was
}

type counters struct {
	connects, sent, heard, sentArtifacts, artifactsIn, sentCalls, callsIn, dropped atomic.Uint64
}

// Counters of all peers, by name.
func (h *Host) Counters() (out []Counters) {
	for _, r := range h.remotes() {
		c := &r.counters
		out = append(out, Counters{Peer: r.Peer.ID, Connected: h.swarm.Connectedness(r.id) == network.Connected, Connects: c.connects.Load(),
			SentBytes: c.sent.Load(), HeardBytes: c.heard.Load(), SentArtifacts: c.sentArtifacts.Load(), Artifacts: c.artifactsIn.Load(),
			SentCalls: c.sentCalls.Load(), Calls: c.callsIn.Load(), Dropped: c.dropped.Load(), Refused: r.reasons()})
	}
	slices.SortFunc(out, func(a, b Counters) int { return cmp.Compare(a.Peer.Principal, b.Peer.Principal) })
	return out
}

// Strangers is how many times someone was turned away who is no member.
func (h *Host) Strangers() uint64 { return h.strangers.Load() }
