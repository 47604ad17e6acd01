package boot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ashlar/guestos/hostlink"
	"ashlar/hostos/network"
	"ashlar/internal/phases"
)

// A gate passes when the replica was healthy at two different heights, with the
// network up: it answers, it makes progress, and others can reach it.
type gate struct {
	first   uint64
	started bool
}

// see is told each health that comes, and what is wrong with the network.
func (g *gate) see(h hostlink.Health, network error) bool {
	if !h.Healthy || network != nil {
		g.started = false
		return false
	}
	if !g.started {
		g.first, g.started = h.Height, true
		return false
	}
	return h.Height > g.first
}

// ready waits for the health gate. On trial it has the configuration's time for
// that; else as long as it takes, because there is nothing to go back to.
func (h *Host) ready(ctx context.Context) (string, error) {
	close(h.gated)
	trial := h.upgrade.OnTrial()
	wait, cancel := context.WithCancel(ctx)
	if trial {
		wait, cancel = context.WithTimeoutCause(ctx, h.conf.HealthTimeout, errors.New("timeout"))
	}
	defer cancel()
	var g gate
	for {
		h.mu.Lock()
		now := h.health
		h.mu.Unlock()
		var down error
		if trial { // the confirmed release is ready without a network, too: a router may be off for longer than a boot
			down = network.Ready(h.conf)
		}
		if g.see(now, down) {
			return h.passed(trial, now)
		}
		select {
		case <-h.news:
		case <-ctx.Done():
			return "", ctx.Err()
		case <-wait.Done():
			return "", fmt.Errorf("not healthy within %v: %s", h.conf.HealthTimeout, told(now, down))
		}
	}
}

func (h *Host) passed(trial bool, now hostlink.Health) (string, error) {
	if trial {
		if err := h.upgrade.Confirm(); err != nil {
			return "", err
		}
		h.log.Say("release %s is confirmed in slot %s", h.line.Version, h.slot)
	}
	h.mu.Lock()
	h.readyAt = phases.Uptime()
	h.mu.Unlock()
	return fmt.Sprintf("replica healthy at height %d", now.Height), nil
}

func told(h hostlink.Health, network error) string {
	switch {
	case network != nil:
		return "the network is not up: " + network.Error()
	case h.Healthy:
		return fmt.Sprintf("the replica stands still at height %d", h.Height)
	case h.Message != "":
		return h.Message
	}
	return "the guest has said nothing about its replica"
}

// since is the age of what the guest said, in seconds.
func since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}
