//go:build unix

package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// mapFile maps a file to be read; nil where it is not one of the operating system.
func mapFile(fd uintptr, bytes int) ([]byte, error) {
	if fd == vfs.InvalidFd {
		return nil, nil
	}
	return unix.Mmap(int(fd), 0, bytes, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(data []byte) { _ = unix.Munmap(data) }
