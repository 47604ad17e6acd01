package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkWide is a subnet around the world: round trips of 125 ms between all
// nodes, 20 calls a second, steps that take five times what they take on a machine
// at rest. Time is virtual; what is not is the number of steps and what they send.
func BenchmarkWide(b *testing.B) {
	for _, n := range []int{4, 7, 13, 28, 40} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			p := &Plan{Nodes: n, Seed: 1, Delay: 60 * time.Millisecond, Jitter: 5 * time.Millisecond, Calls: 20, Run: 8 * time.Second, Within: time.Minute, Slow: map[int]int{}}
			for i := range n {
				p.Slow[i] = 5
			}
			var r Result
			for b.Loop() {
				var err error
				if r, err = Run(p); err != nil || r.Violation != nil {
					b.Fatal(err, r.Violation)
				}
			}
			slices.Sort(r.Took)
			seconds, rounds := r.Time.Seconds(), float64(r.Height)
			b.ReportMetric(float64(r.Took[len(r.Took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(r.Took[len(r.Took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(rounds/seconds, "rounds/s")
			b.ReportMetric(float64(r.Messages)/rounds/float64(n), "artifacts/round/node")
			b.ReportMetric(float64(r.Bytes)/rounds/float64(n), "bytes/round/node")
		})
	}
}
