package stage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ashlar/hardware/block"
	"ashlar/image/layout"
	"ashlar/image/slots"
	"ashlar/internal/cmdline"
)

// ErrHalt says that a restart would not help: see the verdict.
var ErrHalt = errors.New("stopped")

// Record tells the slot record which slot runs and obeys its verdict: go on,
// restart into the confirmed slot, or stop. The guest has no record; nor has a
// disk that the installer has not finished.
func (m *Machine) Record(context.Context) (string, error) {
	if m.Line.Role != cmdline.Host {
		return "the guest's slot is the host's choice", nil
	}
	j, closeMeta, err := openRecord(m.Slot.Part.Disk)
	if err != nil {
		return "", err
	}
	defer closeMeta()
	v, err := j.Booted(m.Slot.Slot())
	if err != nil {
		return "", err
	}
	switch v.Do {
	case slots.Run:
		m.Trial = j.Record().Slots[m.Slot.Slot()].State == slots.Trial
		return v.Why, nil
	case slots.Redirect:
		if err := bootInto(m.Slot.Part.Disk, v.To); err != nil {
			return "", fmt.Errorf("%s, but the firmware does not take it: %w", v.Why, err)
		}
		return "", errors.New(v.Why)
	}
	return "", fmt.Errorf("%w: %s", ErrHalt, v.Why)
}

// openRecord opens the record on the disk that holds our root, and no other.
func openRecord(disk string) (*slots.Journal, func(), error) {
	parts, err := block.List(block.Sys())
	if err != nil {
		return nil, nil, err
	}
	meta, err := block.Named(block.OnDisk(parts, disk), layout.Meta)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(meta.Device, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open slot record: %w", err)
	}
	j, err := slots.Open(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return j, func() { f.Close() }, nil
}
