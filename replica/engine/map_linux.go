package engine

import (
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve maps zeros that take memory only where they are written. Huge pages are
// off: with them a written byte would be 2 MiB to save.
func reserve(n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE) // kernels without huge pages refuse it
	return b, nil
}

// canMap: files can be mapped over what reserve gave.
const canMap = true

// renew replaces what is mapped by zeros that were never written.
func renew(b []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err == nil {
		_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
	}
	return err
}

func unmap(b []byte) {
	if err := unix.Munmap(b); err != nil {
		panic("engine: munmap: " + err.Error())
	}
}

// mapCode maps the whole of a file of so many bytes as code. Where its file system
// does not allow that, the code is copied.
func mapCode(file string, size uint64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || uint64(info.Size()) != size || size == 0 {
		return nil, errDamaged
	}
	code, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err == nil {
		return code, nil
	}
	if code, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, err
	}
	if _, err = io.ReadFull(f, code); err == nil {
		err = unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC)
	}
	if err != nil {
		unmapCode(code)
		return nil, err
	}
	return code, nil
}

func unmapCode(code []byte) { unmap(code) }

// discard makes the range read as zeros again and gives its memory back.
func discard(b []byte) {
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		clear(b)
	}
}
