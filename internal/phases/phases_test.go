package phases

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLineAndParseAgree(t *testing.T) {
	for _, tc := range []struct {
		r    Report
		line string
	}{
		{Report{"host", 12.3456, "network", "br0 up, 10.0.2.15"}, "ashlar host 12.346 network br0 up, 10.0.2.15"},
		{Report{"init", 0, "mounts", ""}, "ashlar init 0.000 mounts"},
		{Report{"guest", 3, "data", "two\nlines\x1b[2J"}, "ashlar guest 3.000 data two lines [2J"},
	} {
		if got := tc.r.Line(); got != tc.line {
			t.Errorf("line %q, want %q", got, tc.line)
		}
		back, ok := Parse("[    1.2] " + tc.line + "\r\n")
		if !ok || back.Who != tc.r.Who || back.Name != tc.r.Name {
			t.Errorf("parse of %q gives %+v %v", tc.line, back, ok)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"", "ashlar", "ashlar host", "ashlar host x ready y", "ashlar host -1.0 ready", "ashlar host NaN ready",
		"ashlar nobody 1.000 ready", "notashlar host 1.000 ready", "ashlar host 1.000 ", strings.Repeat("a", 5000),
	} {
		if r, ok := Parse(line); ok {
			t.Errorf("%q parsed as %+v", line, r)
		}
	}
}

func TestRunStopsAtTheFirstFailure(t *testing.T) {
	var said []Report
	step := func(text string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return text, err }
	}
	err := Run(context.Background(), "init", func() time.Duration { return time.Second }, []Phase{
		{"one", step("fine", nil)}, {"two", step("", errors.New("no disk"))}, {"three", step("never", nil)},
	}, func(r Report) { said = append(said, r) })
	if err == nil || err.Error() != "two: no disk" {
		t.Fatalf("error %v", err)
	}
	if len(said) != 2 || said[0].Failed() || !said[1].Failed() || said[1].Line() != "ashlar init 1.000 two failed no disk" {
		t.Fatalf("reports %+v", said)
	}
}

func TestLongTextIsCut(t *testing.T) {
	if l := (Report{Who: "host", Name: "x", Text: strings.Repeat("é", 4000)}).Line(); len(l) > 450 {
		t.Fatalf("line of %d bytes", len(l))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ashlar host 1.000 ready replica healthy at height 3")
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := Parse(s); ok {
			if again, ok := Parse(r.Line()); !ok || again.Name != r.Name && !strings.ContainsAny(r.Name, "\t\v\f\r\x00") && again.Who != r.Who {
				t.Fatalf("%q parses, its line %q does not", s, r.Line())
			}
		}
	})
}
