package boot

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/guestos/hostlink"
	"ashlar/image/ext4"
	"ashlar/internal/journal"

	"github.com/fxamacker/cbor/v2"
)

func encode(t *testing.T, v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseStatus(t *testing.T) {
	healthy := map[string]any{"replica_health_status": "healthy", "certified_height": uint64(7), "root_key": []byte{1}}
	for _, tc := range []struct {
		name string
		body []byte
		want hostlink.Health
		fail bool
	}{
		{"self-described", encode(t, cbor.Tag{Number: 55799, Content: healthy}), hostlink.Health{Healthy: true, Height: 7}, false},
		{"plain", encode(t, healthy), hostlink.Health{Healthy: true, Height: 7}, false},
		{"starting", encode(t, map[string]any{"replica_health_status": "starting"}), hostlink.Health{Message: "the replica says it is starting"}, false},
		{"height of another type", encode(t, map[string]any{"replica_health_status": "healthy", "certified_height": "x"}), hostlink.Health{}, true},
		{"HTML", []byte("<html>"), hostlink.Health{}, true},
		{"nothing", nil, hostlink.Health{}, true},
	} {
		got, err := parseStatus(tc.body)
		if got != tc.want || (err != nil) != tc.fail {
			t.Errorf("%s: %+v %v", tc.name, got, err)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	b, _ := cbor.Marshal(map[string]any{"replica_health_status": "healthy", "certified_height": uint64(7)})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseStatus(b); err != nil && h.Healthy {
			t.Fatal("healthy with an error")
		}
	})
}

func TestStatusOfAReplicaInTrouble(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	if _, err := status(context.Background(), srv.Client(), srv.URL); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
	srv.Close()
	if _, err := status(context.Background(), http.DefaultClient, srv.URL); err == nil {
		t.Error("a replica that is gone answers")
	}
}

func TestTheDataDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, ext4.MinSize); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"64 MiB formatted", "64 MiB mounted"} {
		if did, err := prepare(disk); err != nil || did != want {
			t.Fatalf("start %d: %q %v", i+1, did, err)
		}
	}
	if err := os.WriteFile(disk, append([]byte("LUKS\xba\xbe"), make([]byte, ext4.MinSize)...), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(disk)
	if did, err := prepare(disk); err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("somebody's data: %q %v", did, err)
	}
	if after, _ := os.ReadFile(disk); string(after) != string(before) {
		t.Error("somebody's data were changed")
	}
}

func TestDiskBySerial(t *testing.T) {
	sys := t.TempDir()
	for dev, serial := range map[string]string{"vda": "ashlar-system", "vdb": dataSerial + "\n"} {
		if err := os.MkdirAll(filepath.Join(sys, dev), 0o755); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(sys, dev, "serial"), []byte(serial), 0o644)
	}
	if got := diskBySerial(sys, dataSerial); got != "/dev/vdb" {
		t.Errorf("%q", got)
	}
	if got := diskBySerial(sys, "none"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestAReplicaThatEndsShowsItsLastWords(t *testing.T) {
	r := newReplica(journal.New(1<<16, nil))
	err := r.run(context.Background(), "/bin/sh", []string{"-c", "echo state folder is locked >&2; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	if tail := strings.Join(r.log.Tail(9), "\n"); !strings.Contains(tail, "state folder is locked") {
		t.Errorf("log %q", tail)
	}
}

func TestAReplicaIsAskedToStop(t *testing.T) {
	r := newReplica(journal.New(1<<16, nil))
	ctx, cancel := context.WithCancel(context.Background())
	marker := filepath.Join(t.TempDir(), "stopped")
	ready := filepath.Join(t.TempDir(), "ready")
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		done <- r.run(ctx, "/bin/sh", []string{"-c", "trap 'echo > " + marker + "; exit 0' TERM; rm " + ready + "; while :; do :; done"})
	}()
	for {
		if _, err := os.Stat(ready); err != nil {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error("it was not given time to stop")
	}
}

func TestFramesWaitForTheLink(t *testing.T) {
	g := &Guest{log: journal.New(1<<16, nil)}
	for range maxEarly + 10 {
		g.send(hostlink.Frame{Kind: hostlink.KindHealth, Health: &hostlink.Health{}})
	}
	if len(g.early) != maxEarly {
		t.Errorf("%d frames kept", len(g.early))
	}
}

func TestProcesses(t *testing.T) {
	proc := t.TempDir()
	for pid, exe := range map[string]string{"1": "/sbin/guestd", "2": "", "30": "/bin/replica"} {
		dir := filepath.Join(proc, pid)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if exe != "" {
			os.Symlink(exe, filepath.Join(dir, "exe"))
		}
	}
	if n := processes(proc); n != 2 {
		t.Errorf("%d processes, want 2", n)
	}
}
