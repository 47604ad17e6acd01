// Package journal keeps the last log lines of a machine that has no disk for them.
//
//	Printf, Write ──> ring of lines (bounded in bytes) ──> Tail
//	             └──> console, if wanted
//
// The console is slow (under emulation each serial byte costs), so what is
// written there is the caller's choice, line by line: Say reaches both, Printf
// the ring alone. Nothing here is persistent.
package journal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	maxLine     = 2048 // bytes; a longer line is cut, and says so
	lineCostMin = 32   // bytes charged to an empty line, so that a flood of them is bounded too
)

// A Journal is a bounded ring of lines. Its methods may be called concurrently.
type Journal struct {
	limit   int
	console io.Writer

	mu      sync.Mutex
	lines   []string
	size    int
	dropped int
	partial []byte
}

// New makes a journal that keeps at most limitBytes; console may be nil.
func New(limitBytes int, console io.Writer) *Journal {
	return &Journal{limit: limitBytes, console: console}
}

// Printf adds a line to the ring.
func (j *Journal) Printf(format string, args ...any) {
	j.add(fmt.Sprintf(format, args...), false)
}

// Say adds a line to the ring and shows it on the console.
func (j *Journal) Say(format string, args ...any) {
	j.add(fmt.Sprintf(format, args...), true)
}

// Write takes a stream, such as a child's standard error, and adds its lines.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, full := bytes.Cut(rest, []byte("\n"))
		if room := maxLine + 1 - len(j.partial); room > 0 {
			j.partial = append(j.partial, line[:min(len(line), room)]...)
		}
		if full {
			j.push(string(bytes.TrimRight(j.partial, "\r")))
			j.partial = j.partial[:0]
		}
		rest = after
	}
	return len(p), nil
}

// Tail returns the last n lines, oldest first, the unfinished one included.
func (j *Journal) Tail(n int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.lines
	if len(j.partial) > 0 {
		all = append(all[:len(all):len(all)], string(j.partial))
	}
	return append([]string(nil), all[max(0, len(all)-n):]...)
}

// Dropped tells how many lines the ring has forgotten.
func (j *Journal) Dropped() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

func (j *Journal) add(text string, show bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = j.push(line)
		if show && j.console != nil {
			io.WriteString(j.console, line+"\n") // a console that cannot be written is no reason to stop
		}
	}
}

func (j *Journal) push(line string) string {
	if len(line) > maxLine {
		line = line[:maxLine] + " [cut]"
	}
	j.lines = append(j.lines, line)
	j.size += cost(line)
	for j.size > j.limit && len(j.lines) > 1 {
		j.size -= cost(j.lines[0])
		j.lines = j.lines[1:]
		j.dropped++
	}
	return line
}

func cost(line string) int { return max(len(line), lineCostMin) }
