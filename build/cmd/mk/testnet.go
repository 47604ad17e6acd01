package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"ashlar/build/images"
	"ashlar/build/testnet"
)

// testnetCommand runs a network of replicas until Ctrl-C, or tells one that runs
// in another terminal what to do.
func testnetCommand(ctx context.Context, w *workshop, args []string) error {
	if len(args) == 1 && args[0] == "help" {
		w.print.Say("make testnet N=4 runs a network; then, in another terminal:\n%s", testnet.Commands())
		return nil
	}
	if len(args) == 2 && args[0] == "upgrade" {
		if err := w.buildVersion(args[1]); err != nil {
			return err
		}
	}
	if len(args) > 0 {
		return testnet.Tell(w.out("testnet"), args, os.Stdout)
	}
	port, err := portFrom(os.Getenv("PORT"))
	if err != nil {
		return err
	}
	nodes := 0
	if text := os.Getenv("N"); text != "" {
		if nodes, err = strconv.Atoi(text); err != nil || nodes < 1 {
			return fmt.Errorf("the number of nodes is N=%s: give one from 1", text)
		}
	}
	rounds := uint64(0)
	if text := os.Getenv("INTERVAL"); text != "" {
		if rounds, err = strconv.ParseUint(text, 10, 64); err != nil {
			return fmt.Errorf("the rounds of an interval are INTERVAL=%s: give a number, such as INTERVAL=60", text)
		}
	}
	if err := buildCommand(ctx, w, nil); err != nil {
		return err
	}
	n, err := testnet.Open(testnet.Options{Bin: w.out("bin"), Dir: w.out("testnet"), Nodes: nodes, Rounds: rounds, Port: port, Netem: os.Getenv("NETEM"), Say: w.print.Say})
	if err != nil {
		return err
	}
	return w.run(ctx, n)
}

// buildVersion builds the replica of this tree under the name of another version,
// where the network looks for it.
func (w *workshop) buildVersion(version string) error {
	if err := testnet.CheckVersion(version); err != nil {
		return err
	}
	return w.print.Step("replica "+version, func() (string, error) {
		to := testnet.ProgramOf(w.out("testnet"), version)
		if err := images.BinaryOf(w.root, to, version, "./replica/cmd/replica"); err != nil {
			return "", err
		}
		return w.relative(to), nil
	})
}

func (w *workshop) run(ctx context.Context, n *testnet.Net) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := n.Listen()
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx, l) }()
	if err := n.Start(ctx); err != nil {
		return err
	}
	w.print.Say("root key %s", n.RootKey)
	for _, d := range n.Nodes {
		w.print.Say("node %d   %s   log %s", d.Number, d.URL, w.relative(d.Log))
	}
	w.print.Say("%d nodes are healthy; Ctrl-C stops them. In another terminal:\n%s", len(n.Nodes), testnet.Commands())
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	w.print.Say("stopping")
	return errors.Join(err, n.Close())
}
