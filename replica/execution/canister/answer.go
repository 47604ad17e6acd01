package canister

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"weak"

	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// Answer is a query's reply with what it cost and what it rests on.
//
//	Query ──> Answer ── Cache ──> the same query later ── Basis.Holds(state) ──> the same reply
type Answer struct {
	Reply ic.Reply
	Uses  []Use  // one for each canister that ran
	Basis *Basis // nil: the reply is for this one query alone
}

// Use is what one canister did for a query.
type Use struct {
	Canister ic.CanisterID
	state.Stats
}

// Cache keeps answers by Key. The edge that runs queries implements it, with
// locks and a bound; it may forget anything at any time.
type Cache interface {
	Get(key [32]byte) *Answer
	Put(key [32]byte, a *Answer)
}

// Key names all that a query hands to canisters.
func Key(q *ic.Query) [32]byte {
	h := sha256.New()
	part := func(b string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write([]byte(b))
	}
	part(string(q.Canister.Principal))
	part(string(q.Sender))
	part(q.Method)
	if q.Info != nil {
		part(string(q.Info.Signer))
		part(string(q.Info.Info))
	}
	h.Write(q.Arg) // the last part needs no length
	return [32]byte(h.Sum(nil))
}

// maxCertificateAge is how much older than the state a data certificate in a kept answer
// may be: clients take certificates of five minutes, mainnet keeps them for one.
const maxCertificateAge = 60 * 1e9

// Basis is what an answer depends on besides the query: the canisters that ran,
// and of time, certificate and balances those that they looked at. It keeps no
// state alive.
type Basis struct {
	at          ic.Time
	nodes       int
	seen        []sight
	time        bool
	certificate bool
	balances    bool
	unsafe      bool // it cannot be told whether it holds later
}

// sight is the part of a canister that its queries can see.
type sight struct {
	id               ic.CanisterID
	run              state.Run
	version          uint64
	memory           weak.Pointer[state.Memory]
	module           weak.Pointer[state.Module]
	controllers      []ic.Principal
	environment      []state.Variable
	cycles, freezing ic.Cycles
}

func newBasis(r *Reader) *Basis { return &Basis{at: r.Now, nodes: r.Subnet.Costs.Nodes} }

func (r *Reader) look(c *state.Canister) sight {
	return sight{id: c.ID, run: c.Run, version: c.Version, memory: weak.Make(c.Memory), module: weak.Make(c.Module),
		controllers: c.Settings.Controllers, environment: c.Settings.Environment, cycles: c.Cycles, freezing: Freezing(r.Subnet.Costs, c)}
}

func (b *Basis) saw(r *Reader, c *state.Canister) {
	for i := range b.seen {
		if b.seen[i].id == c.ID {
			return
		}
	}
	b.seen = append(b.seen, r.look(c))
}

func (b *Basis) read(e *sysapi.Effects) {
	b.time = b.time || e.ReadTime
	b.certificate = b.certificate || e.ReadCertificate
	b.balances = b.balances || e.ReadBalance
}

// Holds tells whether r would give the same answer again.
func (b *Basis) Holds(r *Reader) bool {
	switch {
	case b.nodes != r.Subnet.Costs.Nodes, b.time && b.at != r.Now, b.certificate && (r.Now < b.at || r.Now > b.at+maxCertificateAge):
		return false
	}
	for i := range b.seen {
		old := &b.seen[i]
		c := r.State.Canister(old.id)
		if c == nil || queryable(r, c) != nil {
			return false
		}
		now := r.look(c)
		if old.run != now.run || old.version != now.version || old.memory != now.memory || old.module != now.module ||
			!slices.Equal(old.controllers, now.controllers) || !slices.Equal(old.environment, now.environment) {
			return false
		}
		if b.balances && (old.cycles != now.cycles || old.freezing != now.freezing) {
			return false
		}
	}
	return true
}

// used is the count of one canister.
func (g *graph) used(id ic.CanisterID) *state.Stats {
	for i := range g.uses {
		if g.uses[i].Canister == id {
			return &g.uses[i].Stats
		}
	}
	g.uses = append(g.uses, Use{Canister: id})
	return &g.uses[len(g.uses)-1].Stats
}

func (g *graph) answer(reply ic.Reply) *Answer {
	if g.over != nil {
		reply = failed(g.over)
	}
	a := &Answer{Reply: reply, Uses: g.uses}
	if !g.basis.unsafe {
		a.Basis = g.basis
	}
	return a
}

func refusal(err *ic.UserError) *Answer { return &Answer{Reply: failed(err)} }
