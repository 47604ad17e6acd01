package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ashlar/build/accept"
	"ashlar/build/bench"
	"ashlar/build/bench/oracle"
	"ashlar/build/check"
	"ashlar/build/images"
	"ashlar/build/node"
	"ashlar/build/progress"
	"ashlar/build/repro"
	"ashlar/qemu-tests/lab"
)

const (
	defaultPort = 4943
	// nextVersion is the release that the QEMU tests upgrade to. It has the same content but for its number.
	nextVersion = "0.2.0-test"
)

func runCommand(ctx context.Context, w *workshop, args []string) error {
	f := flag.NewFlagSet("mk run", flag.ContinueOnError)
	demo := f.Bool("demo", os.Getenv("DEMO") != "0", "run the demo once the node is up")
	wanted, err := portFrom(os.Getenv("PORT"))
	if err != nil {
		return err
	}
	port := f.Int("port", wanted, "where the replica is reached on 127.0.0.1")
	if err := f.Parse(args); err != nil {
		return err
	}
	o := node.Options{Root: w.root, Dir: w.out("run"), Port: *port, Demo: *demo, Print: w.print}
	if err := node.PortFree(o.Port); err != nil { // said at once, not after a minute of building
		return err
	}
	if err := w.setup("run"); err != nil {
		return err
	}
	r, err := w.image("")
	if err != nil {
		return err
	}
	return node.Run(ctx, o, r)
}

// portFrom reads PORT, which may be left out.
func portFrom(text string) (int, error) {
	if text == "" {
		return defaultPort, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("PORT=%s is not a port\n  give a number from 1 to 65535, or leave it out:  PORT=%d", text, defaultPort)
	}
	return n, nil
}

func demoCommand(ctx context.Context, w *workshop, args []string) error {
	f := flag.NewFlagSet("mk demo", flag.ContinueOnError)
	url := f.String("url", fmt.Sprintf("http://127.0.0.1:%d", defaultPort), "a replica")
	state := f.String("state", w.out("demo"), "folder that remembers the canister between runs")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := errors.Join(w.setup("run"), os.MkdirAll(*state, 0o755)); err != nil {
		return err
	}
	return node.Demo(ctx, node.Options{Root: w.root, Dir: *state, Print: w.print}, *url)
}

func (w *workshop) tree() check.Tree {
	return check.Tree{Root: w.root, Print: w.print, Env: []string{"ASHLAR_OUT=" + w.out(), "ASHLAR_NEXT=" + nextVersion}}
}

func checkCommand(ctx context.Context, w *workshop, _ []string) error { return w.tree().Quick(ctx) }

func testCommand(ctx context.Context, w *workshop, _ []string) error {
	start := time.Now()
	if err := w.setup("run", "test"); err != nil {
		return err
	}
	for _, do := range []func(context.Context) error{w.tree().Quick, w.tree().Unit, w.acceptAll, w.releases, w.reproduce, w.qemu} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	w.print.Say("all tests passed in %s", progress.Seconds(time.Since(start)))
	return nil
}

// acceptCommand runs the clients that we did not write, or the suites that args name.
func acceptCommand(ctx context.Context, w *workshop, args []string) error {
	if err := w.setup("run", "test"); err != nil {
		return err
	}
	return w.accept(ctx, args...)
}

func (w *workshop) acceptAll(ctx context.Context) error { return w.accept(ctx) }

func (w *workshop) accept(ctx context.Context, suites ...string) error {
	if err := buildCommand(ctx, w, nil); err != nil {
		return err
	}
	return accept.Run(ctx, accept.Options{Root: w.root, Replica: w.out("bin", "replica"), Dir: w.out("accept"), Print: w.print}, suites...)
}

// releases builds the two releases that the QEMU tests boot.
func (w *workshop) releases(context.Context) error {
	for _, version := range []string{"", nextVersion} {
		if _, err := w.image(version); err != nil {
			return err
		}
	}
	return nil
}

func (w *workshop) qemu(ctx context.Context) error {
	w.print.Say("  QEMU uses %s", lab.Accelerator())
	return w.tree().QEMU(ctx)
}

// soakCommand plays new seeds of the simulator for FOR (10m), or COUNT of them; or runs
// the fuzz tests as long, those of Wasm beside wasmtime; or a storm on a network of real
// processes; or the QEMU tests until one fails.
func soakCommand(ctx context.Context, w *workshop, args []string) error {
	span := os.Getenv("FOR")
	if span == "" {
		span = "10m"
	}
	switch {
	case len(args) > 0 && args[0] == "fuzz":
		return w.fuzz(ctx, span, args[1:])
	case len(args) > 0 && args[0] == "net":
		t := w.tree()
		t.Env = append(t.Env, "STORM="+span)
		return t.Run(ctx, "go", "test", "-count=1", "-v", "-timeout", "0", "-run", "^TestStorm$", "./build/testnet")
	case (len(args) == 0 || args[0] != "qemu") && os.Getenv("COUNT") != "":
		return simCommand(ctx, w, args)
	case len(args) == 0 || args[0] != "qemu":
		return simCommand(ctx, w, append([]string{"-for", span}, args...))
	}
	if err := errors.Join(w.setup("run", "test"), w.releases(ctx)); err != nil {
		return err
	}
	for n := 1; ctx.Err() == nil; n++ {
		w.print.Say("soak: round %d", n)
		if err := w.tree().QEMU(ctx, args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// fuzz the packages, or all of the replica.
func (w *workshop) fuzz(ctx context.Context, span string, packages []string) error {
	long, err := time.ParseDuration(span)
	if err != nil {
		return fmt.Errorf("FOR=%s is not a time\n  give one such as FOR=10m", span)
	}
	if len(packages) == 0 {
		packages = []string{"./replica/..."}
	}
	program, err := oracle.Build(w.root, w.out("bench"))
	if err != nil {
		return err
	}
	t := w.tree()
	t.Env = append(t.Env, oracle.Program+"="+program)
	return t.Fuzz(ctx, long, packages...)
}

func reproCommand(ctx context.Context, w *workshop, _ []string) error {
	if err := w.setup("run"); err != nil {
		return err
	}
	if _, err := w.image(""); err != nil {
		return err
	}
	return w.reproduce(ctx)
}

// reproduce builds again elsewhere and compares with out.
func (w *workshop) reproduce(ctx context.Context) error {
	return w.print.Step("repro: built twice", func() (string, error) {
		files, err := images.Sources(w.root)
		if err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp("", "ashlar-repro-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(dir)
		second := repro.Second{Root: w.root, Files: files, Dir: dir, GoCache: true}
		out, err := second.Build(ctx)
		if err != nil {
			return "", err
		}
		return w.compare(out)
	})
}

func (w *workshop) compare(second string) (string, error) {
	var files int
	var size int64
	for _, part := range []string{"bin", "image"} {
		n, s, err := repro.Compare(filepath.Join(second, part), w.out(part))
		if err != nil {
			return "", fmt.Errorf("%s: %w", part, err)
		}
		files, size = files+n, size+s
	}
	return fmt.Sprintf("%d files, %s, the same bytes", files, progress.MB(size)), nil
}

func benchCommand(ctx context.Context, w *workshop, _ []string) error {
	if err := w.setup("run", "test"); err != nil {
		return err
	}
	return bench.Run(ctx, bench.Tree{Root: w.root, Image: func() (*images.Release, error) { return w.image("") }, Print: w.print, Only: os.Getenv("ONLY")})
}

func simCommand(ctx context.Context, w *workshop, args []string) error {
	for _, v := range []struct{ env, flag string }{{"SEED", "-seed"}, {"NODES", "-nodes"}, {"COUNT", "-count"}, {"STORY", "-story"}} {
		if value := os.Getenv(v.env); value != "" {
			args = append([]string{v.flag, value}, args...)
		}
	}
	return w.tree().Run(ctx, "go", append([]string{"run", "./replica/cmd/sim"}, args...)...)
}
