package messaging

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"testing"

	"ashlar/replica/engine"
	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

//go:embed testdata/universal.wasm
var universal []byte

//go:embed testdata/heartbeat.wasm
var heartbeat []byte

const (
	alice = ic.Principal("alice\x02")
	bob   = ic.Principal("bob\x02")
)

const second = 1e9

// world is one subnet, stepped by a test. Every round is checked: the difference
// to the one before leads to the same state when it is loaded.
type world struct {
	t      testing.TB
	m      *Machine
	s      *state.State
	store  map[string]string
	time   ic.Time
	next   uint64
	queued []ic.Ingress
}

// answers keeps all answers: each query of a test is compared with what was kept.
type answers map[[32]byte]*canister.Answer

func (a answers) Get(key [32]byte) *canister.Answer         { return a[key] }
func (a answers) Put(key [32]byte, answer *canister.Answer) { a[key] = answer }

func newEngine(t testing.TB) machine.Engine {
	e, err := engine.New(engine.Config{Host: sysapi.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func testConfig() Config {
	id := ic.SubnetID{Principal: "subnet\x02"}
	return Config{Provisional: true, Version: "test", Subnet: state.Subnet{
		ID: id, Type: "application", PublicKey: []byte("subnet key"), RootKey: []byte("root key"),
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1000)}},
		Nodes:  []state.Node{{ID: ic.NodeID{Principal: "node\x02"}, PublicKey: []byte("node key")}},
	}}
}

func newWorld(t *testing.T) *world { return newWorldOn(t, newEngine(t)) }

func newWorldOn(t testing.TB, e machine.Engine) *world {
	cfg := testConfig()
	cfg.Cache = answers{}
	w := &world{t: t, m: New(cfg, e), store: map[string]string{}, time: 1_700_000_000 * second}
	w.s = state.New(state.Genesis{Subnet: cfg.Subnet, Time: w.time})
	w.persist(nil)
	return w
}

// persist keeps the store as an edge would.
func (w *world) persist(old *state.State) {
	w.t.Helper()
	last := ""
	w.s.Diff(old, func(key string, value []byte) bool {
		if key <= last {
			w.t.Fatalf("difference out of order: %x after %x", key, last)
		}
		last = key
		if value == nil {
			delete(w.store, key)
		} else {
			w.store[key] = string(value)
		}
		return true
	})
}

func (w *world) reload() *state.State {
	w.t.Helper()
	s, err := state.Load(func(yield func(string, []byte) bool) error {
		keys := make([]string, 0, len(w.store))
		for k := range w.store {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			if !yield(k, []byte(w.store[k])) {
				break
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// round applies one batch with what was sent.
func (w *world) round() {
	w.t.Helper()
	w.time += second
	h := w.s.Height() + 1
	b := &Batch{Height: h, Time: w.time, Randomness: sha256.Sum256([]byte{byte(h)}), Ingress: w.queued, RegistryVersion: 1, Nodes: 13, Maker: w.m.cfg.Subnet.Nodes[0].ID}
	w.queued = nil
	old := w.s
	w.s = w.m.Apply(old, b)
	w.persist(old)
}

// send queues a call and returns its id.
func (w *world) send(from ic.Principal, to ic.CanisterID, method string, arg []byte) ic.RequestID {
	w.next++
	id := sha256.Sum256(binary.BigEndian.AppendUint64(nil, w.next))
	w.queued = append(w.queued, ic.Ingress{ID: id, Sender: from, Canister: to, Method: method, Arg: arg, Expiry: w.time + 240*second, Bytes: 300 + len(arg), Effective: to})
	return id
}

// call sends, and steps rounds until the call has ended.
func (w *world) call(from ic.Principal, to ic.CanisterID, method string, arg []byte) ic.Reply {
	w.t.Helper()
	id := w.send(from, to, method, arg)
	for range 50 {
		w.round()
		if c := w.s.Status(id); c != nil && c.State.Terminal() {
			return ic.Reply{Data: c.Reply, Reject: c.Reject}
		}
	}
	w.t.Fatalf("%s has no answer after 50 rounds: %+v", method, w.s.Status(id))
	return ic.Reply{}
}

func (w *world) must(r ic.Reply) []byte {
	w.t.Helper()
	if r.Reject != nil {
		w.t.Fatalf("rejected: %s %s", r.Reject.Code, r.Reject.Message)
	}
	return r.Data
}

// rejected checks code and a part of the message.
func (w *world) rejected(r ic.Reply, code ic.ErrorCode, part string) {
	w.t.Helper()
	if r.Reject == nil {
		w.t.Fatalf("replied %q, want %s", r.Data, code)
	}
	if r.Reject.Code != code || !strings.Contains(r.Reject.Message, part) {
		w.t.Fatalf("rejected with %s %q, want %s with %q", r.Reject.Code, r.Reject.Message, code, part)
	}
	if r.Reject.Class != code.RejectCode() {
		w.t.Fatalf("reject code %d does not belong to %s", r.Reject.Class, code)
	}
}

var aaaaa = ic.CanisterID{Principal: ic.Management}

func (w *world) create(owner ic.Principal) ic.CanisterID {
	w.t.Helper()
	var out struct {
		ID ic.CanisterID `candid:"canister_id"`
	}
	type none struct{}
	if err := candid.Unmarshal(w.must(w.call(owner, aaaaa, "provisional_create_canister_with_cycles", candid.Marshal(none{}))), &out); err != nil {
		w.t.Fatal(err)
	}
	return out.ID
}

type mode struct {
	candid.OneOf
	Install   *candid.Unit `candid:"install"`
	Reinstall *candid.Unit `candid:"reinstall"`
	Upgrade   **struct {
		Skip *bool `candid:"skip_pre_upgrade"`
	} `candid:"upgrade"`
}

type installArg struct {
	Mode     mode          `candid:"mode"`
	Canister ic.CanisterID `candid:"canister_id"`
	Code     []byte        `candid:"wasm_module"`
	Arg      []byte        `candid:"arg"`
}

func upgradeMode() mode {
	var o *struct {
		Skip *bool `candid:"skip_pre_upgrade"`
	}
	return mode{Upgrade: &o}
}

func (w *world) install(owner ic.Principal, id ic.CanisterID, m mode, code, arg []byte) ic.Reply {
	w.t.Helper()
	return w.call(owner, aaaaa, "install_code", candid.Marshal(installArg{m, id, code, arg}))
}

func (w *world) universal(owner ic.Principal) ic.CanisterID {
	w.t.Helper()
	id := w.create(owner)
	w.must(w.install(owner, id, mode{Install: &candid.Unit{}}, universal, nil))
	return id
}

func (w *world) query(from ic.Principal, to ic.CanisterID, method string, arg []byte) ic.Reply {
	w.t.Helper()
	q := &ic.Query{Sender: from, Canister: to, Method: method, Arg: arg}
	before := w.m.Recall(w.s, q, w.time)
	now := w.m.Query(w.s, q, w.time, func() []byte { return []byte("certificate") }, nil)
	for _, old := range []*canister.Answer{before, w.m.Recall(w.s, q, w.time)} {
		if old != nil && !reflect.DeepEqual(old.Reply, now.Reply) {
			w.t.Errorf("%s of %s was kept as %+v and is %+v now", method, to, old.Reply, now.Reply)
		}
	}
	return now.Reply
}

// Programs of the universal canister.
type prog []byte

func lit(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }

func (p prog) op(c byte) prog            { return append(p[:len(p):len(p)], c) }
func (p prog) b(s string) prog           { return append(p.op('b'), lit([]byte(s))...) }
func (p prog) u64(c byte, n uint64) prog { return binary.LittleEndian.AppendUint64(p.op(c), n) }
func (p prog) u32(c byte, n uint32) prog { return binary.LittleEndian.AppendUint32(p.op(c), n) }
func (p prog) reply() prog               { return p.op('r').op('R') }

// outgoing is a call that a program makes.
type outgoing struct {
	to                           ic.CanisterID
	method                       string
	arg                          []byte
	onReply, onReject, onCleanup prog
	cycles                       uint64
	timeout                      uint32
}

func (p prog) call(o outgoing) prog {
	p = p.op('c')
	for _, b := range [][]byte{o.to.Bytes(), []byte(o.method), o.arg, o.onReply, o.onReject, o.onCleanup} {
		p = append(p, lit(b)...)
	}
	p = binary.LittleEndian.AppendUint64(p, o.cycles)
	return binary.LittleEndian.AppendUint32(p, o.timeout)
}

func TestCreateInstallCallQuery(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	if got := w.must(w.call(bob, id, "update", prog{}.b("kept").op('G').op('k').reply())); string(got) != string(bob) {
		t.Errorf("caller is %q", got)
	}
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "kept" {
		t.Errorf("query gives %q", got)
	}
	// A query's changes are dropped.
	w.must(w.query(bob, id, "query", prog{}.b("other").op('G').reply()))
	if got := w.must(w.call(bob, id, "query", prog{}.op('g').reply())); string(got) != "kept" {
		t.Errorf("replicated query gives %q", got)
	}
	w.rejected(w.call(bob, id, "update", prog{}.b("lost").op('G').b("oops").op('T')), ic.CanisterCalledTrap,
		"Error from Canister "+id.String()+": Canister called `ic0.trap` with message: 'oops'")
	w.rejected(w.call(bob, id, "update", prog{}.b("lost").op('G').op('Z')), ic.CanisterTrapped, "Canister trapped: unreachable")
	w.rejected(w.call(bob, id, "update", prog{}), ic.CanisterDidNotReply, "did not reply to the call")
	w.rejected(w.call(bob, id, "nothing", nil), ic.CanisterMethodNotFound, "Canister has no update method 'nothing'.")
	w.rejected(w.call(bob, id, "composite", nil), ic.CompositeQueryInReplicatedMode, "")
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "kept" {
		t.Errorf("after traps: %q", got)
	}
	w.checkReload()
}

// checkReload loads the store and compares.
func (w *world) checkReload() {
	w.t.Helper()
	s := w.reload()
	if s.Tree().Digest() != w.s.Tree().Digest() {
		w.t.Error("the loaded state has another root")
	}
	again := map[string]string{}
	s.Diff(nil, func(k string, v []byte) bool {
		again[k] = string(v)
		return true
	})
	for k, v := range w.store {
		if again[k] != v {
			w.t.Errorf("key %q differs after loading: %x, was %x", k, again[k], v)
		}
	}
	if len(again) != len(w.store) {
		w.t.Errorf("%d keys after loading, %d before", len(again), len(w.store))
	}
	w.s = s // go on with it
}

func num(b []byte) uint64 {
	if len(b) < 8 {
		panic(fmt.Sprintf("%x is no number", b))
	}
	return binary.LittleEndian.Uint64(b)
}

// Who comes when the state knows as many calls as it may is told so; when it has
// forgotten some, others are taken again.
func TestFullHistory(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.m.cfg.Statuses = w.s.NumCalls() + 2
	read := func() ic.RequestID { return w.send(alice, id, "update", prog{}.reply()) }
	var sent []ic.RequestID
	for range 4 {
		sent = append(sent, read())
	}
	balance := w.s.Canister(id).Cycles
	w.round()
	for i, id := range sent {
		c := w.s.Status(id)
		if taken := i < 2; c == nil || (c.State == state.Replied) != taken || !taken && c.Reject.Code != ic.IngressHistoryFull {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	if w.s.Canister(id).Cycles == balance {
		t.Error("calls that were taken cost nothing")
	}
	w.m.cfg.Statuses = w.s.NumCalls() / 2
	last := read()
	w.round()
	if c := w.s.Status(last); c != nil {
		t.Errorf("beyond twice the limit: %+v", c)
	}
	w.time += 10 * 60 * second
	w.round()
	w.must(w.call(alice, id, "update", prog{}.reply()))
}
