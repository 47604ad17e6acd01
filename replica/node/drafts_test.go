package node

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/wire/block"
)

// peers are what a node sees of them: questions and blame.
type peers struct {
	asked  []ic.NodeID
	ids    []uint64
	last   []byte
	blamed []ic.NodeID
}

func (p *peers) Broadcast(ic.Height, []byte) {}
func (p *peers) Purge(ic.Height)             {}
func (p *peers) Gossip([]byte)               {}
func (p *peers) Ask(to ic.NodeID, id uint64, request []byte) {
	p.asked, p.ids, p.last = append(p.asked, to), append(p.ids, id), request
}
func (p *peers) Blame(who ic.NodeID, _ string, _ error) { p.blamed = append(p.blamed, who) }

type stopped struct{ ic.Time }

func (s *stopped) Now() ic.Time { return s.Time }

type self struct{ Keys }

func (self) NodeID() ic.NodeID { return name(0) }

func name(i byte) ic.NodeID { return ic.NodeID{Principal: ic.Principal([]byte{i + 1})} }

func drafting() (*Node, *peers, *stopped) {
	net, clock := &peers{}, &stopped{1e9}
	n := &Node{Config: Config{Net: net, Clock: clock, Keys: self{}}, core: &consensus.Core{}, pool: ingress.New(ingress.Default), blocks: map[block.Hash]*block.Block{}, pull: newPull(), kick: make(chan struct{}, 1)}
	for i := range byte(3) {
		n.pull.heard(name(i+1), 1)
	}
	return n, net, clock
}

// proposal of some calls.
func proposal(h ic.Height, calls ...string) *block.Artifact {
	b := &block.Block{Height: h, Time: 5}
	for _, c := range calls {
		b.Ingress = append(b.Ingress, []byte(c))
	}
	return &block.Artifact{Kind: block.Proposal, Height: h, Hash: b.Hash(), Block: b, Signer: 1, Signature: []byte("s")}
}

func (n *Node) pooled(t *testing.T, calls ...string) {
	t.Helper()
	for _, c := range calls {
		if err := n.pool.Add(ingress.Message{ID: ic.RequestID(block.CallHash([]byte(c))), Sender: "user", Expiry: 1e18, Raw: []byte(c)}, 1); err != nil {
			t.Fatal(err)
		}
	}
}

func whole(t *testing.T, got []consensus.Event, want *block.Artifact) {
	t.Helper()
	if len(got) != 1 || !bytes.Equal(got[0].(consensus.Received).Artifact.Encode(), want.Encode()) {
		t.Fatalf("got %d events", len(got))
	}
}

// A block whose calls are in the pool is whole at once.
func TestDraftFromThePool(t *testing.T) {
	n, net, _ := drafting()
	a := proposal(1, "one", "two")
	n.pooled(t, "one", "two", "three")
	if err := n.draft(name(1), block.OutlineOf(a).Encode()); err != nil {
		t.Fatal(err)
	}
	whole(t, n.drafted(), a)
	if len(net.asked) > 0 || n.drafted() != nil || n.draftWake() != 0 {
		t.Errorf("asked %d times", len(net.asked))
	}
}

// What is missing is given a moment, then asked for: of the maker, who lies, and
// of the next peer, who has it.
func TestDraftAsks(t *testing.T) {
	n, net, clock := drafting()
	a := proposal(1, "one", "two", "three", "four")
	n.pooled(t, "one")
	if err := n.draft(name(1), block.OutlineOf(a).Encode()); err != nil {
		t.Fatal(err)
	}
	if n.drafted() != nil || len(net.asked) > 0 || n.draftWake() != clock.Time+draftGrace+15*draftByte {
		t.Fatalf("asked at once, or wakes at %d", n.draftWake())
	}
	n.pooled(t, "three") // it was on its way
	clock.Time = n.draftWake()
	if n.drafted() != nil || len(net.asked) != 1 || net.asked[0] != name(1) {
		t.Fatalf("asked %v", net.asked)
	}
	n.Answered(name(1), net.ids[0], append([]byte{3}, "two"+"\x05false"...))
	if n.drafted() != nil || len(net.blamed) != 1 || net.blamed[0] != name(1) {
		t.Fatalf("blamed %v", net.blamed)
	}
	if len(net.asked) != 2 || net.asked[1] == name(0) {
		t.Fatalf("asked %v", net.asked)
	}
	maker, _, _ := drafting()
	maker.keepBlock(a)
	answer, err := maker.Serve(net.last)
	if err != nil || string(answer) != "\x04four" {
		t.Fatalf("served %q, %v", answer, err)
	}
	n.Answered(net.asked[1], net.ids[1], answer)
	whole(t, n.drafted(), a)
	n.Answered(net.asked[1], net.ids[1], answer) // again: nobody asked
	if n.drafted() != nil || len(n.drafts.out) != 0 || n.metrics.fetched.Load() != 2 {
		t.Errorf("%d questions are out, %d calls came", len(n.drafts.out), n.metrics.fetched.Load())
	}
}

// Nobody answers: the node asks all others in turn, and not too often.
func TestDraftThatNobodyKnows(t *testing.T) {
	n, net, clock := drafting()
	if err := n.draft(name(2), block.OutlineOf(proposal(1, "lost")).Encode()); err != nil {
		t.Fatal(err)
	}
	clock.Time = n.draftWake()
	for range 100 {
		n.drafted()
		for k, id := range net.ids {
			n.Answered(net.asked[k], id, nil)
		}
		net.ids = nil
	}
	seen := map[ic.NodeID]bool{}
	for _, who := range net.asked {
		seen[who] = true
	}
	if len(net.asked) > 2*len(n.pull.seen)+1 || len(seen) != 3 || seen[name(0)] {
		t.Errorf("asked %v", net.asked)
	}
}

func TestDraftsAreBounded(t *testing.T) {
	n, _, _ := drafting()
	for h := range ic.Height(5 * maxDrafts) {
		for i := range byte(3) {
			if err := n.draft(name(i+1), block.OutlineOf(proposal(h+1, "lost", string(rune('a'+i)))).Encode()); err != nil {
				t.Fatal(err)
			}
		}
		n.keepBlock(proposal(h+1, "call"))
	}
	if len(n.drafts.list) != 3*maxDrafts || len(n.blocks) > keepBlocks+1 {
		t.Errorf("%d drafts, %d blocks", len(n.drafts.list), len(n.blocks))
	}
	if err := n.draft(name(1), []byte{2, 0x7f}); err == nil {
		t.Error("an empty outline was taken")
	}
}

func TestServeCallsRefuses(t *testing.T) {
	n, _, _ := drafting()
	a := proposal(1, "one", "two")
	n.keepBlock(a)
	for _, bad := range [][]byte{{1, 2}, {9}, {1, 0}, {0, 0}, {0xff}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if got, err := n.Serve(append(append([]byte{askCalls}, a.Hash[:]...), bad...)); err == nil {
			t.Errorf("%x: served %q", bad, got)
		}
	}
	if _, err := n.Serve([]byte{askCalls, 1}); err == nil {
		t.Error("served without a block")
	}
	if got, err := n.Serve(append(append([]byte{askCalls}, make([]byte, 32)...), 0)); err != nil || len(got) != 0 {
		t.Errorf("a block that nobody knows: %q, %v", got, err)
	}
}

func FuzzCalls(f *testing.F) {
	f.Add([]byte{1}, []byte("\x03two"))
	f.Fuzz(func(t *testing.T, request, answer []byte) {
		n, _, _ := drafting()
		a := proposal(1, "one", "two", "three")
		n.keepBlock(a)
		n.Serve(append(append([]byte{askCalls}, a.Hash[:]...), request...))
		wanted := []block.Hash{block.CallHash([]byte("two")), block.CallHash([]byte("three"))}
		got, _ := readCalls(answer, wanted)
		for i, raw := range got {
			if block.CallHash(raw) != wanted[i] {
				t.Errorf("call %d is %q", i, raw)
			}
		}
		if _, size := binary.Uvarint(answer); size > 0 && len(got) > len(wanted) {
			t.Errorf("%d calls", len(got))
		}
	})
}
