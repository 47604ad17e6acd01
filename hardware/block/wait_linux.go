package block

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery bounds the harm of a uevent that got lost (the socket's buffer may
// overflow while many devices appear).
const pollEvery = 500 * time.Millisecond

// Wait calls look until it says true, again after each kernel event about a
// device, until ctx ends. It needs no sleep: a disk that is there is found at once.
func Wait(ctx context.Context, look func() (bool, error)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("listen for device events: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return fmt.Errorf("listen for device events: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		if ok, err := look(); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(pollEvery/time.Millisecond)); err == nil && n > 0 {
			for { // one look for all that is queued
				if _, _, err := unix.Recvfrom(fd, buf, 0); err != nil {
					break
				}
			}
		}
	}
}
