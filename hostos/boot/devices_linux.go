package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ashlar/hardware/block"
	"ashlar/hardware/kmod"
	"ashlar/hardware/power"
	"ashlar/hardware/watchdog"
	"ashlar/hostos/config"
	"ashlar/hostos/network"
	"ashlar/hostos/vm"
	"ashlar/image/fat"
	"ashlar/image/layout"
	"ashlar/internal/cmdline"

	"golang.org/x/sys/unix"
)

const (
	configFile = "node.conf"
	maxConfig  = 64 << 10
	feedEvery  = 10 * time.Second
	driverWait = 2 * time.Minute // for the drivers of slow machines; a watchdog that is not there by then is none
)

// modules have no device that would ask for them.
var modules = []string{"tun", "bridge", "vhost_vsock", "kvm", "evdev", "button", "vfat", "efivarfs"}

// devices loads the drivers of what is there, and what has no device.
func (h *Host) devices(context.Context) (string, error) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	if h.line, err = cmdline.Parse(string(b)); err != nil {
		return "", err
	}
	if err := power.CtrlAltDel(); err != nil {
		h.log.Printf("ctrl-alt-del: %v", err)
	}
	n := 0
	tree, err := kmod.Open("/lib/modules")
	if err != nil {
		h.log.Printf("%v: going on with what is built in", err)
	} else {
		n = h.drivers(tree)
	}
	if err := vm.TryKVM(); err != nil {
		h.kvm = err.Error()
		h.note("the guest is emulated, which is slow: " + h.kvm + "; switch virtualization on in the firmware's setup")
		return fmt.Sprintf("%d drivers, no KVM: %v", n, err), nil
	}
	h.kvm = "ok"
	return fmt.Sprintf("%d drivers, KVM", n), nil
}

func (h *Host) drivers(tree *kmod.Tree) int {
	loaded, err := tree.Coldplug(block.Sys())
	if err != nil {
		h.log.Printf("devices: %v", err)
	}
	for _, m := range append(modules, kvmModule()) {
		if err := tree.Load(m); err != nil && !kmod.Missing(err) {
			h.log.Say("devices: %v", err)
		}
	}
	return len(loaded)
}

// kvmModule is the half of KVM for this make of processor.
func kvmModule() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			if strings.Contains(flags+" ", " svm ") {
				return "kvm_amd"
			}
			break
		}
	}
	return "kvm_intel"
}

// config reads node.conf from its partition.
func (h *Host) config(context.Context) (string, error) {
	parts, err := block.List(block.Sys())
	if err != nil {
		return "", err
	}
	p, err := block.Named(block.OnDisk(parts, h.disk), layout.Config)
	if err != nil {
		return "", err
	}
	f, err := os.Open(p.Device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	volume, err := fat.Open(f, p.SizeBytes)
	if err != nil {
		return "", fmt.Errorf("the config partition: %w", err)
	}
	text, err := volume.ReadFile(configFile, maxConfig)
	if err != nil {
		return "", fmt.Errorf("the config partition: %w: put a node.conf on it", err)
	}
	if h.conf, err = config.Parse(text); err != nil {
		return "", fmt.Errorf("node.conf: %w", err)
	}
	return "node " + h.conf.Name + ", network " + h.conf.Network, nil
}

// clock says what time the machine believes. Certificates of the network decide
// what is true: a clock that is plainly wrong is only told.
func (h *Host) clock(context.Context) (string, error) {
	now := time.Now().UTC()
	if now.Year() < 2026 {
		h.note("the clock says " + now.Format(time.DateOnly) + ": set it in the firmware's setup")
	}
	return now.Format(time.RFC3339), nil
}

func (h *Host) network(ctx context.Context) (string, error) { return network.Up(ctx, h.conf) }

// watchdog lets the hardware restart a machine whose first process stands still.
func (h *Host) watchdog(ctx context.Context) error {
	w, err := openWatchdog(ctx, watchdog.Open)
	if errors.Is(err, watchdog.ErrNone) {
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	defer w.Close()
	h.log.Printf("watchdog: armed, %v", w.Timeout)
	for ctx.Err() == nil {
		if err := w.Feed(); err != nil {
			return fmt.Errorf("feed the watchdog: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(feedEvery, w.Timeout/3)):
		}
	}
	return ctx.Err()
}

// openWatchdog waits for one: its driver comes with the phase "devices", which has only begun.
func openWatchdog[W any](ctx context.Context, open func() (W, error)) (w W, err error) {
	ctx, cancel := context.WithTimeout(ctx, driverWait)
	defer cancel()
	waitErr := block.Wait(ctx, func() (bool, error) {
		w, err = open()
		return !errors.Is(err, watchdog.ErrNone), nil
	})
	if err == nil && waitErr != nil {
		err = waitErr
	}
	return w, err
}

// power turns the power button into an orderly shutdown.
func (h *Host) power(ctx context.Context) error {
	var buttons []string
	err := block.Wait(ctx, func() (bool, error) { // the driver comes with the phase "devices"
		buttons = power.Buttons(block.Sys())
		return len(buttons) > 0, nil
	})
	if err != nil {
		return err
	}
	if err := power.Pressed(ctx, buttons); err != nil {
		return err
	}
	h.Shutdown("the power button")
	<-ctx.Done()
	return ctx.Err()
}

// Off obeys the outcome. It does not return.
func Off(o Outcome) {
	within(failLimit, unix.Sync) // what must last was synced by who wrote it
	cmd := unix.LINUX_REBOOT_CMD_POWER_OFF
	if o == Restart {
		cmd = unix.LINUX_REBOOT_CMD_RESTART
	}
	err := unix.Reboot(cmd)
	panic(fmt.Sprintf("hostd: the machine does not %s: %v", o, err))
}
