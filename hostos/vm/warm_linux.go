package vm

import (
	"context"
	"os/exec"
	"time"
)

// warmTimeout is far more than it takes: nobody waits for it.
const warmTimeout = time.Minute

// Warm starts QEMU once to do nothing, so that the pages of it and of its
// libraries that a start needs are in memory, checked by dm-verity, by the time
// the guest starts. What is wrong with it the real start will tell.
func Warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	_ = exec.CommandContext(ctx, qemu, "-version").Run()
}
