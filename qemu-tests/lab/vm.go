// Package lab runs machines for tests and for `make run`.
//
//	disk image ── overlay ──┐
//	OVMF + variables ───────┤            ┌── Console: lines, wait for a marker
//	swtpm (own TPM) ────────┼──> QEMU ───┼── QMP: reset, power button, quit
//	user-mode network ──────┘            └── Kill: as if the plug were pulled
//
// A VM lives until Kill, Quit or its own power-off; Close ends everything that
// Start started and nothing else. Nothing here sleeps: callers wait for markers
// on the console, with a deadline in their context. KVM is used where it works
// (see Accelerator), else TCG.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	defaultMemoryMiB = 2560 // host 300 MiB, guest 1.5 GiB, and the page cache between them
	defaultCPUs      = 2
)

// Where Debian's ovmf package keeps the firmware. The 4M builds only: the 2 MB
// secure-boot build never starts under TCG.
const (
	Firmware        = "/usr/share/OVMF/OVMF_CODE_4M.fd"         // enforces Secure Boot with enrolled keys; no SMM, a bit faster
	FirmwareSMM     = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd" // variables protected by SMM, as on a real board
	FirmwareVarsRaw = "/usr/share/OVMF/OVMF_VARS_4M.fd"         // no keys: Secure Boot off
)

// Config describes a machine.
type Config struct {
	Log       string    // file for the raw console; "" keeps none
	Disk      string    // its disk, written to: see Overlay and Clone
	Vars      string    // its UEFI variables, written to; "" boots without UEFI
	SMM       bool      // firmware with SMM
	TPM       string    // folder of its TPM's state, made by NewTPM; "" has none
	MemoryMiB int       // 0: enough for a node
	CPUs      int       // 0: two
	Forward   []Forward // ports of this machine that lead into the VM
	Kernel    string    // direct boot instead of UEFI
	Initrd    string
	Append    string
	Extra     []string        // further QEMU arguments
	OnLine    func(line Line) // called for each console line, in order
}

// Forward leads a port on loopback to an address in the VM's network.
type Forward struct {
	Port int    // on 127.0.0.1
	To   string // 10.0.2.15:4944
}

// VM is a running machine.
type VM struct {
	Console *Console
	Accel   Accel
	Args    []string // how QEMU was started, for the report of a failure

	cfg    Config
	qemu   *exec.Cmd
	qmp    *qmp
	done   chan struct{} // closed when QEMU is gone
	stderr *strings.Builder
	run    string // sockets: a short path, because a socket's name may have 107 bytes only
	close  sync.Once
}

// Start powers a machine on.
func Start(ctx context.Context, cfg Config) (*VM, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	accel := Accelerator()
	run, err := os.MkdirTemp("", "ashlar-vm-")
	if err != nil {
		return nil, err
	}
	vm := &VM{cfg: cfg, Accel: accel, run: run, done: make(chan struct{}), stderr: &strings.Builder{}}
	if cfg.TPM != "" {
		if err := vm.startTPM(); err != nil {
			os.RemoveAll(run)
			return nil, err
		}
	}
	if err := vm.startQEMU(); err != nil {
		vm.stopTPM()
		os.RemoveAll(run)
		return nil, err
	}
	if vm.qmp, err = dialQMP(ctx, vm.socket("qmp"), vm.done); err != nil {
		vm.Close()
		return nil, fmt.Errorf("start the machine: %w%s", err, vm.complaint())
	}
	return vm, nil
}

func (vm *VM) socket(name string) string { return filepath.Join(vm.run, name) }

func (vm *VM) startQEMU() error {
	vm.Args = vm.arguments()
	vm.qemu = exec.Command("qemu-system-x86_64", vm.Args...)
	vm.qemu.Stderr = vm.stderr
	vm.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // Ctrl-C is for us to handle
	out, err := vm.qemu.StdoutPipe()
	if err != nil {
		return err
	}
	log := io.Writer(io.Discard)
	if vm.cfg.Log != "" {
		f, err := os.Create(vm.cfg.Log)
		if err != nil {
			return err
		}
		log = f
	}
	vm.Console = newConsole(vm.cfg.OnLine)
	if err := startLocked(vm.qemu); err != nil {
		return fmt.Errorf("start QEMU: %w", err)
	}
	go func() {
		vm.Console.read(out, log)
		if f, ok := log.(*os.File); ok {
			f.Close()
		}
		vm.qemu.Wait()
		close(vm.done)
	}()
	return nil
}

func (vm *VM) arguments() []string {
	c := vm.cfg
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-m", strconv.Itoa(orDefault(c.MemoryMiB, defaultMemoryMiB)), "-smp", strconv.Itoa(orDefault(c.CPUs, defaultCPUs)),
		"-qmp", "unix:" + vm.socket("qmp") + ",server=on,wait=off", "-rtc", "base=utc"}
	machine := "q35,hpet=off"
	if c.SMM {
		machine += ",smm=on"
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	args = append(args, "-M", machine)
	args = append(args, vm.Accel.args(c.SMM)...)
	if c.Vars != "" {
		code := Firmware
		if c.SMM {
			code = FirmwareSMM
		}
		args = append(args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+code,
			"-drive", "if=pflash,unit=1,format=raw,file="+c.Vars)
	}
	if c.TPM != "" {
		args = append(args, "-chardev", "socket,id=tpm,path="+vm.socket("tpm"), "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0")
	}
	if c.Disk != "" {
		args = append(args, "-drive", "if=none,id=disk,cache=writeback,discard=unmap,format="+format(c.Disk)+",file="+c.Disk, "-device", "virtio-blk-pci,drive=disk,bootindex=1")
	}
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-initrd", c.Initrd, "-append", c.Append)
	}
	net := "user,id=net"
	for _, f := range c.Forward {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-%s", f.Port, f.To)
	}
	args = append(args, "-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile=")
	return append(args, c.Extra...)
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
}

// Done is closed when the machine is off.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// WaitOff waits until the machine has switched itself off.
func (vm *VM) WaitOff(ctx context.Context) error {
	select {
	case <-vm.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the machine did not switch itself off: %w\n%s", ctx.Err(), vm.Console.Tail())
	}
}

// Kill stops the machine as a power cut would: QEMU gets SIGKILL.
func (vm *VM) Kill() {
	vm.qemu.Process.Kill()
	<-vm.done
}

// Reset is the reset button.
func (vm *VM) Reset() error { return vm.qmp.do("system_reset") }

// PowerButton asks the machine's OS to shut down.
func (vm *VM) PowerButton() error { return vm.qmp.do("system_powerdown") }

// PID is QEMU's process id.
func (vm *VM) PID() int { return vm.qemu.Process.Pid }

// Close ends the machine and its TPM. It may be called at any time, more than once.
func (vm *VM) Close() {
	vm.close.Do(func() {
		if vm.qmp != nil {
			vm.qmp.close()
		}
		vm.Kill()
		vm.stopTPM()
		os.RemoveAll(vm.run)
	})
}

// complaint is what QEMU said on stderr, if it ended.
func (vm *VM) complaint() string {
	select {
	case <-vm.done:
		if s := strings.TrimSpace(vm.stderr.String()); s != "" {
			return "\n  QEMU says: " + s
		}
	default:
	}
	return ""
}

// Failure explains an error with what is known about the machine.
func (vm *VM) Failure(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("%w%s", err, vm.complaint()), errors.New("console, last lines:\n"+vm.Console.Tail()))
}
