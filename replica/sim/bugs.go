package sim

import (
	"crypto/ed25519"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/messaging"
	"ashlar/replica/node"
	"ashlar/replica/state"
	"ashlar/replica/wire/block"
)

// Bug is planted in all honest nodes, through the seams at which they meet their
// machine: the simulation has to find it.
type Bug string

// The bugs, as stories write them.
const (
	NoBug          Bug = ""
	SkippedSync    Bug = "disks say that they synced, and did not"
	VoteTwice      Bug = "votes are forgotten in a crash"
	WrongThreshold Bug = "the key needs too few shares"
	TakeBadShares  Bug = "shares are not checked"
	OutOfOrder     Bug = "calls of a batch are executed in another order"
	MapOrder       Bug = "the state machine iterates over a map"
	StateInMemory  Bug = "the state machine remembers what is not in the state"
	FewVotes       Bug = "the votes of an aggregate are not checked"
	Credulous      Bug = "the signature of a certificate is not checked"
	TrustDealings  Bug = "dealings are not checked"
	ForgetShare    Bug = "shares of later keys are forgotten"
	ExecuteAgain   Bug = "a call that was answered is executed again"
	PurgeEarly     Bug = "artifacts are purged as soon as a state is saved"
	UnsavedState   Bug = "a state counts as saved before it is on disk"
	LatestRegistry Bug = "the registry is read at the latest version"
	LastTime       Bug = "the time of a batch is the clock's"
	// Of canisters that call each other.
	LoseCrossing   Bug = "a message of a canister to one that had its turn in the same round is lost"
	AnswerTwice    Bug = "an answer that waits is there twice"
	ForgetCallback Bug = "callbacks are forgotten where an interval begins"
)

// Bugs are all of them.
var Bugs = []Bug{SkippedSync, VoteTwice, WrongThreshold, TakeBadShares, OutOfOrder, MapOrder, StateInMemory, FewVotes,
	Credulous, TrustDealings, ForgetShare, ExecuteAgain, PurgeEarly, UnsavedState, LatestRegistry, LastTime,
	LoseCrossing, AnswerTwice, ForgetCallback}

// canisters tells whether a bug is one of canisters that call each other.
func (b Bug) canisters() bool { return b == LoseCrossing || b == AnswerTwice || b == ForgetCallback }

func (b Bug) plant(p *peer, cfg *node.Config) {
	if p.byzantine() {
		return
	}
	switch b {
	case VoteTwice:
		cfg.Store = &forgetful{cfg.Store.(*guarded)}
	case PurgeEarly, UnsavedState:
		cfg.Store = &hasty{cfg.Store.(*guarded), b}
	case TakeBadShares, Credulous, TrustDealings:
		cfg.Scheme = odd{cfg.Scheme, b}
	case ForgetShare:
		cfg.Keys = &losing{Keys: cfg.Keys}
	case LatestRegistry:
		cfg.Registry = latest{cfg.Registry}
	case FewVotes:
		cfg.Scheme = blind{cfg.Scheme}
	case OutOfOrder, MapOrder, StateInMemory, ExecuteAgain, LastTime:
		w := cfg.Machine.(*witness)
		w.Machine = &wayward{Machine: w.Machine, bug: b, odd: p.index%2 == 1, p: p}
	case LoseCrossing, AnswerTwice, ForgetCallback:
		w := cfg.Machine.(*witness)
		w.Machine = &sloppy{Machine: w.Machine, bug: b, interval: ic.Height(p.w.Interval)}
	}
}

// forgetful does not write the node's own votes, nor what they are about.
type forgetful struct{ *guarded }

// Persist leaves votes out, and blocks of others, and what was decided on them.
func (f *forgetful) Persist(artifacts []*block.Artifact, sync bool) error {
	var kept []*block.Artifact
	for _, a := range artifacts {
		vote := a.Kind == block.NotarizationShare || a.Kind == block.FinalizationShare || a.Kind == block.Notarization
		if !vote && (a.Kind != block.Proposal || f.p.own(a)) {
			kept = append(kept, a)
		}
	}
	return f.guarded.Persist(kept, sync)
}

// blind takes any signature for a member's.
type blind struct{ consensus.Scheme }

// Vote checks nothing.
func (blind) Vote(ed25519.PublicKey, []byte, []byte) error { return nil }

// wayward is a state machine that is not deterministic.
type wayward struct {
	node.Machine
	bug    Bug
	odd    bool
	p      *peer
	rounds uint64
}

// Apply does it in another way than other nodes, or at another time.
func (m *wayward) Apply(s *state.State, b *messaging.Batch) *state.State {
	m.rounds++
	next := *b
	next.Ingress = nil
	switch {
	case m.bug == MapOrder:
		all := map[ic.RequestID]ic.Ingress{}
		for _, msg := range b.Ingress {
			all[msg.ID] = msg
		}
		for _, msg := range all {
			next.Ingress = append(next.Ingress, msg)
		}
	case m.bug == OutOfOrder && m.odd:
		for i := range b.Ingress {
			next.Ingress = append(next.Ingress, b.Ingress[len(b.Ingress)-1-i])
		}
	case m.bug == StateInMemory && m.rounds%20 == 0 && len(b.Ingress) > 0: // counts since the start of the process
		next.Ingress = b.Ingress[1:]
	default:
		next.Ingress = b.Ingress
	}
	if m.bug == LastTime {
		next.Time = max(m.p.Now(), s.Time()+1)
	}
	after := m.Machine.Apply(s, &next)
	if m.bug == ExecuteAgain { // nothing is known of answered calls
		d := after.Draft()
		d.Forget(after.Time() + maxTTL)
		after = d.Seal()
	}
	return after
}
