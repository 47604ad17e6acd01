package p2p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"ashlar/replica/ic"
)

// big is an artifact that is fetched.
func big(i byte) []byte { return bytes.Repeat([]byte{i}, 3*largeBytes) }

func (e *ear) count(what []byte) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, heard := range e.heard {
		if heard == string(what) {
			n++
		}
	}
	return n
}

// What all peers say is fetched from one of them.
func TestALargeArtifactIsFetchedOnce(t *testing.T) {
	w := connected(t, 4)
	for _, h := range w.hosts[:3] {
		h.Broadcast(1, big(1))
		h.Broadcast(1, []byte("and this"))
	}
	until(t, "it is there", w.ears[3].has(string(big(1))))
	until(t, "all announced it", func() bool {
		n := 0
		for _, c := range w.hosts[3].Counters() {
			n += int(c.Artifacts)
		}
		return n >= 4
	})
	if n := w.ears[3].count(big(1)); n != 1 {
		t.Errorf("it came %d times", n)
	}
	var heard uint64
	for _, c := range w.hosts[3].Counters() {
		heard += c.HeardBytes
	}
	if heard > uint64(len(big(1)))*3/2 {
		t.Errorf("%d bytes came", heard)
	}
}

// One who announces what it does not give is passed over for the next.
func TestALargeArtifactThatOneDoesNotGive(t *testing.T) {
	w := connected(t, 3)
	liar := w.hosts[0]
	liar.log.mu.Lock() // it announces, and gives something else
	liar.log.byName[sha256.Sum256(big(7))] = big(8)
	liar.log.mu.Unlock()
	e := entry{height: 1, data: big(7), name: sha256.Sum256(big(7))}
	liar.log.mu.Lock()
	liar.log.entries = append(liar.log.entries, e)
	grown := liar.log.grown
	liar.log.grown = make(chan struct{})
	liar.log.mu.Unlock()
	close(grown)
	until(t, "the liar is found out", func() bool {
		for _, c := range w.hosts[2].Counters() {
			if c.Peer == w.peers[0].ID && c.Refused["fetch"] > 0 {
				return true
			}
		}
		return false
	})
	w.hosts[1].Broadcast(1, big(7))
	until(t, "the honest one gives it", w.ears[2].has(string(big(7))))
}

func TestAnnouncementsAreBounded(t *testing.T) {
	n := name{1}
	if got, size, err := parseAnnouncement(announcement(n, largeBytes+1)); got != n || size != largeBytes+1 || err != nil {
		t.Error(got, size, err)
	}
	for _, bad := range [][]byte{nil, announcement(n, largeBytes), announcement(n, maxArtifact+1), announcement(n, 1<<20)[1:], append(announcement(n, 1<<20), 0)} {
		if _, _, err := parseAnnouncement(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
	var s shelf
	now := time.Now()
	for i := range 3 * remembered {
		var n name
		binary.BigEndian.PutUint64(n[:], uint64(i))
		if !s.claim(n, nil, now) || s.claim(n, nil, now) {
			t.Fatal("claimed twice, or not")
		}
	}
	if len(s.seen) != remembered || len(s.ring) != remembered {
		t.Errorf("%d and %d are remembered", len(s.seen), len(s.ring))
	}
	s.done(s.ring[0], true, now)
	if s.claim(s.ring[0], nil, now) || !s.claim(s.ring[0], nil, now.Add(2*fetchAgain)) {
		t.Error("what came is fetched again, or never")
	}
}

// A vote overtakes what is large, also on a slow line: 8 MB/s.
func TestVotesDoNotWait(t *testing.T) {
	w := &mesh{}
	for i := range 2 {
		w.keys = append(w.keys, key(i))
		w.hosts = append(w.hosts, host(t, w.keys[i], anyPort))
		w.ears = append(w.ears, newEar())
		w.peers = append(w.peers, w.peer(t, i))
	}
	slow := make([]Peer, 2)
	for i, p := range w.peers {
		slow[i] = p
		slow[i].Addr = slowLine(t, p.Addr, 8<<20)
	}
	for i, h := range w.hosts {
		h.Start(w.ears[i])
		if err := h.SetMembers(slow); err != nil {
			t.Fatal(err)
		}
	}
	w.hosts[0].Broadcast(1, []byte("hello"))
	until(t, "they are connected", w.ears[1].has("hello"))
	for i := range byte(3) {
		w.hosts[0].Broadcast(1, bytes.Repeat([]byte{i}, 8<<20)) // three seconds of the line
	}
	began := time.Now()
	for i := range 10 {
		vote := fmt.Sprintf("vote %d", i)
		w.hosts[0].Broadcast(1, []byte(vote))
		until(t, vote, w.ears[1].has(vote))
	}
	votes := time.Since(began)
	until(t, "all came", func() bool { return w.ears[1].count(bytes.Repeat([]byte{2}, 8<<20)) == 1 })
	all := time.Since(began)
	t.Logf("ten votes took %s, with 24 MB beside them, which took %s", votes, all)
	if votes > all*2/3 {
		t.Errorf("ten votes took %s of %s: they wait behind large artifacts", votes, all)
	}
}

// slowLine is where a listener is reached at some bytes a second.
func slowLine(t *testing.T, to netip.AddrPort, rate int) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); l.Close() })
	var open atomic.Int64
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to.String())
			if err != nil {
				a.Close()
				continue
			}
			open.Add(1)
			context.AfterFunc(ctx, func() { a.Close(); b.Close() })
			go slowly(a, b, rate)
			go slowly(b, a, rate)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func slowly(to, from net.Conn, rate int) {
	defer to.Close()
	from.(*net.TCPConn).SetReadBuffer(64 << 10) // what the line itself holds
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func FuzzHear(f *testing.F) {
	f.Add([]byte{frameWhole, 1})
	f.Add(append([]byte{frameLarge}, announcement(name{2}, 1<<20)...))
	h := &Host{handler: newEar(), closed: true, cfg: Config{Log: func(string) {}}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := newRemote(h, Peer{ID: ic.NodeID{Principal: "peer"}}, "")
		r.wrongs = -1000 // never cut off: there is no swarm
		if err := r.hear(h.ctx, frame); err != nil && err != io.EOF {
			t.Error(err)
		}
	})
}
