package messaging

import (
	_ "embed"
	"strings"
	"testing"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// Built from testdata/motoko/Main.mo by npm motoko 4.10.0, and zipped.
//
//go:embed testdata/motoko/main.wasm.gz
var kitchen []byte

func get[T any](w *world, r ic.Reply) (v T) {
	w.t.Helper()
	if err := candid.Unmarshal(w.must(r), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

func nat(n candid.Natural) uint64 { u, _ := n.Uint64(); return u }

// Motoko's own features, each through the System API it needs: an actor class
// that is created, installed and called, regions, timers, certified data,
// try/catch, calls to the management canister, composite queries.
func TestMotokoKitchen(t *testing.T) {
	w := newWorld(t)
	id := w.create(alice)
	w.must(w.call(alice, aaaaa, "install_code", candid.Marshal(motokoInstall{motokoMode{Install: unit}, id, kitchen, candid.Marshal()})))
	ask := func(method string, args ...any) ic.Reply { return w.call(bob, id, method, candid.Marshal(args...)) }
	look := func(method string, args ...any) ic.Reply { return w.query(bob, id, method, candid.Marshal(args...)) }
	n := candid.Nat64Of

	if got := nat(get[candid.Natural](w, ask("fill", n(1000)))); got != 1000 {
		t.Errorf("fill: %d", got)
	}
	if got := get[*string](w, look("lookup", n(77))); got == nil || *got != "value 77" {
		t.Errorf("lookup: %v", got)
	}
	ask("store", []byte("in a region"))
	if got := get[[]byte](w, look("load", n(11))); string(got) != "in a region" {
		t.Errorf("load: %q", got)
	}
	w.must(ask("certify", []byte("data")))
	if c := w.s.Canister(id); string(c.Certified) != "data" {
		t.Errorf("certified data: %q", c.Certified)
	}
	if got := get[*[]byte](w, look("certificate")); got == nil || string(*got) != "certificate" {
		t.Errorf("certificate: %v", got)
	}
	w.must(ask("timer"))
	w.must(ask("recurring"))
	for range 10 {
		w.round()
	}
	if got := nat(get[candid.Natural](w, look("getTicks"))); got < 3 {
		t.Errorf("%d ticks", got)
	}
	child := get[ic.Principal](w, ask("spawn", n(40)))
	if w.s.Canister(ic.CanisterID{Principal: child}) == nil {
		t.Fatalf("no canister %s", child)
	}
	if got := nat(get[candid.Natural](w, ask("childAdd", n(2)))); got != 42 {
		t.Errorf("childAdd: %d", got)
	}
	if got := nat(get[candid.Natural](w, look("childGet"))); got != 42 {
		t.Errorf("composite query: %d", got)
	}
	if got := get[[]byte](w, ask("rand")); len(got) != 32 {
		t.Errorf("rand: %x", got)
	}
	if got := nat(get[candid.Natural](w, ask("shuffle"))); got >= 100 {
		t.Errorf("shuffle: %d", got)
	}
	if got := get[candid.Natural](w, ask("self")); got.Sign() <= 0 {
		t.Errorf("canister_status of itself: %s cycles", got)
	}
	if got := get[uint64](w, ask("info")); got != 2 {
		t.Errorf("info: %d changes", got)
	}
	if got := get[string](w, ask("tryFail")); got != "as asked" {
		t.Errorf("tryFail: %q", got)
	}
	if got := get[string](w, ask("tryTrap")); !strings.Contains(got, "boom") {
		t.Errorf("tryTrap: %q", got)
	}
	w.rejected(ask("fail"), ic.CanisterRejectedMessage, "as asked")
	w.rejected(ask("trapIt"), ic.CanisterCalledTrap, "boom")
	if got := nat(get[candid.Natural](w, ask("parallel"))); got != 3 {
		t.Errorf("parallel: %d", got)
	}
	if got := nat(get[candid.Natural](w, ask("bounded"))); got != 1 {
		t.Errorf("bounded: %d", got)
	}
	w.must(ask("log", "a line"))
	if got := get[ic.Principal](w, ask("whoami")); got != bob {
		t.Errorf("whoami: %s", got)
	}
	if a, b := get[uint64](w, ask("count", n(1000))), get[uint64](w, ask("count", n(1000))); a == 0 || a != b {
		t.Errorf("counted %d and %d instructions", a, b)
	}
	err := w.m.Inspect(w.s, &ic.Ingress{Sender: ic.Anonymous, Canister: id, Method: "whoami", Arg: candid.Marshal(), Bytes: 100}, w.time)
	if err == nil || err.Code != ic.CanisterCalledTrap {
		t.Errorf("inspect lets the anonymous caller in: %v", err)
	}
	w.checkReload()
	keep := &upgradeOptions{Persistence: &persistence{Keep: unit}}
	w.must(w.call(alice, aaaaa, "install_code", candid.Marshal(motokoInstall{motokoMode{Upgrade: &keep}, id, kitchen, candid.Marshal()})))
	if got := get[*string](w, look("lookup", n(999))); got == nil || *got != "value 999" {
		t.Errorf("lookup after the upgrade: %v", got)
	}
	w.checkReload()
}
