package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func TestCrashesAreCountedLoggedAndRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		g := New(l.printf)
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		g.Start(ctx, "replica", func(ctx context.Context) error {
			n++
			switch n {
			case 1:
				return errors.New("port busy")
			case 2:
				panic("nil map")
			case 3:
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(firstPause + 2*firstPause + 4*firstPause + time.Millisecond)
		synctest.Wait()
		c := g.Counters()["replica"]
		if c.Starts != 4 || c.Crashes != 3 || !c.Running || c.LastError != "ended without being asked to" {
			t.Fatalf("%+v", c)
		}
		if len(l.lines) != 3 || !strings.Contains(l.lines[0], "port busy; restart in 250ms") || !strings.Contains(l.lines[1], "panic: nil map") {
			t.Fatalf("%q", l.lines)
		}
		stop()
		g.Wait()
		if c := g.Counters()["replica"]; c.Running || c.Crashes != 3 {
			t.Fatalf("being stopped counts as a crash: %+v", c)
		}
	})
}

func TestPauseIsBoundedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		g := New(l.printf)
		ctx, stop := context.WithCancel(t.Context())
		starts := make([]time.Duration, 0, 20)
		t0 := time.Now()
		g.Start(ctx, "x", func(ctx context.Context) error {
			starts = append(starts, time.Since(t0))
			if len(starts) == 12 {
				time.Sleep(quietSpell)
			}
			return errors.New("no")
		})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		stop()
		g.Wait()
		if gap := starts[11] - starts[10]; gap != maxPause {
			t.Errorf("12th start %v after the 11th, want %v", gap, maxPause)
		}
		if gap := starts[12] - starts[11]; gap != quietSpell+firstPause {
			t.Errorf("start after a quiet spell came after %v", gap)
		}
	})
}
