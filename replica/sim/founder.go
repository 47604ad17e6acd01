package sim

import (
	"crypto/sha256"
	"sync"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// founder is the user who makes the canisters and looks after them: stops them while
// they wait for answers, starts them, upgrades their code between two versions.
const founder = ic.Principal("\x00")

// What each canister begins with.
const (
	funds   = 200_000_000_000_000 // cycles
	savings = 1_000_000           // tokens
)

// codes are the modules that canisters run, two versions of each, which do the same:
// with a heartbeat, and without.
var codes = sync.OnceValue(func() (all [2][2][]byte) {
	for i := range 4 {
		// An upgrade keeps the memory of such code alone.
		const keeps = "icp:private enhanced-orthogonal-persistence"
		section := append(append([]byte{byte(len(keeps))}, keeps...), byte(i))
		code := script.Module(script.Options{Heartbeat: i < 2})
		all[i/2][i%2] = append(append(code, 0, byte(len(section))), section...)
	}
	return all
})

// code of an account's canister; the first one has a heartbeat.
func code(of ic.CanisterID, version int) []byte {
	if of == account(0) {
		return codes()[0][version]
	}
	return codes()[1][version]
}

// founding are the messages that create the canisters, or install their code.
func founding(create bool, pages int, now ic.Time) (all []ic.Ingress) {
	for i := range byte(accounts) {
		id := account(i)
		msg := ic.Ingress{ID: sha256.Sum256([]byte{i}), Sender: founder, Canister: ic.CanisterID{Principal: ic.Management}, Effective: id, Expiry: now + 60e9}
		if create {
			amount := candid.Nat64Of(funds)
			msg.Method, msg.Arg = "provisional_create_canister_with_cycles", candid.Marshal(struct {
				Amount *candid.Natural `candid:"amount"`
			}{&amount})
		} else {
			msg.ID[0] ^= 1
			msg.Method, msg.Arg = "install_code", candid.Marshal(installation{mode{Install: &candid.Unit{}}, id, code(id, 0), beginning(pages)})
			pages = 0
		}
		all = append(all, msg)
	}
	return all
}

type installation struct {
	Mode     mode          `candid:"mode"`
	Canister ic.CanisterID `candid:"canister_id"`
	Code     []byte        `candid:"wasm_module"`
	Arg      []byte        `candid:"arg"`
}

type mode struct {
	candid.OneOf
	Install *candid.Unit `candid:"install"`
	Upgrade **options    `candid:"upgrade"`
}

type options struct {
	Persistence *persistence `candid:"wasm_memory_persistence"`
}

type persistence struct {
	candid.OneOf
	Keep *candid.Unit `candid:"keep"`
}

// upkeep is a call to the management canister about an account's: the first byte says
// what, the rest is what new code does first.
func upkeep(of byte, do []byte) (method string, arg []byte) {
	id := account(of)
	arg = candid.Marshal(struct {
		Canister ic.CanisterID `candid:"canister_id"`
	}{id})
	switch do[0] % 8 {
	case 0, 1:
		return "stop_canister", arg
	case 2, 3, 4:
		return "start_canister", arg
	case 5:
		return "take_canister_snapshot", arg
	}
	keep := &options{&persistence{Keep: &candid.Unit{}}}
	return "install_code", candid.Marshal(installation{mode{Upgrade: &keep}, id, code(id, int(do[0]%2)), do[1:]})
}

// upkeep that is drawn.
func (e *errands) upkeep() []byte {
	do := []byte{byte(e.r.IntN(8))}
	if e.r.IntN(2) == 0 {
		do = append(do, e.loop()...)
	}
	return do
}
