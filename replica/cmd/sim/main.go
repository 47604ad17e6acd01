// Command sim plays subnets from seeds until one breaks an invariant:
//
//	sim -seed 7 -nodes 7                 one seed, and what happened
//	sim -seed 1 -count 1000              seeds on subnets of 1, 4, 7 and 13 nodes
//	sim -for 10m                         new seeds for ten minutes
//	sim -story FILE                      a story
//
// A seed that fails is made smaller, printed as a story that can be played again
// with -story, and ends the program with 1. With -all, the other seeds are played all
// the same, and each that fails is named with the flags that play it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ashlar/replica/sim"
)

const (
	shrinkRuns = 200 // of a seed that failed, to make it smaller
	perLine    = 100 // seeds
	// heapBytes are what the collector goes by. Two subnets of 13 nodes have less than half of it.
	heapBytes = 800 << 20
)

type flags struct {
	seed, count uint64
	nodes       int
	span        time.Duration
	story       string
	tell, all   bool
	real        bool
	canisters   bool
}

func main() {
	var f flags
	flag.Uint64Var(&f.seed, "seed", uint64(time.Now().Unix())*1_000_000, "first seed")
	flag.IntVar(&f.nodes, "nodes", 0, "nodes of the subnet; 0: 1, 4, 7 and 13 in turn")
	flag.Uint64Var(&f.count, "count", 1, "seeds to play")
	flag.DurationVar(&f.span, "for", 0, "how long to play new seeds, instead of -count")
	flag.StringVar(&f.story, "story", "", "file with a story to play")
	flag.BoolVar(&f.tell, "v", false, "tell what happens")
	flag.BoolVar(&f.all, "all", false, "play all seeds, also after one has failed")
	flag.BoolVar(&f.real, "real", false, "sign with Ed25519 and BLS: ten times slower")
	flag.BoolVar(&f.canisters, "canisters", false, "run canisters that call each other, on all seeds: else on one of eight, or fewer on large subnets")
	flag.Parse()
	debug.SetGCPercent(-1) // up to there memory is cheaper than the collector
	debug.SetMemoryLimit(heapBytes)
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(f flags) error {
	switch {
	case f.story != "":
		text, err := os.ReadFile(f.story)
		if err != nil {
			return err
		}
		p, err := sim.ParseStory(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", f.story, err)
		}
		return one(p, f.tell)
	case f.span == 0 && f.count == 1:
		return one(plan(f.seed, size(f.nodes, f.seed), f), f.tell)
	}
	return many(f)
}

// size of the subnet that a seed is played on: as small ones are fast, most have four nodes.
func size(nodes int, seed uint64) int {
	if nodes > 0 {
		return nodes
	}
	return []int{4, 1, 4, 7, 4, 4, 1, 4, 7, 13}[seed%10]
}

func plan(seed uint64, nodes int, f flags) *sim.Plan {
	p := sim.FromSeed(seed, nodes)
	p.Real, p.Canisters = f.real, p.Canisters || f.canisters
	return p
}

func one(p *sim.Plan, tell bool) error {
	fmt.Println(p.Story())
	r, err := sim.Tell(p)
	if err != nil {
		return err
	}
	if tell || r.Violation != nil {
		fmt.Println("----")
		for _, l := range r.Lines {
			fmt.Println(l)
		}
	}
	fmt.Printf("---- height %d, %d calls answered, %d crashes, %d messages in %v, trace %x\n", r.Height, r.Answered, r.Crashes, r.Messages, r.Time, r.Trace[:4])
	return r.Violation
}

// played is a seed and what came of it.
type played struct {
	plan   *sim.Plan
	nodes  int // that -nodes says, or the seed
	result sim.Result
	err    error
}

// many seeds, each twice, on all processors.
func many(f flags) error {
	began := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	seeds, results := make(chan uint64), make(chan played)
	go func() {
		defer close(seeds)
		for n := uint64(0); f.span > 0 && time.Since(began) < f.span || f.span == 0 && n < f.count; n++ {
			select {
			case seeds <- f.seed + n:
			case <-ctx.Done():
				return
			}
		}
	}()
	var players sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		players.Go(func() {
			for seed := range seeds {
				nodes := size(f.nodes, seed)
				p := plan(seed, nodes, f)
				r, err := sim.Twice(p)
				results <- played{p, nodes, r, err}
			}
		})
	}
	go func() { players.Wait(); close(results) }()
	t := tally{began: began, passed: map[int]int{}}
	for r := range results {
		t.take(r, f.all, stop)
	}
	t.line()
	return t.err
}

// tally is what was played so far.
type tally struct {
	began  time.Time
	sum    sim.Result
	passed map[int]int // seeds, by nodes that their subnets begin with
	n, bad int
	err    error // of the first seed that failed
}

// take what came of a seed. After a failure, unless all are to be played, what is
// being played ends first.
func (t *tally) take(p played, all bool, stop func()) {
	switch bad := p.bad(); {
	case bad == nil:
		t.passed[p.nodes]++
	case all:
		t.bad++
		t.err = fmt.Errorf("%d seeds failed", t.bad)
		fmt.Printf("FAILED -seed %d -nodes %d: %v\n", p.plan.Seed, p.nodes, bad)
	case t.err == nil:
		stop()
		t.err = p.explain()
	}
	r := p.result
	t.sum.Height, t.sum.Answered, t.sum.Crashes, t.sum.Time = t.sum.Height+r.Height, t.sum.Answered+r.Answered, t.sum.Crashes+r.Crashes, t.sum.Time+r.Time
	if t.n++; t.n%perLine == 0 {
		t.line()
	}
}

// bad is why a seed failed; nil: it passed.
func (p played) bad() error {
	if p.err != nil {
		return p.err
	}
	return p.result.Violation
}

// explain how a seed failed.
func (p played) explain() error {
	if p.err != nil {
		return fmt.Errorf("seed %d: %w", p.plan.Seed, p.err)
	}
	return failed(p.plan, p.result)
}

// line says what was played so far.
func (t *tally) line() {
	passed, good := "", 0
	for _, nodes := range slices.Sorted(maps.Keys(t.passed)) {
		good += t.passed[nodes]
		passed += fmt.Sprintf(" %d of %d nodes,", t.passed[nodes], nodes)
	}
	fmt.Printf("%d seeds in %v, passed:%s failed: %d; %d heights, %d calls answered, %d crashes, %v of the subnets' time\n",
		t.n, time.Since(t.began).Round(time.Second), passed, t.n-good, t.sum.Height, t.sum.Answered, t.sum.Crashes, t.sum.Time.Round(time.Second))
}

func failed(p *sim.Plan, r sim.Result) error {
	fmt.Printf("seed %d on %d nodes fails: %v\nmaking it smaller ...\n", p.Seed, p.Nodes, r.Violation)
	small := sim.Shrink(p, shrinkRuns)
	again, err := sim.Tell(small)
	if err != nil {
		return err
	}
	for _, l := range again.Lines[max(0, len(again.Lines)-40):] {
		fmt.Println(l)
	}
	fmt.Printf("---- the story, for a file in replica/sim/testdata:\n%s\n----\n", small.Story())
	if again.Violation == nil {
		return errors.New("two runs of a seed differ")
	}
	return again.Violation
}
