package sim

import (
	"slices"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// sayings are what an honest node has signed and sent, over all its lives, and
// what it was told: it must not contradict itself.
type sayings struct {
	block     map[ic.Height]block.Hash
	notarized map[ic.Height][]block.Hash
	final     map[ic.Height]block.Hash
	makers    map[block.Hash]uint64
	blocks    map[maker]block.Hash // the first of each maker and height
	two       map[maker]bool       // those of which the node knows two
	told      []*block.Artifact    // since the last step
	era       block.Hash           // what was said in another one counts no more
}

type maker struct {
	height ic.Height
	signer uint64
}

func newSayings() *sayings {
	return &sayings{block: map[ic.Height]block.Hash{}, notarized: map[ic.Height][]block.Hash{}, final: map[ic.Height]block.Hash{},
		makers: map[block.Hash]uint64{}, blocks: map[maker]block.Hash{}, two: map[maker]bool{}}
}

// heard is an artifact as peers hear it; the outline of a proposal is one without calls.
func heard(data []byte) (*block.Artifact, error) {
	if !block.IsOutline(data) {
		return block.Decode(data)
	}
	o, err := block.DecodeOutline(data)
	if err != nil {
		return nil, err
	}
	return &block.Artifact{Kind: block.Proposal, Height: o.Height(), Hash: o.Hash(), Signer: o.Signer, Signature: o.Signature, Block: o.Block}, nil
}

// forget what the node was told, when its power fails: it may be on its disk, or not. What
// it said itself is there.
func (s *sayings) forget() {
	s.blocks, s.two = map[maker]block.Hash{}, map[maker]bool{}
}

// check what the node is about to send.
func (s *sayings) check(p *peer, data []byte) error {
	a, err := heard(data)
	if err != nil {
		return violated("node %d sends what nobody can read: %v", p.index, err)
	}
	if era := p.node.Core().Era(); era != s.era {
		told := s.told
		*s = *newSayings()
		s.era, s.told = era, told
	}
	if a.Kind != block.Proposal && !a.Kind.IsShare() || !p.own(a) {
		return nil
	}
	h := a.Height
	switch a.Kind {
	case block.Proposal:
		if old, ok := s.block[h]; ok && old != a.Hash {
			return violated("node %d made two blocks of height %d", p.index, h)
		}
		s.block[h] = a.Hash
		s.makers[a.Hash] = a.Signer
	case block.NotarizationShare:
		if slices.Contains(s.notarized[h], a.Hash) {
			return nil // said before, and again after a restart
		}
		s.notarized[h] = append(s.notarized[h], a.Hash)
		if by, known := s.makers[a.Hash]; known && s.two[maker{h, by}] {
			return violated("node %d voted for a block of height %d, whose maker it knew to have made two", p.index, h)
		}
	case block.FinalizationShare:
		if old, ok := s.final[h]; ok && old != a.Hash {
			return violated("node %d voted for two final blocks of height %d", p.index, h)
		}
		s.final[h] = a.Hash
	}
	if final, ok := s.final[h]; ok {
		for _, other := range s.notarized[h] {
			if other != final {
				return violated("node %d voted for a final block of height %d, and for another one", p.index, h)
			}
		}
	}
	return nil
}

// stepped: the node knows now what it was told.
func (s *sayings) stepped(p *peer) {
	ids := p.w.ids
	for _, a := range s.told {
		m, members := maker{a.Height, a.Signer}, p.members(a.Height)
		if a.Signer >= uint64(len(members)) || ids.scheme.Vote(members[a.Signer].Key, a.Message(ids.subnetID(), p.node.Core().Era()), a.Signature) != nil {
			continue
		}
		s.makers[a.Hash] = a.Signer
		if first, ok := s.blocks[m]; !ok {
			s.blocks[m] = a.Hash
		} else if first != a.Hash {
			s.two[m] = true
		}
	}
	s.told = s.told[:0]
}
