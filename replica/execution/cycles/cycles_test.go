package cycles

import (
	"testing"

	"ashlar/replica/ic"
)

// The published prices (docs/references/cycle-costs.md), on 13 and on 34 nodes.
func TestPrices(t *testing.T) {
	s13, s34, free := Schedule{Nodes: 13}, Schedule{Nodes: 34}, Schedule{Nodes: 13, Free: true}
	const gibYear = 4_005_000_000_000 // 127,000 cycles a second, 365 days
	for _, c := range []struct {
		name string
		got  ic.Cycles
		want uint64
	}{
		{"create, 13 nodes", s13.Create(), 500_000_000_000},
		{"create, 34 nodes", s34.Create(), 1_307_692_307_692},
		{"create, free", free.Create(), 0},
		{"an update of 1000 instructions", s13.Run(1000, false), 5_001_000},
		{"the same with a 64-bit memory", s13.Run(1000, true), 5_002_000},
		{"a call of 100 bytes", s13.Call(100), 360_000},
		{"ingress of 100 bytes", s13.Ingress(100), 1_400_000},
		{"1 GiB for a second", s13.Storage(gib, 1e9), 127_000},
		{"1 GiB for a day", s13.Storage(gib, secondsDay*1e9), 127_000 * secondsDay},
		{"1 % of a core for a second", s13.Compute(1, 1e9), 10_000_000},
		{"freezing threshold of 1 GiB, 30 days", s13.Freezing(gib, 0, 30*secondsDay, ic.Cycles{}), 127_000 * 30 * secondsDay},
		{"the same, with a reserve", s13.Freezing(gib, 0, 1, ic.NewCycles(27_000)), 100_000},
		{"the same, with more reserve than that", s13.Freezing(gib, 0, 1, ic.NewCycles(1<<60)), 0},
		{"an outcall of 100 and 1000 bytes", s13.Outcall(100, 1000), (3_000_000 + 60_000*13 + 40_000 + 800_000) * 13},
		{"logs of 1000 bytes", s13.Logs(1000), 1_800_000},
	} {
		if c.got != ic.NewCycles(c.want) {
			t.Errorf("%s: %s, want %d", c.name, c.got, c.want)
		}
	}
	year := s13.Storage(gib, 365*secondsDay*1e9)
	if year.Less(ic.NewCycles(gibYear)) || ic.NewCycles(gibYear+gibYear/1000).Less(year) {
		t.Errorf("1 GiB costs %s a year, published is about %d", year, uint64(gibYear))
	}
}

// A call sets aside what its response can cost at most.
func TestCallInAll(t *testing.T) {
	s := Schedule{Nodes: 13}
	run, transmit := s.Response(false)
	if got, want := s.CallInAll(10, false), s.Call(10).Add(run).Add(transmit); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := ic.NewCycles(40_005_000_000); run != want {
		t.Errorf("to run the callback: %s, want %s", run, want)
	}
	if want := ic.NewCycles(2 << 20 * 1000); transmit != want {
		t.Errorf("for the response's bytes: %s, want %s", transmit, want)
	}
}
