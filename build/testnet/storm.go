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
	patience  = 2 * time.Minute  // for that, and for those struck to catch up
	silence   = 35 * time.Second // of a node that lost what it had signed (consensus.Config.Forgot), and some
	stormTick = 20 * time.Millisecond
)

// fault strikes some nodes at once, and lets go of them.
type fault struct {
	name          string
	strike, letGo func(ctx context.Context, n *Net, d []*Node) error
	possible      func(n *Net) bool // nil: always
}

func toEach(do func(*Node) error) func(context.Context, *Net, []*Node) error {
	return func(_ context.Context, _ *Net, nodes []*Node) (err error) {
		for _, d := range nodes {
			err = errors.Join(err, do(d))
		}
		return err
	}
}

var faults = []fault{
	{"killed", toEach((*Node).Kill), toEach((*Node).Start), nil},
	{"cut off", func(_ context.Context, n *Net, nodes []*Node) error { return n.Partition(numbers(nodes)...) }, func(_ context.Context, n *Net, _ []*Node) error { return n.Heal() }, nil},
	{"stopped", toEach((*Node).Stop), toEach((*Node).Start), nil},
	{"frozen", toEach((*Node).freeze), toEach((*Node).thaw), nil},
	{"killed while the version changes", killAndUpgrade, toEach((*Node).Start), func(n *Net) bool { return len(n.versions()) > 1 }},
	{"removed", removeAway, comeBack, func(n *Net) bool { return n.Rounds > 0 && n.Rounds <= shortInterval }},
	{"wiped", wipeAway, startAgain, nil},
}

// shortInterval is one after which members may change within a fault.
const shortInterval = 100

func killAndUpgrade(ctx context.Context, n *Net, nodes []*Node) error {
	if err := toEach((*Node).Kill)(ctx, n, nodes); err != nil {
		return err
	}
	for _, v := range n.versions() {
		if v != n.version {
			if err := n.Upgrade(v); err != nil {
				return err
			}
			break
		}
	}
	others := slices.DeleteFunc(slices.Clone(n.Nodes), func(d *Node) bool { return slices.Contains(nodes, d) })
	err := n.await(ctx, func() bool {
		return !slices.ContainsFunc(others, func(d *Node) bool {
			v, _ := d.Version()
			return v != n.version
		})
	})
	return errors.Join(err, atOneHeight(others))
}

// atOneHeight checks that nodes that were not away changed to their version together.
func atOneHeight(nodes []*Node) error {
	at := map[string]int{}
	for _, d := range nodes {
		v, since := d.Version()
		at[v+" after height "+since]++
	}
	if len(at) > 1 {
		return fmt.Errorf("the nodes run %v: not one version from one height on", at)
	}
	return nil
}

// oneVersion checks that all nodes run the version that was elected last.
func (n *Net) oneVersion() error {
	for _, d := range n.Nodes {
		if v, _ := d.Version(); n.version != "" && v != n.version {
			return fmt.Errorf("node %d runs version %q, and not %s", d.Number, v, n.version)
		}
	}
	return nil
}

func removeAway(ctx context.Context, n *Net, nodes []*Node) error {
	if _, err := n.Remove(nodes...); err != nil {
		return err
	}
	return n.await(ctx, func() bool {
		return !slices.ContainsFunc(nodes, func(d *Node) bool { return d.State() != "left" })
	})
}

// comeBack and be of use again: two intervals later.
func comeBack(ctx context.Context, n *Net, nodes []*Node) error {
	if err := n.AddAgain(nodes...); err != nil {
		return err
	}
	h, err := heights(ctx, n.Nodes[:1])
	if err != nil {
		h, err = heights(ctx, n.Nodes[1:2])
	}
	if err != nil {
		return err
	}
	return reach(ctx, n.Nodes, h[0]+3*n.Rounds+onward)
}

func wipeAway(_ context.Context, _ *Net, nodes []*Node) (err error) {
	for _, d := range nodes {
		err = errors.Join(err, d.Kill(), d.Wipe())
	}
	return err
}

// startAgain, and wait until those who lost what they had signed sign again.
func startAgain(ctx context.Context, n *Net, nodes []*Node) error {
	if err := toEach((*Node).Start)(ctx, n, nodes); err != nil {
		return err
	}
	select {
	case <-time.After(silence):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (n *Net) await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(stormTick)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
	possible := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.possible != nil && !f.possible(n) })
	for i := 0; ctx.Err() == nil; i++ {
		var struck, others []*Node
		for k, j := range r.Perm(len(n.Nodes)) {
			if k < f {
				struck = append(struck, n.Nodes[j])
			} else {
				others = append(others, n.Nodes[j])
			}
		}
		one := possible[i%len(possible)]
		// A storm that ends in the middle of a fault mends it first.
		if err := n.strike(context.WithoutCancel(ctx), one, struck, others); err != nil {
			return happened, fmt.Errorf("%s (seed %d, number %d): %w", describe(one, struck), seed, i, err)
		}
		happened[one.name]++
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
	if err := f.strike(ctx, n, struck); err != nil {
		return err
	}
	wrong := reach(ctx, others, slices.Max(before)+onward)
	if err := f.letGo(ctx, n, struck); err != nil || wrong != nil {
		return errors.Join(wrong, err)
	}
	after, err := heights(ctx, others)
	if err != nil {
		return err
	}
	if err := reach(ctx, struck, slices.Max(after)); err != nil {
		return err
	}
	return n.oneVersion()
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
