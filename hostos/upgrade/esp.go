package upgrade

import (
	"fmt"

	"ashlar/image/layout"
	"ashlar/image/slots"
)

// headBytes is what is held back: the boot sector, in sectors of any size. Without it no firmware takes the partition for a volume.
const headBytes = 4096

// An espWriter is an ESP that is no ESP until the slot is whole.
//
//	zeros, synced ──> the rest of the slot, read back ──> the boot sector
//
// The record alone is not enough: a firmware that has lost its variables starts
// whichever ESP it finds. What it would find in a slot half written is a UKI
// whose root is gone, which cannot even ask the record where to go instead.
type espWriter struct {
	Partition
	head []byte
}

// blankESP makes the idle slot's ESP unbootable, before anything else of the slot is touched.
func (u *Upgrader) blankESP(idle slots.Slot) (*espWriter, error) {
	part, err := u.Disk.Open(name(layout.ESP, idle))
	if err != nil {
		return nil, err
	}
	e := &espWriter{Partition: part, head: make([]byte, headBytes)}
	if _, err = part.WriteAt(e.head, 0); err == nil {
		err = part.Sync()
	}
	if err != nil {
		part.Close()
		return nil, fmt.Errorf("make the old ESP unbootable: %w", err)
	}
	return e, nil
}

// WriteAt holds back what belongs to the head.
func (e *espWriter) WriteAt(b []byte, off int64) (int, error) {
	n := 0
	if off < headBytes {
		n = copy(e.head[off:], b)
	}
	if n == len(b) {
		return n, nil
	}
	m, err := e.Partition.WriteAt(b[n:], off+int64(n))
	return n + m, err
}

// reveal writes the head, once the rest is on the disk.
func (e *espWriter) reveal() error {
	if err := e.Sync(); err != nil {
		return fmt.Errorf("write the ESP to the disk: %w", err)
	}
	if _, err := e.Partition.WriteAt(e.head, 0); err != nil {
		return fmt.Errorf("write the ESP's boot sector: %w", err)
	}
	return nil
}
