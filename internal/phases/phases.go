// Package phases runs the ordered list that each of our first processes is.
//
//	init   mounts -> modules -> disks -> slot -> verity -> root
//	host   devices -> clock -> tpm -> network -> ... -> ready
//	guest  devices -> link -> network -> data -> replica
//
// A phase is a name and a function. Each phase that ends becomes one console
// line, the one of "The console" in docs/architecture.md, so that a serial log
// tells the whole boot and a test can wait for a marker. A list stops at the
// first failure: what to do about it (reboot, fall back) is its caller's.
package phases

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Phase is one step. Run returns what is worth saying about it.
type Phase struct {
	Name string
	Run  func(ctx context.Context) (text string, err error)
}

// A Report is a phase that ended.
type Report struct {
	Who     string  `json:"who"`     // init, host or guest
	Seconds float64 `json:"seconds"` // since that kernel started
	Name    string  `json:"name"`
	Text    string  `json:"text"`
}

// File is where init leaves its lines for the process that it hands over to.
const File = "/run/ashlar-boot"

const (
	mark     = "ashlar"
	failed   = "failed"
	maxText  = 400 // bytes of text: a console line stays readable, a slow serial port stays quick
	maxParse = 4096
)

// Line is the report as the console shows it, without the newline.
func (r Report) Line() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %.3f %s %s", mark, r.Who, r.Seconds, r.Name, oneLine(r.Text)))
}

// Failed says whether the phase failed.
func (r Report) Failed() bool {
	return r.Text == failed || strings.HasPrefix(r.Text, failed+" ") || strings.HasPrefix(r.Text, failed+":")
}

// Parse reads a console line back. Kernels and firmware may have written in
// front of it on the same line: the mark is searched for.
func Parse(line string) (Report, bool) {
	if len(line) > maxParse {
		return Report{}, false
	}
	i := strings.Index(line, mark+" ")
	if i < 0 || (i > 0 && isWord(line[i-1])) {
		return Report{}, false
	}
	f := strings.SplitN(strings.TrimRight(line[i:], "\r\n"), " ", 5)
	if len(f) < 4 || (f[1] != "init" && f[1] != "host" && f[1] != "guest") {
		return Report{}, false
	}
	sec, err := strconv.ParseFloat(f[2], 64)
	if err != nil || sec < 0 || sec != sec || f[3] == "" {
		return Report{}, false
	}
	r := Report{Who: f[1], Seconds: sec, Name: f[3]}
	if len(f) == 5 {
		r.Text = f[4]
	}
	return r, true
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Run runs the list in order and reports each phase. It stops at the first
// that fails and returns its error, which names the phase.
func Run(ctx context.Context, who string, since func() time.Duration, list []Phase, report func(Report)) error {
	for _, p := range list {
		text, err := p.Run(ctx)
		if err != nil {
			report(Report{Who: who, Seconds: since().Seconds(), Name: p.Name, Text: failed + " " + err.Error()})
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		report(Report{Who: who, Seconds: since().Seconds(), Name: p.Name, Text: text})
	}
	return nil
}

// oneLine makes any text fit one console line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
