package messaging

import (
	"encoding/binary"
	"math"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

type memorySettings struct {
	Limit     *candid.Natural `candid:"wasm_memory_limit"`
	Threshold *candid.Natural `candid:"wasm_memory_threshold"`
	Freezing  *candid.Natural `candid:"freezing_threshold"`
	Allocated *candid.Natural `candid:"memory_allocation"`
}

func (w *world) settings(id ic.CanisterID, s memorySettings) {
	w.t.Helper()
	type args struct {
		Canister ic.CanisterID  `candid:"canister_id"`
		Settings memorySettings `candid:"settings"`
	}
	w.must(w.call(alice, aaaaa, "update_settings", candid.Marshal(args{id, s})))
}

const wasmPage = 64 << 10

func nat64(n uint64) *candid.Natural {
	v := candid.Nat64Of(n)
	return &v
}

// A canister's own limit on its heap stops updates, and its hook is told before.
func TestMemoryLimit(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	have := w.s.Canister(id).HeapBytes
	w.settings(id, memorySettings{Limit: nat64(have + 10*wasmPage), Threshold: nat64(5 * wasmPage)})
	w.must(w.call(bob, id, "update", prog{}.b(string(prog{}.b("low").op('j'))).op('L').reply()))
	w.rejected(w.call(bob, id, "update", prog{}.u32('q', 11).reply()), ic.CanisterWasmMemoryLimitExceeded, "exceeded its current Wasm memory limit of")
	if got := w.s.Canister(id).HeapBytes; got != have {
		t.Errorf("the heap grew from %d to %d", have, got)
	}
	w.must(w.call(bob, id, "update", prog{}.u32('q', 6).reply()))
	for range 3 {
		w.round()
	}
	if got := w.must(w.query(bob, id, "query", prog{}.op('g').reply())); string(got) != "low" {
		t.Errorf("the hook ran %q, want once", got)
	}
	if c := w.s.Canister(id); c.LowMemory != state.HookExecuted {
		t.Errorf("the hook's state is %d", c.LowMemory)
	}
	// An upgrade that ends as low does not run it again.
	w.settings(id, memorySettings{Threshold: nat64(11 * wasmPage)})
	version := w.s.Canister(id).Version
	flags := (*struct {
		Skip *bool `candid:"skip_pre_upgrade"`
	})(nil)
	w.must(w.install(alice, id, mode{Upgrade: &flags}, universal, nil))
	for range 3 {
		w.round()
	}
	if c := w.s.Canister(id); c.LowMemory != state.HookExecuted || c.Version != version+1 {
		t.Errorf("after an upgrade the hook's state is %d, %d versions later", c.LowMemory, c.Version-version)
	}
	// A limit below what is there: updates are refused, queries are not.
	w.settings(id, memorySettings{Limit: nat64(have - 1)})
	w.rejected(w.call(bob, id, "update", prog{}.reply()), ic.CanisterWasmMemoryLimitExceeded, "exceeded its current Wasm memory limit of")
	w.must(w.query(bob, id, "query", prog{}.reply()))
	w.rejected(w.install(alice, id, mode{Reinstall: unit}, universal, nil), ic.CanisterWasmMemoryLimitExceeded, "exceeded its current Wasm memory limit of")
	w.settings(id, memorySettings{Limit: nat64(0)})
	if c := w.s.Canister(id); c.LowMemory != state.HookIdle {
		t.Errorf("with room again the hook's state is %d", c.LowMemory)
	}
}

// Memory is paid for with time; a canister without cycles loses its code, not
// its id, and its callers hear of it.
func TestStarvation(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.settings(id, memorySettings{Freezing: nat64(0)})
	c := *w.s.Canister(id)
	before := c.Cycles
	w.time += 1000 * second
	w.round()
	paid, _ := before.Sub(w.s.Canister(id).Cycles)
	if want := w.m.sysapi(w.m.subnet, 13).Costs.Storage(w.s.Canister(id).MemoryUsage(), 1000); paid.Less(want) || want.Mul(2).Less(paid) {
		t.Errorf("1000 seconds cost %s, want about %s", paid, want)
	}
	// Burn what there is, then wait.
	w.must(w.call(bob, id, "update", prog{}.u64('B', 1<<63).reply()))
	w.time += 9e9 * second
	w.round()
	if c := w.s.Canister(id); c.Module != nil || c.HeapBytes != 0 || !c.Cycles.IsZero() {
		t.Errorf("a starved canister has %d bytes of heap and %s cycles", c.HeapBytes, c.Cycles)
	}
	w.rejected(w.call(bob, id, "update", nil), ic.CanisterOutOfCycles, "is out of cycles")
	w.checkReload()
}

// A canister that always works does not keep another from its turn.
func TestFairness(t *testing.T) {
	w := newWorld(t)
	hog, meek := w.universal(alice), w.universal(alice)
	heavy := prog{}.u64('x', 20_000_000).reply() // some hundred million instructions
	for range 60 {
		w.send(alice, hog, "update", heavy)
	}
	w.round()
	if n := w.s.Canister(hog).Queue.Len(); n == 0 {
		t.Fatal("the hog did all its work in one round: the test needs more")
	}
	id := w.send(bob, meek, "update", prog{}.reply())
	w.round()
	if c := w.s.Status(id); c.State != state.Replied {
		t.Errorf("the other canister's call is %s after a round", c.State)
	}
}

// All canisters together have no more memory than the subnet.
func TestCapacity(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.m.cfg.Capacity = w.s.Head().MemoryBytes + 20*wasmPage
	w.must(w.call(bob, id, "update", prog{}.u32('q', 10).reply()))
	w.rejected(w.call(bob, id, "update", prog{}.u32('q', 11).reply()), ic.CanisterOutOfMemory, "Canister cannot grow its memory usage.")
	grow := func(n uint64) uint64 {
		return binary.LittleEndian.Uint64(w.must(w.call(bob, id, "update", prog{}.u64('w', n).reply())))
	}
	if got := grow(11); got != math.MaxUint64 {
		t.Errorf("stable memory that finds no room grows from %d", got)
	}
	if got := grow(3); got != 0 {
		t.Errorf("stable memory grows from %d, want 0", got)
	}
	// What is allocated already needs no room.
	w.settings(id, memorySettings{Allocated: nat64(w.s.Canister(id).MemoryUsage() + 2*wasmPage)})
	w.m.cfg.Capacity = w.s.Head().MemoryBytes
	if got := grow(1); got != 3 {
		t.Errorf("stable memory grows from %d within its allocation", got)
	}
	if got := grow(2); got != math.MaxUint64 {
		t.Errorf("stable memory grows from %d beyond its allocation", got)
	}
}

// The message that ends beyond its limit of instructions is undone.
func TestInstructionLimit(t *testing.T) {
	w := newWorld(t)
	id := w.universal(alice)
	w.rejected(w.query(bob, id, "query", prog{}.u64('x', 1<<40).reply()), ic.CanisterInstructionLimitExceeded, "exceeded the limit of 5000000000 instructions")
}

// Canisters of a system subnet pay nothing, and nothing holds them back.
func TestSystemSubnet(t *testing.T) {
	w := newWorld(t)
	w.m.subnet.Type = systemSubnet
	id := w.universal(alice)
	w.mainnet()
	upgrade := candid.Marshal(installArg{upgradeMode(), id, universal, prog{}})
	before := w.s.Canister(id).Cycles
	w.time += 1000 * second
	first, second := w.send(alice, aaaaa, "install_code", upgrade), w.send(alice, aaaaa, "install_code", upgrade)
	w.round()
	for i, id := range []ic.RequestID{first, second} {
		if c := w.s.Status(id); c.State != state.Replied {
			t.Errorf("upgrade %d of one round: %+v", i, c)
		}
	}
	w.must(w.call(bob, id, "update", prog{}.u32('q', 10).reply()))
	if got := w.s.Canister(id).Cycles; got != before {
		t.Errorf("of %s cycles %s are left", before, got)
	}
}
