// Package progress tells a person what the build is doing, and how long each thing took.
//
//	on a terminal                       elsewhere
//	  building hostd ...  (overwritten)
//	  hostd                  1.2 s        hostd                  1.2 s
//
// One line per finished step; a step that is running shows on terminals only.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const nameWidth = 34 // the longest name of a step

// Printer writes steps to one output. It may be used by many goroutines.
type Printer struct {
	mu  sync.Mutex
	w   io.Writer
	tty bool
}

// New makes a printer on f; a terminal also gets running steps.
func New(f *os.File) *Printer { return &Printer{w: f, tty: IsTerminal(f)} }

// Plain makes a printer for a log.
func Plain(w io.Writer) *Printer { return &Printer{w: w} }

// IsTerminal says whether somebody watches f.
func IsTerminal(f *os.File) bool {
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && f.Name() != os.DevNull
}

// Say prints one line.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// Step runs f and prints its name, what f says of its result, and its time.
func (p *Printer) Step(name string, f func() (string, error)) error {
	start := time.Now()
	p.running(name)
	result, err := f()
	if err != nil {
		p.Say("  %-*s failed after %s", nameWidth, name, Seconds(time.Since(start)))
		return err
	}
	p.Say("  %-*s %8s  %s", nameWidth, name, Seconds(time.Since(start)), result)
	return nil
}

func (p *Printer) running(name string) {
	if p.tty {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.clear()
		fmt.Fprintf(p.w, "  %s ...", name)
	}
}

func (p *Printer) clear() {
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// Seconds is a duration as the build prints it: 1.2 s.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// MB is a size as the build prints it: 12.3 MB, of 10^6 bytes.
func MB(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
