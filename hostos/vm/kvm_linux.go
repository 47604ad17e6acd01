package vm

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	kvmGetAPIVersion = 0xae00 // linux/kvm.h
	kvmCreateVM      = 0xae01
	kvmCreateVCPU    = 0xae41
	kvmAPI           = 12
)

// TryKVM makes a machine with one processor, because the device's being there
// says little: a nested or paravirtual one refuses only at this point.
func TryKVM() error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("KVM: %w", err)
	}
	defer f.Close()
	call := func(fd, req uintptr) (int, error) {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, req, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
	if v, err := call(f.Fd(), kvmGetAPIVersion); err != nil || v != kvmAPI {
		return fmt.Errorf("KVM: version %d, want %d (%v)", v, kvmAPI, err)
	}
	machine, err := call(f.Fd(), kvmCreateVM)
	if err != nil {
		return fmt.Errorf("KVM makes no machine: %w", err)
	}
	defer unix.Close(machine)
	cpu, err := call(uintptr(machine), kvmCreateVCPU)
	if err != nil {
		return fmt.Errorf("KVM makes no processor: %w", err)
	}
	return unix.Close(cpu)
}

// Emulated says whether this machine's processor is QEMU's own.
func Emulated() bool {
	b, _ := os.ReadFile("/proc/cpuinfo")
	head := string(b[:min(len(b), 4096)])
	return strings.Contains(head, "QEMU TCG") || strings.Contains(head, "QEMU Virtual CPU")
}
