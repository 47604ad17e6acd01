package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"ashlar/internal/journal"
)

// A replica is the one child process of the guest.
type replica struct {
	log *journal.Journal
	out *journal.Journal // what it wrote: its tail explains a crash
}

const (
	outBytes  = 256 << 10
	tailLines = 5
)

func newReplica(log *journal.Journal) *replica {
	return &replica{log: log, out: journal.New(outBytes, nil)}
}

// run starts the process in a group of its own and waits for its end. When ctx
// ends it gets SIGTERM, time to finish, and then no more time.
func (r *replica) run(ctx context.Context, binary string, args []string) error {
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.Env = []string{"HOME=/", "TMPDIR=/run"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return r.crash(err)
	case <-ctx.Done():
	}
	group := -cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		r.log.Say("the replica did not stop within %v: killed", stopTimeout)
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-ended
	}
	return ctx.Err()
}

func (r *replica) crash(err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	for _, line := range r.out.Tail(tailLines) {
		r.log.Printf("replica: %s", line)
		fmt.Fprintln(os.Stdout, "replica:", line)
	}
	return fmt.Errorf("the replica ended: %w", err)
}
