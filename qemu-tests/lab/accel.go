package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Accel is how the CPU of a machine is run.
type Accel string

const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"
)

// kvmTrial is more than a boot sector of eight bytes ever needs.
const kvmTrial = 10 * time.Second

// args: under TCG the CPU is max with SVM, so that the host can run its guest.
// With SMM, five-level paging must be off: OVMF's SMM build stops with it.
func (a Accel) args(smm bool) []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	cpu := "max,+svm"
	if smm {
		cpu += ",-la57"
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", cpu}
}

// Accelerator returns KVM if a machine really runs on it and may run a guest of
// its own, else TCG. The environment variable ASHLAR_ACCEL overrides the trial.
var Accelerator = sync.OnceValue(func() Accel {
	if a := Accel(os.Getenv("ASHLAR_ACCEL")); a == KVM || a == TCG {
		return a
	}
	if nested() && kvmWorks() {
		return KVM
	}
	return TCG
})

// nested says whether this kernel lets a KVM guest be a KVM host.
func nested() bool {
	for _, m := range []string{"kvm_amd", "kvm_intel"} {
		if b, err := os.ReadFile("/sys/module/" + m + "/parameters/nested"); err == nil {
			return strings.HasPrefix(string(b), "1") || strings.HasPrefix(string(b), "Y")
		}
	}
	return false
}

// exitSector is a boot sector: mov dx,0xf4; mov al,0x31; out dx,al; hlt; jmp to the hlt.
var exitSector = []byte{0xba, 0xf4, 0x00, 0xb0, 0x31, 0xee, 0xf4, 0xeb, 0xfd}

// exitCode is what QEMU's debug-exit device makes of 0x31.
const exitCode = 0x31<<1 | 1

// kvmWorks boots that sector under KVM. That /dev/kvm exists proves nothing:
// some virtual machines offer one that cannot run a guest.
func kvmWorks() bool {
	dir, err := os.MkdirTemp("", "kvm-trial-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	sector := make([]byte, 512)
	copy(sector, exitSector)
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(dir, "exit.img")
	if os.WriteFile(disk, sector, 0o600) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), kvmTrial)
	defer cancel()
	err = exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-M", "q35", "-m", "64", "-nodefaults", "-display", "none",
		"-drive", "format=raw,file="+disk, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01").Run()
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == exitCode
}

var starter = sync.OnceValue(func() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread() // never unlocked: see startLocked
		for f := range c {
			f()
		}
	}()
	return c
})

// startLocked starts cmd from a thread that lives as long as this program:
// Pdeathsig fires when the starting thread ends, not when the process does.
func startLocked(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	err := make(chan error)
	starter() <- func() { err <- cmd.Start() }
	return <-err
}
