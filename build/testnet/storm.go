package testnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	onward    = 5                // heights that the others go on while some are struck
	patience  = 60 * time.Second // for that, and for those struck to catch up
	stormTick = 20 * time.Millisecond
)

// fault strikes some nodes at once, and lets go of them.
type fault struct {
	name          string
	strike, letGo func(n *Net, d []*Node) error
}

func toEach(do func(*Node) error) func(*Net, []*Node) error {
	return func(_ *Net, nodes []*Node) (err error) {
		for _, d := range nodes {
			err = errors.Join(err, do(d))
		}
		return err
	}
}

var faults = []fault{
	{"killed", toEach((*Node).Kill), toEach((*Node).Start)},
	{"cut off", func(n *Net, nodes []*Node) error { return n.Partition(numbers(nodes)...) }, func(n *Net, _ []*Node) error { return n.Heal() }},
	{"stopped", toEach((*Node).Stop), toEach((*Node).Start)},
	{"frozen", toEach((*Node).freeze), toEach((*Node).thaw)},
}

func numbers(nodes []*Node) (out []int) {
	for _, d := range nodes {
		out = append(out, d.Number)
	}
	return out
}

// Storm strikes a third of the nodes at a time, one after the other in all ways,
// until ctx ends; then all are well again. While some are struck the others must
// go on, and those struck must catch up before the next are. It tells what
// happened how often.
func (n *Net) Storm(ctx context.Context, seed uint64) (map[string]int, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	happened := map[string]int{}
	f := (len(n.Nodes) - 1) / 3
	if f == 0 {
		return nil, fmt.Errorf("a network of %d nodes can not lose any: it takes 4", len(n.Nodes))
	}
	for i := 0; ctx.Err() == nil; i++ {
		var struck, others []*Node
		for k, j := range r.Perm(len(n.Nodes)) {
			if k < f {
				struck = append(struck, n.Nodes[j])
			} else {
				others = append(others, n.Nodes[j])
			}
		}
		// A storm that ends in the middle of a fault mends it first.
		if err := n.strike(context.WithoutCancel(ctx), faults[i%len(faults)], struck, others); err != nil {
			return happened, fmt.Errorf("%s (seed %d, number %d): %w", describe(faults[i%len(faults)], struck), seed, i, err)
		}
		happened[faults[i%len(faults)].name]++
	}
	return happened, nil
}

func describe(f fault, struck []*Node) string {
	return fmt.Sprintf("nodes %s %s", strings.Trim(fmt.Sprint(numbers(struck)), "[]"), f.name)
}

func (n *Net) strike(ctx context.Context, f fault, struck, others []*Node) error {
	n.Say("%s", describe(f, struck))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, err := heights(ctx, others)
	if err != nil {
		return err
	}
	if err := f.strike(n, struck); err != nil {
		return err
	}
	wrong := reach(ctx, others, slices.Max(before)+onward)
	if err := f.letGo(n, struck); err != nil || wrong != nil {
		return errors.Join(wrong, err)
	}
	after, err := heights(ctx, others)
	if err != nil {
		return err
	}
	return reach(ctx, struck, slices.Max(after))
}

// reach waits until all nodes certified a height.
func reach(ctx context.Context, nodes []*Node, height uint64) error {
	tick := time.NewTicker(stormTick)
	defer tick.Stop()
	for {
		got, err := heights(ctx, nodes)
		if err == nil && slices.Min(got) >= height {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nodes %v are to reach height %d, they are at %v: not within %s (%v)", numbers(nodes), height, got, patience, err)
		}
	}
}

func heights(ctx context.Context, nodes []*Node) (out []uint64, err error) {
	for _, d := range nodes {
		h, e := d.Metric(ctx, "certified_height")
		out, err = append(out, h), errors.Join(err, e)
	}
	return out, err
}

func (d *Node) freeze() error { return d.signal(syscall.SIGSTOP) }
func (d *Node) thaw() error   { return d.signal(syscall.SIGCONT) }

func (d *Node) signal(s syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return fmt.Errorf("node %d is down", d.Number)
	}
	return d.cmd.Process.Signal(s)
}
