// Command guestd is the first process of the guest once its root is mounted: see
// guestos/boot. When it ends, for whatever reason, the machine powers off: the
// host watches and starts it again, or has asked for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"ashlar/guestos/boot"
	"ashlar/internal/phases"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestd: this is the first process of the guest; it does nothing here")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := boot.Run(ctx)
	stop()
	if err != nil && !errors.Is(err, boot.ErrShutdown) && !errors.Is(err, context.Canceled) {
		fmt.Println(phases.Report{Who: "guest", Seconds: phases.Uptime().Seconds(), Name: "end", Text: "failed " + err.Error()}.Line())
		<-time.After(time.Second) // the serial line drains
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	panic("guestd: the machine does not power off")
}
