// Package bench measures the figures that the project has promised, in one run, and prints them.
//
//	figures.txt ── image, boot, go test -bench ──> NAME: ours X, peer Y (who), ratio R, target T, met|short
//
// A peer is a published number, or a benchmark of its own that runs right beside
// ours: then the target may be a ratio. Peers that we do not ship live in
// modules of their own below this folder. A figure that could not be measured is
// printed as such and fails the run: a missing number is not a good one.
package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ashlar/build/images"
	"ashlar/build/progress"
)

//go:embed figures.txt
var text string

// Figure is one line of the table.
type Figure struct {
	Name, Unit string
	AtMost     bool    // the target is a ceiling, else a floor
	Target     float64 // 0: none
	Times      bool    // the target is a multiple of the peer's value
	Peer       float64 // 0: none, or measured
	Who        string
	Source     []string
	PeerSource []string // measures the peer in the same run
}

// Tree is what is measured.
type Tree struct {
	Root  string
	Image func() (*images.Release, error)
	Print *progress.Printer
	// Only measures the figures whose name contains it; "" measures all.
	Only string
}

// Run measures everything and fails if a figure is missing. A figure that is
// short of its target is printed as short; it does not fail the run.
func Run(ctx context.Context, t Tree) error {
	figures, err := Parse(text)
	if err != nil {
		return err
	}
	if figures = only(figures, t.Only); len(figures) == 0 {
		return fmt.Errorf("no figure is named %q\n  the names are in build/bench/figures.txt", t.Only)
	}
	sources := map[string]func(context.Context, []string) (float64, error){
		"image": (&imageSource{tree: t}).measure, "boot": (&bootSource{tree: t}).measure, "bench": (&goBench{tree: t}).measure,
	}
	var lines []string
	var errs []error
	for _, f := range figures {
		got, err := sources[f.Source[0]](ctx, f.Source[1:])
		if err == nil && f.PeerSource != nil {
			f.Peer, err = sources[f.PeerSource[0]](ctx, f.PeerSource[1:])
		}
		line := f.Line(got)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
			line = f.Name + ": not measured"
		}
		lines = append(lines, line)
		t.Print.Say("%s", line)
	}
	if len(lines) > 1 {
		t.Print.Say("\nall figures of this run:\n%s", strings.Join(lines, "\n"))
	}
	return errors.Join(errs...)
}

func only(figures []Figure, name string) (out []Figure) {
	for _, f := range figures {
		if strings.Contains(strings.ToLower(f.Name), strings.ToLower(name)) {
			out = append(out, f)
		}
	}
	return out
}

// Parse reads the table.
func Parse(text string) ([]Figure, error) {
	var out []Figure
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("build/bench/figures.txt: %q: %w", line, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func parse(line string) (Figure, error) {
	cols := strings.Split(line, "|")
	if len(cols) != 5 {
		return Figure{}, errors.New("want NAME | UNIT | TARGET | PEER | SOURCE")
	}
	for i := range cols {
		cols[i] = strings.TrimSpace(cols[i])
	}
	f := Figure{Name: cols[0], Unit: cols[1]}
	var err error
	if f.Source, err = source(cols[4]); err != nil {
		return f, err
	}
	if err = f.peer(cols[3]); err != nil {
		return f, err
	}
	return f, f.target(cols[2])
}

func source(text string) ([]string, error) {
	words := strings.Fields(text)
	if len(words) < 2 || (words[0] != "image" && words[0] != "boot" && words[0] != "bench") {
		return nil, errors.New("the source is not image, boot or bench with its arguments")
	}
	return words, nil
}

func (f *Figure) target(text string) (err error) {
	if text == "-" {
		return nil
	}
	op, n, _ := strings.Cut(text, " ")
	if op != "<=" && op != ">=" {
		return errors.New("the target is not <= N, >= N or -")
	}
	f.AtMost = op == "<="
	if n, f.Times = strings.CutSuffix(n, "x"); f.Times && f.Who == "" {
		return errors.New("the target is a multiple of a peer that is not there")
	}
	f.Target, err = strconv.ParseFloat(n, 64)
	return err
}

func (f *Figure) peer(text string) (err error) {
	if text == "-" {
		return nil
	}
	if who, from, measured := strings.Cut(text, "<-"); measured {
		f.Who = strings.TrimSpace(who)
		f.PeerSource, err = source(from)
		return err
	}
	n, who, _ := strings.Cut(text, " ")
	f.Who = who
	if f.Peer, err = strconv.ParseFloat(n, 64); err != nil || who == "" {
		return errors.New("the peer is not a number and who, who <- source, or -")
	}
	return nil
}

// Line is the figure as it is printed.
func (f Figure) Line(ours float64) string {
	peer, ratio, target, verdict := "none", "-", "none", "met"
	if f.Who != "" {
		peer = fmt.Sprintf("%s (%s)", f.value(f.Peer), f.Who)
		ratio = fmt.Sprintf("%.3g", ours/f.Peer)
	}
	if f.Target != 0 {
		got := ours
		target = f.value(f.Target)
		if f.Times {
			got, target = ours/f.Peer, strconv.FormatFloat(f.Target, 'f', -1, 64)+"x"
		}
		sign := ">="
		short := got < f.Target
		if f.AtMost {
			sign, short = "<=", got > f.Target
		}
		target = sign + " " + target
		if short {
			verdict = "short"
		}
	}
	return fmt.Sprintf("%s: ours %s, peer %s, ratio %s, target %s, %s", f.Name, f.value(ours), peer, ratio, target, verdict)
}

func (f Figure) value(n float64) string {
	s := strconv.FormatFloat(n, 'f', -1, 64)
	if n != float64(int64(n)) {
		s = fmt.Sprintf("%.3g", n)
	}
	if f.Unit == "n" {
		return s
	}
	return s + " " + f.Unit
}
