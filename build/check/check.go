// Package check runs the tests of the tree, in the order in which they fail fastest.
//
//	gofmt, vet, staticcheck, layers ──> unit tests ──> images, repro ──> QEMU tests
//
// Every step prints how long it took; the slowest packages are named at the
// end. A step that fails ends the run with its output.
package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"

	"ashlar/build/progress"
)

// packagesAtOnce bounds the memory of unit tests: two cores, and some packages
// simulate a network or hold a gigabyte of Wasm memory.
const packagesAtOnce = 2

// Tree is the source tree under test.
type Tree struct {
	Root  string
	Print *progress.Printer
	Env   []string // added to the environment of go test
}

// Quick is what takes seconds: form, vet, staticcheck, import rules.
func (t Tree) Quick(ctx context.Context) error {
	return t.steps([]step{
		{"gofmt", func() (string, error) { return "", t.gofmt(ctx) }},
		{"go vet", func() (string, error) { return "", t.run(ctx, "go", "vet", "./...") }},
		{"staticcheck", func() (string, error) {
			return "", t.run(ctx, "go", "run", "honnef.co/go/tools/cmd/staticcheck", "./...")
		}},
		{"layers", func() (string, error) { return "", t.run(ctx, "go", "test", "./build/layers") }},
	})
}

type step struct {
	name string
	do   func() (string, error)
}

func (t Tree) steps(list []step) error {
	for _, s := range list {
		if err := t.Print.Step(s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// Unit runs all tests that boot nothing.
func (t Tree) Unit(ctx context.Context) error {
	return t.Print.Step("unit tests", func() (string, error) {
		list, err := t.packages(ctx)
		if err != nil {
			return "", err
		}
		args := append([]string{"test", "-p", strconv.Itoa(packagesAtOnce), "-timeout", "20m"}, list...)
		out, err := t.output(ctx, "go", args...)
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, failures(out))
		}
		return slowest(out), nil
	})
}

func (t Tree) packages(ctx context.Context) ([]string, error) {
	out, err := t.output(ctx, "go", "list", "./...")
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w\n%s", err, out)
	}
	var list []string
	for _, p := range strings.Fields(out) {
		if p != "ashlar/qemu-tests" {
			list = append(list, p)
		}
	}
	return list, nil
}

// QEMU runs the tests that boot, one after the other, and shows each as it ends.
func (t Tree) QEMU(ctx context.Context, more ...string) error {
	return t.Print.Step("QEMU tests", func() (string, error) {
		args := append([]string{"test", "-count=1", "-v", "-timeout", "40m", "./qemu-tests"}, more...)
		cmd := t.command(ctx, "go", args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return "", err
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			return "", err
		}
		passed := t.follow(out)
		return fmt.Sprintf("%d passed", passed), cmd.Wait()
	})
}

// follow prints results as they come, and everything that a failing test says.
func (t Tree) follow(r io.Reader) (passed int) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l := s.Text()
		switch {
		case strings.HasPrefix(l, "--- PASS"):
			passed++
			t.Print.Say("    %s", l)
		case strings.HasPrefix(l, "=== "), l == "PASS", strings.HasPrefix(l, "ok "):
		default:
			t.Print.Say("    %s", l)
		}
	}
	return passed
}

// Run runs a program with our terminal, and interrupts it when ctx ends.
func (t Tree) Run(ctx context.Context, name string, args ...string) error {
	cmd := t.command(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func (t Tree) gofmt(ctx context.Context) error {
	out, err := t.output(ctx, "gofmt", "-l", ".")
	var bad []string
	for _, f := range strings.Fields(out) {
		if !strings.HasPrefix(f, ".cache/") && !strings.HasPrefix(f, "out/") {
			bad = append(bad, f)
		}
	}
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("not in gofmt's form: %s\n  gofmt -w %s", strings.Join(bad, " "), strings.Join(bad, " "))
	}
	return err
}

func (t Tree) run(ctx context.Context, name string, args ...string) error {
	out, err := t.output(ctx, name, args...)
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (t Tree) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := t.command(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return out.String(), err
}

func (t Tree) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.Root
	cmd.Env = append(os.Environ(), t.Env...)
	return cmd
}

// failures leaves out the packages that passed.
func failures(out string) string {
	var b strings.Builder
	for l := range strings.Lines(out) {
		if !strings.HasPrefix(l, "ok  \t") && !strings.Contains(l, "[no test files]") {
			b.WriteString(l)
		}
	}
	return b.String()
}

const slowShown = 4

// slowest names the packages that took longest: "ok  \tashlar/x\t12.3s".
func slowest(out string) string {
	type pkg struct {
		name string
		sec  float64
	}
	var all []pkg
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		if len(f) == 3 && f[0] == "ok" {
			if sec, err := strconv.ParseFloat(strings.TrimSuffix(f[2], "s"), 64); err == nil {
				all = append(all, pkg{strings.TrimPrefix(f[1], "ashlar/"), sec})
			}
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].sec > all[j].sec })
	var parts []string
	for _, p := range all[:min(slowShown, len(all))] {
		parts = append(parts, fmt.Sprintf("%s %.0f s", p.name, p.sec))
	}
	return strings.Join(parts, ", ")
}
