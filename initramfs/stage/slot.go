package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ashlar/hardware/block"
	"ashlar/image/layout"
	"ashlar/image/slots"
	"ashlar/image/verity"
	"ashlar/internal/cmdline"
)

// diskDeadline is for slow controllers and disks that spin up; then a reboot tries again.
const diskDeadline = 30 * time.Second

// rootNames are the partitions that may hold the root, by role.
var rootNames = map[string][]string{
	cmdline.Host:  {layout.Root + "-" + string(slots.A), layout.Root + "-" + string(slots.B)},
	cmdline.Guest: {layout.Root},
}

// Found is the partition with our root.
type Found struct {
	Part block.Partition
	Salt []byte
}

// Slot is the slot, a or b, or empty in the guest.
func (f Found) Slot() slots.Slot {
	_, letter, _ := strings.Cut(f.Part.Name, "-")
	return slots.Slot(letter)
}

// FindSlot waits for the partition whose verity tree has our root hash.
func (m *Machine) FindSlot(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, diskDeadline)
	defer cancel()
	var why []string
	err := block.Wait(ctx, func() (bool, error) {
		parts, err := block.List(block.Sys())
		if err != nil {
			return false, err
		}
		found, w := pick(parts, m.Line, openDevice)
		why = w
		if len(found) > 0 {
			m.Slot = preferred(found)
		}
		return len(found) > 0, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		if len(why) == 0 {
			why = []string{"no partition called " + strings.Join(rootNames[m.Line.Role], " or ") + " appeared"}
		}
		return "", fmt.Errorf("no root file system with hash %s within %v: %s", m.Line.RootHex()[:16], diskDeadline, strings.Join(why, "; "))
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s on %s", m.Slot.Part.Name, m.Slot.Part.Device), nil
}

// preferred chooses where both slots hold the same release: then the one that
// the firmware booted from is meant.
func preferred(found []Found) Found {
	if len(found) > 1 {
		booted := bootedSlot()
		for _, f := range found {
			if f.Slot() == booted {
				return f
			}
		}
	}
	return found[0]
}

type device interface {
	io.ReaderAt
	io.Closer
}

func openDevice(path string) (device, error) { return os.Open(path) }

// pick finds our root among the partitions, and says of the others why not.
func pick(parts []block.Partition, line cmdline.CommandLine, open func(string) (device, error)) (found []Found, why []string) {
	for _, name := range rootNames[line.Role] {
		for _, p := range parts {
			if p.Name != name {
				continue
			}
			salt, err := probe(p, line, open)
			if err != nil {
				why = append(why, fmt.Sprintf("%s (%s): %v", p.Name, p.Device, err))
				continue
			}
			found = append(found, Found{Part: p, Salt: salt})
		}
	}
	return found, why
}

// probe says whether the verity tree of p has our root hash, and its salt.
func probe(p block.Partition, line cmdline.CommandLine, open func(string) (device, error)) ([]byte, error) {
	if need := verity.TotalBytes(line.Blocks); p.SizeBytes < need {
		return nil, fmt.Errorf("has %d bytes, our root needs %d", p.SizeBytes, need)
	}
	d, err := open(p.Device)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	sb, err := verity.Check(d, line.Blocks, verity.Root(line.Root))
	return sb.Salt, err
}
