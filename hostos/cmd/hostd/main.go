// Command hostd is the first process of the host once its root is mounted: see
// hostos/boot. When it ends, the machine restarts or powers off.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"ashlar/hostos/boot"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "hostd: this is the first process of an Ashlar host; it does nothing here")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM) // SIGINT: ctrl-alt-del
	defer stop()
	boot.Off(boot.Run(ctx))
}
