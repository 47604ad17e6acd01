//go:build unix

package store

import (
	"unsafe"

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

// mapOver maps a part of a file over memory that is mapped already, to be read and,
// privately, written.
func mapOver(over []byte, fd uintptr, offset int64) bool {
	if fd == vfs.InvalidFd || len(over) == 0 {
		return false
	}
	_, err := unix.MmapPtr(int(fd), offset, unsafe.Pointer(unsafe.SliceData(over)), uintptr(len(over)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return err == nil
}

func unmapFile(data []byte) { _ = unix.Munmap(data) }
