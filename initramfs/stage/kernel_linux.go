package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const sysctls = "/proc/sys"

// settings of the kernel that hold for host and guest from here on. None of them needs a program, and nobody logs in to change
// one. What Secure Boot sets by itself (lockdown=integrity, modules by the kernel's key alone) is not repeated.
var settings = []struct{ name, value string }{
	{"kernel/panic_on_oops", "1"},               // a kernel that has stumbled holds locks: with panic= it restarts, and a trial falls back
	{"kernel/sysrq", "0"},                       // whoever sits at the serial console is nobody
	{"kernel/kexec_load_disabled", "1"},         // another kernel is started by the firmware, which checks and measures it
	{"kernel/unprivileged_bpf_disabled", "1"},   // a program of ours that is taken over is not to program the kernel
	{"kernel/kptr_restrict", "2"},               // nor to learn where it lies
	{"kernel/dmesg_restrict", "1"},              //
	{"kernel/perf_event_paranoid", "3"},         //
	{"net/ipv4/conf/all/accept_redirects", "0"}, // the router is the one of node.conf, or of the announcement
	{"net/ipv4/conf/default/accept_redirects", "0"},
	{"net/ipv6/conf/all/accept_redirects", "0"},
	{"net/ipv6/conf/default/accept_redirects", "0"},
	{"net/ipv4/conf/all/accept_source_route", "0"},
	{"net/ipv4/conf/default/accept_source_route", "0"},
}

// Kernel makes the kernel stricter than it comes. A setting that this kernel does not have is passed over, one that it refuses is
// told: neither is a reason not to boot.
func (m *Machine) Kernel(context.Context) (string, error) {
	done, err := apply(sysctls)
	if err != nil {
		return fmt.Sprintf("%d of %d settings, but %v", done, len(settings), err), nil
	}
	return fmt.Sprintf("%d of %d settings", done, len(settings)), nil
}

func apply(root string) (done int, err error) {
	for _, s := range settings {
		f, openErr := os.OpenFile(filepath.Join(root, s.name), os.O_WRONLY, 0) // never made: procfs has it or not
		if errors.Is(openErr, fs.ErrNotExist) {
			continue
		}
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		_, writeErr := f.WriteString(s.value)
		if writeErr = errors.Join(writeErr, f.Close()); writeErr != nil {
			err = errors.Join(err, writeErr)
			continue
		}
		done++
	}
	return done, err
}
