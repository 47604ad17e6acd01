package messaging

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

type persistence struct {
	candid.OneOf
	Keep    *candid.Unit `candid:"keep"`
	Replace *candid.Unit `candid:"replace"`
}

type upgradeOptions struct {
	Skip        *bool        `candid:"skip_pre_upgrade"`
	Persistence *persistence `candid:"wasm_memory_persistence"`
}

type motokoMode struct {
	candid.OneOf
	Install *candid.Unit     `candid:"install"`
	Upgrade **upgradeOptions `candid:"upgrade"`
}

type motokoInstall struct {
	Mode     motokoMode    `candid:"mode"`
	Canister ic.CanisterID `candid:"canister_id"`
	Code     []byte        `candid:"wasm_module"`
	Arg      []byte        `candid:"arg"`
}

// A Motoko counter (wasm64, table64, enhanced orthogonal persistence) counts on
// over upgrades that keep its memory, and no other upgrade is let through.
func TestMotoko(t *testing.T) {
	code, err := os.ReadFile("../engine/testdata/motoko/counter.wasm")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	id := w.create(alice)
	deploy := func(m motokoMode, code []byte) ic.Reply {
		return w.call(alice, aaaaa, "install_code", candid.Marshal(motokoInstall{m, id, code, candid.Marshal()}))
	}
	upgrade := func(p *persistence) motokoMode {
		o := &upgradeOptions{Persistence: p}
		if p == nil {
			o = nil
		}
		return motokoMode{Upgrade: &o}
	}
	counter := func(r ic.Reply) uint64 {
		t.Helper()
		var n candid.Natural
		if err := candid.Unmarshal(w.must(r), &n); err != nil {
			t.Fatal(err)
		}
		u, _ := n.Uint64()
		return u
	}
	w.must(deploy(motokoMode{Install: unit}, code))
	for range 2 {
		w.must(w.call(bob, id, "inc", candid.Marshal()))
	}
	if got := counter(w.query(bob, id, "get", candid.Marshal())); got != 2 {
		t.Fatalf("the counter stands at %d", got)
	}
	w.rejected(deploy(upgrade(nil), code), ic.CanisterContractViolation, "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option.")
	w.rejected(deploy(upgrade(&persistence{Keep: unit}), universal), ic.CanisterContractViolation, "Invalid upgrade option")
	w.must(deploy(upgrade(&persistence{Keep: unit}), code))
	w.checkReload()
	w.must(w.call(bob, id, "inc", candid.Marshal()))
	if got := counter(w.query(bob, id, "get", candid.Marshal())); got != 3 {
		t.Errorf("after the upgrade the counter stands at %d", got)
	}
	if public, found := w.s.Metadata(id, "candid:service"); public || !found {
		t.Errorf("candid:service: public %v, found %v; moc makes it private unless asked", public, found)
	}
}

// BenchmarkUpdate is small updates in blocks of 500, each block a round from its
// messages to the state's root and certified tree: what a saturated subnet's node does
// beside consensus. It knows the statuses of the five minutes before: 500 a second, or
// fifty.
func BenchmarkUpdate(b *testing.B) {
	debug.SetGCPercent(200) // as cmd/replica does
	for _, c := range []struct{ canisters, statuses int }{{1, 15_000}, {1, 150_000}, {100, 150_000}} {
		b.Run(fmt.Sprintf("canisters=%d/statuses=%d", c.canisters, c.statuses), func(b *testing.B) { benchmarkUpdate(b, c.canisters, c.statuses) })
	}
}

func benchmarkUpdate(b *testing.B, canisters, statuses int) {
	code, err := os.ReadFile("../cmd/replica/testdata/counter.wasm")
	if err != nil {
		b.Fatal(err)
	}
	w := newWorldOn(&testing.T{}, newEngine(b))
	var ids []ic.CanisterID
	for range canisters {
		id := w.create(alice)
		w.must(w.install(alice, id, mode{Install: unit}, code, nil))
		ids = append(ids, id)
	}
	w.store = nil
	const block = 500
	apply := func() (took time.Duration) {
		for i := range block {
			w.send(bob, ids[i%canisters], "inc", make([]byte, 100))
		}
		w.time += ic.Time(300 * second * block / statuses)
		batch := &Batch{Height: w.s.Height() + 1, Time: w.time, Ingress: w.queued, Nodes: 13}
		began := processor()
		w.s = w.m.Apply(w.s, batch)
		took = processor() - began
		w.queued = nil
		return took
	}
	for w.s.NumCalls() < statuses-block {
		apply()
	}
	var took time.Duration
	rounds := 0
	for b.Loop() {
		took += apply()
		rounds++
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(rounds*block)/1e3, "cpu-us/message")
	for i := range block {
		last := ic.RequestID(sha256.Sum256(binary.BigEndian.AppendUint64(nil, w.next-uint64(i))))
		if c := w.s.Status(last); c == nil || c.State != state.Replied {
			b.Fatalf("message %d before the last: %+v", i, c)
		}
	}
}

// BenchmarkQuery is a query without a pool: it makes an instance each time.
func BenchmarkQuery(b *testing.B) {
	code, err := os.ReadFile("../engine/testdata/motoko/counter.wasm")
	if err != nil {
		b.Fatal(err)
	}
	w := newWorldOn(&testing.T{}, newEngine(b))
	id := w.create(alice)
	w.must(w.call(alice, aaaaa, "install_code", candid.Marshal(motokoInstall{motokoMode{Install: unit}, id, code, candid.Marshal()})))
	b.ResetTimer()
	for range b.N {
		w.query(bob, id, "get", candid.Marshal())
	}
}
