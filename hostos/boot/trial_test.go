package boot

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ashlar/internal/journal"
)

// hostd makes a host as Run does, and tells whether it was ended, and how.
func hostd(t *testing.T, trial bool) (*Host, context.Context) {
	ctx, end := context.WithCancelCause(t.Context())
	return &Host{log: journal.New(1<<16, nil), end: end, trial: trial, gated: make(chan struct{})}, ctx
}

// A release whose node.conf parser, drivers or record fail has no upgrader yet.
func TestATrialThatFailsBeforeTheRecordIsOpenFallsBack(t *testing.T) {
	h, ctx := hostd(t, true)
	h.broken(errors.New("node.conf: line 3: there is no setting x"))
	var o order
	if !errors.As(context.Cause(ctx), &o) || o.do != Restart {
		t.Fatalf("the trial goes on: %v", context.Cause(ctx))
	}
	if log := strings.Join(h.log.Tail(9), "\n"); !strings.Contains(log, "is given up: node.conf: line 3") {
		t.Errorf("log %q", log)
	}
}

func TestAConfirmedReleaseStaysUpWhateverFails(t *testing.T) {
	h, ctx := hostd(t, false)
	h.broken(errors.New("no network device"))
	if ctx.Err() != nil || len(h.notes) != 1 || !strings.Contains(h.notes[0], "no network device") {
		t.Errorf("%v, notes %q", context.Cause(ctx), h.notes)
	}
}

func TestATrialWhosePhaseHangsFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, ctx := hostd(t, true)
		start := time.Now()
		go h.impatience(ctx, bootLimit)
		<-ctx.Done()
		if took := time.Since(start); took != bootLimit {
			t.Errorf("after %v, want %v", took, bootLimit)
		}
		h, ctx = hostd(t, true)
		go h.impatience(ctx, bootLimit)
		time.Sleep(bootLimit / 2)
		close(h.gated) // from here on the gate has its own time
		time.Sleep(bootLimit)
		if ctx.Err() != nil {
			t.Errorf("a trial at its health gate was ended: %v", context.Cause(ctx))
		}
	})
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		if within(time.Second, func() { <-hang }) {
			t.Error("what hangs ended in time")
		}
		close(hang)
		if !within(time.Second, func() {}) {
			t.Error("what ended is said to hang")
		}
	})
}

// The record has to be open before whatever may fail in a new release.
func TestTheRecordComesBeforeTheConfiguration(t *testing.T) {
	at := map[string]int{}
	for i, p := range (&Host{}).all() {
		at[p.Name] = i
	}
	if !(at["devices"] < at["slots"] && at["slots"] < at["config"] && at["tpm"] < at["image"] && at["image"] < at["guest"]) {
		t.Errorf("%v", at)
	}
}
