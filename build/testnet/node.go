package testnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Node is one replica of the network.
type Node struct {
	Number    int
	Name, URL string
	Dir, Log  string
	net       *Net
	at        netip.AddrPort
	mu        sync.Mutex
	cmd       *exec.Cmd // nil: down
	ended     chan struct{}
	err       error  // why it ended
	wanted    bool   // to run; else it was stopped by us
	version   string // of the replica; "": what the program replica is
	changed   string // at which height it changed to it
}

func (d *Node) apart() string { return d.Dir + ".apart" }

// Start the process; one that runs is left alone.
func (d *Node) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(d.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{d.program(), "--dev", "--listen", d.at.String(), "--state", d.Dir, "--apart", d.apart()}
	if d.net.strict() {
		args = append(args, "--strict-version")
	}
	if d.net.links != nil {
		args = d.net.links.inside(d.Number, args)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), d.net.memory()...)
	// Ctrl-C is for us, who stop them in good order; none outlives us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start node %d: %w", d.Number, err)
	}
	ended := make(chan struct{})
	d.cmd, d.ended, d.wanted, d.err = cmd, ended, true, nil
	go func() {
		err := cmd.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.cmd, d.err = nil, err
		if d.wanted && d.upgraded() {
			defer func() { go d.restart() }()
		} else if d.wanted {
			d.net.Say("node %d ended by itself: %s\n  its log: %s", d.Number, d.lastWords(), d.Log)
		}
		close(ended)
	}()
	return nil
}

// memory: each node has its share of the machine.
func (n *Net) memory() []string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			if kib, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				return []string{fmt.Sprintf("GOMEMLIMIT=%dKiB", kib/2/uint64(len(n.Nodes)))}
			}
		}
	}
	return nil
}

// Await its health.
func (d *Node) Await(ctx context.Context) error {
	d.mu.Lock()
	ended := d.ended
	d.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.healthy(ctx) {
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("node %d ended at its start: %s\n  its log: %s", d.Number, d.lastWords(), d.Log)
		case <-ctx.Done():
			return fmt.Errorf("node %d is not healthy: %w\n  its log: %s", d.Number, ctx.Err(), d.Log)
		}
	}
	return nil
}

var client = &http.Client{Timeout: 5 * time.Second}

func (d *Node) healthy(ctx context.Context) bool {
	body, err := d.get(ctx, "/api/v2/status")
	return err == nil && bytes.Contains(body, []byte("\x67healthy")) // CBOR text of seven bytes
}

func (d *Node) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", d.URL+path, nil)
	if err != nil {
		return nil, err
	}
	a, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	return io.ReadAll(io.LimitReader(a.Body, 1<<20))
}

// Metric of the node, without the prefix "ashlar_"; of each peer: the sum.
func (d *Node) Metric(ctx context.Context, name string) (sum uint64, err error) {
	page, err := d.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(page)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "ashlar_"+name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		n, err := strconv.ParseUint(rest[strings.LastIndexByte(rest, ' ')+1:], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Kill the process: -9.
func (d *Node) Kill() error { return d.end(syscall.SIGKILL) }

// Stop the process in good order.
func (d *Node) Stop() error { return d.end(syscall.SIGTERM) }

func (d *Node) end(how syscall.Signal) error {
	d.mu.Lock()
	cmd, ended := d.cmd, d.ended
	d.wanted = false
	d.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(how)
	select {
	case <-ended:
	case <-time.After(stopLimit):
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("node %d did not stop within %s and was killed\n  its log: %s", d.Number, stopLimit, d.Log)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if how == syscall.SIGTERM && d.err != nil {
		return fmt.Errorf("node %d did not stop well: %w: %s\n  its log: %s", d.Number, d.err, d.lastWords(), d.Log)
	}
	return nil
}

// Wipe what the node stored, not who it is: it has to get all from its peers.
func (d *Node) Wipe() error {
	if d.PID() != 0 {
		return fmt.Errorf("node %d runs: what it stores can not be wiped\n  kill it first: mk testnet kill %d", d.Number, d.Number)
	}
	files, err := os.ReadDir(d.Dir)
	for _, f := range files {
		switch f.Name() {
		case "keys", "used", "registry", "node.record":
		default:
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.Dir, f.Name())))
		}
	}
	return err
}

// PID of the process, 0 if it does not run.
func (d *Node) PID() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// ends of a replica by itself that are in good order, by its exit status.
var ends = map[int]string{3: "left", 4: "upgrade", 5: "halted"}

// State of the process: its number, or how it ended.
func (d *Node) State() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state()
}

func (d *Node) state() string {
	if d.cmd != nil {
		return strconv.Itoa(d.cmd.Process.Pid)
	}
	var exit *exec.ExitError
	if errors.As(d.err, &exit) && ends[exit.ExitCode()] != "" {
		return ends[exit.ExitCode()]
	}
	return "down"
}

// lastWords of the log say why a process ended: what follows the last "replica: ".
func (d *Node) lastWords() string {
	text, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := len(lines) - 1; i >= max(0, len(lines)-maxWords); i-- {
		if first, ok := strings.CutPrefix(lines[i], "replica: "); ok {
			return strings.Join(append([]string{first}, lines[i+1:]...), "\n")
		}
	}
	return lines[len(lines)-1]
}

// maxWords: lines of an error.
const maxWords = 6
