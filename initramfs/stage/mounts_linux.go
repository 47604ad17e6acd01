package stage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A mount is one of the kernel's file systems.
type mount struct {
	kind, at string
	flags    uintptr
	data     string
	optional bool
}

const nothing = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts are moved into the root when it is there.
var mounts = []mount{
	{"proc", "/proc", nothing, "", false},
	{"sysfs", "/sys", nothing, "", false},
	{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755", false},
	{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=64m", false}, // console lines and sockets; 64 MiB is far more
	{"securityfs", "/sys/kernel/security", nothing, "", true},                      // the TPM's event log
}

// Mounts mounts what everything after it needs.
func (m *Machine) Mounts(context.Context) (string, error) {
	for _, f := range mounts {
		if err := f.do(); err != nil {
			return "", err
		}
	}
	return "", nil
}

// EFIVars mounts the firmware's variables, which may need a module. A machine
// booted without UEFI has none.
func (m *Machine) EFIVars(context.Context) (string, error) {
	if _, err := os.Stat("/sys/firmware/efi"); err != nil {
		return "no UEFI", nil
	}
	if err := (mount{"efivarfs", "/sys/firmware/efi/efivars", nothing, "", false}).do(); err != nil {
		return "", err
	}
	return "efivars mounted", nil
}

func (f mount) do() error {
	if err := os.MkdirAll(f.at, 0o755); err != nil && !f.optional {
		return fmt.Errorf("make %s: %w", f.at, err)
	}
	err := unix.Mount(f.kind, f.at, f.kind, f.flags, f.data)
	if err != nil && !errors.Is(err, unix.EBUSY) && !f.optional { // busy: mounted already
		return fmt.Errorf("mount %s on %s: %w", f.kind, f.at, err)
	}
	return nil
}
