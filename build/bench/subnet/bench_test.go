package subnet

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// orders of one measurement; the results of both sides stand beside each other.
var orders = []struct {
	name string
	order
}{
	{"idle", order{Seconds: 8}},
	{"steady=20", order{Rate: 20, Seconds: 10}},
	{"single", order{InFlight: 1, Seconds: 6}}, // how fast rounds can follow each other
	{"inflight=500", order{InFlight: 500, Seconds: 8}},
	{"inflight=2000", order{InFlight: 2000, Seconds: 8}},
}

// BenchmarkTmpfs: four nodes each, their storage in memory.
func BenchmarkTmpfs(b *testing.B) { beside(b, 4, "/dev/shm") }

// BenchmarkDisk: the same on the file system of the tree.
func BenchmarkDisk(b *testing.B) {
	dir, err := filepath.Abs(filepath.Join(root, "out", "bench"))
	if err != nil {
		b.Fatal(err)
	}
	beside(b, 4, dir)
}

// beside starts one side, gives it all orders, and then the other: two networks at
// work would take the machine from each other.
func beside(b *testing.B, nodes int, dir string) {
	for _, side := range []string{"ours", "cometbft"} {
		b.Run(side, func(b *testing.B) {
			home, err := os.MkdirTemp(dir, "ashlar-bench-")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(home) })
			var n network
			if side == "ours" {
				n = startReplicas(b, nodes, home)
			} else {
				n = startComet(b, nodes, home)
			}
			if _, err := n.load(order{Rate: 20, Seconds: 1}); err != nil { // warm
				b.Fatal(err)
			}
			for _, o := range orders {
				r, err := n.load(o.order)
				if err != nil {
					b.Fatalf("%s: %v", o.name, err)
				}
				b.Run(o.name, func(b *testing.B) { report(b, r) })
			}
		})
	}
}

func report(b *testing.B, r result) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(r.Blocks)/r.Seconds, "rounds/s")
	b.ReportMetric(r.CPU.Seconds()/r.Seconds, "cores")
	for stage, took := range r.Stages {
		b.ReportMetric(milliseconds(took), stage+"-ms")
	}
	if r.Committed == 0 {
		return
	}
	b.ReportMetric(float64(r.Committed)/r.Seconds, "messages/s")
	b.ReportMetric(milliseconds(r.P50), "p50-ms")
	b.ReportMetric(milliseconds(r.P99), "p99-ms")
	b.ReportMetric(milliseconds(r.CPU)/float64(r.Committed), "cpu-ms/message")
	b.ReportMetric(milliseconds(r.LoaderCPU)/float64(r.Committed), "loader-ms/message")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
