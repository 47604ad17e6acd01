package sim

import (
	"encoding/binary"
	"slices"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/block"
)

// maxMemory is how many old messages a liar keeps to repeat them.
const maxMemory = 200

// liar is a Byzantine node: the real node, of whose messages some are replaced,
// and that says more than it should. It has the keys of its node and no others.
type liar struct {
	p      *peer
	keys   node.Keys
	lies   []Lie
	memory [][]byte
	calls  [][]byte // in blocks that it saw

	stateAnswer []byte // to an earlier question for a state
}

func newLiar(p *peer, lies []Lie) *liar {
	return &liar{p: p, keys: p.w.ids.keys[p.index], lies: lies}
}

func (l *liar) does(lie Lie) bool { return slices.Contains(l.lies, lie) && l.p.w.rng.IntN(2) == 0 }

// send what the node wants to be sent, or something else.
func (l *liar) send(data []byte) {
	l.remember(data)
	l.noise(data)
	a, err := block.Decode(data)
	if err != nil {
		return
	}
	own := l.p.own(a)
	switch {
	case a.Kind == block.Proposal && own && l.does(Equivocate):
		l.split(data, l.sign(l.otherBlock(a)).Encode())
	case a.Kind == block.Proposal && own && l.does(BadPayload):
		l.all(l.sign(l.badBlock(a)).Encode())
	case a.Kind.IsShare() && own && l.does(Withhold):
		l.some(data)
	case a.Kind == block.CertificationShare && own && l.does(WrongState):
		a.Hash[0] ^= 1
		l.all(l.sign(a).Encode())
		l.p.w.fail(l.conspire(a))
	case a.Kind.IsShare() && own && l.does(BadShares):
		a.Signature = slices.Clone(a.Signature)
		a.Signature[l.p.w.rng.IntN(len(a.Signature))] ^= 4
		l.split(a.Encode(), data)
	case a.Kind == block.Dealing && own && l.does(NoDealings):
		l.some(data)
	case a.Kind == block.Dealing && own && l.does(BadDealings):
		a.Data = slices.Clone(a.Data)
		a.Data[l.p.w.rng.IntN(len(a.Data))] ^= 1
		l.split(l.sign(a).Encode(), data)
	case a.Kind == block.CUPShare && own && l.does(FalseCUPs):
		a.Hash[0] ^= 1
		l.all(l.sign(a).Encode())
	case a.Kind == block.Certification && l.does(Relabel):
		a.Height++
		l.all(a.Encode())
	case !a.Kind.Signed() && l.does(FalseAnswers):
		l.all(l.forge(a).Encode())
	default:
		l.all(data)
	}
}

// conspire with the other liars to sign a wrong state: their shares must be too few.
func (l *liar) conspire(a *block.Artifact) error {
	keys, ok := l.keys.(*cheapKeys)
	if !ok {
		return nil
	}
	_, high := l.p.node.Core().KeysAt(a.Height)
	shares := l.p.w.wrongShares[a.Hash]
	if !slices.ContainsFunc(shares, func(s bls.Share) bool { return s.Index == int(a.Signer) }) {
		shares = append(shares, bls.Share{Index: int(a.Signer), Signature: a.Signature})
		l.p.w.wrongShares[a.Hash] = shares
	}
	if key := keys.held[high]; key != nil {
		if _, _, err := key.Combine(l.message(a), shares); err == nil {
			return violated("%d liars signed a wrong state of height %d for the subnet", len(shares), a.Height)
		}
	}
	return nil
}

// hear what others say.
func (l *liar) hear(data []byte) {
	l.remember(data)
	a, err := heard(data)
	if err != nil {
		return
	}
	if a.Kind == block.Proposal {
		for _, raw := range a.Block.Ingress {
			if len(l.calls) < maxMemory {
				l.calls = append(l.calls, raw)
			}
		}
		if l.does(VoteAll) {
			for _, k := range []block.Kind{block.NotarizationShare, block.FinalizationShare} {
				l.some(l.sign(&block.Artifact{Kind: k, Height: a.Height, Hash: a.Hash}).Encode())
			}
		}
	}
}

// falseState in place of an answer for a state: nothing, a part, garbage, an answer to
// another question, a changed one; or the true one, since that is where a lie hides.
func (l *liar) falseState(answer []byte) []byte {
	r, other := l.p.w.rng, l.stateAnswer
	l.stateAnswer = answer
	switch k := r.IntN(6); {
	case k == 0 || len(answer) == 0:
		return nil
	case k == 1:
		return answer[:r.IntN(len(answer))]
	case k == 2:
		garbage := make([]byte, r.IntN(200))
		for i := range garbage {
			garbage[i] = byte(r.Uint32())
		}
		return garbage
	case k == 3:
		return other
	case k == 4:
		bad := slices.Clone(answer)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		return bad
	}
	return answer
}

// noise is what has nothing to do with what is sent.
func (l *liar) noise(data []byte) {
	r := l.p.w.rng
	if l.does(Replay) && len(l.memory) > 0 {
		l.some(l.memory[r.IntN(len(l.memory))])
	}
	if l.does(Garbage) {
		bad := slices.Clone(data)
		switch r.IntN(3) {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		default:
			bad = make([]byte, r.IntN(100))
			for i := range bad {
				bad[i] = byte(r.Uint32())
			}
		}
		l.some(bad)
	}
}

// otherBlock is a second valid block for the same place.
func (l *liar) otherBlock(a *block.Artifact) *block.Artifact {
	b := *a.Block
	b.Time++
	if len(b.Ingress) > 0 && l.p.w.rng.IntN(2) == 0 {
		b.Ingress = b.Ingress[1:]
	}
	return &block.Artifact{Kind: block.Proposal, Height: a.Height, Block: &b}
}

// badBlock has one thing wrong.
func (l *liar) badBlock(a *block.Artifact) *block.Artifact {
	b, r := *a.Block, l.p.w.rng
	b.Ingress = slices.Clone(b.Ingress)
	switch r.IntN(12) {
	case 0: // a call that nobody signed
		_, raw := transferCall(0, 1, 2, 1000, r.Uint64(), b.Time+60e9)
		raw[len(raw)-1] ^= 1
		b.Ingress = append(b.Ingress, append([]byte{0}, raw...))
	case 1: // one from an earlier block
		if len(l.calls) > 0 {
			b.Ingress = append(b.Ingress, l.calls[r.IntN(len(l.calls))])
		}
	case 2: // the same twice
		b.Ingress = append(b.Ingress, b.Ingress...)
	case 3:
		b.Ingress = append(b.Ingress, []byte{200, 1, 2})
	case 4:
		b.Time -= ic.Time(r.Uint64N(1e9))
	case 5:
		b.Time += ic.Time(r.Uint64N(3600e9))
	case 6:
		b.Registry++
	case 7:
		b.Certified = b.Height + 5
	case 8:
		b.Rank = r.Uint64N(5)
	case 9: // a dealing that nobody made
		b.Sections = []block.Section{{Kind: block.DealingsSection, Data: block.EncodeDealings([]block.Dealt{{Config: r.Uint64N(3), Dealer: r.Uint64N(8), Raw: make([]byte, 100)}})}}
	case 10: // a summary of its own, where it is due or not
		b.Sections = []block.Section{{Kind: block.SummarySection, Data: l.p.w.ids.start.Block.Section(block.SummarySection)}}
	case 11:
		b.Sections = nil
	}
	return &block.Artifact{Kind: block.Proposal, Height: a.Height, Block: &b}
}

// sign as this node.
func (l *liar) sign(a *block.Artifact) *block.Artifact {
	if a.Kind == block.Proposal {
		a.Height, a.Hash = a.Block.Height, a.Block.Hash()
	}
	members, me := l.p.members(a.Height), l.p.w.ids.public[l.p.index].Node
	if i := slices.IndexFunc(members, func(m block.Member) bool { return m.Node == me }); i >= 0 {
		a.Signer = uint64(i)
	}
	message := l.message(a)
	switch a.Kind {
	case block.BeaconShare, block.TapeShare, block.CertificationShare, block.CUPShare:
		a.Signature = l.share(a, message)
	default:
		a.Signature = l.keys.Vote(message)
	}
	return a
}

func (l *liar) message(a *block.Artifact) []byte {
	var era block.Hash
	if core := l.p.node.Core(); core != nil {
		era = core.Era()
	}
	return a.Message(l.p.w.ids.subnetID(), era)
}

// share as good as the node can make it.
func (l *liar) share(a *block.Artifact, message []byte) []byte {
	low, high := l.p.node.Core().KeysAt(a.Height)
	key := high
	if a.Kind == block.BeaconShare || a.Kind == block.TapeShare {
		key = low
	}
	if sig := l.keys.Share(key, message); sig != nil {
		return sig
	}
	return make([]byte, groupBytes)
}

// forge an aggregate for which there are no signatures.
func (l *liar) forge(a *block.Artifact) *block.Artifact {
	f, r := *a, l.p.w.rng
	f.Hash[r.IntN(32)] ^= 1
	if len(a.Votes) > 0 {
		f.Votes = slices.Clone(a.Votes)
		message := l.message(&f)
		for i := range f.Votes {
			f.Votes[i].Signature = l.keys.Vote(message)
		}
		return &f
	}
	f.Signature = make([]byte, bls.SignatureBytes)
	f.Signature[0] = 0x80
	return &f
}

func (l *liar) remember(data []byte) {
	if !slices.Contains(l.lies, Replay) {
		return
	}
	if len(l.memory) < maxMemory {
		l.memory = append(l.memory, data)
	} else {
		l.memory[l.p.w.rng.IntN(maxMemory)] = data
	}
}

func (l *liar) all(data []byte) { l.p.w.wire.broadcast(l.p, data) }

// some nodes get it.
func (l *liar) some(data []byte) { l.split(data, nil) }

// split sends one thing to some and another to the rest.
func (l *liar) split(a, b []byte) {
	for i := range l.p.w.peers {
		if i == l.p.index {
			continue
		}
		if data := [][]byte{a, b}[l.p.w.rng.IntN(2)]; data != nil {
			l.p.w.wire.post(l.p, i, data)
		}
	}
}

// forgeCUP makes another package of one: of another state, or height.
func (l *liar) forgeCUP(response []byte) []byte {
	_, k := binary.Uvarint(response)
	if k <= 0 {
		return nil
	}
	a, err := block.Decode(response[k:])
	if err != nil || a.Kind != block.CUP || !l.does(FalseCUPs) {
		return nil
	}
	if l.p.w.rng.IntN(2) == 0 {
		a.Other[3] ^= 1
	} else {
		b := *a.Block
		b.Height += 100
		a.Block = &b
	}
	raw := a.Encode()
	return append(binary.AppendUvarint(nil, uint64(len(raw))), raw...)
}
