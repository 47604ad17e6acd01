package stage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ashlar/hardware/block"
	"ashlar/internal/cmdline"
)

const (
	blockBytes   = 4096
	diskDeadline = 30 * time.Second // slow controllers and disks that spin up; then a reboot tries again
	maxSalt      = 256              // dm-verity's own limit
)

// rootNames are the partitions that may hold the root, by role.
var rootNames = map[string][]string{
	cmdline.Host:  {"root-a", "root-b"},
	cmdline.Guest: {"root"},
}

// Found is the partition with our root.
type Found struct {
	Part block.Partition
	Salt []byte
}

// Letter is the slot, a or b, or empty in the guest.
func (f Found) Letter() string {
	_, letter, _ := strings.Cut(f.Part.Name, "-")
	return letter
}

// FindSlot waits for the partition whose verity tree has our root hash.
func (m *Machine) FindSlot(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, diskDeadline)
	defer cancel()
	var why []string
	prefer := bootedSlot()
	err := block.Wait(ctx, func() (bool, error) {
		parts, err := block.List(block.Sys())
		if err != nil {
			return false, err
		}
		var ok bool
		m.Slot, ok, why = pick(parts, m.Line, prefer, openDevice)
		return ok, nil
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

type device interface {
	io.ReaderAt
	io.Closer
}

func openDevice(path string) (device, error) { return os.Open(path) }

// pick finds our root among the partitions. Where both slots hold the same
// release, the slot that the firmware booted from wins.
func pick(parts []block.Partition, line cmdline.CommandLine, prefer string, open func(string) (device, error)) (Found, bool, []string) {
	var hit Found
	var ok bool
	var why []string
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
			found := Found{Part: p, Salt: salt}
			if !ok || found.Letter() == prefer {
				hit, ok = found, true
			}
		}
	}
	return hit, ok, why
}

// probe says whether the verity tree of p has our root hash, and its salt.
func probe(p block.Partition, line cmdline.CommandLine, open func(string) (device, error)) ([]byte, error) {
	if need := int64(line.Blocks+2) * blockBytes; p.SizeBytes < need {
		return nil, fmt.Errorf("has %d bytes, our root needs %d", p.SizeBytes, need)
	}
	d, err := open(p.Device)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	sb := make([]byte, 512)
	if _, err := d.ReadAt(sb, int64(line.Blocks)*blockBytes); err != nil {
		return nil, fmt.Errorf("read verity superblock: %w", err)
	}
	salt, err := parseSuperblock(sb, line.Blocks)
	if err != nil {
		return nil, err
	}
	top := make([]byte, blockBytes)
	at := int64(line.Blocks + 1) // the tree is stored top level first
	if line.Blocks == 1 {
		at = 0 // one block has no tree: its own hash is the root
	}
	if _, err := d.ReadAt(top, at*blockBytes); err != nil {
		return nil, fmt.Errorf("read top of verity tree: %w", err)
	}
	if sha256.Sum256(append(append([]byte(nil), salt...), top...)) != line.Root {
		return nil, errors.New("another root hash")
	}
	return salt, nil
}

// parseSuperblock checks that a verity superblock (the format of veritysetup,
// version 1) describes the tree that our builder makes, and returns its salt.
// It is a hint only: a wrong salt gives another root hash.
func parseSuperblock(b []byte, blocks uint64) ([]byte, error) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if len(b) < 512 || string(b[:8]) != "verity\x00\x00" {
		return nil, errors.New("no verity superblock")
	}
	algo, _, _ := strings.Cut(string(b[32:64]), "\x00")
	salt := int(b[80]) | int(b[81])<<8
	switch {
	case u32(b[8:]) != 1 || u32(b[12:]) != 1:
		return nil, fmt.Errorf("verity version %d type %d, want 1 and 1", u32(b[8:]), u32(b[12:]))
	case algo != "sha256":
		return nil, fmt.Errorf("verity hash %q, want sha256", algo)
	case u32(b[64:]) != blockBytes || u32(b[68:]) != blockBytes:
		return nil, errors.New("verity block size is not 4096")
	case u64(b[72:]) != blocks:
		return nil, fmt.Errorf("verity tree over %d blocks, want %d", u64(b[72:]), blocks)
	case salt > maxSalt:
		return nil, fmt.Errorf("verity salt of %d bytes", salt)
	}
	return append([]byte(nil), b[88:88+salt]...), nil
}
