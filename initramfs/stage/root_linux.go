package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ashlar/hardware/block"
	"ashlar/image/verity"
	"ashlar/internal/cmdline"

	"github.com/containerd/go-dmverity/pkg/dm"
	"golang.org/x/sys/unix"
)

const (
	mapped  = "root"
	newRoot = "/newroot"

	// readAheadKiB is how much of a program one page fault brings in. Programs are
	// read from here once, at boot, nearly whole: few large reads beat many of the
	// kernel's 128 KiB, most of all in a VM, where each costs several exits.
	readAheadKiB = "1024"
)

// second is the process that takes over, by role.
var second = map[string]string{cmdline.Host: "/sbin/hostd", cmdline.Guest: "/sbin/guestd"}

// Verity maps the partition through dm-verity: from here on the kernel checks
// each block it reads and restarts the machine at the first that is wrong.
func (m *Machine) Verity(ctx context.Context) (string, error) {
	params, err := verityParams(m.Line, m.Slot)
	if err != nil {
		return "", err
	}
	c, err := dm.Open()
	if err != nil {
		return "", fmt.Errorf("open device mapper: %w", err)
	}
	defer c.Close()
	if _, err := c.CreateDevice(mapped); err != nil {
		return "", fmt.Errorf("create mapped device: %w", err)
	}
	target := dm.Target{SectorStart: 0, Length: m.Line.Blocks * (verity.BlockSize / 512), Type: "verity", Params: params}
	if err := c.LoadTable(mapped, []dm.Target{target}); err != nil {
		return "", fmt.Errorf("load verity table: %w", err)
	}
	if err := c.SuspendDevice(mapped, false); err != nil {
		return "", fmt.Errorf("start verity: %w", err)
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, diskDeadline)
	defer cancel()
	err = block.Wait(wait, func() (bool, error) {
		_, err := os.Stat("/dev/dm-0")
		return err == nil, nil
	})
	if err != nil {
		return "", fmt.Errorf("the mapped root does not appear: %w", err)
	}
	if err := os.WriteFile("/sys/block/dm-0/queue/read_ahead_kb", []byte(readAheadKiB), 0); err != nil {
		return "", fmt.Errorf("set the read-ahead of the root: %w", err)
	}
	if err := unix.Mount("/dev/dm-0", newRoot, "erofs", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, ""); err != nil {
		return "", fmt.Errorf("mount root: %w", err)
	}
	return "root hash " + m.Line.RootHex()[:16], nil
}

// verityParams is the table line of the kernel's verity target.
func verityParams(line cmdline.CommandLine, slot Found) (string, error) {
	return dm.BuildTargetParams(dm.OpenArgs{
		Version: 1, DataDevice: slot.Part.Device, HashDevice: slot.Part.Device,
		DataBlockSize: verity.BlockSize, HashBlockSize: verity.BlockSize, DataBlocks: line.Blocks,
		HashName: "sha256", RootDigest: line.Root[:], Salt: slot.Salt,
		HashStartBytes: (line.Blocks + 1) * verity.BlockSize, Flags: []string{"restart_on_corruption"},
	})
}

// Root moves the mounts, frees the initramfs, makes the root the root and
// checks that what takes over is there.
func (m *Machine) Root(context.Context) (string, error) {
	next := second[m.Line.Role]
	if _, err := os.Stat(filepath.Join(newRoot, next)); err != nil {
		return "", fmt.Errorf("root lacks %s: the image is not complete", next)
	}
	for _, f := range mounts {
		if strings.Count(f.at, "/") > 1 {
			continue // moves with its parent
		}
		if err := unix.Mount(f.at, newRoot+f.at, "", unix.MS_MOVE, ""); err != nil {
			return "", fmt.Errorf("move %s into root: %w", f.at, err)
		}
	}
	if err := emptyInitramfs(); err != nil {
		return "", err
	}
	if err := os.Chdir(newRoot); err != nil {
		return "", err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return "", fmt.Errorf("move root: %w", err)
	}
	if err := errors.Join(unix.Chroot("."), os.Chdir("/")); err != nil {
		return "", fmt.Errorf("enter root: %w", err)
	}
	return "starting " + next, nil
}

// Exec replaces this process by the one in the root. It returns on failure only.
func (m *Machine) Exec() error {
	next := second[m.Line.Role]
	err := unix.Exec(next, []string{next}, m.environment())
	return fmt.Errorf("start %s: %w", next, err)
}

// environment is all that the next process is told. That the boot is a trial is told here, because a release whose hostd
// fails before it can read the record itself must fall back, too.
func (m *Machine) environment() []string {
	env := []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin", "HOME=/", "ASHLAR_SLOT=" + string(m.Slot.Slot()), "ASHLAR_DISK=" + m.Slot.Part.Disk}
	if m.Trial {
		env = append(env, "ASHLAR_TRIAL=1")
	}
	return env
}

// emptyInitramfs gives the memory of the initramfs back. It never crosses into
// another file system.
func emptyInitramfs() error {
	var st unix.Stat_t
	if err := unix.Lstat("/", &st); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil {
		return err
	}
	if fs.Type != unix.TMPFS_MAGIC && fs.Type != unix.RAMFS_MAGIC {
		return errors.New("the first root is not an initramfs: not deleting its content")
	}
	return removeBelow("/", uint64(st.Dev))
}

func removeBelow(dir string, dev uint64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || uint64(st.Dev) != dev {
			continue
		}
		if e.IsDir() {
			if err := removeBelow(path, dev); err != nil {
				return err
			}
		}
		_ = os.Remove(path) // a folder with a mount in it stays
	}
	return nil
}
