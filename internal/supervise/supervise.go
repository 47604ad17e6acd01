// Package supervise keeps services running.
//
//	Start ─> run ── returns or panics ──> count, log, wait ─┐
//	          ^────────────── backoff ───────────────────────┘   until the context ends
//
// A service is func(ctx) error. It is meant to run until its context ends;
// whatever else ends it is a crash: logged, counted, and followed by a restart
// after a pause that doubles up to a minute, and is forgotten after a quiet
// spell. What a crash means for the machine (reboot, fall back) is decided
// elsewhere, from the counters.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	firstPause = 250 * time.Millisecond // a port or a file may just have been busy
	maxPause   = time.Minute            // a service that never works must not fill the log
	quietSpell = 2 * time.Minute        // ran so long: its next crash starts over at firstPause
	maxStack   = 4 << 10                // bytes of a panic's stack kept in the log
	maxError   = 512                    // bytes of an error kept in the counters
)

// Counters tell how a service fared.
type Counters struct {
	Running   bool   `json:"running"`
	Starts    int    `json:"starts"`
	Crashes   int    `json:"crashes"`
	LastError string `json:"last_error,omitempty"`
}

// A Group is a set of services.
type Group struct {
	log  func(format string, args ...any)
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen map[string]*Counters
}

// New makes a group that logs to log.
func New(log func(format string, args ...any)) *Group {
	return &Group{log: log, seen: map[string]*Counters{}}
}

// Start keeps run running until ctx ends. A name is used once in a group.
func (g *Group) Start(ctx context.Context, name string, run func(context.Context) error) {
	g.mu.Lock()
	if g.seen[name] != nil {
		g.mu.Unlock()
		panic("supervise: service started twice: " + name)
	}
	g.seen[name] = &Counters{}
	g.mu.Unlock()
	g.wg.Go(func() { g.keep(ctx, name, run) })
}

func (g *Group) keep(ctx context.Context, name string, run func(context.Context) error) {
	pause := firstPause
	for ctx.Err() == nil {
		g.note(name, func(c *Counters) { c.Running, c.Starts = true, c.Starts+1 })
		began := time.Now()
		err := call(ctx, run)
		g.note(name, func(c *Counters) { c.Running = false })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without being asked to")
		}
		g.note(name, func(c *Counters) { c.Crashes, c.LastError = c.Crashes+1, cut(err.Error(), maxError) })
		if time.Since(began) >= quietSpell {
			pause = firstPause
		}
		g.log("%s: %v; restart in %v", name, err, pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(pause*2, maxPause)
	}
}

// Wait returns when all services have ended, which they do when their context has.
func (g *Group) Wait() { g.wg.Wait() }

// Counters returns a copy of all counters, by service.
func (g *Group) Counters() map[string]Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]Counters, len(g.seen))
	for name, c := range g.seen {
		out[name] = *c
	}
	return out
}

func (g *Group) note(name string, change func(*Counters)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g.seen[name])
}

// call turns a panic into an error: one service's bug is not the machine's.
func call(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, cut(string(debug.Stack()), maxStack))
		}
	}()
	return run(ctx)
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
