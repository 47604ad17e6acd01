// Command init is the first process of host and guest: it goes through the stages and
// hands over to /sbin/hostd or /sbin/guestd in the verified root.
//
// When a stage fails it says so in one line, waits long enough for that line to
// be read on a console, and restarts the machine: on the host the record of the
// slots then decides what boots.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"ashlar/initramfs/stage"
	"ashlar/internal/phases"

	"golang.org/x/sys/unix"
)

const (
	readingTime = 5 * time.Second  // a failure stays on the console before the restart
	limit       = 10 * time.Minute // a driver that hangs must not hold up a fallback; the stages' own deadlines are far shorter
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is the first process of an Ashlar machine; it does nothing here")
		os.Exit(2)
	}
	m := &stage.Machine{}
	hangs := time.AfterFunc(limit, func() {
		fmt.Println(phases.Report{Who: "init", Seconds: phases.Uptime().Seconds(), Name: "end", Text: fmt.Sprintf("failed nothing more happened within %v; restarting", limit)}.Line())
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	})
	err := phases.Run(context.Background(), "init", phases.Uptime, m.All(), m.Say)
	if err == nil {
		err = m.Exec()
	}
	hangs.Stop()
	end := "restarting"
	if errors.Is(err, stage.ErrHalt) {
		end = "halted: a restart would not help"
	}
	m.Say(phases.Report{Who: "init", Seconds: phases.Uptime().Seconds(), Name: "end", Text: "failed " + err.Error() + "; " + end})
	unix.Sync()
	if errors.Is(err, stage.ErrHalt) {
		for { // the console keeps the reason
			_ = unix.Pause()
		}
	}
	<-time.After(readingTime)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	panic("init: the machine does not restart") // with panic= the kernel does
}
