package node_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// echo answers each call with its argument; queries block until released.
type echo struct {
	mu      sync.Mutex
	applied map[ic.RequestID]int
	hold    chan struct{} // nil: queries do not wait
}

func (e *echo) Apply(s *state.State, b *messaging.Batch) *state.State {
	d := s.Draft()
	d.Head.Height, d.Head.Time = b.Height, b.Time
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range b.Ingress {
		e.applied[m.ID]++
		d.SetCall(m.ID, &state.Call{State: state.Replied, Reply: m.Arg, Sender: m.Sender, Effective: m.Effective, Expiry: m.Expiry, Updated: b.Time})
	}
	return d.Seal()
}

func (e *echo) Query(_ *state.State, _ *ic.Query, _ ic.Time, cert func() []byte, _ func() bool) *canister.Answer {
	if e.hold != nil {
		<-e.hold
	}
	return &canister.Answer{Reply: ic.Reply{Data: cert()}}
}

func (e *echo) Recall(*state.State, *ic.Query, ic.Time) *canister.Answer { return nil }

func (e *echo) Inspect(_ *state.State, msg *ic.Ingress, _ ic.Time) *ic.UserError {
	if msg.Method == "refused" {
		return ic.Errorf(ic.CanisterRejectedMessage, "not this one")
	}
	return nil
}

type clock struct{ ic.Time }

func (c *clock) Now() ic.Time { return c.Time }

type bench struct {
	*node.Node
	cfg   node.Config
	now   *clock
	echo  *echo
	group *bls.Group
}

const genesis = 1_700_000_000_000_000_000

// registry is a list of versions, from 1 on.
type registry struct{ records []*consensus.Record }

func (r *registry) Latest() uint64 { return uint64(len(r.records)) }

func (r *registry) At(v uint64) (*consensus.Record, error) {
	if v == 0 || v > r.Latest() {
		return nil, errors.New("no such version")
	}
	return r.records[v-1], nil
}

func receiver(t *testing.T, k *keystore.Keys) block.Receiver {
	t.Helper()
	e, err := k.EncryptionKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return block.Receiver{Member: block.Member{Node: k.NodeID(), Key: k.NodeKey()}, Encryption: e.Bytes()}
}

// found a subnet of these nodes.
func found(t *testing.T, keys ...*keystore.Keys) (*block.Artifact, consensus.Key) {
	t.Helper()
	rec := &consensus.Record{Version: "1"}
	for _, k := range keys {
		rec.Members = append(rec.Members, receiver(t, k))
	}
	start, key, err := consensus.Found(consensus.Founding{Random: rand.Reader, Record: rec, Registry: 1, Time: genesis})
	if err != nil {
		t.Fatal(err)
	}
	return start, key
}

func config(t *testing.T) (node.Config, *clock, *echo) {
	t.Helper()
	keys, err := keystore.Generate()
	if err != nil {
		t.Fatal(err)
	}
	start, key := found(t, keys)
	s, err := store.Open("state", store.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	now, e := &clock{genesis}, &echo{applied: map[ic.RequestID]int{}}
	group := consensus.GroupOf(key)
	subnet := state.Subnet{ID: ic.SubnetID{Principal: "subnet"}, Type: "application", PublicKey: group.Key.DER(), RootKey: group.Key.DER(),
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(9)}}}
	return node.Config{Subnet: subnet, Start: start, Registry: &registry{[]*consensus.Record{{Members: []block.Receiver{receiver(t, keys)}}}},
		Keys: node.FileKeys{Keys: keys, Dir: t.TempDir(), Random: rand.Reader}, Machine: e, Store: s, Clock: now, Pace: consensus.DefaultPace, Limits: ingress.Default,
		Parse: func(raw []byte) (*ic.Ingress, *envelope.Envelope, error) {
			m := call(raw[0], string(raw[9:]))
			m.Expiry = ic.Time(binary.BigEndian.Uint64(raw[1:]))
			return m, nil, nil
		}}, now, e
}

func open(t *testing.T) *bench {
	t.Helper()
	cfg, now, e := config(t)
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{n, cfg, now, e, groupOf(t, cfg)}
}

func groupOf(t *testing.T, cfg node.Config) *bls.Group {
	t.Helper()
	s, err := block.DecodeSummary(cfg.Start.Block.Section(block.SummarySection))
	if err != nil {
		t.Fatal(err)
	}
	key, err := consensus.Real{}.Key(s.Current.High)
	if err != nil {
		t.Fatal(err)
	}
	return consensus.GroupOf(key)
}

func call(id byte, arg string) *ic.Ingress {
	return &ic.Ingress{ID: ic.RequestID{id}, Sender: "user", Canister: ic.CanisterIDFromUint64(1), Effective: ic.CanisterIDFromUint64(1), Arg: []byte(arg)}
}

func (b *bench) submit(m *ic.Ingress) error {
	if m.Expiry == 0 {
		m.Expiry = b.now.Time + ic.Time(time.Minute)
	}
	raw := binary.BigEndian.AppendUint64([]byte{m.ID[0]}, uint64(m.Expiry))
	return b.Submit(context.Background(), append(raw, m.Arg...), m)
}

// rest lets the node do all it can at this moment.
func (b *bench) rest(t *testing.T) {
	t.Helper()
	for range 10 {
		if err := b.Step(); err != nil {
			t.Fatal(err)
		}
		b.Execute()
		for b.Labor() {
		}
		if _, err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) pass(t *testing.T, d time.Duration) {
	b.now.Time += ic.Time(d)
	b.rest(t)
}

func TestFirstRound(t *testing.T) {
	b := open(t)
	if b.Healthy() == "healthy" || b.View() != nil {
		t.Error("healthy without a certified state")
	}
	if err := b.submit(call(1, "early")); !errors.Is(err, node.ErrBusy) {
		t.Errorf("a call before the first state: %v", err)
	}
	if _, err := b.Query(t.Context(), &ic.Query{}); !errors.Is(err, node.ErrBusy) {
		t.Errorf("a query before the first state: %v", err)
	}
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	v := b.View()
	if b.Healthy() != "healthy" || v == nil || v.Height != 1 {
		t.Fatalf("%s, %v", b.Healthy(), v)
	}
	d := v.Tree().Digest()
	if err := b.group.Key.Verify(cert.StateRoot(d), v.Signature); err != nil {
		t.Error(err)
	}
	reply, err := b.Query(t.Context(), &ic.Query{Canister: ic.CanisterIDFromUint64(1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cert.Decode(reply.Data)
	if err != nil || b.group.Key.Verify(cert.StateRoot(c.Tree.Digest()), c.Signature) != nil {
		t.Errorf("the data certificate does not verify: %v", err)
	}
	if _, status := c.Tree.Lookup(hashtree.P("canister", string(ic.CanisterIDFromUint64(1).Principal), "certified_data")); status != hashtree.Absent {
		t.Errorf("certified data of no canister: %v", status)
	}
}

func TestCalls(t *testing.T) {
	b := open(t)
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	if err := b.submit(call(1, "one")); err != nil {
		t.Fatal(err)
	}
	done, cancel := b.Watch(ic.RequestID{1})
	defer cancel()
	select {
	case <-done:
		t.Error("the call has ended before a round")
	default:
	}
	b.rest(t) // no time passes: who waits is served at once
	select {
	case <-done:
	default:
		t.Fatal("the watcher was not woken")
	}
	if c := b.View().State.Status(ic.RequestID{1}); c == nil || string(c.Reply) != "one" || c.Effective != ic.CanisterIDFromUint64(1) {
		t.Errorf("status %+v", c)
	}
	late, cancel := b.Watch(ic.RequestID{1})
	defer cancel()
	select {
	case <-late:
	default:
		t.Error("who watches after the end waits for ever")
	}
	if err := b.submit(call(1, "one")); err != nil {
		t.Errorf("the same call again: %v", err)
	}
	refused := call(2, "")
	refused.Method = "refused"
	var user *ic.UserError
	if err := b.submit(refused); !errors.As(err, &user) || user.Code != ic.CanisterRejectedMessage {
		t.Errorf("a call that inspection refuses: %v", err)
	}
	b.pass(t, time.Second)
	if n := b.echo.applied[ic.RequestID{1}]; n != 1 || len(b.echo.applied) != 1 {
		t.Errorf("the call was executed %d times, %d calls were", n, len(b.echo.applied))
	}
	if m := b.Metrics(); m.Pool != 0 || m.Submitted != 1 || m.Refused != 1 || m.Messages != 1 {
		t.Errorf("metrics %+v", m)
	}
}

// A call that expires in the pool, or comes again while it is executed, must not
// make blocks without end.
func TestPoolDoesNotSpin(t *testing.T) {
	b := open(t)
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	short := call(1, "short")
	short.Expiry = b.now.Time + 1
	if err := b.submit(short); err != nil {
		t.Fatal(err)
	}
	b.pass(t, time.Second)
	if err := b.submit(call(2, "again")); err != nil {
		t.Fatal(err)
	}
	if err := b.Step(); err != nil { // in a block now
		t.Fatal(err)
	}
	b.Execute() // executed, not certified
	if err := b.submit(call(2, "again")); err != nil {
		t.Fatal(err)
	}
	b.rest(t)
	height := b.View().Height
	b.rest(t)
	if m := b.Metrics(); m.Pool != 0 || m.Expired != 1 || b.View().Height > height+1 {
		t.Errorf("height %d, then %d, metrics %+v", height, b.View().Height, m)
	}
	if n := b.echo.applied[ic.RequestID{2}]; n != 1 {
		t.Errorf("executed %d times", n)
	}
	if wait := time.Duration(b.WakeAt() - b.now.Time); wait < 400*time.Millisecond {
		t.Errorf("an idle node wakes after %v", wait)
	}
}

func TestRestart(t *testing.T) {
	b := open(t)
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	for i := range byte(5) {
		if err := b.submit(call(i, "x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Step(); err != nil {
			t.Fatal(err)
		}
		b.Execute() // and never saved
	}
	if err := b.Step(); err != nil {
		t.Fatal(err)
	}
	seen := b.View()
	n, err := node.New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	again := &bench{n, b.cfg, b.now, b.echo, b.group}
	for again.View() == nil {
		if err := again.Step(); err != nil {
			t.Fatal(err)
		}
		for again.Labor() {
		}
		if v := again.View(); v != nil && v.Height < seen.Height {
			t.Fatalf("height %d is shown, readers saw %d", v.Height, seen.Height)
		}
		if again.View() == nil && !again.Execute() {
			t.Fatal("nothing to execute and nothing to show")
		}
	}
	if v := again.View(); v.Height == seen.Height && v.Tree().Digest() != seen.Tree().Digest() {
		t.Error("another state of the same height")
	}
	select {
	case <-n.Ready():
	default:
		t.Error("not ready")
	}
}

func TestKeysOfOthers(t *testing.T) {
	cfg, _, _ := config(t)
	keys, err := keystore.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Keys = node.FileKeys{Keys: keys, Dir: t.TempDir(), Random: rand.Reader}
	if _, err := node.New(cfg); err == nil || !strings.Contains(err.Error(), "no member") {
		t.Errorf("another node's key: %v", err)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	b := open(t)
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	b.echo.hold = make(chan struct{})
	results := make(chan error, 2000)
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			_, err := b.Query(t.Context(), &ic.Query{})
			results <- err
		})
	}
	busy := 0
	for busy < 1000-256 { // as many as do not find a place: half of all is for other canisters
		if err := <-results; !errors.Is(err, node.ErrBusy) {
			t.Fatalf("a query of a full node: %v", err)
		}
		busy++
	}
	close(b.echo.hold)
	all.Wait()
	if n := len(results); n != 256 {
		t.Errorf("%d queries were answered", n)
	}
	b.echo.hold = make(chan struct{})
	defer close(b.echo.hold)
	ctx, cancel := context.WithCancel(t.Context())
	for range 100 {
		go b.Query(ctx, &ic.Query{})
	}
	cancel()
	if _, err := b.Query(ctx, &ic.Query{}); err == nil {
		t.Error("a query whose user is gone was answered")
	}
}

// The loops run by themselves, and end in good order.
func TestRun(t *testing.T) {
	cfg, _, _ := config(t)
	cfg.Clock = node.WallClock{}
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()
	b := &bench{n, cfg, &clock{n.Now()}, nil, nil}
	for i := range byte(3) {
		if err := b.submit(call(i, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		done, stop := n.Watch(ic.RequestID{i})
		<-done
		stop()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if m := n.Metrics(); m.Saved != m.Height || m.Messages != 3 {
		t.Errorf("metrics at the end: %+v", m)
	}
}

func TestInstances(t *testing.T) {
	p := node.NewInstances(1 << 30)
	compiled := 0
	for range 2 {
		if _, err := p.Module([32]byte{1}, func() (machine.Module, error) { compiled++; return fakeModule{}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if compiled != 1 {
		t.Errorf("compiled %d times", compiled)
	}
	if _, err := p.Module([32]byte{2}, func() (machine.Module, error) { return nil, errors.New("bad code") }); err == nil {
		t.Error("an error was kept as a module")
	}
	a := &state.Canister{ID: ic.CanisterIDFromUint64(1), Module: &state.Module{Hash: [32]byte{1}}, Memory: &state.Memory{}}
	next := *a
	next.Memory = &state.Memory{}
	other, upgraded := *a, *a
	other.ID = ic.CanisterIDFromUint64(2)
	upgraded.Module = &state.Module{Hash: [32]byte{2}}
	first := &fakeInstance{}
	p.Give(a, first)
	for name, c := range map[string]*state.Canister{"another canister": &other, "other code": &upgraded} {
		if inst, _ := p.Take(c); inst != nil {
			t.Errorf("an instance was lent to %s", name)
		}
	}
	if inst, version := p.Take(&next); inst != machine.Instance(first) || version != a.Memory {
		t.Error("the next version of the canister does not get the instance, to rebase it")
	}
	if inst, _ := p.Take(a); inst != nil {
		t.Error("an instance was lent twice")
	}
	p.Give(a, first)
	for i := range uint64(100) {
		c := other
		c.ID = ic.CanisterIDFromUint64(3 + i)
		p.Give(&c, &fakeInstance{})
	}
	if !first.closed {
		t.Error("the pool grows without bound")
	}
}

type fakeModule struct{ machine.Module }

type fakeInstance struct {
	machine.Instance
	closed bool
}

func (f *fakeInstance) Close()            { f.closed = true }
func (f *fakeInstance) HeapBytes() uint64 { return 1 << 16 }
func (f *fakeInstance) Resident() uint64  { return 1 << 16 }
