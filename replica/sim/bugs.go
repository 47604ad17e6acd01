package sim

import (
	"crypto/ed25519"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
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
	OneBlockOnly   Bug = "a second block of a maker is not noticed"
	MapOrder       Bug = "the state machine iterates over a map"
	StateInMemory  Bug = "the state machine remembers what is not in the state"
	FewVotes       Bug = "the votes of an aggregate are not checked"
)

// Bugs are all of them.
var Bugs = []Bug{SkippedSync, VoteTwice, WrongThreshold, TakeBadShares, OutOfOrder, OneBlockOnly, MapOrder, StateInMemory, FewVotes}

func (b Bug) plant(p *peer, cfg *node.Config) {
	if p.byzantine() {
		return
	}
	switch b {
	case VoteTwice:
		cfg.Store = &forgetful{cfg.Store.(*guarded)}
	case TakeBadShares:
		cfg.Scheme = trusting{cfg.Scheme}
	case FewVotes:
		cfg.Scheme = blind{cfg.Scheme}
	case OutOfOrder, MapOrder, StateInMemory:
		w := cfg.Machine.(*witness)
		w.Machine = &wayward{Machine: w.Machine, bug: b, odd: p.index%2 == 1}
	}
}

// forgetful does not write the node's own votes, nor what they are about.
type forgetful struct{ *guarded }

// Persist leaves votes out, and blocks of others.
func (f *forgetful) Persist(artifacts []*block.Artifact, sync bool) error {
	var kept []*block.Artifact
	for _, a := range artifacts {
		vote := a.Kind == block.NotarizationShare || a.Kind == block.FinalizationShare
		if !vote && (a.Kind != block.Proposal || a.Signer == uint64(f.p.index)) {
			kept = append(kept, a)
		}
	}
	return f.guarded.Persist(kept, sync)
}

// trusting joins shares without a look at them.
type trusting struct{ consensus.Scheme }

// Key is trusted too.
func (t trusting) Key(transcript []byte) (consensus.Key, error) {
	k, err := t.Scheme.Key(transcript)
	return trustingKey{k.(*cheapKey)}, err
}

// Session has no bugs of its own: what it joins is read again.
func (t trusting) Session(d *consensus.Deal) (consensus.Session, error) {
	own := *d
	if p, ok := d.Previous.(trustingKey); ok {
		own.Previous = p.cheapKey
	}
	s, err := t.Scheme.Session(&own)
	return trustingSession{s}, err
}

type trustingSession struct{ consensus.Session }

// Combine makes a trusting key.
func (s trustingSession) Combine(dealings []consensus.Dealing) (consensus.Key, error) {
	k, err := s.Session.Combine(dealings)
	if err != nil {
		return nil, err
	}
	return trustingKey{k.(*cheapKey)}, nil
}

type trustingKey struct{ *cheapKey }

// Combine is right as long as all shares are.
func (k trustingKey) Combine(message []byte, shares []bls.Share) ([]byte, []int, error) {
	sig, bad, err := k.cheapKey.Combine(message, shares)
	if len(bad) > 0 {
		sig, err = append([]byte{0x80}, make([]byte, groupBytes-1)...), nil
	}
	return sig, nil, err
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
	return m.Machine.Apply(s, &next)
}
