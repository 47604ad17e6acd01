package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"ashlar/replica/engine"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/scheduler"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
)

// canisters are the state machine of a real node: Wasm on wazero, which calls other
// Wasm. As many as the ledger has accounts are made and installed by the first batches.
//
//	user ── errand (errands.go) ──> canister ── calls, tokens, cycles ──> canister ...
//	                                   │                                    │
//	          audit (audit.go) <── every state: who waits for whom, who has what
type canisters struct {
	w      *world
	atRest bool // the latest state that was audited
}

// slice of a message in a round, in instructions: an errand of a millisecond takes many rounds.
const slice = 150_000

// limits of a round: so little fits that messages wait for the next one.
var limits = scheduler.Limits{Slice: slice, Core: 20_000_000}

// compiled code is the same for all nodes of all runs.
var compiled = sync.OnceValues(func() (*engine.Engine, error) {
	return engine.New(engine.Config{Host: sysapi.Functions()})
})

func (g *canisters) machine(p *peer) node.Machine {
	shared, err := compiled()
	if err != nil {
		panic(err)
	}
	// What nodes may do as they like, they do in different ways.
	cfg := messaging.Config{Subnet: p.subnet(), Version: p.version, Limits: limits}
	if (uint64(p.index)+g.w.Seed)%2 == 1 {
		cfg.Parallel, cfg.HotBytes = engine.Parallel, 512<<10
	}
	eng := &engineOf{Engine: shared, known: map[[32]byte]bool{}}
	m := messaging.New(cfg, eng)
	p.ends = m.Close
	return &town{m, cfg, eng, g.w.Pages}
}

// town is a machine whose first batch brings canisters, and then their code.
type town struct {
	*messaging.Machine
	cfg   messaging.Config
	eng   machine.Engine
	pages int
}

// Apply a batch.
func (t *town) Apply(s *state.State, b *messaging.Batch) *state.State {
	if s.NumCanisters() > 0 {
		return t.Machine.Apply(s, b)
	}
	first, next := t.cfg, *b
	first.Provisional = true
	m := messaging.New(first, t.eng)
	defer m.Close()
	for _, create := range []bool{true, false} {
		next.Ingress = append(founding(create, t.pages, b.Time), b.Ingress...)
		s = m.Apply(s, &next)
	}
	return s
}

// engineOf is the engine of one life of a node. Code is compiled once in all lives, but
// each life asks its state for it, as if it had to be.
type engineOf struct {
	machine.Engine
	mu    sync.Mutex
	known map[[32]byte]bool
}

func (e *engineOf) knows(hash [32]byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.known[hash]
	e.known[hash] = true
	return known
}

// Compile code that is new.
func (e *engineOf) Compile(code []byte) (machine.Module, error) {
	e.knows(sha256.Sum256(code))
	return e.Engine.Compile(code)
}

// Load code of the state.
func (e *engineOf) Load(hash [32]byte, code func() []byte) (machine.Module, error) {
	if !e.knows(hash) {
		if got := sha256.Sum256(code()); got != hash {
			return nil, fmt.Errorf("the state has the code %x in place of %x", got, hash)
		}
	}
	return e.Engine.Load(hash, code)
}

// A call on the wire: expiry, nonce, user, canister, what to do, and the user's signature.
const callBytes = 8 + 8 + 1 + 1

func callOf(user, to byte, do []byte, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte) {
	raw := binary.BigEndian.AppendUint64(nil, uint64(expiry))
	raw = binary.BigEndian.AppendUint64(raw, nonce)
	raw = append(append(raw, user, to), do...)
	raw = append(raw, signature(raw)...)
	msg, err := parseCall(raw)
	if err != nil {
		panic(err)
	}
	return msg, raw
}

func (*canisters) call(r *rand.Rand, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte) {
	e, to := &errands{r}, byte(r.IntN(accounts))
	if r.IntN(12) == 0 {
		return callOf(founder[0], accounts+to, e.upkeep(), nonce, expiry)
	}
	return callOf(byte(r.IntN(3)), to, e.ofUser(to), nonce, expiry)
}

func (*canisters) long(r *rand.Rand, rounds int, nonce uint64, expiry ic.Time) (*ic.Ingress, []byte) {
	return callOf(0, byte(r.IntN(accounts)), (&errands{r}).long(rounds), nonce, expiry)
}

func (*canisters) parse(raw []byte) (*ic.Ingress, error) { return parseCall(raw) }

func parseCall(raw []byte) (*ic.Ingress, error) {
	if len(raw) <= callBytes+16 {
		return nil, fmt.Errorf("a call has more than %d bytes, not %d", callBytes+16, len(raw))
	}
	content := raw[:len(raw)-16]
	if string(signature(content)) != string(raw[len(content):]) {
		return nil, errors.New("the user's signature does not match")
	}
	to, do := raw[17], content[callBytes:]
	m := &ic.Ingress{ID: sha256.Sum256(raw), Sender: ic.Principal(raw[16:17]), Canister: account(to), Effective: account(to), Expiry: ic.Time(binary.BigEndian.Uint64(raw)), Bytes: len(raw)}
	if m.Method, m.Arg = method, do; to >= accounts { // about it
		m.Canister.Principal = ic.Management
		m.Method, m.Arg = upkeep(to, do)
	}
	return m, nil
}

func (*canisters) minted(s *state.State) ic.Cycles {
	return ic.NewCycles(funds).Mul(uint64(s.NumCanisters()))
}

func (g *canisters) rests() bool { return g.atRest }
