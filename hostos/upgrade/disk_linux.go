package upgrade

import (
	"fmt"
	"os"

	"ashlar/hardware/block"

	"golang.org/x/sys/unix"
)

// OnDisk is the disk that this host was started from.
func OnDisk(disk string) Disk { return realDisk(disk) }

type realDisk string

func (d realDisk) find(name string) (block.Partition, error) {
	parts, err := block.List(block.Sys())
	if err != nil {
		return block.Partition{}, err
	}
	return block.Named(block.OnDisk(parts, string(d)), name)
}

func (d realDisk) Size(name string) (int64, error) {
	p, err := d.find(name)
	return p.SizeBytes, err
}

func (d realDisk) Open(name string) (Partition, error) {
	p, err := d.find(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.Device, os.O_RDWR|os.O_EXCL, 0) // O_EXCL: a mounted or mapped one is refused
	if err != nil {
		return nil, fmt.Errorf("open partition %s for writing: %w", name, err)
	}
	return &device{f}, nil
}

type device struct{ *os.File }

// Sync flushes to the disk and drops the page cache of the device.
func (d *device) Sync() error {
	if err := d.File.Sync(); err != nil {
		return err
	}
	return unix.IoctlSetInt(int(d.Fd()), unix.BLKFLSBUF, 0)
}
