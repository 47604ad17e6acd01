package testnet

import (
	"context"
	"slices"
	"testing"
	"time"
)

// A node that was away for a hundred heights is with the others again within
// seconds, whether it executes them itself or peers have forgotten them and it begins
// with a catch-up package.
func TestBehind(t *testing.T) {
	t.Parallel()
	for name, interval := range map[string]uint64{"by blocks": 499, "by a package": 40} {
		t.Run(name, func(t *testing.T) {
			const away = 120
			n := startCounting(t, interval)
			late := n.Nodes[3]
			began, err := late.Metric(t.Context(), "certified_height")
			if err == nil {
				err = late.freeze()
			}
			if err != nil {
				t.Fatal(err)
			}
			n.callTo(began + away)
			if err := late.thaw(); err != nil {
				t.Fatal(err)
			}
			thawed := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h, err := heights(ctx, n.Nodes[:3])
			if err == nil {
				err = reach(ctx, n.Nodes[3:], slices.Max(h))
			}
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(thawed)
			cup, err := late.Metric(ctx, "package_height")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d heights behind: %v, it has package %d", slices.Max(h)-began, took.Round(time.Millisecond), cup)
			if took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
			n.agree(4)
		})
	}
}
