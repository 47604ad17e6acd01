package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"ashlar/hostos/api"
	"ashlar/image/slots"
)

func (c *call) status(ctx context.Context) (api.Status, error) {
	var s api.Status
	err := c.get(ctx, "/v1/status", &s)
	return s, err
}

// status exits 1 when the node is not healthy: scripts ask that.
func status(ctx context.Context, c *call) error {
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		if err := e.Encode(s); err != nil {
			return err
		}
	} else {
		show(c.out, s)
	}
	if !s.Health.Healthy {
		return fmt.Errorf("node %s is not healthy: %s", s.Name, orElse(s.Health.Message, "its guest has not said so yet"))
	}
	return nil
}

func show(out io.Writer, s api.Status) {
	trial := "confirmed"
	if s.Trial {
		trial = "on trial"
	}
	fmt.Fprintf(out, "node %s, release %s in slot %s (%s), up %.0f s\n", s.Name, s.Version, s.Slot, trial, s.Uptime)
	if s.Health.Healthy {
		fmt.Fprintf(out, "  replica   healthy at height %d\n", s.Health.Height)
	} else {
		fmt.Fprintf(out, "  replica   NOT healthy: %s\n", orElse(s.Health.Message, "no word from it yet"))
	}
	fmt.Fprintf(out, "  tpm       %s\n  kvm       %s\n", s.TPM, s.KVM)
	fmt.Fprintf(out, "  memory    host %d MiB, guest's machine %d MiB, of %d MiB; %d processes\n", s.Memory.Host>>10, s.Memory.VM>>10, s.Memory.Total>>10, s.Memory.Processes)
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		if x := s.Services[name]; x.Crashes > 0 {
			fmt.Fprintf(out, "  service   %s ended %d times: %s\n", name, x.Crashes, x.LastError)
		}
	}
	if s.Health.Restarts > 0 {
		fmt.Fprintf(out, "  replica   ended %d times since the guest started\n", s.Health.Restarts)
	}
	for _, i := range slices.Sorted(maps.Keys(s.PCRs)) {
		fmt.Fprintf(out, "  PCR %-2d    %s\n", i, s.PCRs[i])
	}
	for _, n := range s.Notes {
		fmt.Fprintf(out, "  note      %s\n", n)
	}
	for _, p := range s.Phases {
		fmt.Fprintf(out, "  %-5s %8.3f s  %-12s %s\n", p.Who, p.Seconds, p.Name, p.Text)
	}
}

func slotTable(ctx context.Context, c *call) error {
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	for _, x := range []slots.Slot{slots.A, slots.B} {
		e := s.Slots.Slots[x]
		mark := " "
		if x == s.Slot {
			mark = "*"
		}
		confirmed := ""
		if x == s.Slots.Confirmed {
			confirmed = ", confirmed"
		}
		fmt.Fprintf(c.out, "%s %s  %-8s %s%s\n", mark, x, e.State, orElse(e.Version, "-"), confirmed)
		if e.Reason != "" {
			fmt.Fprintf(c.out, "     %s\n", e.Reason)
		}
	}
	fmt.Fprintf(c.out, "no release older than %s is taken; * runs now\n", s.Slots.Floor)
	return nil
}

func logLines(ctx context.Context, c *call) error {
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	for _, l := range s.Log {
		fmt.Fprintln(c.out, l)
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
