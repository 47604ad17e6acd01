package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
)

// This file: page files. Each is written once, as a whole, and then only read:
//
//	header, one page │ pages │ their sums, 32 bytes each │ SHA-256 of header and sums
//
// A page is believed if it has the sum that the file says, and the sums of 64 pages
// if they have the sum that the node above them has (state/pages). So nothing of a
// file needs to be read before it is used.

const (
	fileMagic   = "ashlar pages 1\n\x00"
	headerBytes = pages.Size // so that pages lie on pages
	sumBytes    = 32
	footerBytes = 32
	// writeBytes are written at once.
	writeBytes = 1 << 20
	// streamBytes of a file are sent to the disk while the next are made.
	streamBytes = 8 << 20
	// unmapAfter: who got a page before its place changed has read it by then.
	unmapAfter = time.Minute
)

// sizes are numbers of pages; tests have small ones.
type sizes struct {
	// young is how many pages lie in the database before they move into a file: a
	// round that changes little costs no file, and what they take on the heap is bounded.
	young int
	// file is the most that one file holds: so many that a mapping more or less
	// costs little, so few that a merge is short.
	file int
	// A file with fewer than small in use is a small one.
	small int
	// dead pages in files to be merged make it worth while.
	dead int
	// move in one pass of merging, which takes a second or two of saving.
	move int
}

var (
	fullSizes  = sizes{young: 16 << 20 / pages.Size, file: maxFilePages, small: maxFilePages / 4, dead: maxFilePages / 4, move: maxFilePages}
	smallSizes = sizes{young: 30, file: 64, small: 16, dead: 40, move: 100}
)

// maxFilePages are 256 MiB.
const maxFilePages = 1 << 16

// file is an open page file, in memory by mapping. It is a pages.Owner.
type file struct {
	store  *Store
	number uint64
	pages  int
	data   []byte // all of it
	mapped bool
	moved  []place
}

// place of a page: its file, and its number in there.
type place struct {
	file *file
	at   uint32
}

func fileBytes(n int) int64 {
	return headerBytes + int64(n)*(pages.Size+sumBytes) + footerBytes
}

func fileHeader(number uint64, n int) []byte {
	h := make([]byte, headerBytes)
	copy(h, fileMagic)
	binary.BigEndian.PutUint64(h[16:], number)
	binary.BigEndian.PutUint32(h[24:], uint32(n))
	return h
}

// Holds implements pages.Owner.
func (f *file) Holds(p pages.Page) bool {
	at := uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))
	return at >= headerBytes && at < headerBytes+uintptr(f.pages)*pages.Size
}

func (f *file) at(p pages.Page) uint32 {
	return uint32((uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(unsafe.SliceData(f.data))) - headerBytes) / pages.Size)
}

// Place implements pages.Owner.
func (f *file) Place(p pages.Page) uint64 { return uint64(f.at(p)) }

// Map implements pages.Owner.
func (f *file) Map(over []byte, place uint64) bool {
	if !f.mapped || place*pages.Size+uint64(len(over)) > uint64(f.pages)*pages.Size {
		return false
	}
	r, err := f.store.fs.Open(f.store.pageFile(f.number))
	if err != nil {
		return false // it was merged and deleted
	}
	defer r.Close()
	return mapOver(over, r.Fd(), headerBytes+int64(place)*pages.Size)
}

func (f *file) page(at uint32) pages.Page {
	return pages.Page(f.data[headerBytes+int(at)*pages.Size:])
}

// Sum implements pages.Owner.
func (f *file) Sum(p pages.Page) merkle.Sum { return f.sum(f.at(p)) }

func (f *file) sum(at uint32) merkle.Sum {
	return merkle.Sum(f.data[headerBytes+f.pages*pages.Size+int(at)*sumBytes:])
}

// Check implements pages.Owner.
func (f *file) Check(p pages.Page) {
	if !f.intact(p) {
		f.store.stop(damagedPages(f.store.pageFile(f.number), fmt.Sprintf("page %d is not what was written", f.at(p))))
	}
}

// intact is false also where the disk cannot read the page.
func (f *file) intact(p pages.Page) (ok bool) {
	defer func(old bool) {
		debug.SetPanicOnFault(old)
		if recover() != nil {
			ok = false
		}
	}(debug.SetPanicOnFault(true))
	return merkle.SumPage(p) == f.Sum(p)
}

func damagedPages(name, what string) error {
	return fmt.Errorf("the state is damaged: %s: %s%s", name, what, wayBack)
}

// where a page is now that f was merged into others.
func (f *file) where(at uint32) place {
	if f.moved != nil && f.moved[at].file != nil {
		return f.moved[at].file.where(f.moved[at].at)
	}
	return place{f, at}
}

// fresh is a page to be written.
type fresh struct {
	page pages.Page
	sum  merkle.Sum
}

// writeFile makes a page file durable, but for its name in the directory.
func (s *Store) writeFile(number uint64, list []fresh) (*file, error) {
	name := s.pageFile(number)
	w, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, explain(name, err)
	}
	err = fillFile(s.stream(w), number, list)
	if err == nil {
		err = w.Sync()
	}
	if e := w.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, explain(name, err)
	}
	f, err := s.openFile(number, len(list))
	if err != nil {
		return nil, explain(name, err)
	}
	return f, nil
}

// stream lets the disk work while a file is being filled, so that syncing it has less
// to wait for. Disks that tests are in charge of see nothing of it.
func (s *Store) stream(w vfs.File) io.Writer {
	if s.fs != vfs.Default {
		return w
	}
	return vfs.NewSyncingFile(w, vfs.SyncingFileOptions{BytesPerSync: streamBytes})
}

// writeBuffers are what fillFile gathers pages in.
var writeBuffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

func fillFile(w io.Writer, number uint64, list []fresh) error {
	buf := writeBuffers.Get().(*bytes.Buffer)
	defer writeBuffers.Put(buf)
	buf.Reset()
	buf.Grow(min(writeBytes, int(fileBytes(len(list)))) + pages.Size)
	header := fileHeader(number, len(list))
	hash := sha256.New()
	hash.Write(header)
	put := func(b []byte) error {
		buf.Write(b)
		if buf.Len() < writeBytes {
			return nil
		}
		_, err := w.Write(buf.Bytes())
		buf.Reset()
		return err
	}
	err := put(header)
	for i := 0; i < len(list) && err == nil; i++ {
		err = put(list[i].page[:])
	}
	for i := 0; i < len(list) && err == nil; i++ {
		hash.Write(list[i].sum[:])
		err = put(list[i].sum[:])
	}
	if err != nil {
		return err
	}
	buf.Write(hash.Sum(nil))
	_, err = w.Write(buf.Bytes())
	return err
}

// openFile maps a file of n pages, or reads it where that cannot be done.
func (s *Store) openFile(number uint64, n int) (*file, error) {
	name := s.pageFile(number)
	r, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != fileBytes(n) {
		return nil, damagedPages(name, fmt.Sprintf("it has %d bytes, not %d", info.Size(), fileBytes(n)))
	}
	f := &file{store: s, number: number, pages: n}
	if f.data, err = mapFile(r.Fd(), int(info.Size())); err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	m, inMemory := r.(interface{ Mapped() []byte })
	if f.mapped = f.data != nil; f.mapped {
		runtime.AddCleanup(f, func(data []byte) { time.AfterFunc(unmapAfter, func() { unmapFile(data) }) }, f.data)
	} else if inMemory {
		f.data = m.Mapped()
	} else {
		f.data = make([]byte, info.Size())
		if _, err := r.ReadAt(f.data, 0); err != nil && err != io.EOF {
			return nil, err
		}
	}
	if !bytes.Equal(f.data[:28], fileHeader(number, n)[:28]) {
		return nil, damagedPages(name, "its header is not what was written")
	}
	return f, nil
}
