package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ashlar/internal/journal"
)

const (
	consoleBytes = 256 << 10        // of the guest's serial line
	tailLines    = 20               // shown when it dies
	killAfter    = 5 * time.Second  // QEMU writes back its blocks at SIGTERM
	runDir       = "/run/ashlar-vm" // kernel and initramfs for QEMU, in memory
)

// A Runner runs lives of the guest.
type Runner struct {
	Image   *Image
	Machine Machine
	// Stop asks the guest to power off; Run waits for it up to StopTimeout.
	Stop        func(reason string)
	StopTimeout time.Duration
	Log         *journal.Journal

	console *journal.Journal
}

// Run starts QEMU and returns when it ends. When ctx ends, the guest is asked
// to power off, and made to if it does not.
func (r *Runner) Run(ctx context.Context) error {
	r.console = journal.New(consoleBytes, nil)
	args, err := r.prepare()
	if err != nil {
		return err
	}
	cmd := exec.Command(qemu, args...)
	cmd.Stdout, cmd.Stderr = r.console, r.console
	cmd.Env = []string{"HOME=/", "PATH=/usr/bin:/bin"}
	if stdin, err := cmd.StdinPipe(); err == nil { // held open: the console must not see an end of file
		defer stdin.Close()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guest: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return r.died(err)
	case <-ctx.Done():
		r.stop(cmd.Process, ended, context.Cause(ctx))
		return ctx.Err()
	}
}

// Booted frees the memory of the kernel and the initramfs: QEMU has read them.
func (r *Runner) Booted() { os.RemoveAll(runDir) }

// Console returns the last lines of the guest's serial line.
func (r *Runner) Console(n int) []string {
	if r.console == nil {
		return nil
	}
	return r.console.Tail(n)
}

func (r *Runner) prepare() ([]string, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, err
	}
	kernel, initrd := filepath.Join(runDir, "kernel"), filepath.Join(runDir, "initrd")
	err := errors.Join(os.WriteFile(kernel, r.Image.parts.Kernel, 0o600), os.WriteFile(initrd, r.Image.parts.Initrd, 0o600))
	if err != nil {
		return nil, fmt.Errorf("lay out the guest's kernel: %w", err)
	}
	return r.Machine.arguments(kernel, initrd, r.Image.parts.CommandLine), nil
}

// stop brings the guest down: asked, then SIGTERM to QEMU, then SIGKILL.
func (r *Runner) stop(p *os.Process, ended <-chan error, why error) {
	reason := "the host stops"
	if why != nil {
		reason = why.Error()
	}
	r.Stop(reason)
	for _, step := range []struct {
		wait time.Duration
		sig  syscall.Signal
	}{{r.StopTimeout, syscall.SIGTERM}, {killAfter, syscall.SIGKILL}} {
		select {
		case <-ended:
			return
		case <-time.After(step.wait):
			r.Log.Say("the guest did not power off within %v: %v", step.wait, step.sig)
			_ = p.Signal(step.sig)
		}
	}
	<-ended
}

// died tells why, with the end of the guest's console.
func (r *Runner) died(err error) error {
	if err == nil {
		err = errors.New("it powered itself off")
	}
	tail := r.console.Tail(tailLines)
	for _, line := range tail {
		r.Log.Say("guest| %s", printable(line))
	}
	return fmt.Errorf("the guest ended: %w", err)
}

func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, s)
}
