// Package watchdog keeps the machine's watchdog from restarting it.
//
//	Open ──> Feed, Feed, Feed ... ──> Close
//	          └ not fed for Timeout: the hardware restarts the machine
//
// Whoever feeds it says by that that the machine is well: feed it from the loop
// whose standing still is the fault.
package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Timeout is what is asked of the hardware; some of it knows fewer values.
const Timeout = 60 * time.Second

// A Watchdog is armed.
type Watchdog struct {
	f       *os.File
	Timeout time.Duration // as the hardware rounds it
}

// ErrNone says that this machine has no watchdog.
var ErrNone = errors.New("this machine has no watchdog")

// Open arms the first watchdog of the machine.
func Open() (*Watchdog, error) {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("open the watchdog: %w", err)
	}
	w := &Watchdog{f: f, Timeout: Timeout}
	fd := int(f.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, int(Timeout/time.Second)); err != nil {
		if n, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT); err == nil && n > 0 {
			w.Timeout = time.Duration(n) * time.Second
		}
	}
	return w, nil
}

// Feed says that the machine is well.
func (w *Watchdog) Feed() error {
	_, err := w.f.Write([]byte{0})
	return err
}

// Close disarms it, where the hardware allows that.
func (w *Watchdog) Close() error {
	_, err := w.f.Write([]byte{'V'}) // the magic character of the kernel's watchdog API
	return errors.Join(err, w.f.Close())
}
