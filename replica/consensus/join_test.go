package consensus

import (
	"testing"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// watched counts what a node's keys do.
type watched struct {
	Real
	pairings, agreed, refused int
}

type watchedKey struct {
	realKey
	w *watched
}

func (w *watched) Key(transcript []byte) (Key, error) {
	k, err := w.Real.Key(transcript)
	if err != nil {
		return nil, err
	}
	return watchedKey{k.(realKey), w}, nil
}

func (w *watched) Session(d *Deal) (Session, error) {
	own := *d
	if k, ok := d.Previous.(watchedKey); ok {
		own.Previous = k.realKey
	}
	return w.Real.Session(&own)
}

func (k watchedKey) Agree(message []byte, shares []bls.Share, spare int) ([]byte, bool) {
	sig, ok := k.realKey.Agree(message, shares, spare)
	if ok {
		k.w.agreed++
	} else {
		k.w.refused++
	}
	return sig, ok
}

func (k watchedKey) Combine(message []byte, shares []bls.Share) ([]byte, []int, error) {
	k.w.pairings++
	return k.realKey.Combine(message, shares)
}

func (k watchedKey) Verify(message, sig []byte) error {
	k.w.pairings++
	return k.realKey.Verify(message, sig)
}

func watchedLab(t *testing.T, seed uint64) (*lab, *watched) {
	l, w := newLab(t, 4, seed), &watched{}
	n := l.nodes[0]
	n.cfg.Scheme = w
	n.start()
	for _, n := range l.nodes {
		n.want = 20
	}
	return l, w
}

// Where all members sign, nothing is paired and no whole is sent: each makes it itself.
func TestAllSignAndNobodyPairs(t *testing.T) {
	l, w := watchedLab(t, 11)
	l.until("height 6", 200_000, func() bool {
		for _, m := range l.flight {
			if ofMany(Received{Artifact: m.a}) {
				t.Fatalf("%s of height %d was sent, though all sign", m.a.Kind, m.a.Height)
			}
		}
		return l.certified(6)()
	})
	if w.agreed < 3*6 || w.refused > 0 {
		t.Errorf("%d signatures agreed in 6 rounds, %d did not", w.agreed, w.refused)
	}
	if w.pairings > 3 { // at the start nobody was heard yet
		t.Errorf("%d checks by pairing in 6 rounds", w.pairings)
	}
}

// Without one member certificates have no share to spare. It is not waited for, once it
// was not heard for some heights, and wholes are told.
func TestOneIsMissed(t *testing.T) {
	l, w := watchedLab(t, 12)
	l.until("height 3", 200_000, l.certified(3))
	l.nodes[3].down = true
	l.until("height 12", 400_000, l.certified(12))
	w.pairings = 0
	told := 0
	l.until("height 16", 400_000, func() bool {
		for _, m := range l.flight {
			if ofMany(Received{Artifact: m.a}) {
				told++
			}
		}
		return l.certified(16)()
	})
	if w.pairings == 0 || told == 0 {
		t.Errorf("%d checks by pairing, %d wholes on their way", w.pairings, told)
	}
	if r := l.nodes[0].rounds[15]; r == nil || r.ripe[block.Certification] != 0 {
		t.Error("a member that is down is waited for")
	}
}

// A share that does not match is found out, and its sender named, whether or not there
// are enough others.
func TestBadShareAmongEnough(t *testing.T) {
	l, w := watchedLab(t, 13)
	n, liar := l.nodes[0], l.nodes[1]
	a := &block.Artifact{Kind: block.BeaconShare, Height: 1, Hash: hashOf(n.lastBeacon())}
	low, _ := n.KeysAt(1)
	sent := func(from *labNode, sig []byte) Event {
		b := *a
		b.Signer, b.Signature = uint64(from.index), sig
		return Received{&b, from.keys.node}
	}
	effects := n.Step(l.now,
		sent(liar, liar.keys.Share(low, []byte("something else"))),
		sent(l.nodes[2], l.nodes[2].keys.Share(low, n.message(a))),
		sent(l.nodes[3], l.nodes[3].keys.Share(low, n.message(a))))
	var beacon *block.Artifact
	blamed := false
	for _, e := range effects {
		switch e := e.(type) {
		case Persist:
			if e.Artifact.Kind == block.Beacon {
				beacon = e.Artifact
			}
		case Refused:
			if e.From != liar.keys.node || e.Artifact.Kind != block.BeaconShare {
				t.Errorf("%s of %s was refused: %v", e.Artifact.Kind, e.From, e.Reason)
			}
			blamed = true
		}
	}
	if !blamed || beacon == nil || w.refused == 0 {
		t.Fatalf("blamed %v, beacon %v, %d did not agree", blamed, beacon != nil, w.refused)
	}
	if err := n.Core.at(1).low.Verify(n.message(beacon), beacon.Signature); err != nil {
		t.Error(err)
	}
}

// Who waits for a share that does not come checks what it has, after a moment.
func TestPatienceEnds(t *testing.T) {
	l, w := watchedLab(t, 14)
	n := l.nodes[0]
	for i := range n.Core.at(1).heard {
		n.Core.at(1).heard[i] = 1 // all were heard just now
	}
	a := &block.Artifact{Kind: block.BeaconShare, Height: 1, Hash: hashOf(n.lastBeacon()), Signer: 2}
	low, _ := n.KeysAt(1)
	a.Signature = l.nodes[2].keys.Share(low, n.message(a))
	n.step(Received{a, l.nodes[2].keys.node})
	if n.round(1).beacon != nil {
		t.Fatal("two shares were enough at once, though two more are on their way")
	}
	at := n.at
	if at == 0 || at > l.now+patience {
		t.Fatalf("the node looks again at %d, it is %d", at, l.now)
	}
	l.now = at
	n.step(Tick{})
	if n.round(1).beacon == nil || w.pairings != 1 {
		t.Errorf("beacon %v after %d pairings", n.round(1).beacon != nil, w.pairings)
	}
}

// A whole is told unless all signed, and nobody who is silent keeps it from being told.
func TestWholesAreTold(t *testing.T) {
	for _, all := range []bool{true, false} {
		l, _ := watchedLab(t, 15)
		n := l.nodes[0]
		low, _ := n.KeysAt(1)
		send := func(from *labNode) {
			a := &block.Artifact{Kind: block.BeaconShare, Height: 1, Hash: hashOf(n.lastBeacon()), Signer: uint64(from.index)}
			a.Signature = from.keys.Share(low, n.message(a))
			n.step(Received{a, from.keys.node})
		}
		send(l.nodes[1])
		send(l.nodes[2])
		if n.round(1).beacon == nil {
			t.Fatal("three shares made no beacon")
		}
		if all {
			send(l.nodes[3]) // too late to be needed
		}
		l.flight = nil
		l.now += tellSignature
		n.step(Tick{})
		told := false
		for _, m := range l.flight {
			told = told || m.a.Kind == block.Beacon
		}
		if told == all || len(n.untold) != 0 {
			t.Errorf("all signed: %v, told: %v, %d wait", all, told, len(n.untold))
		}
	}
}

// A block with a call is not followed by an empty one at once: the call is answered
// without it, as long as its block becomes final by itself.
func TestNoRoundForNothing(t *testing.T) {
	l := newLab(t, 4, 16)
	l.until("the first rounds", 200_000, l.certified(3))
	var before ic.Height
	for _, n := range l.nodes {
		before = max(before, n.certified)
	}
	for _, n := range l.nodes { // whoever is the maker
		n.want = 1
		n.step(Tick{})
	}
	l.until("it is answered", 200_000, l.certified(before+1))
	for _, n := range l.nodes {
		n.want = 0
	}
	at := l.nodes[0].height
	end := l.now + DefaultPace.Idle/2
	for l.now < end {
		l.turn()
	}
	if h := l.nodes[0].height; h > at+2 {
		t.Errorf("%d rounds in half of an idle one's time, for no call", h-at)
	}
}

// If it does not become final, the next one makes it so.
func TestRoundForFinality(t *testing.T) {
	l := newLab(t, 4, 17)
	n := l.nodes[0]
	b := &block.Block{Height: 1, Ingress: [][]byte{{1}}}
	a := &block.Artifact{Kind: block.Proposal, Height: 1, Hash: b.Hash(), Block: b}
	r := n.round(1)
	r.proposals[a.Hash], r.notarized = &proposal{Artifact: a, valid: true}, []block.Hash{a.Hash}
	n.height, n.busy = 2, false
	if d := n.delay(0); d != DefaultPace.Busy {
		t.Errorf("the next block comes after %d ms", d/millisecond)
	}
	n.finalized = 1
	if d := n.delay(0); d != DefaultPace.Idle {
		t.Errorf("with nothing to do the next block comes after %d ms", d/millisecond)
	}
	b.Ingress = nil
	if n.finalized = 0; n.delay(0) != DefaultPace.Idle {
		t.Error("an empty block is hurried")
	}
}
