// Package spectest is the interface specification as tests, over HTTP.
//
//	Run(t, url) ── agent ── HTTP ──> any network on which canisters may be made from nothing
//
// Its sections are those of the specification; each test makes the canisters
// that it needs, so that they can run on a network in use. The caller starts
// the network: in one process, in a simulator, in a VM.
package spectest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// patience is for one call: the longest here is one that loops until its instructions are used up.
const patience = 3 * time.Minute

// cycles that a test's canister gets.
const cycles = 20_000_000_000_000

// anywhere is the effective canister id of a creation: an id of the first subnet.
var anywhere = ic.CanisterIDFromUint64(0)

// net is a network under test, as one user.
type net struct {
	*testing.T
	ctx   context.Context
	url   string
	agent *agent.Agent
	ic    agent.Management
}

// Run states the specification, section by section.
func Run(t *testing.T, url string) {
	for _, s := range []struct {
		name string
		test func(*net)
	}{
		{"https-interface/status", (*net).status},
		{"https-interface/call", (*net).calls},
		{"https-interface/query", (*net).queries},
		{"https-interface/read_state", (*net).readState},
		{"https-interface/authentication", (*net).authentication},
		{"https-interface/signatures", (*net).signatures},
		{"https-interface/rejects", (*net).rejects},
		{"https-interface/error_texts", (*net).errorTexts},
		{"management-canister/error_texts", (*net).managementTexts},
		{"https-interface/ages", (*net).ages},
		{"canister-interface/module_format", (*net).moduleFormat},
		{"canister-interface/inspect_message", (*net).inspect},
		{"canister-interface/certified_data", (*net).certifiedData},
		{"canister-interface/contexts", (*net).contexts},
		{"canister-interface/call/outcomes", (*net).outcomes},
		{"canister-interface/call/callbacks", (*net).callbacks},
		{"canister-interface/call/building", (*net).building},
		{"canister-interface/call/cycles", (*net).cycleTransfers},
		{"canister-interface/call/best_effort", (*net).bounded},
		{"canister-interface/composite_queries", (*net).composites},
		{"canister-interface/composite_limits", (*net).compositeLimits},
		{"canister-interface/self", (*net).itself},
		{"canister-interface/time", (*net).clock},
		{"canister-interface/performance_counter", (*net).counters},
		{"canister-interface/instructions", (*net).instructions},
		{"canister-interface/stable_memory", (*net).stableMemory},
		{"canister-interface/stable_memory_access", (*net).touching},
		{"canister-interface/timers", (*net).timers},
		{"canister-interface/environment_variables", (*net).environment},
		{"canister-interface/payloads", (*net).payloads},
		{"canister-interface/cost", (*net).prices},
		{"canister-interface/on_low_wasm_memory", (*net).lowMemory},
		{"management-canister/lifecycle", (*net).lifecycle},
		{"management-canister/install_modes", (*net).installModes},
		{"management-canister/specified_id", (*net).specified},
		{"management-canister/permissions", (*net).permissions},
		{"management-canister/settings", (*net).settingsRules},
		{"management-canister/visibility", (*net).visibilities},
		{"management-canister/query_stats", (*net).queryStats},
		{"management-canister/logs", (*net).logRules},
		{"management-canister/history", (*net).history},
		{"management-canister/chunks", (*net).chunks},
		{"management-canister/snapshots", (*net).snapshots},
		{"management-canister/snapshot_transfer", (*net).transfer},
		{"management-canister/by_canisters", (*net).byCanisters},
		{"management-canister/refusals", (*net).refusals},
		{"management-canister/unreadable", (*net).unreadable},
		{"management-canister/stopping", (*net).stopping},
		{"management-canister/uninstalling", (*net).uninstalling},
		{"management-canister/upgrades", (*net).upgrades},
		{"management-canister/frozen", (*net).frozen},
	} {
		t.Run(s.name, func(t *testing.T) { s.test(connect(t, url)) })
	}
}

func connect(t *testing.T, url string) *net {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	by, err := agent.Ed25519(secret)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(url, agent.Options{Identity: by})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.FetchRootKey(ctx); err != nil {
		t.Fatal(err)
	}
	return &net{T: t, ctx: ctx, url: url, agent: a, ic: agent.Manage(a)}
}

// create makes an empty canister.
func (n *net) create() ic.CanisterID {
	n.Helper()
	id, err := n.ic.Create(n.ctx, anywhere, ic.NewCycles(cycles), nil)
	if err != nil {
		n.Fatal(err)
	}
	return id
}

// install makes a canister with the code of canister().
func (n *net) install() ic.CanisterID {
	n.Helper()
	id := n.create()
	if err := n.ic.InstallCode(n.ctx, id, agent.Install(), canister(), nil); err != nil {
		n.Fatal(err)
	}
	return id
}

// as is another user on the same network.
func (n *net) as(by envelope.Signer) *net {
	a := n.agent.As(by)
	return &net{T: n.T, ctx: n.ctx, url: n.url, agent: a, ic: agent.Manage(a)}
}

// calls and expects a reply.
func (n *net) replies(id ic.CanisterID, method string, arg, want []byte) {
	n.Helper()
	got, err := n.agent.Call(n.ctx, id, method, arg)
	if err != nil || !bytes.Equal(got, want) {
		n.Errorf("call %s: %.60q, %v, want %.60q", method, got, err, want)
	}
}

// answers is replies for queries.
func (n *net) answers(id ic.CanisterID, method string, arg, want []byte) {
	n.Helper()
	got, err := n.agent.Query(n.ctx, id, method, arg)
	if err != nil || !bytes.Equal(got, want) {
		n.Errorf("query %s: %.60q, %v, want %.60q", method, got, err, want)
	}
}

// rejected expects a rejection of a class, with an error code if one is given.
func (n *net) rejected(what string, err error, class ic.RejectCode, code string) {
	n.Helper()
	var r *agent.Rejected
	if !errors.As(err, &r) {
		n.Errorf("%s: %v, want a rejection", what, err)
		return
	}
	if r.Class != class || code != "" && r.ErrorCode != code {
		n.Errorf("%s: rejected with %d %s (%s), want %d %s", what, r.Class, r.ErrorCode, r.Message, class, code)
	}
}

// refused expects an HTTP status.
func (n *net) refused(what string, err error, status int) {
	n.Helper()
	var h *agent.HTTPError
	if !errors.As(err, &h) || h.Status != status {
		n.Errorf("%s: %v, want HTTP status %d", what, err, status)
	}
}

func number(v byte) []byte { return []byte{v, 0, 0, 0, 0, 0, 0, 0} }

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("spectest: ", err))
	}
	return v
}
