package bench

import "testing"

func TestTheTableReads(t *testing.T) {
	figures, err := Parse(text)
	if err != nil || len(figures) < 8 {
		t.Fatalf("%d figures, %v", len(figures), err)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		row  string
		ours float64
		want string
	}{
		{"size | MB | <= 40 | 416 IC-OS | image guest", 31.27, "size: ours 31.3 MB, peer 416 MB (IC-OS), ratio 0.0752, target <= 40 MB, met"},
		{"size | MB | <= 40 | - | image guest", 41, "size: ours 41 MB, peer none, ratio -, target <= 40 MB, short"},
		{"speed | op/s | >= 100 | 50 them | bench ./x BenchmarkX op/s", 99, "speed: ours 99 op/s, peer 50 op/s (them), ratio 1.98, target >= 100 op/s, short"},
		{"speed | op/s | >= 2x | them <- bench ./y BenchmarkY op/s | bench ./x BenchmarkX op/s", 99, "speed: ours 99 op/s, peer 50 op/s (them), ratio 1.98, target >= 2x, short"},
		{"time | s | <= 2x | 50 them | bench ./x BenchmarkX op/s", 99, "time: ours 99 s, peer 50 s (them), ratio 1.98, target <= 2x, met"},
		{"count | n | - | - | boot processes", 3, "count: ours 3, peer none, ratio -, target none, met"},
	} {
		f, err := parse(c.row)
		if err != nil {
			t.Fatal(err)
		}
		if f.PeerSource != nil {
			f.Peer = 50
		}
		if got := f.Line(c.ours); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, row := range []string{"a | b | <= 1 | -", "a | b | < 1 | - | image x", "a | b | <= x | - | image x", "a | b | - | 12 | image x", "a | b | - | - | oracle x", "a | b | - | - | image",
		"a | b | <= 2x | - | image x", "a | b | - | them <- oracle x | image x"} {
		if _, err := parse(row); err == nil {
			t.Errorf("%q was accepted", row)
		}
	}
}

func TestMetric(t *testing.T) {
	out := "goos: linux\nBenchmarkRound/4_nodes-2 7 9 ns/op\nBenchmarkRounds-2 7 8 ns/op\nBenchmarkRound-2   \t 100\t  12.5 ns/op\t  64 B/op\nPASS\n"
	if n, err := metric(out, "BenchmarkRound", "ns/op"); n != 12.5 || err != nil {
		t.Error(n, err)
	}
	if n, err := metric(out, "BenchmarkRound/4 nodes", "ns/op"); n != 9 || err != nil {
		t.Error(n, err)
	}
	if n, err := metric(out, "BenchmarkRound", "B/op"); n != 64 || err != nil {
		t.Error(n, err)
	}
	if _, err := metric(out, "BenchmarkOther", "ns/op"); err == nil {
		t.Error("found what is not there")
	}
}
