package engine

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ashlar/replica/state/pages"
)

// Written pages by the kernel: a heap is registered with a userfaultfd in
// asynchronous write-protect mode, in which the kernel itself lifts the protection
// at the first write, and PAGEMAP_SCAN lists and protects again what was written.
// User mode faults are enough (no privilege), as host functions write in user mode.
// See Documentation/admin-guide/mm/pagemap.rst and include/uapi/linux/{fs,userfaultfd}.h.
const (
	uffdUserModeOnly = 1
	uffdioAPI        = 0xc018aa3f
	uffdioRegister   = 0xc020aa00
	uffdAPI          = 0xaa
	uffdFeatureWP    = 1 << 0
	uffdFeatureAsync = 1 << 15
	uffdModeWP       = 1 << 1

	pagemapScan      = 0xc0606610
	scanProtect      = 1 << 0 // PM_SCAN_WP_MATCHING
	scanCheckAsync   = 1 << 1 // PM_SCAN_CHECK_WPASYNC
	pageWritten      = 1 << 1
	pagePresent      = 1 << 3
	pageSwapped      = 1 << 4
	regionsPerScan   = 512
	scanArgumentSize = 96
)

type uffdioAPIArg struct{ api, features, ioctls uint64 }

type uffdioRegisterArg struct{ start, length, mode, ioctls uint64 }

type scanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages    uint64
	categoryInverted, categoryMask, categoryAnyOf, returnMask_ uint64
}

type pageRegion struct{ start, end, _ uint64 } // the third: categories

var regionPool = sync.Pool{New: func() any { return new([regionsPerScan]pageRegion) }}

// scanner holds the two descriptors of the process.
type scanner struct {
	uffd    int
	pagemap *os.File
}

var openScanner = sync.OnceValues(func() (*scanner, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|uffdUserModeOnly, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("userfaultfd: %w", errno)
	}
	arg := uffdioAPIArg{api: uffdAPI, features: uffdFeatureWP | uffdFeatureAsync}
	if err := ioctl(fd, uffdioAPI, unsafe.Pointer(&arg)); err != nil {
		unix.Close(int(fd))
		return nil, fmt.Errorf("userfaultfd without asynchronous write protection: %w", err)
	}
	pagemap, err := openPagemap()
	if err != nil {
		unix.Close(int(fd))
		return nil, err
	}
	return &scanner{int(fd), pagemap}, nil
})

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// probeScan tries the whole way on one mapping.
func probeScan() (trackerMaker, error) {
	s, err := openScanner()
	if err != nil {
		return nil, err
	}
	space, err := reserve(8 * pages.Size)
	if err != nil {
		return nil, err
	}
	defer unmap(space)
	if err := s.register(space); err != nil {
		return nil, err
	}
	space[0] = 1
	if err := s.scan(space, func(uint64) {}); err != nil {
		return nil, err
	}
	if err := namesWritten("PAGEMAP_SCAN", space, s.scan); err != nil {
		return nil, err
	}
	return func() tracker { return &scanTracker{s: s} }, nil
}

func (s *scanner) register(space []byte) error {
	if len(space) == 0 {
		return nil
	}
	arg := uffdioRegisterArg{start: address(space), length: uint64(len(space)), mode: uffdModeWP}
	if err := ioctl(uintptr(s.uffd), uffdioRegister, unsafe.Pointer(&arg)); err != nil {
		return fmt.Errorf("UFFDIO_REGISTER: %w", err)
	}
	return nil
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// scan lists the pages of buf that have content and are not protected, and protects them.
func (s *scanner) scan(buf []byte, yield func(uint64)) error {
	if len(buf) == 0 {
		return nil
	}
	// From the heap: a goroutine's stack may move, and the kernel gets an address.
	regions := regionPool.Get().(*[regionsPerScan]pageRegion)
	defer regionPool.Put(regions)
	base := address(buf)
	arg := scanArg{size: scanArgumentSize, flags: scanProtect | scanCheckAsync, start: base, end: base + uint64(len(buf)),
		vec: uint64(uintptr(unsafe.Pointer(regions))), vecLen: regionsPerScan,
		categoryMask: pageWritten, categoryAnyOf: pagePresent | pageSwapped, returnMask_: pageWritten}
	for arg.start < arg.end {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, s.pagemap.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("PAGEMAP_SCAN: %w", errno)
		}
		for _, r := range regions[:n] {
			for a := r.start; a < r.end; a += pages.Size {
				yield((a - base) / pages.Size)
			}
		}
		arg.start = arg.walkEnd
	}
	return nil
}

type scanTracker struct{ s *scanner }

func (t *scanTracker) begin(space []byte) {
	if err := t.s.register(space); err != nil {
		panic(fmt.Sprintf("engine: watch a heap of %d bytes: %v", len(space), err))
	}
}

func (t *scanTracker) written(buf []byte, yield func(uint64)) {
	if err := t.s.scan(buf, yield); err != nil {
		panic("engine: " + err.Error())
	}
}

func (t *scanTracker) clean(buf []byte) { t.written(buf, func(uint64) {}) }
