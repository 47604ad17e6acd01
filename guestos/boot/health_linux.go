package boot

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/internal/cmdline"
	"ashlar/internal/phases"

	"github.com/fxamacker/cbor/v2"
)

const (
	pollFirst     = 100 * time.Millisecond // while it starts: the time to healthy is a promise
	pollLater     = time.Second
	statusTimeout = 10 * time.Second
	maxStatus     = 64 << 10 // bytes of a status; it has a few hundred
)

// health polls the replica and tells the host of each change, and now and then.
func (g *Guest) health(ctx context.Context) error {
	client := &http.Client{Timeout: statusTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	var last hostlink.Health
	var told time.Time
	first, pause := true, pollFirst
	for {
		h := g.probe(ctx, client)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if h.Healthy && first {
			first, pause = false, pollLater
			g.report(phases.Report{Who: cmdline.Guest, Seconds: phases.Uptime().Seconds(), Name: "healthy", Text: fmt.Sprintf("replica healthy at height %d", h.Height)})
		}
		if h.Healthy != last.Healthy || h.Restarts != last.Restarts || h.Message != last.Message || (h.Height != last.Height && time.Since(told) >= pollLater) || time.Since(told) >= reportEvery {
			g.send(hostlink.Frame{Kind: hostlink.KindHealth, Health: &h})
			last, told = h, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (g *Guest) probe(ctx context.Context, client *http.Client) hostlink.Health {
	c := g.services.Counters()["replica"]
	h, err := status(ctx, client, g.statusURL())
	if err != nil {
		h.Message = err.Error()
		if c.LastError != "" && !c.Running {
			h.Message = c.LastError
		}
	}
	h.Message = oneLine(h.Message)
	h.Restarts, h.MemoryKiB, h.Processes = c.Crashes, memoryUsedKiB(), processes("/proc")
	return h
}

// status asks the replica how it is (interface specification, "Status").
func status(ctx context.Context, client *http.Client, url string) (hostlink.Health, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return hostlink.Health{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return hostlink.Health{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return hostlink.Health{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return hostlink.Health{}, fmt.Errorf("the replica answers %s", resp.Status)
	}
	return parseStatus(body)
}

// parseStatus takes two fields out of the CBOR map.
func parseStatus(body []byte) (hostlink.Health, error) {
	var s struct {
		Health string `cbor:"replica_health_status"`
		Height uint64 `cbor:"certified_height"`
	}
	if err := cbor.Unmarshal(body, &s); err != nil {
		return hostlink.Health{}, fmt.Errorf("the replica's status is not CBOR: %w", err)
	}
	h := hostlink.Health{Healthy: s.Health == "healthy", Height: s.Height}
	if !h.Healthy {
		h.Message = "the replica says it is " + s.Health
	}
	return h, nil
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), 500)], "")
}

// processes counts those outside the kernel: a kernel thread runs no file.
func processes(proc string) (n int) {
	links, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "exe"))
	for _, l := range links {
		if _, err := os.Readlink(l); err == nil {
			n++
		}
	}
	return n
}

// memoryUsedKiB is what the whole guest uses, from /proc/meminfo.
func memoryUsedKiB() uint64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var total, available uint64
	for line := range strings.Lines(string(b)) {
		fmt.Sscanf(line, "MemTotal: %d", &total)
		fmt.Sscanf(line, "MemAvailable: %d", &available)
	}
	return total - min(available, total)
}
