// Package bench measures the figures that the project has promised, in one run, and prints them.
//
//	figures.txt ── image, boot, go test -bench ──> NAME: ours X, peer Y (who), ratio R, target T, met|short
//
// A figure that could not be measured is printed as such and fails the run: a
// missing number is not a good one.
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
	Peer       float64 // 0: none
	Who        string
	Source     []string
}

// Tree is what is measured.
type Tree struct {
	Root  string
	Image func() (*images.Release, error)
	Print *progress.Printer
}

// Run measures everything and fails if a figure is missing. A figure that is
// short of its target is printed as short; it does not fail the run.
func Run(ctx context.Context, t Tree) error {
	figures, err := Parse(text)
	if err != nil {
		return err
	}
	sources := map[string]func(context.Context, []string) (float64, error){
		"image": (&imageSource{tree: t}).measure, "boot": (&bootSource{tree: t}).measure, "bench": goBench{t.Root}.measure,
	}
	var lines []string
	var errs []error
	for _, f := range figures {
		got, err := sources[f.Source[0]](ctx, f.Source[1:])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
			lines = append(lines, f.Name+": not measured")
			continue
		}
		lines = append(lines, f.Line(got))
	}
	for _, l := range lines {
		t.Print.Say("%s", l)
	}
	return errors.Join(errs...)
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
	f := Figure{Name: cols[0], Unit: cols[1], Source: strings.Fields(cols[4])}
	if len(f.Source) < 2 || (f.Source[0] != "image" && f.Source[0] != "boot" && f.Source[0] != "bench") {
		return f, errors.New("the source is not image, boot or bench with its arguments")
	}
	var err error
	if cols[2] != "-" {
		op, n, _ := strings.Cut(cols[2], " ")
		if op != "<=" && op != ">=" {
			return f, errors.New("the target is not <= N, >= N or -")
		}
		f.AtMost = op == "<="
		if f.Target, err = strconv.ParseFloat(n, 64); err != nil {
			return f, err
		}
	}
	if cols[3] != "-" {
		n, who, _ := strings.Cut(cols[3], " ")
		f.Who = who
		if f.Peer, err = strconv.ParseFloat(n, 64); err != nil || who == "" {
			return f, errors.New("the peer is not a number and who, or -")
		}
	}
	return f, nil
}

// Line is the figure as it is printed.
func (f Figure) Line(ours float64) string {
	peer, ratio, target, verdict := "none", "-", "none", "met"
	if f.Who != "" {
		peer = fmt.Sprintf("%s (%s)", f.value(f.Peer), f.Who)
		ratio = fmt.Sprintf("%.3g", ours/f.Peer)
	}
	if f.Target != 0 {
		sign := ">="
		short := ours < f.Target
		if f.AtMost {
			sign, short = "<=", ours > f.Target
		}
		target = sign + " " + f.value(f.Target)
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
