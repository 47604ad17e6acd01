package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ashlar/replica/ic"
)

// Slow queries of one canister leave room for all others.
func TestTurnsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(4, 2, 8, 4)
		slow, other := ic.CanisterIDFromUint64(1), ic.CanisterIDFromUint64(2)
		got := make(chan error, 8)
		enter := func(c ic.CanisterID) { got <- turns.enter(t.Context(), c) }
		for range 5 { // two run, two wait, one is too many
			go enter(slow)
		}
		synctest.Wait()
		if len(got) != 3 {
			t.Fatalf("%d of 5 had an answer at once, want 3", len(got))
		}
		busy := 0
		for range 3 {
			if errors.Is(<-got, ErrBusy) {
				busy++
			}
		}
		if busy != 1 {
			t.Errorf("%d were turned away, want 1", busy)
		}
		if err := turns.enter(t.Context(), other); err != nil {
			t.Errorf("the other canister: %v", err)
		}
		turns.leave(other)
		synctest.Wait()
		if len(got) != 0 {
			t.Error("another canister's end let a third query of the slow one run")
		}
		turns.leave(slow)
		if err := <-got; err != nil {
			t.Error(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go func() { got <- turns.enter(ctx, slow) }()
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("a user who left: %v", err)
		}
		began := time.Now()
		if err := <-got; !errors.Is(err, ErrBusy) || time.Since(began) != maxWait {
			t.Errorf("who waited for %s: %v", time.Since(began), err)
		}
		turns.leave(slow)
		turns.leave(slow)
		if turns.waiting() != 0 || turns.runs != 0 || len(turns.running)+len(turns.inside)+len(turns.queue) != 0 {
			t.Errorf("left behind: %+v", turns)
		}
	})
}
