package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"ashlar/replica/engine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/store"
	"ashlar/replica/wire/candid"
)

// bare is what a node has below its consensus: rounds without blocks.
type bare struct {
	tb      testing.TB
	dir     string
	engine  *engine.Engine
	machine *messaging.Machine
	store   *store.Store
	now     *state.State
	saved   *state.State
	next    uint64
	queued  []ic.Ingress
}

const bareUser = ic.Principal("user\x02")

func newBare(tb testing.TB, dir string) *bare {
	s := &bare{tb: tb, dir: dir}
	var err error
	s.engine, err = engine.New(engine.Config{Host: sysapi.Functions(), CacheDir: filepath.Join(dir, "compiled")})
	s.must(err)
	cfg := state.Subnet{ID: ic.SubnetID{Principal: "subnet\x02"}, Type: "application", PublicKey: []byte("k"), RootKey: []byte("k"),
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}
	s.machine = messaging.New(messaging.Config{Subnet: cfg, Provisional: true, Parallel: engine.Parallel, Pool: node.NewInstances(idleAnyway)}, s.engine)
	s.store, err = store.Open(dir, store.Options{})
	s.must(err)
	s.now, err = s.store.LoadState()
	s.must(err)
	if s.saved = s.now; s.now == nil {
		s.now = state.New(state.Genesis{Subnet: cfg, Time: 1_700_000_000e9})
	}
	return s
}

func (s *bare) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

func (s *bare) close() {
	s.must(s.store.Close())
	s.machine.Close()
	s.engine.Close()
	*s = bare{tb: s.tb, dir: s.dir}
}

func (s *bare) send(to ic.CanisterID, effective ic.CanisterID, method string, arg []byte) ic.RequestID {
	s.next++
	id := ic.RequestID(sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.now.Time())), s.next)))
	s.queued = append(s.queued, ic.Ingress{ID: id, Sender: bareUser, Canister: to, Method: method, Arg: arg, Expiry: s.now.Time() + 200e9, Bytes: 300 + len(arg), Effective: effective})
	return id
}

// round executes what was sent, as long after the last one as a busy node takes.
func (s *bare) round() {
	s.now = s.machine.Apply(s.now, &messaging.Batch{Height: s.now.Height() + 1, Time: s.now.Time() + 100e6, Ingress: s.queued, Nodes: 1})
	s.queued = nil
}

// settle runs rounds until nothing waits.
func (s *bare) settle() {
	for s.round(); s.now.Busy(); s.round() {
	}
}

func (s *bare) replied(ids []ic.RequestID) {
	s.tb.Helper()
	for i, id := range ids {
		if c := s.now.Status(id); c == nil || c.State != state.Replied {
			s.tb.Fatalf("call %d of %d: %+v", i, len(ids), c)
		}
	}
}

func (s *bare) save() {
	s.must(s.store.SaveState(s.now, s.saved))
	s.saved = s.now
}

func (s *bare) ids() (out []ic.CanisterID) {
	s.now.Canisters(func(c *state.Canister) bool {
		out = append(out, c.ID)
		return true
	})
	return out
}

// management is the management canister.
var management = ic.CanisterID{}

// create makes n canisters with this code. node is called with the node's parts of
// it: to write so many messages is the users' work.
func (s *bare) create(n int, code []byte, node func(part string, work func())) {
	var ids []ic.RequestID
	for range n {
		ids = append(ids, s.send(management, management, "provisional_create_canister_with_cycles", candid.Marshal(struct{}{})))
	}
	node("create", s.settle)
	s.replied(ids)
	ids = ids[:0]
	placeholder := ic.CanisterIDFromUint64(1<<40 + 12345)
	form := candid.Marshal(installCode{installMode{Install: &candid.Unit{}}, placeholder, code, candid.Marshal()})
	at := bytes.Index(form, placeholder.Bytes())
	for _, id := range s.ids() {
		arg := bytes.Clone(form)
		copy(arg[at:], id.Bytes())
		ids = append(ids, s.send(management, id, "install_code", arg))
		if len(ids)%30 == 0 {
			node("install", s.settle)
		}
	}
	node("install", s.settle)
	s.replied(ids[max(0, len(ids)-200):])
}

func atOnce(_ string, work func()) { work() }

type installMode struct {
	candid.OneOf
	Install *candid.Unit `candid:"install"`
}

type installCode struct {
	Mode     installMode   `candid:"mode"`
	Canister ic.CanisterID `candid:"canister_id"`
	Code     []byte        `candid:"wasm_module"`
	Arg      []byte        `candid:"arg"`
}

// rss is the process's memory, the part that is not a file's, in bytes.
func rss(tb testing.TB) (anonymous, file uint64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch n <<= 10; name {
		case "RssAnon":
			anonymous = n
		case "RssFile":
			file = n
		}
	}
	return anonymous, file
}

func heapBytes() uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// 10,000 canisters on one node, and a thousand to see how it grows: each is made,
// installed, called; the state is saved, and the node starts again.
func BenchmarkCanisters(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { benchCanisters(b, n) })
	}
}

func benchCanisters(b *testing.B, n int) {
	code, err := os.ReadFile("../../engine/testdata/motoko/counter.wasm")
	if err != nil {
		b.Fatal(err)
	}
	go collect(b.Context())
	for b.Loop() {
		s := newBare(b, b.TempDir())
		var all, allCPU time.Duration
		type spent struct{ wall, cpu time.Duration }
		phases := map[string]spent{}
		phase := func(name string, f func()) {
			began, cpu := time.Now(), cpuTime()
			f()
			took, used := time.Since(began), cpuTime()-cpu
			all, allCPU = all+took, allCPU+used
			p := phases[name]
			p = spent{p.wall + took, p.cpu + used}
			phases[name] = p
			b.ReportMetric(p.wall.Seconds(), name+"-s")
			b.ReportMetric(p.cpu.Seconds(), name+"-cpu-s")
		}
		s.create(n, code, phase)
		phase("save", s.save)
		ids := s.ids()
		var calls []ic.RequestID
		phase("call", func() {
			for _, id := range ids {
				calls = append(calls, s.send(id, id, "inc", candid.Marshal()))
			}
			s.settle()
		})
		s.replied(calls)
		phase("checkpoint", s.save)
		phase("stop", s.close)
		before := heapBytes()
		anonBefore, _ := rss(b)
		phase("restart", func() { s = newBare(b, s.dir) })
		b.ReportMetric(all.Seconds(), "all-s")
		b.ReportMetric(allCPU.Seconds(), "all-cpu-s")
		after := heapBytes()
		anonAfter, _ := rss(b)
		b.ReportMetric(allCPU.Seconds()/float64(n)*1e6, "cpu-us/canister")
		b.ReportMetric((float64(after)-float64(before))/float64(n)/1024, "heap-KiB/canister")
		b.ReportMetric((float64(anonAfter)-float64(anonBefore))/float64(n)/1024, "rss-KiB/canister")
		s.close()
	}
}
