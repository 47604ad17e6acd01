package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"ashlar/replica/ic"
)

// Run gives rounds, execution, saving, labor and fetching a goroutine each, until ctx ends or
// the node has to stop. It returns why it stopped by itself, nil for an end by ctx;
// then the latest certified state is saved. Upgrade, Halt and Left are ends in good order.
func (n *Node) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	loops := []func(context.Context) error{n.rounds, n.executions, n.saves, n.labors, n.fetches}
	ends := make(chan error, len(loops))
	for _, loop := range loops {
		go func() { ends <- n.guard(ctx, loop) }()
	}
	select {
	case <-ctx.Done():
	case <-n.Store.Failed():
	case err := <-ends: // a loop ends early only with an error
		ends <- err
	}
	stop()
	var failed error
	for range loops {
		failed = errors.Join(failed, <-ends)
	}
	if err := n.Store.Err(); err != nil {
		return err // the first cause; what the loops say follows from it
	}
	for failed == nil {
		more, err := n.Save()
		if !more {
			return err
		}
		failed = err
	}
	return failed
}

// guard makes a panic over what the store cannot read, which nothing may go on
// without, the end of a node that says why.
func (n *Node) guard(ctx context.Context, loop func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err = n.Store.Err(); err == nil {
				panic(p)
			}
		}
	}()
	return loop(ctx)
}

func (n *Node) rounds(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := n.Step(); err != nil {
			return err
		}
		if at := n.WakeAt(); at != 0 {
			timer.Reset(time.Duration(max(int64(at)-int64(n.Clock.Now()), 0)))
		} else {
			timer.Stop()
		}
		select {
		case <-n.kick:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) executions(ctx context.Context) error {
	for {
		for ctx.Err() == nil && n.Execute() {
		}
		select {
		case <-n.work:
		case <-ctx.Done():
			return nil
		}
	}
}

// savePause is the least time from one save to the next: a page that changes each round
// is written once in it, and a crash makes no more to be executed again than that.
const savePause = 100 * time.Millisecond

func (n *Node) saves(ctx context.Context) error {
	for {
		pause := time.After(savePause)
		if _, err := n.Save(); err != nil {
			return err
		}
		select {
		case <-n.dirty:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-pause:
		case <-ctx.Done():
			return nil
		}
	}
}

// WallClock is the machine's.
type WallClock struct{}

// Now is the time of day.
func (WallClock) Now() ic.Time { return ic.Time(time.Now().UnixNano()) }

type counters struct {
	rounds, messages, queries, recalled, submitted, refused, busy, expired, dropped, invalid, fetched, falseParts atomic.Uint64
}

// Metrics are what an operator watches.
type Metrics struct {
	Height, Saved                                                                                     ic.Height
	Rounds, Messages, Queries, Recalled, Submitted, Refused, Busy, Expired, Dropped, Invalid, Fetched uint64
	Pool, PoolBytes, Watchers, Waiting, Batches, Chores                                               int
	CUP                                                                                               ic.Height // of the newest catch-up package
	StateBytes, FalseParts                                                                            uint64    // of a state that is fetched from peers
}

// Metrics at this moment.
func (n *Node) Metrics() Metrics {
	c := &n.metrics
	m := Metrics{Saved: n.savedHeight(), Rounds: c.rounds.Load(), Messages: c.messages.Load(), Queries: c.queries.Load(), Recalled: c.recalled.Load(),
		Submitted: c.submitted.Load(), Refused: c.refused.Load(), Busy: c.busy.Load(), Expired: c.expired.Load(),
		Dropped: c.dropped.Load(), Invalid: c.invalid.Load(), Fetched: c.fetched.Load(), Waiting: n.queries.waiting()}
	if v := n.view.Load(); v != nil {
		m.Height = v.Height
	}
	n.mu.Lock()
	m.Pool, m.PoolBytes, m.Batches, m.Chores = n.pool.Len(), n.pool.Bytes(), len(n.batches), len(n.chores)
	if n.newest != nil {
		m.CUP = n.newest.Height
	}
	n.mu.Unlock()
	if n.fetch != nil {
		m.StateBytes = n.fetch.Progress().Fetched
	}
	m.FalseParts = c.falseParts.Load()
	n.watchers.mu.Lock()
	m.Watchers = n.watchers.n
	n.watchers.mu.Unlock()
	return m
}
