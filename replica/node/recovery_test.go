package node_test

import (
	"strings"
	"testing"
	"time"

	"ashlar/replica/consensus"
	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/wire/block"
)

// unsaved is a node that executed more than it saved, and where it stands.
func unsaved(t *testing.T) (*bench, node.Standing) {
	t.Helper()
	b := open(t)
	b.rest(t)
	b.pass(t, 20*time.Millisecond)
	for i := range byte(5) {
		if err := b.submit(call(i, "x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Step(); err != nil {
			t.Fatal(err)
		}
		b.Execute()
	}
	at, err := b.Standing()
	if err != nil {
		t.Fatal(err)
	}
	if at.Height <= b.Metrics().Saved || at.Package == nil || at.Forgot != 0 {
		t.Fatalf("stands at %+v, saved %d", at, b.Metrics().Saved)
	}
	return b, at
}

func recovery(t *testing.T, last *block.Artifact, at node.Standing, registry uint64) *block.Artifact {
	t.Helper()
	cup, err := consensus.Recover(consensus.Recovery{Last: last, Height: at.Height, Root: at.Root, Time: at.Time + ic.Time(time.Minute), Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	return cup
}

// A survivor goes on from the height that the registry names, though it had not saved
// that state: its blocks lead there.
func TestRecoveryIsReplayed(t *testing.T) {
	b, at := unsaved(t)
	cup := recovery(t, b.cfg.Start, at, 1)
	if !b.Superseded(cup) || b.Superseded(b.cfg.Start) {
		t.Error("it does not know a newer beginning")
	}
	var said []string
	b.cfg.Start, b.cfg.Log = cup, func(line string) { said = append(said, line) }
	n, err := node.New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	again := &bench{n, b.cfg, b.now, b.echo, b.group}
	if got, err := n.Standing(); err != nil || got.Height != at.Height || got.Root != at.Root || n.Metrics().Saved != at.Height {
		t.Errorf("goes on from %+v, %v; it stood at %+v\n%s", got, err, at, strings.Join(said, "\n"))
	}
	if n.Superseded(cup) {
		t.Error("it would begin again and again")
	}
	b.now.Time = at.Time + ic.Time(2*time.Minute)
	again.rest(t)
	again.pass(t, time.Second)
	if v := n.View(); v == nil || v.Height <= at.Height {
		t.Errorf("it does not go on: %v", v)
	}
	for id, times := range b.echo.applied { // once when it happened, once when it was replayed
		if times > 2 {
			t.Errorf("call %x was executed %d times", id, times)
		}
	}
}

// A state that nobody here has is waited for, and what is here is not taken for it.
func TestRecoveryFromAnotherState(t *testing.T) {
	for name, spoil := range map[string]func(*node.Standing){
		"another root":  func(at *node.Standing) { at.Root[0] ^= 1 },
		"a height more": func(at *node.Standing) { at.Height += 100 },
	} {
		b, at := unsaved(t)
		spoil(&at)
		b.cfg.Start = recovery(t, b.cfg.Start, at, 1)
		n, err := node.New(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.Standing(); err != nil || got.Height != 0 || !strings.Contains(n.Describe(), "waits for the state") {
			t.Errorf("%s: it goes on from %+v: %s", name, got, n.Describe())
		}
	}
}
