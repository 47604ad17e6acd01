package node

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"ashlar/build/progress"
	"ashlar/qemu-tests/lab"
)

// refresh of the line that counts the seconds of the phase under way, on a terminal.
const refresh = 100 * time.Millisecond

// phaseList shows the boot as it happens: what was done at which second after power-on.
type phaseList struct {
	out   *os.File
	tty   bool
	start time.Time
	stop  chan struct{}

	mu       sync.Mutex
	last     time.Duration // when the last phase ended
	firmware bool          // its end was seen
	ended    bool
}

func newPhaseList(out *os.File) *phaseList {
	p := &phaseList{out: out, tty: progress.IsTerminal(out), start: time.Now(), stop: make(chan struct{})}
	fmt.Fprintf(out, "  %8s %8s  %-6s %s\n", "at", "took", "who", "phase")
	if p.tty {
		go p.tick()
	}
	return p
}

func (p *phaseList) tick() {
	t := time.NewTicker(refresh)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			if !p.ended {
				fmt.Fprintf(p.out, "\r\x1b[K  %s ...", progress.Seconds(time.Since(p.start)))
			}
			p.mu.Unlock()
		}
	}
}

// line takes a line of the console: a phase that ended, or the first sign that the firmware is done.
func (p *phaseList) line(l lab.Line) {
	switch who, name, text, ok := parsePhase(l.Text); {
	case ok:
		p.show(l.Since, who, strings.TrimSpace(name+"  "+text))
	case strings.Contains(l.Text, "BdsDxe: starting") && !p.firmware:
		p.firmware = true
		p.show(l.Since, "uefi", "firmware ready, starting the signed UKI")
	}
}

// parsePhase reads "ashlar WHO SECONDS PHASE TEXT", the console's line of docs/architecture.md.
func parsePhase(line string) (who, name, text string, ok bool) {
	i := strings.Index(line, "ashlar ")
	if i < 0 {
		return "", "", "", false
	}
	f := strings.SplitN(line[i:], " ", 5)
	if len(f) < 4 || (f[1] != "init" && f[1] != "host" && f[1] != "guest") {
		return "", "", "", false
	}
	if len(f) == 5 {
		text = f[4]
	}
	return f[1], f[3], text, true
}

func (p *phaseList) show(at time.Duration, who, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if p.tty {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, "  %8s %8s  %-6s %s\n", progress.Seconds(at), progress.Seconds(at-p.last), who, what)
	p.last = at
}

// end stops the list and returns when its last phase ended.
func (p *phaseList) end() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.stop)
		if p.tty {
			fmt.Fprint(p.out, "\r\x1b[K")
		}
	}
	return p.last
}
