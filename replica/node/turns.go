package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"ashlar/replica/ic"
)

// turns lets a number of queries run at once, the others wait in order. One
// canister has no more than its share of the running and of the waiting ones:
// slow queries of one leave room for all others.
type turns struct {
	all, each   int // that run at once: together, and of one canister
	room, share int // that run or wait: together, and of one canister

	mu      sync.Mutex
	running map[ic.CanisterID]int
	inside  map[ic.CanisterID]int // run or wait
	runs, n int                   // sums of these
	queue   []*turn
}

type turn struct {
	canister ic.CanisterID
	ready    chan struct{}
}

// maxWait is how long a query waits for its turn: then its user asks again, perhaps elsewhere.
const maxWait = 10 * time.Second

func newTurns(all, each, room, share int) *turns {
	return &turns{all: all, each: each, room: room, share: share, running: map[ic.CanisterID]int{}, inside: map[ic.CanisterID]int{}}
}

// enter waits for a turn; who got one leaves it.
func (t *turns) enter(ctx context.Context, c ic.CanisterID) error {
	t.mu.Lock()
	if t.n >= t.room || t.inside[c] >= t.share {
		t.mu.Unlock()
		return ErrBusy
	}
	t.n++
	t.inside[c]++
	if t.runs < t.all && t.running[c] < t.each {
		t.start(c)
		t.mu.Unlock()
		return nil
	}
	mine := &turn{c, make(chan struct{})}
	t.queue = append(t.queue, mine)
	t.mu.Unlock()

	late := time.NewTimer(maxWait)
	defer late.Stop()
	err := ErrBusy
	select {
	case <-mine.ready:
		return nil
	case <-late.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.mu.Lock()
	if i := slices.Index(t.queue, mine); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
		t.out(c)
		t.mu.Unlock()
		return err
	}
	t.mu.Unlock()
	t.leave(c) // its turn came meanwhile
	return err
}

// leave ends a turn and gives it to the first who may run.
func (t *turns) leave(c ic.CanisterID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs--
	less(t.running, c)
	t.out(c)
	for i, next := range t.queue {
		if t.running[next.canister] < t.each {
			t.queue = slices.Delete(t.queue, i, i+1)
			t.start(next.canister)
			close(next.ready)
			return
		}
	}
}

func (t *turns) start(c ic.CanisterID) {
	t.runs++
	t.running[c]++
}

func (t *turns) out(c ic.CanisterID) {
	t.n--
	less(t.inside, c)
}

func less(m map[ic.CanisterID]int, c ic.CanisterID) {
	if m[c]--; m[c] == 0 {
		delete(m, c)
	}
}

// waiting counts those that run or wait.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
