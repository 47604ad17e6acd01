package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"ashlar/replica/ic"
)

// ear is a node that hears.
type ear struct {
	mu       sync.Mutex
	heard    []string
	offered  int
	most     int // calls at once
	refuse   error
	full     chan struct{} // nil: there is room
	answered chan string
}

func newEar() *ear { return &ear{answered: make(chan string, 10)} }

func (e *ear) Hear(ctx context.Context, from ic.NodeID, artifact []byte) error {
	if e.full != nil {
		select {
		case <-e.full:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, string(artifact))
	return nil
}

func (e *ear) Offered(calls [][]byte) (wrong []error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.offered += len(calls)
	e.most = max(e.most, len(calls))
	for range calls {
		if e.refuse != nil {
			wrong = append(wrong, e.refuse)
		}
	}
	return wrong
}

func (e *ear) Serve(request []byte) ([]byte, error) {
	if string(request) == "wrong" {
		return nil, errors.New("a wrong request")
	}
	return append([]byte("you asked "), request...), nil
}

func (e *ear) Answered(_ ic.NodeID, id uint64, response []byte) {
	e.answered <- fmt.Sprintf("%d %s %t", id, response, response == nil)
}

func (e *ear) has(what string) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Contains(e.heard, what)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type mesh struct {
	keys  []ed25519.PrivateKey
	hosts []*Host
	ears  []*ear
	peers []Peer
}

func host(t *testing.T, key ed25519.PrivateKey, at netip.AddrPort) *Host {
	t.Helper()
	pub := key.Public().(ed25519.PublicKey)
	h, err := New(Config{Self: nodeID(pub), Key: pub, Listen: at, Log: func(line string) { t.Log(line) },
		Sign: func(m []byte) []byte { return ed25519.Sign(key, m) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func nodeID(pub ed25519.PublicKey) ic.NodeID { return ic.NodeID{Principal: ic.Principal(pub[:29])} }

func key(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func connected(t *testing.T, n int) *mesh {
	t.Helper()
	w := &mesh{}
	for i := range n {
		w.keys = append(w.keys, key(i))
		w.hosts = append(w.hosts, host(t, w.keys[i], anyPort))
		w.ears = append(w.ears, newEar())
		w.peers = append(w.peers, w.peer(t, i))
	}
	for i, h := range w.hosts {
		h.Start(w.ears[i])
		if err := h.SetMembers(w.peers); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *mesh) peer(t *testing.T, i int) Peer {
	t.Helper()
	at, err := w.hosts[i].Addr()
	if err != nil {
		t.Fatal(err)
	}
	pub := w.keys[i].Public().(ed25519.PublicKey)
	return Peer{ID: nodeID(pub), Key: pub, Addr: at}
}

// again starts host i anew, at its old address.
func (w *mesh) again(t *testing.T, i int) {
	t.Helper()
	w.hosts[i].Close()
	w.hosts[i] = host(t, w.keys[i], w.peers[i].Addr)
	w.ears[i] = newEar()
	w.hosts[i].Start(w.ears[i])
	if err := w.hosts[i].SetMembers(w.peers); err != nil {
		t.Fatal(err)
	}
}

func TestArtifactsReachAllPeers(t *testing.T) {
	w := connected(t, 4)
	big := string(bytes.Repeat([]byte("b"), 5<<20))
	for i, h := range w.hosts {
		h.Broadcast(1, fmt.Appendf(nil, "artifact of %d", i))
		if i == 0 {
			h.Broadcast(1, []byte(big))
		}
		h.Gossip([]byte("call"))
	}
	for i := range w.hosts {
		for j, e := range w.ears {
			if i != j {
				until(t, fmt.Sprintf("%d hears %d", j, i), e.has(fmt.Sprintf("artifact of %d", i)))
			}
		}
	}
	until(t, "3 hears a large one", w.ears[3].has(big))
}

func TestOnePeerComesBack(t *testing.T) {
	w := connected(t, 2)
	w.hosts[0].Broadcast(1, []byte("one"))
	until(t, "one", w.ears[1].has("one"))
	w.hosts[1].Close()
	w.hosts[0].Broadcast(2, []byte("two"))
	w.hosts[0].Broadcast(3, []byte("three"))
	w.hosts[0].Purge(3)
	w.again(t, 1)
	until(t, "what was said while it was away", w.ears[1].has("three"))
	w.hosts[0].Broadcast(4, []byte("four"))
	until(t, "four", w.ears[1].has("four"))
	w.hosts[1].Broadcast(4, []byte("back"))
	until(t, "the way back", w.ears[0].has("back"))
	if w.ears[1].has("one")() || w.ears[1].has("two")() {
		t.Errorf("it heard what was purged: %q", w.ears[1].heard)
	}
}

func TestAskAndServe(t *testing.T) {
	w := connected(t, 2)
	w.hosts[0].Broadcast(1, []byte("hello"))
	until(t, "they are connected", w.ears[1].has("hello"))
	w.hosts[0].Ask(w.peers[1].ID, 7, []byte("this"))
	if got := <-w.ears[0].answered; got != "7 you asked this false" {
		t.Error(got)
	}
	w.hosts[0].Ask(w.peers[1].ID, 8, []byte("wrong"))
	if got := <-w.ears[0].answered; got != "8  true" {
		t.Error(got)
	}
	w.hosts[0].Ask(ic.NodeID{Principal: "nobody"}, 9, nil)
	if got := <-w.ears[0].answered; got != "9  true" {
		t.Error(got)
	}
}

// A peer that does not read delays itself only, and what it did not read in time
// is not kept for it.
func TestAPeerThatStalls(t *testing.T) {
	w := connected(t, 3)
	w.ears[1].full = make(chan struct{})
	const heights = 100
	data := make([]byte, 1<<20)
	for h := range ic.Height(heights) {
		binary.BigEndian.PutUint64(data, uint64(h))
		w.hosts[0].Broadcast(h, bytes.Clone(data))
		w.hosts[0].Broadcast(h, fmt.Appendf(nil, "height %d", h))
		until(t, "the other peer hears", w.ears[2].has(fmt.Sprintf("height %d", h)))
		w.hosts[0].Purge(h)
	}
	if n := len(w.hosts[0].log.entries); n > 2 {
		t.Errorf("%d entries are kept for it", n)
	}
	close(w.ears[1].full)
	until(t, "it goes on", w.ears[1].has(fmt.Sprintf("height %d", heights-1)))
	w.ears[1].mu.Lock()
	defer w.ears[1].mu.Unlock()
	large := 0
	for _, heard := range w.ears[1].heard {
		if len(heard) == len(data) {
			large++
		}
	}
	if large > heights/4 {
		t.Errorf("it heard %d large artifacts of %d: they were kept for it", large, heights)
	}
}

func TestStrangersStayOut(t *testing.T) {
	w := connected(t, 2)
	stranger := host(t, key(77), anyPort)
	stranger.Start(newEar())
	if err := stranger.SetMembers(w.peers); err != nil {
		t.Fatal(err)
	}
	stranger.Broadcast(1, []byte("stranger"))
	// A member in a stranger's place: the right address, another's key.
	liar := []Peer{{ID: w.peers[1].ID, Key: key(78).Public().(ed25519.PublicKey), Addr: w.peers[1].Addr}}
	if err := w.hosts[0].SetMembers(liar); err != nil {
		t.Fatal(err)
	}
	w.hosts[0].Broadcast(1, []byte("for the right one"))
	until(t, "some attempts", func() bool { return w.hosts[0].remotes()[0].connects.Load() == 0 && !stranger.Counters()[0].Connected })
	if err := w.hosts[0].SetMembers(w.peers); err != nil {
		t.Fatal(err)
	}
	until(t, "the right one hears", w.ears[1].has("for the right one"))
	for _, c := range stranger.Counters() {
		if c.HeardBytes != 0 {
			t.Errorf("a stranger was told something: %+v", c)
		}
	}
	until(t, "it was turned away", func() bool { return w.hosts[0].Strangers()+w.hosts[1].Strangers() > 0 })
	if w.ears[0].has("stranger")() || w.ears[1].has("stranger")() {
		t.Error("a stranger was heard")
	}
}

func TestAMemberThatLeavesIsCutOff(t *testing.T) {
	w := connected(t, 2)
	w.hosts[0].Broadcast(1, []byte("hello"))
	until(t, "hello", w.ears[1].has("hello"))
	if err := w.hosts[1].SetMembers(nil); err != nil {
		t.Fatal(err)
	}
	until(t, "it is cut off", func() bool { return w.hosts[1].swarm.Connectedness(w.hosts[0].swarm.LocalPeer()) != network.Connected })
}

func TestAPeerThatLiesIsCutOff(t *testing.T) {
	w := connected(t, 2)
	w.ears[1].refuse = errors.New("a forged call")
	for range maxWrong + 5 {
		w.hosts[0].Gossip([]byte("forged"))
	}
	r := w.hosts[1].remotes()[0]
	until(t, "it is banned", r.banned)
	until(t, "it is gone", func() bool { return !w.hosts[1].Counters()[0].Connected })
	if c := w.hosts[1].Counters()[0]; c.Refused["call"] < maxWrong {
		t.Errorf("%+v", c)
	}
}

// A peer that floods is read at the speed that it is granted.
func TestAPeerThatFloods(t *testing.T) {
	w := connected(t, 2)
	r := w.hosts[0].remotes()[0]
	until(t, "they are connected", func() bool { return w.hosts[0].Counters()[0].Connected })
	for range 3 * queuedCalls {
		r.offer(make([]byte, 100))
	}
	r.mu.Lock()
	n := len(r.queue)
	r.mu.Unlock()
	if n > queuedCalls {
		t.Errorf("%d calls wait", n)
	}
	for range 20 { // each answer may be waited for, no more than a few at once
		w.hosts[0].Ask(w.peers[1].ID, 1, []byte("x"))
	}
	for range 20 {
		<-w.ears[0].answered
	}
}

func TestReadFrameIsBounded(t *testing.T) {
	frame := func(n uint32, data string) []byte { return append(binary.BigEndian.AppendUint32(nil, n), data...) }
	if got, err := readFrame(bytes.NewReader(frame(3, "abc")), 10, firstRead); string(got) != "abc" || err != nil {
		t.Error(got, err)
	}
	for _, c := range [][]byte{frame(11, "abc"), frame(1<<32-1, ""), frame(4, "abc"), {0, 0}} {
		if got, err := readFrame(bytes.NewReader(c), 10, firstRead); err == nil {
			t.Errorf("%x was read: %q", c, got)
		}
	}
	if allocs := testing.AllocsPerRun(3, func() { readFrame(bytes.NewReader(frame(12<<20, "abc")), 12<<20, firstRead) }); allocs > 20 {
		t.Errorf("%f allocations", allocs)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := readFrame(bytes.NewReader(data), 1000, firstRead); err == nil && len(got) > 1000 {
			t.Error(len(got))
		}
	})
}

// What was refused of a peer is taken of its budget: a liar is heard more slowly.
func TestBlameSlowsDown(t *testing.T) {
	w := connected(t, 3)
	w.hosts[0].Broadcast(1, []byte("hello"))
	until(t, "they are connected", func() bool { return w.ears[1].has("hello")() && w.ears[2].has("hello")() })
	const lies = 100
	for range lies {
		w.hosts[1].Blame(w.peers[0].ID, "beacon share", errors.New("it does not match"))
	}
	w.hosts[1].Blame(ic.NodeID{Principal: "nobody"}, "beacon share", errors.New("it does not match"))
	began := time.Now()
	w.hosts[2].Broadcast(1, []byte("honest"))
	w.hosts[0].Broadcast(1, []byte("liar"))
	until(t, "the honest one is heard", w.ears[1].has("honest"))
	if w.ears[1].has("liar")() {
		t.Error("the liar was heard as soon as the honest one")
	}
	until(t, "the liar is heard", w.ears[1].has("liar"))
	if took, least := time.Since(began), time.Second; took < least {
		t.Errorf("the liar was heard after %s", took)
	}
	for _, c := range w.hosts[1].Counters() {
		if got := c.Refused["beacon share"]; got != 0 != (c.Peer == w.peers[0].ID) || got != 0 && got != lies {
			t.Errorf("%+v", c)
		}
	}
}

// A peer that sends and is not read fills a window, and no more of our memory.
func TestAStreamHoldsAWindow(t *testing.T) {
	w := connected(t, 2)
	w.ears[1].full = make(chan struct{})
	defer close(w.ears[1].full)
	r := w.hosts[0].remotes()[0]
	until(t, "they are connected", func() bool { return w.hosts[0].Counters()[0].Connected })
	s, err := r.open(t.Context(), kindArtifacts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	frame := append([]byte{0, 0, 4, 0}, make([]byte, 1024)...)
	sent := 0
	for sent < 64<<20 {
		s.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := s.Write(frame)
		if sent += n; err != nil {
			break
		}
	}
	if sent > 2*windowBytes {
		t.Errorf("%d bytes were taken of a peer whose artifacts nobody reads", sent)
	}
}

// Calls that lie together on the line are handed on together.
func TestCallsTogether(t *testing.T) {
	w := connected(t, 2)
	until(t, "they are connected", func() bool { return w.hosts[0].Counters()[0].Connected })
	const calls = 3 * maxTogether
	for i := range calls {
		w.hosts[0].Gossip(fmt.Appendf(nil, "call %d", i))
	}
	e := w.ears[1]
	until(t, "all calls", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.offered == calls })
	if e.most < 2 || e.most > maxTogether {
		t.Errorf("%d calls at once", e.most)
	}
}
