package canister

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// This file: a canister that writes or installs faster than the subnet can keep up
// with gets into debt, and waits until so many rounds have paid it off.
//
//	run ── pages written ──> HeapDebit ── heapRate a round ──> 0: it may run again
//	installation ── instructions ──> InstallDebit ── installRate a round ──> 0: it may install again

const (
	// heapRate is how many bytes a canister may change in a round (resource-limits.md).
	heapRate = 75 << 20
	// installRate is how many instructions its installations may take in a round.
	installRate = 2_000_000_000
)

// debits of c that are left in this round.
func (r *Room) debits(c *state.Canister) (heap, install uint64) {
	rounds := uint64(r.Head.Height - min(c.DebitAt, r.Head.Height))
	left := func(debit, rate uint64) uint64 {
		if rounds >= debit/rate+1 {
			return 0
		}
		return debit - rounds*rate
	}
	return left(c.HeapDebit, heapRate), left(c.InstallDebit, installRate)
}

// owe adds to the debits of c, a private copy.
func (r *Room) owe(c *state.Canister, bytes uint64, used machine.Instructions) {
	if r.Unlimited {
		return
	}
	heap, install := r.debits(c)
	c.HeapDebit, c.InstallDebit, c.DebitAt = heap+bytes, install+uint64(used), r.Head.Height
	if c.HeapDebit+c.InstallDebit == 0 {
		c.DebitAt = 0
	}
}

// Wrote adds bytes that a call to the management canister changed.
func (r *Room) Wrote(c *state.Canister, bytes uint64) { r.owe(c, bytes, 0) }

// WritesTooFast tells whether c has to wait until it may change its memory again, and
// by how many bytes it is in debt.
func (r *Room) WritesTooFast(c *state.Canister) (debit, limit uint64, yes bool) {
	if r.Unlimited {
		return 0, heapRate, false
	}
	debit, _ = r.debits(c)
	return debit, heapRate, debit >= heapRate
}

func (r *Room) installsTooFast(c *state.Canister) *ic.UserError {
	if _, debit := r.debits(c); r.Unlimited || debit == 0 {
		return nil
	}
	return ic.Errorf(ic.CanisterInstallCodeRateLimited, "Canister %s is rate limited because it executed too many instructions in the previous install_code messages. Please retry installation after several minutes.\n"+
		"Retry the installation at a later time. See documentation: %sinstall-code-rate-limited", c.ID, ic.ErrorDocs)
}
