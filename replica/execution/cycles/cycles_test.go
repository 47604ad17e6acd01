package cycles

import (
	"testing"

	"ashlar/replica/execution/machine"
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
		{"1 GiB for a second", s13.Storage(gib, 1), 127_000},
		{"1 GiB for a day", s13.Storage(gib, secondsDay), 127_000 * secondsDay},
		{"1 % of a core for a second", s13.Compute(1, 1), 10_000_000},
		{"freezing threshold of 1 GiB, 30 days", s13.Freezing(Idle{Memory: gib}, 30*secondsDay, ic.Cycles{}), 127_000 * 30 * secondsDay},
		{"the same, with a reserve", s13.Freezing(Idle{Memory: gib}, 1, ic.NewCycles(27_000)), 100_000},
		{"the same, with more reserve than that", s13.Freezing(Idle{Memory: gib}, 1, ic.NewCycles(1<<60)), 0},
		{"an outcall of 100 and 1000 bytes", s13.Outcall(100, 1000), (3_000_000 + 60_000*13 + 40_000 + 800_000) * 13},
		{"ingress of 100 bytes, 34 nodes: each rounded for itself", s34.Ingress(100), 3_138_461 + 100*5_230},
		{"no reservation below the threshold", s13.Reservation(gib, 0, 750*gib, 2048*gib), 0},
		{"the last GiB of a subnet, for nearly 300,000,000 s", s13.Reservation(gib, 2047*gib, 750*gib, 2048*gib), 38_085_421_797_000},
		{"no room is left to reserve for", s13.Reservation(gib, 2048*gib, 750*gib, 2048*gib), 0},
		{"a fully replicated outcall, version 2: the base", s13.OutcallV2(Outcall2{}), 38_417_600},
		{"the same, 34 nodes", s34.OutcallV2(Outcall2{}), 227_283_200},
		{"and 10 bytes of request", s13.OutcallV2(Outcall2{Request: 10}), 38_417_600 + 6_500},
		{"and 1 delivered byte", s13.OutcallV2(Outcall2{Transformed: 1}), 38_417_600 + 9_490},
		{"and a second, 1000 bytes and 13,000 instructions on 13 nodes", s13.OutcallV2(Outcall2{Milliseconds: 1000, Raw: 1000, Instructions: 13_000}), 38_417_600 + 13*(300_000+50_000+1_000)},
		{"one node asks", s13.OutcallV2(Outcall2{Kind: NonReplicated, Raw: 100, Transformed: 10}), 13*(1_000_000+90_000*13+126_000) + 5_000 + 6_500 + 94_900},
		{"five nodes of thirteen ask, two to four answers", s13.OutcallV2(Outcall2{Kind: Flexible, Least: 2, Most: 4, Requests: 5}), 13*(1_000_000+90_000*13+2*126_000) + 4*181*9_490 + 2*126_000*13},
	} {
		if c.got != ic.NewCycles(c.want) {
			t.Errorf("%s: %s, want %d", c.name, c.got, c.want)
		}
	}
	year := s13.Storage(gib, 365*secondsDay)
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

// Messages on system subnets may take longer, and cost nothing (replica.md A.9).
func TestSystemSubnets(t *testing.T) {
	app, system := Schedule{Nodes: 13}, Schedule{Nodes: 40, Free: true, System: true}
	const b = 1_000_000_000
	for _, c := range []struct {
		name      string
		got, want machine.Instructions
	}{
		{"message", app.Message(), 40 * b}, {"installation", app.Install(), 300 * b}, {"query", app.Query(), 5 * b},
		{"message of the system", system.Message(), 50 * b}, {"installation of the system", system.Install(), 1000 * b}, {"query of the system", system.Query(), 50 * b},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d instructions, want %d", c.name, c.got, c.want)
		}
	}
	if got := system.CallInAll(1000, false); !got.IsZero() {
		t.Errorf("a call costs %s", got)
	}
}
