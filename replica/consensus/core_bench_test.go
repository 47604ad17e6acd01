package consensus

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// BenchmarkCore is the consensus of n nodes in one process: a goroutine each,
// channels between them, Ed25519 and BLS as they are, blocks of 1 KiB, and an
// execution that takes no time. What remains is what consensus itself costs, without
// the key generation for the next interval: see replica/crypto/dkg.
func BenchmarkCore(b *testing.B) {
	for _, n := range []int{4, 7, 13, 28, 40} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			l := newLab(&testing.T{}, n, 1)
			l.flight = nil
			c := &crowd{lab: l, b: b, goal: make(chan struct{})}
			for range n {
				c.inbox = append(c.inbox, make(chan Event, 4096))
			}
			for _, node := range l.nodes {
				c.all.Go(func() { c.run(node) })
			}
			c.all.Wait()
			b.StopTimer()
			rounds, cpu := float64(max(b.N, minRounds)), (processTime() - c.cpu).Seconds()
			b.ReportMetric(rounds/b.Elapsed().Seconds(), "rounds/s")
			b.ReportMetric(cpu*1000/rounds, "cpu-ms/round")
			b.ReportMetric(cpu*1000/rounds/float64(n), "cpu-ms/round/node")
			b.ReportMetric(float64(c.bytes)/rounds/float64(n), "bytes-sent/round/node")
			b.ReportMetric(float64(runtime.GOMAXPROCS(0))*rounds/cpu, "rounds/s-if-alone")
		})
	}
}

// crowd is a lab in which all nodes run at once.
type crowd struct {
	*lab
	b     *testing.B
	inbox []chan Event
	goal  chan struct{}
	all   sync.WaitGroup

	mu    sync.Mutex
	top   ic.Height // certified somewhere
	until ic.Height // 0: the clock does not run yet
	over  bool
	cpu   time.Duration
	bytes int
}

const (
	warm      = 20 // heights before the clock runs: keys are loaded, all are connected
	minRounds = 50 // while it does
)

// keyless makes no keys: the first ones stay.
type keyless struct{ Real }

func (keyless) Session(*Deal) (Session, error) { return nil, errors.New("no keys are made here") }

// certified is noted by each node; the first one starts the clock, and ends it.
func (c *crowd) certified(h ic.Height) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h <= c.top {
		return
	}
	switch c.top = h; {
	case c.until == 0 && h >= warm:
		c.until, c.cpu, c.bytes = h+ic.Height(max(c.b.N, minRounds)), processTime(), 0
		c.b.ResetTimer()
	case c.until > 0 && h >= c.until && !c.over:
		c.over = true
		close(c.goal)
	}
}

type busyPayload struct{ made []byte }

func (*busyPayload) Waiting(func(func(*block.Block) bool)) bool { return true }
func (p *busyPayload) Build(ic.Time, func(func(*block.Block) bool)) [][]byte {
	return [][]byte{p.made}
}
func (*busyPayload) Sections(func(func(*block.Block) bool)) []block.Section     { return nil }
func (*busyPayload) Validate(*block.Block, func(func(*block.Block) bool)) error { return nil }

// run one node until the first certifies the last height.
func (c *crowd) run(n *labNode) {
	cfg := n.cfg
	cfg.Scheme = keyless{}
	cfg.Payload = &busyPayload{make([]byte, 1<<10)}
	core, err := New(cfg)
	if err != nil {
		panic(err)
	}
	for ev := Event(Tick{}); ; {
		own := c.do(n.index, core, core.Step(ic.Time(time.Now().UnixNano()), ev))
		for len(own) > 0 {
			ev, own = own[0], own[1:]
			own = append(own, c.do(n.index, core, core.Step(ic.Time(time.Now().UnixNano()), ev))...)
		}
		c.certified(core.Certified())
		select {
		case ev = <-c.inbox[n.index]:
		case <-c.goal:
			return
		}
	}
}

// do the effects of a step; what the node tells itself comes back.
func (c *crowd) do(self int, core *Core, effects []Effect) (own []Event) {
	for _, e := range effects {
		switch e := e.(type) {
		case Send:
			raw := e.Artifact.Encode()
			c.mu.Lock()
			c.bytes += len(raw) * (len(c.inbox) - 1)
			c.mu.Unlock()
			for to := range c.inbox {
				if to == self {
					continue
				}
				a, err := block.Decode(raw)
				if err != nil {
					panic(err)
				}
				select {
				case c.inbox[to] <- Received{a, c.nodes[self].keys.node}:
				case <-c.goal:
				}
			}
		case Deliver:
			own = append(own, Executed{Height: e.Block.Height, Root: e.Hash}, Saved{e.Block.Height})
		case Task:
			own = append(own, e.Do())
		case Keep:
			c.nodes[self].keys.keep(e.Keys)
			own = append(own, Tick{})
		case Refused:
			panic(fmt.Sprint(e.Artifact.Kind, e.Reason))
		}
	}
	return own
}

func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
