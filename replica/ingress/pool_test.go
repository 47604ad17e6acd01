package ingress

import (
	"errors"
	"fmt"
	"testing"

	"ashlar/replica/ic"
)

func message(sender string, n int, size int) Message {
	m := Message{Sender: ic.Principal(sender), Expiry: 1000, Raw: make([]byte, size)}
	copy(m.ID[:], fmt.Sprintf("%s/%d", sender, n))
	return m
}

func none(ic.RequestID) bool { return false }

func names(ms []*Message) (s string) {
	for _, m := range ms {
		s += string(m.Sender)
	}
	return s
}

func fill(t *testing.T, p *Pool, sender string, n, size int) {
	t.Helper()
	for i := range n {
		if err := p.Add(message(sender, i, size), 0); err != nil {
			t.Fatalf("%s/%d: %v", sender, i, err)
		}
	}
}

func TestSelectTakesTurns(t *testing.T) {
	p := New(Default)
	fill(t, p, "a", 5, 10)
	fill(t, p, "b", 2, 10)
	fill(t, p, "c", 1, 10)
	got := p.Select(0, none)
	if names(got) != "abcabaaa" {
		t.Errorf("order %s", names(got))
	}
	if string(got[3].ID[:3]) != "a/1" {
		t.Errorf("a sender's messages are out of order: %q", got[3].ID)
	}
	if p.Len() != 8 || p.Bytes() != 80 {
		t.Errorf("selection changed the pool: %d, %d bytes", p.Len(), p.Bytes())
	}
	first := got[0].ID
	if n := len(p.Select(0, func(id ic.RequestID) bool { return id == first })); n != 7 {
		t.Errorf("selected %d of 7 that are not yet in a block", n)
	}
	if n := len(p.Select(1000, none)); n != 0 {
		t.Errorf("selected %d that expire at the time of the block", n)
	}
}

func TestSelectIsBounded(t *testing.T) {
	p := New(Limits{Messages: 5000, Bytes: 64 << 20, SenderMessages: 5000, SenderBytes: 64 << 20})
	fill(t, p, "a", MaxSelected+1, 1)
	if n := len(p.Select(0, none)); n != MaxSelected {
		t.Errorf("selected %d", n)
	}
	p = New(Default)
	fill(t, p, "a", 3, 2<<20)
	fill(t, p, "b", 1, 2<<20)
	if got := names(p.Select(0, none)); got != "ab" {
		t.Errorf("4 MiB hold %s", got)
	}
	fill(t, p, "c", 1, 2<<20) // the ring turned: a was refused, so a begins
	if got := names(p.Select(0, none)); got != "ab" {
		t.Errorf("then %s", got)
	}
}

func TestLimits(t *testing.T) {
	p := New(Limits{Messages: 4, Bytes: 100, SenderMessages: 2, SenderBytes: 60})
	fill(t, p, "a", 2, 20)
	if err := p.Add(message("a", 2, 1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("a third message of one sender: %v", err)
	}
	if err := p.Add(message("a", 1, 20), 0); err != nil || p.Len() != 2 {
		t.Errorf("the same message again: %v, %d", err, p.Len())
	}
	if err := p.Add(message("b", 0, 61), 0); !errors.Is(err, ErrFull) {
		t.Errorf("more bytes than a sender may have: %v", err)
	}
	fill(t, p, "b", 1, 60)
	if err := p.Add(message("c", 0, 1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("more bytes than the pool may have: %v", err)
	}
	if err := p.Add(message("c", 0, MaxSelectedBytes+1), 0); !errors.Is(err, ErrTooBig) {
		t.Errorf("larger than a block: %v", err)
	}
	if err := p.Add(message("c", 0, 0), 1000); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	p.Remove([]ic.RequestID{message("b", 0, 0).ID, message("x", 0, 0).ID})
	fill(t, p, "c", 2, 1)
	if err := p.Add(message("d", 0, 0), 0); !errors.Is(err, ErrFull) {
		t.Errorf("a fifth message: %v", err)
	}
}

func TestRemoveAndExpire(t *testing.T) {
	p := New(Default)
	fill(t, p, "a", 3, 10)
	late := message("b", 0, 10)
	late.Expiry = 5000
	if err := p.Add(late, 0); err != nil {
		t.Fatal(err)
	}
	p.Remove([]ic.RequestID{message("a", 1, 0).ID})
	if got := names(p.Select(0, none)); got != "aba" {
		t.Errorf("left %s", got)
	}
	if n := p.Expire(1000); n != 2 || p.Len() != 1 || p.Bytes() != 10 || len(p.senders) != 1 {
		t.Errorf("expired %d, left %d, %d bytes, %d senders", n, p.Len(), p.Bytes(), len(p.senders))
	}
	p.Remove([]ic.RequestID{late.ID})
	if p.Select(0, none); len(p.senders) != 0 || len(p.ring) != 0 {
		t.Error("a sender without messages stays")
	}
}
