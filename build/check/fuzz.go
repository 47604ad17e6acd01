package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ashlar/build/progress"
)

// leastFuzz is the shortest time in which a fuzz target does more than its corpus.
const leastFuzz = 10 * time.Second

// Fuzz gives each fuzz target of the packages its share of a span, again and
// again until the span is over. A failing input is kept where go test keeps it:
// testdata/fuzz of the package, which makes it part of the corpus.
func (t Tree) Fuzz(ctx context.Context, span time.Duration, packages ...string) error {
	targets, err := t.fuzzTargets(ctx, packages)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target in %s", strings.Join(packages, " "))
	}
	share := max(span/time.Duration(len(targets)), leastFuzz)
	for end := time.Now().Add(span); time.Now().Before(end); {
		for _, f := range targets {
			if ctx.Err() != nil || time.Now().After(end) {
				return nil
			}
			err := t.Print.Step(f.name, func() (string, error) {
				return progress.Seconds(share), t.run(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+f.name+"$", "-fuzztime", share.String(), "-fuzzminimizetime", "1s", f.pkg)
			})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil
}

type fuzzTarget struct{ pkg, name string }

// fuzzTargets reads what go test -list prints: the names, then "ok <tab> package".
func (t Tree) fuzzTargets(ctx context.Context, packages []string) ([]fuzzTarget, error) {
	out, err := t.output(ctx, "go", append([]string{"test", "-list", "^Fuzz"}, packages...)...)
	if err != nil {
		return nil, fmt.Errorf("list the fuzz targets: %w\n%s", err, failures(out))
	}
	return parseTargets(out), nil
}

func parseTargets(out string) (all []fuzzTarget) {
	var names []string
	for l := range strings.Lines(out) {
		switch f := strings.Fields(l); {
		case len(f) == 1 && strings.HasPrefix(f[0], "Fuzz"):
			names = append(names, f[0])
		case len(f) > 1 && f[0] == "ok":
			for _, n := range names {
				all = append(all, fuzzTarget{f[1], n})
			}
			names = nil
		}
	}
	return all
}
