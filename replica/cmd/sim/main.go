// Command sim plays seeds until one breaks an invariant:
//
//	sim -seed 7 -nodes 1 -count 100
//
// It prints the story of a seed that failed and exits with 1.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"ashlar/replica/sim"
)

func main() {
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "first seed")
	nodes := flag.Int("nodes", 1, "nodes of the subnet")
	turns := flag.Int("turns", 1000, "things that happen with each seed")
	count := flag.Uint64("count", 10, "seeds to play, 0 for no end")
	flag.Parse()
	if err := play(*seed, *count, *nodes, *turns); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func play(first, count uint64, nodes, turns int) error {
	for seed := first; count == 0 || seed < first+count; seed++ {
		o := sim.Options{Seed: seed, Nodes: nodes, Turns: turns}
		r, err := sim.Run(o)
		if err != nil {
			return err
		}
		if r.Violation != nil {
			return fmt.Errorf("seed %d, turn %d: %w\n%s\nagain: sim -seed %d -count 1 -nodes %d -turns %d", seed, r.ViolationAtTurns, r.Violation, sim.Story(o), seed, nodes, turns)
		}
		if again, err := sim.Run(o); err != nil || again.Trace != r.Trace {
			return fmt.Errorf("seed %d gives two traces (%v): something reads the clock, a map's order or randomness", seed, err)
		}
		fmt.Printf("seed %d: height %d, %d answers, %d crashes, trace %x\n", seed, r.Height, r.Answered, r.Crashes, r.Trace[:4])
	}
	return nil
}
