package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ashlar/hostos/api"
	"ashlar/image/slots"
)

const (
	uploadTimeout = 35 * time.Minute // the node gives up after 30
	pollEvery     = 2 * time.Second
	pollTimeout   = 10 * time.Second
)

// upgradeNode sends a bundle and waits for what becomes of it.
func upgradeNode(ctx context.Context, c *call) error {
	key, err := readKey(c.key)
	if err != nil {
		return err
	}
	if err := c.lookFirst(); err != nil {
		return err
	}
	f, err := os.Open(c.bundle)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	before, err := c.status(ctx)
	if err != nil {
		return err
	}
	upload, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	req, err := c.signed(upload, "/v1/upgrade", key, [sha256.Size]byte(h.Sum(nil)))
	if err != nil {
		return err
	}
	req.Body, req.ContentLength = f, size
	req.Header.Set("Expect", "100-continue") // who is not an administrator need not send it all
	fmt.Fprintf(c.out, "sending %s, %d MiB, to node %s\n", c.bundle, size>>20, before.Name)
	var up api.Upgraded
	if err := c.do(req, &up); err != nil {
		return fmt.Errorf("%w\n  the node goes on with release %s", err, before.Version)
	}
	fmt.Fprintf(c.out, "release %s is written to slot %s; the node restarts to try it\n", up.Version, up.Slot)
	if c.noWait {
		return nil
	}
	return c.waitTrial(ctx, up)
}

// lookFirst checks the bundle here, where the release's key is known: a payload that is damaged shows itself to the node only
// when the idle slot, and the old release in it, is overwritten. What is believed is the node's to say, not ours.
func (c *call) lookFirst() error {
	if _, err := os.Stat(filepath.Join(filepath.Dir(c.bundle), releasePub)); err != nil && c.releaseKey == "" {
		return nil
	}
	_, _, err := c.readBundle()
	return err
}

// waitTrial watches until the release is confirmed or given up.
func (c *call) waitTrial(ctx context.Context, up api.Upgraded) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	phase := ""
	for {
		ask, done := context.WithTimeout(ctx, pollTimeout)
		s, err := c.status(ask)
		done()
		if err == nil {
			over, result := outcome(s, up)
			if over {
				if result == nil {
					fmt.Fprintf(c.out, "release %s is confirmed: replica healthy at height %d, %.1f s after power-on\n", up.Version, s.Health.Height, s.ReadyAt)
				}
				return result
			}
			if n := len(s.Phases); n > 0 && s.Phases[n-1].Name != phase && s.Version == up.Version {
				phase = s.Phases[n-1].Name
				fmt.Fprintf(c.out, "  %s\n", s.Phases[n-1].Line())
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("release %s was neither confirmed nor given up within %v\n  look again: nodectl slots --url %s", up.Version, c.timeout, c.url), err)
		case <-time.After(pollEvery):
		}
	}
}

// outcome reads the end of a trial out of a status.
func outcome(s api.Status, up api.Upgraded) (over bool, err error) {
	e := s.Slots.Slots[slots.Slot(up.Slot)]
	switch {
	case string(s.Slots.Confirmed) == up.Slot && s.Version == up.Version && s.Ready:
		return true, nil
	case e.State == slots.Failed && string(s.Slot) != up.Slot:
		return true, fmt.Errorf("release %s failed: %s\n  the node is back on release %s", up.Version, e.Reason, s.Version)
	}
	return false, nil
}
