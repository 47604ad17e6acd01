package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ashlar/build/images"
	"ashlar/build/node"
	"ashlar/qemu-tests/lab"
)

// imageSource builds once for all its figures.
type imageSource struct {
	tree    Tree
	release *images.Release
	warm    time.Duration
}

func (s *imageSource) measure(_ context.Context, args []string) (float64, error) {
	if s.release == nil {
		if _, err := s.tree.Image(); err != nil { // fills the caches
			return 0, err
		}
		start := time.Now()
		r, err := s.tree.Image()
		if err != nil {
			return 0, err
		}
		s.release, s.warm = r, time.Since(start)
	}
	host, guest, err := images.Sizes(filepath.Join(s.release.Dir, "ashlar-"+s.release.Version+".manifest.json"))
	if err != nil {
		return 0, err
	}
	switch strings.Join(args, " ") {
	case "guest":
		return float64(guest) / 1e6, nil
	case "host":
		return float64(host) / 1e6, nil
	case "warm":
		return s.warm.Seconds(), nil
	case "oneline":
		return s.oneLine()
	}
	return 0, fmt.Errorf("the image has no figure %v", args)
}

// changed is linked into the host's and, through the shared init, into the guest's images.
const changed = "initramfs/cmd/init/bench_change.go"

// oneLine times a build after one new line of code in both images, and takes the line back.
func (s *imageSource) oneLine() (float64, error) {
	file := filepath.Join(s.tree.Root, changed)
	defer os.Remove(file)
	line := fmt.Sprintf("package main\n\nfunc init() { _ = %d }\n", time.Now().UnixNano())
	if err := os.WriteFile(file, []byte(line), 0o644); err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := s.tree.Image(); err != nil {
		return 0, err
	}
	took := time.Since(start)
	if err := os.Remove(file); err != nil {
		return 0, err
	}
	_, err := s.tree.Image() // out holds the real thing again
	return took.Seconds(), err
}

// goBench runs Go benchmarks of any package, each once for all its figures.
type goBench struct {
	tree Tree
	outs map[string]string
}

func (b *goBench) measure(ctx context.Context, args []string) (float64, error) {
	if len(args) != 3 {
		return 0, errors.New("want: bench PKG NAME METRIC")
	}
	pkg, name := args[0], strings.ReplaceAll(args[1], "_", " ")
	top, _, _ := strings.Cut(args[1], "/")
	out, ok := b.outs[pkg+" "+top]
	if !ok {
		var err error
		if out, err = b.run(ctx, pkg, top); err != nil {
			return 0, err
		}
		if b.outs == nil {
			b.outs = map[string]string{}
		}
		b.outs[pkg+" "+top] = out
	}
	return metric(out, name, args[2])
}

// run is one benchmark with all below it. A package with a go.mod of its own is
// run as that module: a peer that the product does not know.
func (b *goBench) run(ctx context.Context, pkg, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchmem", pkg)
	cmd.Dir = b.tree.Root
	if _, err := os.Stat(filepath.Join(b.tree.Root, pkg, "go.mod")); err == nil {
		cmd.Args[len(cmd.Args)-1], cmd.Dir = ".", filepath.Join(b.tree.Root, pkg)
	}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if s := cmd.ProcessState; b.tree.Print != nil {
		b.tree.Print.Say("  %s %s: %.1f s, CPU %.1f s (with the build of the test)", pkg, name, time.Since(start).Seconds(), (s.UserTime() + s.SystemTime()).Seconds())
	}
	return string(out), nil
}

// metric finds "BenchmarkX/sub-2  100  12.3 ns/op  4 B/op"; a space in the name
// of a sub-benchmark is printed as _.
func metric(out, name, unit string) (float64, error) {
	want := strings.ReplaceAll(name, " ", "_")
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		if len(f) < 4 || (f[0] != want && strings.TrimRight(f[0], "0123456789") != want+"-") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if f[i+1] == unit {
				return strconv.ParseFloat(f[i], 64)
			}
		}
	}
	return 0, fmt.Errorf("%s does not print %s", name, unit)
}

// bootSource boots one node for all its figures.
type bootSource struct {
	tree    Tree
	figures map[string]float64
}

func (s *bootSource) measure(ctx context.Context, args []string) (float64, error) {
	if s.figures == nil {
		r, err := s.tree.Image()
		if err != nil {
			return 0, err
		}
		port, err := lab.FreePort()
		if err != nil {
			return 0, err
		}
		o := node.Options{Root: s.tree.Root, Dir: filepath.Join(s.tree.Root, "out", "bench"), Port: port, Print: s.tree.Print}
		if s.figures, err = node.Figures(ctx, o, r); err != nil {
			return 0, err
		}
	}
	n, ok := s.figures[strings.Join(args, " ")]
	if !ok || n == 0 {
		return 0, fmt.Errorf("the node does not tell %v", args)
	}
	return n, nil
}
