package accept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ashlar/build/setup"
	"ashlar/build/testnet"
)

// stormTime is how long nodes fail while agent-js calls.
const stormTime = 15 * time.Second

// subnet runs a suite against four nodes of which one at a time fails.
func (o Options) subnet(ctx context.Context, s suite, wasm string) (result string, err error) {
	dir := filepath.Join(o.Dir, s.name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	// Not where a testnet of the user may be: all of 127/8 are this machine's.
	first := netip.AddrFrom4([4]byte{127, 99, byte(rand.IntN(250)), 1})
	n, err := testnet.Open(testnet.Options{Bin: filepath.Dir(o.Replica), Dir: dir, Nodes: 4, First: first})
	if err != nil {
		return "", err
	}
	if err := n.Start(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	var urls []string
	for _, d := range n.Nodes {
		urls = append(urls, d.URL)
	}
	return o.underStorm(ctx, n, append(slices.Clone(s.args), "--urls", strings.Join(urls, ","), "--wasm", wasm))
}

// underStorm runs a program that ends after its input does: when the storm is over.
func (o Options) underStorm(ctx context.Context, n *testnet.Net, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, suiteLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = filepath.Join(o.Root, setup.Acceptance)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	input, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	storm, end := context.WithTimeout(ctx, stormTime)
	defer end()
	happened, failed := n.Storm(storm, rand.Uint64())
	input.Close()
	if err := errors.Join(failed, cmd.Wait()); err != nil {
		return "", fmt.Errorf("node %s: %w\n%s\nthe nodes' logs: %s", strings.Join(args, " "), errors.Join(err, ctx.Err()), failures(out.Bytes()), n.Dir)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return fmt.Sprintf("%s; %s", lines[len(lines)-1], said(happened)), nil
}

// said: "2 cut off, 1 killed".
func said(happened map[string]int) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(happened)) {
		parts = append(parts, fmt.Sprintf("%d %s", happened[what], what))
	}
	return strings.Join(parts, ", ")
}
