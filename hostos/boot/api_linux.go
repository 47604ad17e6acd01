package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ashlar/hostos/api"
	"ashlar/hostos/upgrade"
	"ashlar/internal/phases"
)

const (
	statusLog = 40 // lines of the log in a status
)

// api opens the node's interface.
func (h *Host) api(ctx context.Context) (string, error) {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(api.Port))
	if err != nil {
		return "", fmt.Errorf("listen on port %d: %w", api.Port, err)
	}
	h.services.Start(ctx, "api", func(ctx context.Context) error { return api.Serve(ctx, l, h, h.conf.AdminKeys) })
	return fmt.Sprintf("port %d, %d administrators", api.Port, len(h.conf.AdminKeys)), nil
}

// Upgrade is the API's upgrade.
func (h *Host) Upgrade(ctx context.Context, bundle io.Reader) (api.Upgraded, error) {
	version, slot, err := h.upgrade.Install(ctx, bundle)
	if errors.Is(err, upgrade.ErrBusy) {
		return api.Upgraded{}, fmt.Errorf("%w: %w", api.ErrBusy, err)
	}
	if err != nil {
		h.log.Say("upgrade: %v", err)
		return api.Upgraded{}, err
	}
	return api.Upgraded{Version: version, Slot: string(slot), Next: "restart for the trial boot"}, nil
}

// Status tells everything there is to tell.
func (h *Host) Status() api.Status {
	claims, _ := h.tpm.claimed()
	s := api.Status{
		Name: h.conf.Name, Version: h.line.Version, Slot: h.slot, Trial: h.upgrade.OnTrial(), Uptime: phases.Uptime().Seconds(),
		Slots: h.upgrade.Record(), TPM: h.tpm.state(), PCRs: h.tpm.values(), Config: claims.Config.String(),
		KVM: h.kvm, Services: h.services.Counters(), Log: h.log.Tail(statusLog),
	}
	if claims.GuestUKI != ([32]byte{}) {
		s.Guest = claims.GuestUKI.String()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Phases = append(s.Phases, h.phases...)
	s.Notes = append(s.Notes, h.notes...)
	s.Ready, s.ReadyAt = h.readyAt > 0, h.readyAt.Seconds()
	s.Health = api.Health{Healthy: h.health.Healthy, Height: h.health.Height, Message: h.health.Message, Restarts: h.health.Restarts, Age: since(h.heard)}
	s.Memory = h.memory()
	return s
}

// memory splits what is used into the guest's machine and all else.
func (h *Host) memory() api.Memory {
	m := memory()
	all, vm := processes("/proc")
	used := m["MemTotal"] - min(m["MemAvailable"], m["MemTotal"])
	return api.Memory{Total: m["MemTotal"], VM: vm, Host: used - min(vm, used), Guest: h.health.MemoryKiB, Processes: all, InGuest: h.health.Processes}
}

// memory reads /proc/meminfo, in KiB.
func memory() map[string]uint64 {
	out := map[string]uint64{}
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 2 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			out[strings.TrimSuffix(f[0], ":")] = n
		}
	}
	return out
}

// processes counts what runs outside of the kernel, and the memory of QEMU in KiB.
func processes(proc string) (n int, vmKiB uint64) {
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, d := range dirs {
		exe, err := os.Readlink(filepath.Join(d, "exe")) // a kernel thread has none
		if err != nil {
			continue
		}
		n++
		if strings.Contains(exe, "qemu") {
			vmKiB += residentKiB(filepath.Join(d, "status"))
		}
	}
	return n, vmKiB
}

func residentKiB(status string) uint64 {
	b, _ := os.ReadFile(status)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmRSS:" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}
