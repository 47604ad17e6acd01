// Package node is `make run`: one node in QEMU, for a person to look at.
//
//	image ── copied to out/run ──> boot, phases as they end ──> summary ──> demo ──> up until Ctrl-C
//	                 └── a newer image replaces the slots, the data partition stays
//
// All of a node's state is in out/run: disk, TPM, firmware variables, the
// administrator's key. It is a node for development: anybody who can read that
// folder is its administrator.
package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ashlar/build/images"
	"ashlar/build/progress"
	"ashlar/build/setup"
	"ashlar/qemu-tests/lab"
)

const (
	bootLimit     = 5 * time.Minute // a loaded machine under TCG needs about two
	shutdownLimit = 90 * time.Second
	replicaAt     = "10.0.2.16:4943" // docs/architecture.md: the replica in the guest
	hostAt        = "10.0.2.15:4944" // hostd's node API
)

// Options are what a person may choose.
type Options struct {
	Root  string // the source tree
	Dir   string // the node's state: out/run
	Port  int    // where the replica is reached on loopback
	Demo  bool
	Print *progress.Printer
}

// Run boots the node, runs the demo and waits for ctx to end; then it shuts down.
func Run(ctx context.Context, o Options, r *images.Release) error {
	if err := PortFree(o.Port); err != nil {
		return err
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := prepare(o.Root, o.Dir, r); err != nil {
		return fmt.Errorf("prepare the node in %s: %w", o.Dir, err)
	}
	n := &node{Options: o, release: r}
	if err := n.boot(ctx); err != nil {
		return err
	}
	defer n.vm.Close()
	return n.serve(ctx)
}

// Figures boots a fresh node once and returns what `make bench` asks of it.
func Figures(ctx context.Context, o Options, r *images.Release) (map[string]float64, error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, err
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := prepare(o.Root, o.Dir, r); err != nil {
		return nil, err
	}
	n := &node{Options: o, release: r}
	if err := n.boot(ctx); err != nil {
		return nil, err
	}
	defer n.vm.Close()
	s, err := n.status(ctx)
	if err != nil {
		return nil, n.vm.Failure(err)
	}
	return map[string]float64{"healthy": n.healthy.Seconds(), "memory": s.Memory.HostKiB * 1024 / 1e6,
		"host-processes": s.Memory.Processes, "guest-processes": s.Memory.GuestProcesses}, n.shutdown()
}

type node struct {
	Options
	release *images.Release
	vm      *lab.VM
	hostURL string
	healthy time.Duration // from power-on
}

func (n *node) url() string { return fmt.Sprintf("http://127.0.0.1:%d", n.Port) }

// PortFree says early what would otherwise be QEMU's riddle.
func PortFree(port int) error {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d of 127.0.0.1 is in use\n  stop what uses it, or choose another port:  make run PORT=%d", port, port+10)
	}
	return l.Close()
}

func (n *node) boot(ctx context.Context) error {
	hostPort, err := lab.FreePort()
	if err != nil {
		return err
	}
	n.hostURL = fmt.Sprintf("http://127.0.0.1:%d", hostPort)
	n.Print.Say("booting a node in QEMU (%s): OVMF with Secure Boot, TPM 2.0", lab.Accelerator())
	list := newPhaseList(os.Stdout)
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	n.vm, err = lab.Start(ctx, lab.Config{
		Disk: filepath.Join(n.Dir, diskFile), Vars: filepath.Join(n.Dir, varsFile), TPM: filepath.Join(n.Dir, tpmDir),
		Log:     filepath.Join(n.Dir, "console.log"),
		Forward: []lab.Forward{{Port: n.Port, To: replicaAt}, {Port: hostPort, To: hostAt}},
		OnLine:  list.line,
	})
	if err != nil {
		return err
	}
	said, err := n.vm.Console.Wait(ctx, `ashlar (?:host|init) [0-9.]+ (ready|\S+ failed) ?(.*)`)
	n.healthy = list.end()
	if err == nil && said[1] != "ready" {
		err = fmt.Errorf("the node does not boot: %s: %s", said[1], said[2])
	}
	if err != nil {
		err = n.vm.Failure(err)
		n.vm.Close()
	}
	return err
}

func (n *node) serve(ctx context.Context) error {
	if err := n.summary(ctx); err != nil {
		return n.vm.Failure(err)
	}
	if n.Demo {
		if err := Demo(ctx, n.Options, n.url()); err != nil {
			return n.vm.Failure(err)
		}
	}
	n.Print.Say("the node runs until Ctrl-C; its console: %s", filepath.Join(n.Dir, "console.log"))
	n.Print.Say("replica: %s", n.url())
	n.Print.Say("power-on to healthy: %s", progress.Seconds(n.healthy))
	select {
	case <-ctx.Done():
	case <-n.vm.Done():
		return n.vm.Failure(errors.New("the node switched itself off"))
	}
	return n.shutdown()
}

// shutdown presses the power button and waits.
func (n *node) shutdown() error {
	n.Print.Say("shutting down ...")
	if err := n.vm.PowerButton(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	if err := n.vm.WaitOff(ctx); err != nil {
		return err
	}
	n.Print.Say("the node is off; make run finds everything where it was left")
	return nil
}

// Demo compiles the counter and lets the npm clients use it.
func Demo(ctx context.Context, o Options, url string) error {
	clients := filepath.Join(o.Root, setup.Clients)
	wasm := filepath.Join(o.Dir, "counter.wasm")
	o.Print.Say("demo: the npm motoko compiler builds counter.mo")
	if err := script(ctx, clients, "compile.mjs", "counter.mo", wasm); err != nil {
		return err
	}
	return script(ctx, clients, "demo.mjs", "--url", url, "--wasm", wasm, "--state", filepath.Join(o.Dir, "demo.json"))
}

func script(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("node %s: %w", strings.Join(args, " "), err)
	}
	return nil
}
