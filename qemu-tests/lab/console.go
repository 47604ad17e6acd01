package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	tailLines    = 40   // enough to see what went wrong, short enough for a test log
	maxLineBytes = 4096 // firmware and kernel lines are below 300
	maxLines     = 200_000
)

// Line is one line of the serial console.
type Line struct {
	Text  string
	Since time.Duration // from power-on
}

// Console collects what a machine says on its serial port.
type Console struct {
	start  time.Time
	onLine func(Line)

	mu    sync.Mutex
	more  chan struct{} // closed and replaced at each line
	lines []Line
	ended bool
}

func newConsole(onLine func(Line)) *Console {
	return &Console{start: time.Now(), onLine: onLine, more: make(chan struct{})}
}

// read collects lines until r ends; raw bytes go to log as they are.
func (c *Console) read(r io.Reader, log io.Writer) {
	s := bufio.NewScanner(io.TeeReader(r, log))
	s.Buffer(nil, 1<<20)
	s.Split(splitLines)
	for s.Scan() {
		c.add(clean(s.Text()))
	}
	io.Copy(log, r) // a scanner that gave up must not stop the machine
	c.mu.Lock()
	c.ended = true
	close(c.more)
	c.mu.Unlock()
}

// splitLines ends a line at CR, LF or maxLineBytes: firmware draws with CR alone.
func splitLines(b []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		return i + 1, b[:i], nil
	}
	if len(b) >= maxLineBytes || atEOF && len(b) > 0 {
		return len(b), b, nil
	}
	return 0, nil, nil
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;=?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f]")

// clean removes what a terminal would not print.
func clean(s string) string { return strings.TrimRight(escapes.ReplaceAllString(s, ""), " ") }

func (c *Console) add(text string) {
	if text == "" {
		return
	}
	l := Line{Text: text, Since: time.Since(c.start)}
	c.mu.Lock()
	if len(c.lines) < maxLines {
		c.lines = append(c.lines, l)
	}
	close(c.more)
	c.more = make(chan struct{})
	c.mu.Unlock()
	if c.onLine != nil {
		c.onLine(l)
	}
}

// Wait returns the submatches of the first line, from the machine's start on,
// that matches the pattern.
func (c *Console) Wait(ctx context.Context, pattern string) ([]string, error) {
	return c.Since(0).Wait(ctx, pattern)
}

// Mark is a place in the console's output.
type Mark struct {
	c    *Console
	from int
}

// Now marks the present end, for what must be said after it: a second boot, say.
func (c *Console) Now() Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Mark{c, len(c.lines)}
}

// Since marks line n.
func (c *Console) Since(n int) Mark { return Mark{c, n} }

// Wait returns the submatches of the first line after the mark that matches.
func (m Mark) Wait(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	for n := m.from; ; {
		m.c.mu.Lock()
		lines, more, ended := m.c.lines, m.c.more, m.c.ended
		m.c.mu.Unlock()
		for ; n < len(lines); n++ {
			if sub := re.FindStringSubmatch(lines[n].Text); sub != nil {
				return sub, nil
			}
		}
		if ended {
			return nil, fmt.Errorf("the machine is off and its console never said %q; last lines:\n%s", pattern, m.c.Tail())
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, fmt.Errorf("waited for the console to say %q: %w; last lines:\n%s", pattern, ctx.Err(), m.c.Tail())
		}
	}
}

// Says reports whether a line so far matches.
func (c *Console) Says(pattern string) bool {
	re := regexp.MustCompile(pattern)
	for _, l := range c.Lines() {
		if re.MatchString(l.Text) {
			return true
		}
	}
	return false
}

// Lines returns what was said so far.
func (c *Console) Lines() []Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[:len(c.lines):len(c.lines)]
}

// Tail is the last lines, each indented, with their times.
func (c *Console) Tail() string {
	lines := c.Lines()
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "  %7.1f  %s\n", l.Since.Seconds(), l.Text)
	}
	return b.String()
}
