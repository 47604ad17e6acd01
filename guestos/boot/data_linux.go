package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ashlar/hardware/block"

	"golang.org/x/sys/unix"
)

const (
	dataSerial = "ashlar-data" // hostos/vm gives it to the disk
	dataDir    = "/run/data"
)

// data mounts the disk with all that survives: formatted when it is blank,
// refused when it is something else.
func (g *Guest) data(ctx context.Context) (string, error) {
	wait, cancel := context.WithTimeout(ctx, deviceWait)
	defer cancel()
	var disk string
	err := block.Wait(wait, func() (bool, error) {
		disk = diskBySerial("/sys/block", dataSerial)
		return disk != "", nil
	})
	if err != nil {
		return "", fmt.Errorf("the host gave no disk with the serial %s", dataSerial)
	}
	did, err := prepare(disk)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", err
	}
	if err := unix.Mount(disk, dataDir, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "errors=remount-ro"); err != nil {
		return "", fmt.Errorf("mount data disk %s: %w", disk, err)
	}
	g.state = filepath.Join(dataDir, "replica")
	if err := os.MkdirAll(g.state, 0o700); err != nil {
		return "", err
	}
	return did, nil
}

func (g *Guest) unmount() error {
	unix.Sync()
	if g.state == "" {
		return nil
	}
	if err := unix.Unmount(dataDir, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount data: %w", err)
	}
	return nil
}

// diskBySerial finds the disk that the host has marked.
func diskBySerial(sysBlock, serial string) string {
	files, _ := filepath.Glob(filepath.Join(sysBlock, "*", "serial"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(b)) == serial {
			return "/dev/" + filepath.Base(filepath.Dir(f))
		}
	}
	return ""
}
