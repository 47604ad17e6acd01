package node

import (
	"encoding/binary"
	"errors"
	"testing"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// sealed is a key whose signature is known.
type sealed struct{ consensus.Key }

func (sealed) Verify(_, sig []byte) error {
	if string(sig) != "signed" {
		return errors.New("not signed")
	}
	return nil
}

// begun is a store that notes with which package it begins.
type begun struct {
	Store
	height ic.Height
}

func (b *begun) Begin(cup *block.Artifact, _ bool) error {
	b.height = cup.Height
	return nil
}

// members of the registry at all versions.
type members []block.Receiver

func (members) Latest() uint64                         { return 1 }
func (m members) At(uint64) (*consensus.Record, error) { return &consensus.Record{Members: m}, nil }

// leaver is a node that leaves four others at height 20.
func leaver(t *testing.T) (*Node, *peers, *stopped) {
	n, net, clock := drafting()
	n.high, n.core = sealed{}, &consensus.Core{Config: consensus.Config{Node: name(0), Registry: members{}}}
	n.Log, n.Store = func(string) {}, &begun{}
	if err := n.leave(packageOf(20, "signed")); err != nil {
		t.Fatal(err)
	}
	if n.Leaving() != 5 {
		t.Errorf("it leaves since %d", n.Leaving())
	}
	return n, net, clock
}

func packageOf(h ic.Height, signature string) *block.Artifact {
	s := &block.Summary{Version: "1", Length: 10, NextLength: 10, Current: &block.Committee{}}
	for i := range byte(4) {
		s.Current.Members = append(s.Current.Members, block.Member{Node: name(i + 1), Key: make([]byte, 32)})
	}
	b := &block.Block{Height: h, Time: 5, Sections: []block.Section{{Kind: block.SummarySection, Data: s.Encode()}}}
	return &block.Artifact{Kind: block.CUP, Height: h, Block: b, Data: []byte("beacon"), Hash: block.CUPHash(b.Hash(), []byte("beacon"), block.Hash{}), Signature: []byte(signature)}
}

func bundled(a *block.Artifact) []byte {
	raw := a.Encode()
	return append(binary.AppendUvarint(nil, uint64(len(raw))), raw...)
}

// Who leaves waits until n-f of those that stay have its package: no older one, none that
// nobody signed, no answer of who was not asked, and no member twice.
func TestLeaverWaits(t *testing.T) {
	n, net, clock := leaver(t)
	step := func(gone bool) {
		t.Helper()
		err := n.Step()
		var left *Left
		if errors.As(err, &left) != gone || gone != (err != nil) {
			t.Fatalf("it ends with %v", err)
		}
	}
	round := func() {
		t.Helper()
		clock.Time = max(clock.Time, n.WakeAt())
		step(false)
	}
	round()
	if len(net.asked) != 4 {
		t.Fatalf("%d are asked", len(net.asked))
	}
	for i, a := range []*block.Artifact{packageOf(20, "signed"), packageOf(20, "not signed"), packageOf(10, "signed")} {
		n.Answered(net.asked[i], net.ids[i], bundled(a))
	}
	n.Answered(net.asked[1], net.ids[0], bundled(packageOf(20, "signed")))
	n.Answered(net.asked[3], net.ids[3], nil)
	step(false)
	if len(net.blamed) != 1 || net.blamed[0] != net.asked[1] {
		t.Errorf("blamed is %v", net.blamed)
	}
	net.asked, net.ids = nil, nil
	round()
	if len(net.asked) != 3 {
		t.Fatalf("%d are asked again", len(net.asked))
	}
	n.Answered(net.asked[0], net.ids[0], bundled(packageOf(20, "signed")))
	step(false)
	n.Answered(net.asked[2], net.ids[2], bundled(packageOf(20, "signed")))
	step(true)
	if at := n.Store.(*begun).height; at != 20 {
		t.Errorf("another start begins with the package of height %d", at)
	}
}

// With a later package nobody needs the leaver's; and who is wanted again starts anew.
func TestLeaverIsNotNeeded(t *testing.T) {
	n, net, _ := leaver(t)
	if err := n.Step(); err != nil {
		t.Fatal(err)
	}
	n.Answered(net.asked[0], net.ids[0], bundled(packageOf(30, "signed")))
	if err := n.Step(); err == nil {
		t.Error("it stays though a member has a later package")
	}
	n, _, _ = leaver(t)
	n.core.Registry = members{{Member: block.Member{Node: name(0)}}}
	if err := n.Step(); err == nil || n.Store.(*begun).height != 0 {
		t.Errorf("the registry wants it again: %v, %d", err, n.Store.(*begun).height)
	}
}
