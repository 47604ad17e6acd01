// Package vm starts the guest and watches it.
//
//	guest slot ── Open: UKI read, signature checked, hashed ──> Image ── measured (PCR 13) by the caller
//	Image + Machine ── Run ──> QEMU ── ends ──> error with the tail of the guest's console
//
// The guest boots directly: kernel, initramfs and command line are taken out of
// its signed UKI and handed to QEMU, no firmware in between. What it mounts is
// checked against the root hash in that command line. Run is a service for
// internal/supervise: it runs one life of the guest. QEMU is a program of the
// verified root and runs with its own seccomp filter.
package vm

import "strconv"

const (
	// GuestCID is the guest's vsock address; there is one guest.
	GuestCID = 3

	qemu       = "/usr/bin/qemu-system-x86_64"
	dataSerial = "ashlar-data" // guestos/boot looks for it
)

// A Machine is the hardware of the guest.
type Machine struct {
	KVM       bool
	Emulated  bool   // this host is itself emulated (TCG)
	System    string // block device with the guest's disk image
	Data      string // block device with the guest's data
	Tap       string
	MAC       string
	MemoryMiB int
	CPUs      int
}

// arguments is QEMU's command line. kernel and initrd are files. The data disk has QEMU's default cache, in which a flush of the
// guest is an fdatasync of the partition: what the replica synced survives a power cut of the host.
func (m Machine) arguments(kernel, initrd, line string) []string {
	args := []string{
		"-name", "guest", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-M", "q35,hpet=off,sata=off,smbus=off,i8042=off,vmport=off,smm=off", "-m", strconv.Itoa(m.MemoryMiB), "-smp", strconv.Itoa(m.CPUs),
	}
	if m.KVM {
		args = append(args, "-enable-kvm", "-cpu", "host,-svm,-vmx")
	} else {
		args = append(args, "-accel", "tcg,thread=multi", "-cpu", "max")
	}
	return append(args,
		"-kernel", kernel, "-initrd", initrd, "-append", m.commandLine(line),
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-blockdev", "driver=raw,node-name=system,read-only=on,file.driver=host_device,file.filename="+m.System,
		"-device", "virtio-blk-pci,drive=system,serial=ashlar-system",
		"-blockdev", "driver=raw,node-name=data,discard=unmap,file.driver=host_device,file.aio=threads,file.filename="+m.Data,
		"-device", "virtio-blk-pci,drive=data,serial="+dataSerial,
		"-netdev", "tap,id=net,ifname="+m.Tap+",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=net,romfile=,mac="+m.MAC,
		"-device", "vhost-vsock-pci,guest-cid="+strconv.Itoa(GuestCID),
		"-device", "virtio-rng-pci",
	)
}

// commandLine adds to the signed line what only this host knows. Each word costs
// nothing on bare metal and seconds when left out under emulation: there an
// exit of the guest is thousands of times dearer, and there are no mitigations
// to lose, because nothing speculates.
func (m Machine) commandLine(line string) string {
	if !m.Emulated {
		return line
	}
	return line + " mitigations=off tsc=reliable no_timer_check cryptomgr.notests rcupdate.rcu_expedited=1 nokaslr 8250.nr_uarts=1"
}
