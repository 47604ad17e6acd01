package messaging

import (
	"syscall"
	"testing"
	"time"

	"ashlar/replica/ic"
)

// BenchmarkCalls is users' messages that call other canisters, a hundred a round, and
// what each takes of the processor until its answer is there.
func BenchmarkCalls(b *testing.B) {
	w := newWorldOn(&testing.T{}, newEngine(b))
	var ids []ic.CanisterID
	for range 12 {
		ids = append(ids, w.universal(alice))
	}
	w.store = nil
	from := ids[0]
	ask := func(to ic.CanisterID) outgoing {
		return outgoing{to: to, method: "update", arg: prog{}.b("pong").reply(), onReply: replyArg}
	}
	fan := prog{}
	for _, id := range ids[2:] {
		o := ask(id)
		o.onReply = nil
		fan = fan.call(o)
	}
	for _, c := range []struct {
		name string
		arg  prog
	}{
		{"none", prog{}.b("pong").reply()},
		{"other", prog{}.call(ask(ids[1]))},
		{"itself", prog{}.call(ask(from))},
		{"ten", fan.b("sent").reply()},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			began := processor()
			for b.Loop() {
				for range 100 {
					w.send(bob, from, "update", c.arg)
					n++
				}
				for {
					w.time += second
					w.s = w.m.Apply(w.s, &Batch{Height: w.s.Height() + 1, Time: w.time, Ingress: w.queued, Nodes: 13})
					w.queued = nil
					if !w.s.Busy() {
						break
					}
				}
			}
			b.ReportMetric(float64((processor()-began).Microseconds())/float64(n), "cpu-us/message")
		})
	}
}

// processor is the time that this process has taken.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
