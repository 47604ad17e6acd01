// Package power hears the power button.
//
//	/dev/input/event* ── KEY_POWER pressed ──> Pressed returns
//
// What to do then is the caller's. The kernel's ctrl-alt-del is a signal to the
// first process instead (SIGINT, after CtrlAltDel).
package power

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	evKey      = 1   // linux/input-event-codes.h EV_KEY
	keyPower   = 116 // KEY_POWER
	eventBytes = 24  // struct input_event on 64 bits
	recheck    = 250 * time.Millisecond
)

// ErrNone says that no input device has a power button.
var ErrNone = errors.New("this machine has no power button that the kernel knows of")

// Buttons lists the input devices that can press it.
func Buttons(sys fs.FS) []string {
	names, _ := fs.Glob(sys, "class/input/event*/device/name")
	var out []string
	for _, n := range names {
		b, err := fs.ReadFile(sys, n)
		if err == nil && strings.Contains(strings.ToLower(string(b)), "power button") {
			out = append(out, "/dev/input/"+path.Base(path.Dir(path.Dir(n))))
		}
	}
	return out
}

// Pressed returns nil when a button is pressed, else when ctx ends.
func Pressed(ctx context.Context, devices []string) error {
	if len(devices) == 0 {
		return ErrNone
	}
	var fds []unix.PollFd
	for _, d := range devices {
		fd, err := unix.Open(d, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open power button %s: %w", d, err)
		}
		defer unix.Close(fd)
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	buf := make([]byte, eventBytes*16)
	for ctx.Err() == nil {
		if n, err := unix.Poll(fds, int(recheck/time.Millisecond)); err != nil || n == 0 {
			continue
		}
		for _, f := range fds {
			n, err := unix.Read(int(f.Fd), buf)
			if err == nil && pressed(buf[:n]) {
				return nil
			}
		}
	}
	return ctx.Err()
}

// CtrlAltDel makes the kernel send SIGINT instead of restarting at once.
func CtrlAltDel() error {
	return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
}

// pressed looks for the button going down in a run of input events.
func pressed(b []byte) bool {
	for ; len(b) >= eventBytes; b = b[eventBytes:] {
		kind := binary.LittleEndian.Uint16(b[16:])
		code := binary.LittleEndian.Uint16(b[18:])
		value := binary.LittleEndian.Uint32(b[20:])
		if kind == evKey && code == keyPower && value == 1 {
			return true
		}
	}
	return false
}

// Sys is the kernel's view of the machine, for Buttons.
func Sys() fs.FS { return os.DirFS("/sys") }
