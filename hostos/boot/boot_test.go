package boot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/guestos/hostlink"
	"ashlar/hardware/watchdog"
	"ashlar/internal/journal"
	"ashlar/internal/phases"
)

func TestTheHealthGateWantsProgress(t *testing.T) {
	healthy := func(h uint64) hostlink.Health { return hostlink.Health{Healthy: true, Height: h} }
	sick := hostlink.Health{Message: "starting"}
	for _, tc := range []struct {
		name string
		said []hostlink.Health
		pass int // index of the word that opens the gate, -1 never
	}{
		{"two heights", []hostlink.Health{sick, healthy(4), healthy(5)}, 2},
		{"standing still", []hostlink.Health{healthy(4), healthy(4), healthy(4)}, -1},
		{"never healthy", []hostlink.Health{sick, sick}, -1},
		{"healthy once, then sick", []hostlink.Health{healthy(4), sick, healthy(9)}, -1},
		{"recovered", []hostlink.Health{healthy(4), sick, healthy(9), healthy(10)}, 3},
		{"going backwards", []hostlink.Health{healthy(9), healthy(3)}, -1},
	} {
		var g gate
		got := -1
		for i, h := range tc.said {
			if g.see(h, nil) {
				got = i
				break
			}
		}
		if got != tc.pass {
			t.Errorf("%s: opens at %d, want %d", tc.name, got, tc.pass)
		}
	}
	var g gate
	down := errors.New("no link on eth0")
	if g.see(healthy(4), nil) || g.see(healthy(5), down) || g.see(healthy(6), nil) || !g.see(healthy(7), nil) {
		t.Error("the network does not matter")
	}
	if why := told(healthy(4), down); !strings.Contains(why, "the network is not up: no link on eth0") {
		t.Error(why)
	}
}

func TestGuestSizes(t *testing.T) {
	for _, tc := range []struct{ want, total, got int }{{0, 2048, 2048 - hostMemoryMiB}, {1024, 4096, 1024}, {9999, 2048, 2048 - hostMemoryMiB}} {
		if n := guestMemory(tc.want, tc.total); n != tc.got {
			t.Errorf("want %d of %d: %d", tc.want, tc.total, n)
		}
	}
	if guestCPUs(0, 4, false) != 4 || guestCPUs(2, 4, true) != 2 || guestCPUs(8, 4, false) != 4 || guestCPUs(0, 4, true) != 1 {
		t.Error("processors")
	}
}

func TestAGuestCannotForgeHostLines(t *testing.T) {
	var console strings.Builder
	h := &Host{log: journal.New(1<<16, &console), news: make(chan struct{}, 1)}
	h.hear(hostlink.Frame{Kind: hostlink.KindPhase, Phase: &hostlink.Phase{Name: "x 1.0 y\nashlar host", Seconds: 1, Text: "a\nashlar host 9.000 ready replica healthy at height 1"}})
	lines := strings.Split(strings.TrimSpace(console.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%q", lines)
	}
	if r, ok := phases.Parse(lines[0]); !ok || r.Who != "guest" || r.Name != "x-1.0-y-ashlar-host" {
		t.Errorf("%+v", r)
	}
	h.hear(hostlink.Frame{Kind: hostlink.KindHealth, Health: &hostlink.Health{Healthy: true, Height: 3}})
	select {
	case <-h.news:
	default:
		t.Error("health is not passed on")
	}
	if h.health.Height != 3 {
		t.Errorf("%+v", h.health)
	}
}

func TestAGuestCannotFloodTheConsole(t *testing.T) {
	var console strings.Builder
	h := &Host{log: journal.New(1<<16, &console), news: make(chan struct{}, 1)}
	for range 10 * maxTold {
		h.hear(hostlink.Frame{Kind: hostlink.KindPhase, Phase: &hostlink.Phase{Name: "x"}})
	}
	if n := strings.Count(console.String(), "\n"); n != maxTold {
		t.Errorf("%d lines", n)
	}
}

func TestProcesses(t *testing.T) {
	proc := t.TempDir()
	for pid, exe := range map[string]string{"1": "/sbin/hostd", "2": "", "77": "/usr/bin/qemu-system-x86_64"} {
		dir := filepath.Join(proc, pid)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if exe != "" {
			os.Symlink(exe, filepath.Join(dir, "exe"))
		}
		os.WriteFile(filepath.Join(dir, "status"), []byte("Name: x\nVmRSS:\t  4096 kB\n"), 0o644)
	}
	if n, vm := processes(proc); n != 2 || vm != 4096 {
		t.Errorf("%d processes, %d KiB", n, vm)
	}
}

// The service starts before the drivers are loaded.
func TestTheWatchdogIsWaitedFor(t *testing.T) {
	tries := 0
	w, err := openWatchdog(t.Context(), func() (string, error) {
		if tries++; tries < 2 {
			return "", watchdog.ErrNone
		}
		return "/dev/watchdog", nil
	})
	if err != nil || w != "/dev/watchdog" || tries != 2 {
		t.Errorf("%q %v after %d tries", w, err, tries)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openWatchdog(gone, func() (string, error) { return "", watchdog.ErrNone }); !errors.Is(err, watchdog.ErrNone) {
		t.Errorf("%v", err)
	}
}

func TestEveryPhaseHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range (&Host{}).all() {
		if seen[p.Name] || p.Run == nil || word(p.Name) != p.Name {
			t.Errorf("phase %q", p.Name)
		}
		seen[p.Name] = true
	}
	if !seen["ready"] {
		t.Error("no phase is called ready: The joints name it")
	}
}
