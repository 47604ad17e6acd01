// Package accept runs clients and compilers that we did not write against a replica.
//
//	qemu-tests/clients/accept: Motoko, TypeScript ── their compilers ──> out/accept/wasm
//	replica --dev, new state, a free port <── agent-js of two generations, icp CLI, ... ──> ok or FAIL, line by line
//
// Each suite is a Node.js program that prints one line for each thing tried and
// exits 1 if one failed. One replica serves them all, one after the other: they
// are users of one network.
package accept

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ashlar/build/progress"
	"ashlar/build/setup"
)

const (
	startLimit = 30 * time.Second // a replica is up within a second, on a loaded machine within some
	buildLimit = 20 * time.Minute // a dozen programs, 5 to 20 s each alone, of which none may be there yet
	suiteLimit = 5 * time.Minute  // the longest takes 20 s alone
	stopLimit  = 30 * time.Second // the replica's own limit

	compilerStack = "--stack-size=6000" // KiB; the Motoko compiler recurses deeper than Node's 1 MB
)

// Options say where things are.
type Options struct {
	Root    string // the source tree
	Replica string // the program under test
	Dir     string // what the compilers made, and the replica's state: out/accept
	Print   *progress.Printer
}

// suite is one program of the acceptance folder.
type suite struct {
	name string
	args []string
}

var suites = []suite{
	{"agent-js-core", []string{"agents.mjs", "--generation", "core"}},
	{"agent-js-dfinity", []string{"agents.mjs", "--generation", "dfinity"}},
	{"motoko", []string{"motoko.mjs"}},
	{"azle", []string{"azle.mjs"}},
	{"icp", []string{"icp.mjs"}},
	{"browser", []string{"browser.mjs"}},
	{"neighbour", []string{"neighbour.mjs"}},
	{"subnet", []string{"subnet.mjs"}}, // with a network of its own: see subnet.go
}

// Run builds what is to be installed, starts the replica and runs all suites, or
// those that are named.
func Run(ctx context.Context, o Options, names ...string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	wasm := filepath.Join(o.Dir, "wasm")
	if err := o.Print.Step("acceptance: canisters", func() (string, error) { return o.node(ctx, buildLimit, compilerStack, "build.mjs", wasm) }); err != nil {
		return err
	}
	r, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer r.stop()
	for _, s := range chosen {
		if s.name == "subnet" {
			if err := o.Print.Step("acceptance: "+s.name, func() (string, error) { return o.subnet(ctx, s, wasm) }); err != nil {
				return err
			}
			continue
		}
		work := filepath.Join(o.Dir, s.name)
		if err := os.MkdirAll(work, 0o755); err != nil {
			return err
		}
		args := append(slices.Clone(s.args), "--url", r.url, "--wasm", wasm, "--work", work, "--replica", o.Replica)
		if err := o.Print.Step("acceptance: "+s.name, func() (string, error) { return o.node(ctx, suiteLimit, args...) }); err != nil {
			return fmt.Errorf("%w\nthe replica's log: %s", err, r.log)
		}
	}
	return r.stop()
}

func choose(names []string) ([]suite, error) {
	if len(names) == 0 {
		return suites, nil
	}
	var out []suite
	for _, n := range names {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == n })
		if i < 0 {
			var all []string
			for _, s := range suites {
				all = append(all, s.name)
			}
			return nil, fmt.Errorf("there is no suite %q\n  choose of: %s", n, strings.Join(all, " "))
		}
		out = append(out, suites[i])
	}
	return out, nil
}

// node runs one program; its last line is the result, its failures the error.
func (o Options) node(ctx context.Context, limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = filepath.Join(o.Root, setup.Acceptance)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("node %s: %w\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), failures(out))
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(lines[len(lines)-1]), nil
}

// failures is what a suite said, without what went well.
func failures(out []byte) string {
	var b strings.Builder
	for _, l := range strings.SplitAfter(string(out), "\n") {
		if !strings.HasPrefix(l, "ok ") {
			b.WriteString(l)
		}
	}
	return b.String()
}

// replica is the program under test as it runs.
type replica struct {
	cmd *exec.Cmd
	url string
	log string
	end chan error
}

// start makes a new network and waits until it says where it listens.
func start(ctx context.Context, o Options) (*replica, error) {
	state := filepath.Join(o.Dir, "state")
	if err := errors.Join(os.RemoveAll(state), os.MkdirAll(o.Dir, 0o755)); err != nil {
		return nil, err
	}
	r := &replica{log: filepath.Join(o.Dir, "replica.log"), end: make(chan error, 1)}
	log, err := os.Create(r.log)
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command(o.Replica, "--dev", "--listen", "127.0.0.1:0", "--state", state)
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	found := make(chan string, 1)
	go func(cmd *exec.Cmd) {
		follow(out, log, found)
		r.end <- cmd.Wait()
		log.Close()
	}(r.cmd)
	select {
	case r.url = <-found:
		return r, nil
	case err := <-r.end:
		return nil, fmt.Errorf("the replica ended at its start: %w; its log: %s", err, r.log)
	case <-ctx.Done():
	case <-time.After(startLimit):
	}
	_ = r.cmd.Process.Kill()
	return nil, fmt.Errorf("the replica does not say within %s where it listens; its log: %s", startLimit, r.log)
}

// follow copies the log and finds the address in it.
func follow(out io.Reader, log io.Writer, found chan<- string) {
	s := bufio.NewScanner(out)
	for s.Scan() {
		fmt.Fprintln(log, s.Text())
		if _, url, ok := strings.Cut(s.Text(), " replica: "); ok {
			select {
			case found <- url:
			default:
			}
		}
	}
	_, _ = io.Copy(log, out) // a line too long for the scanner
}

// stop ends the replica as its user would, and says if it did not end well.
func (r *replica) stop() error {
	if r.cmd == nil {
		return nil
	}
	cmd := r.cmd
	r.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.end:
		if err != nil {
			return fmt.Errorf("the replica did not stop well: %w; its log: %s", err, r.log)
		}
		return nil
	case <-time.After(stopLimit):
		_ = cmd.Process.Kill()
		return fmt.Errorf("the replica did not stop within %s; its log: %s", stopLimit, r.log)
	}
}
