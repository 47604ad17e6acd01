// Package stage holds the stages of the first process, from the kernel's start
// to the root mounted. Host and guest run the same ones.
//
//	mounts ─> kernel ─> commandline ─> modules ─> efivars ─> slot ─> record ─> verity ─> root
//	          └ its settings                                 │        └ host: not the confirmed slot? boot that one instead
//	                                                         └ the partition whose verity tree has the root hash of our command line
//
// Nothing here trusts the disk: the root hash came in the signed UKI, and what
// is mounted is checked against it block by block. The slot record only chooses
// among signed slots. Any failure is one clear line and a reboot: see cmd/init.
package stage

import (
	"context"
	"fmt"
	"os"

	"ashlar/hardware/kmod"
	"ashlar/internal/cmdline"
	"ashlar/internal/phases"
)

// A Machine is what the stages find out, each for those after it.
type Machine struct {
	Line  cmdline.CommandLine
	Slot  Found
	Trial bool // this release has not proved itself: hostd falls back on any failure

	unsaid []phases.Report
}

// All is the list of stages in their order.
func (m *Machine) All() []phases.Phase {
	return []phases.Phase{
		{Name: "mounts", Run: m.Mounts},
		{Name: "kernel", Run: m.Kernel},
		{Name: "commandline", Run: m.CommandLine},
		{Name: "modules", Run: m.Modules},
		{Name: "efivars", Run: m.EFIVars},
		{Name: "slot", Run: m.FindSlot},
		{Name: "record", Run: m.Record},
		{Name: "verity", Run: m.Verity},
		{Name: "root", Run: m.Root},
	}
}

// CommandLine reads the kernel command line, strictly.
func (m *Machine) CommandLine(context.Context) (string, error) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	if m.Line, err = cmdline.Parse(string(b)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s", m.Line.Role, m.Line.Version), nil
}

// Modules loads the modules that lie in the initramfs. One that does not load
// may be for hardware that is not here: what is truly missing is told by the
// stage that needs it.
func (m *Machine) Modules(context.Context) (string, error) {
	n, err := kmod.LoadList("/modules")
	if err != nil {
		return fmt.Sprintf("%d loaded, but %v", n, err), nil
	}
	return fmt.Sprintf("%d loaded", n), nil
}

// Say keeps a line for the process in the root and shows it on the console.
// The guest shows failures only: each byte on an emulated serial line stops the
// whole virtual machine, and guestd tells the host these lines over hostlink.
func (m *Machine) Say(r phases.Report) {
	if f, err := os.OpenFile(phases.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
		fmt.Fprintln(f, r.Line())
		f.Close()
	}
	if m.Line.Role == "" && !r.Failed() {
		m.unsaid = append(m.unsaid, r) // not known yet who we are
		return
	}
	for _, early := range m.unsaid {
		m.show(early)
	}
	m.unsaid = nil
	m.show(r)
}

func (m *Machine) show(r phases.Report) {
	if m.shows(r) {
		fmt.Println(r.Line())
	}
}

func (m *Machine) shows(r phases.Report) bool { return m.Line.Role != cmdline.Guest || r.Failed() }
