// Package pack makes the initramfs: a file tree as a cpio archive (Linux, Documentation/
// driver-api/early-userspace/buffer-format.rst), the same bytes each time.
//
//	tree ── Cpio ──> "newc" archive ── Zstd ──> what the UKI carries as .initrd
//
// All is root's and of the same moment; inode numbers count the entries.
package pack

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"

	"ashlar/image/tree"
)

const (
	maxFile = 1<<32 - 1 // sizes have eight hex digits
	trailer = "TRAILER!!!"
)

// Cpio writes the tree as an archive of "newc" format.
func Cpio(w io.Writer, t *tree.Tree) error {
	list, err := t.Entries()
	if err != nil {
		return err
	}
	c := &writer{w: w}
	for _, e := range list {
		if err := c.add(e); err != nil {
			return fmt.Errorf("pack /%s: %w", e.Path, err)
		}
	}
	c.header(trailer, 0, 1, 0, 0)
	c.pad(512) // the grain of tapes; the kernel and cpio(1) are used to it
	return c.err
}

// Image is the archive in memory, compressed if asked for.
func Image(t *tree.Tree, compress bool) ([]byte, error) {
	var b bytes.Buffer
	if err := Cpio(&b, t); err != nil {
		return nil, err
	}
	if !compress {
		return b.Bytes(), nil
	}
	return Zstd(b.Bytes())
}

// Zstd compresses as the kernel's unpacker wants it. One goroutine: with more, the cuts
// between their blocks, and so the bytes, would follow the machine.
func Zstd(b []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	return enc.EncodeAll(b, nil), nil
}

// writer keeps the first error and what was written, for the padding.
type writer struct {
	w   io.Writer
	n   int64
	ino uint32
	err error
}

func (c *writer) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
	return n, err
}

func (c *writer) pad(to int64) {
	c.Write(make([]byte, (to-c.n%to)%to))
}

// The types of a mode (Linux, uapi/linux/stat.h).
var kinds = map[fs.FileMode]uint32{
	0:                                 0o100000,
	fs.ModeDir:                        0o040000,
	fs.ModeSymlink:                    0o120000,
	fs.ModeDevice:                     0o060000,
	fs.ModeDevice | fs.ModeCharDevice: 0o020000,
}

func (c *writer) add(e tree.Entry) error {
	size, err := e.Size()
	if err != nil {
		return err
	}
	if e.Mode&fs.ModeSymlink != 0 {
		size = int64(len(e.Link))
	}
	if size > maxFile {
		return fmt.Errorf("%d bytes are more than an archive can say", size)
	}
	links := uint32(1)
	if e.Mode.IsDir() {
		links = 2
	}
	c.ino++
	c.header(e.Path, kinds[e.Mode.Type()]|uint32(e.Mode.Perm()), links, size, e.Dev)
	if e.Mode&fs.ModeSymlink != 0 {
		io.WriteString(c, e.Link)
	} else if e.Mode.IsRegular() {
		if err := c.content(e, size); err != nil {
			return err
		}
	}
	c.pad(4)
	return c.err
}

func (c *writer) content(e tree.Entry, size int64) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(c, io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it changed while it was read")
	}
	return err
}

func (c *writer) header(name string, mode, links uint32, size int64, dev uint32) {
	ino := c.ino
	if name == trailer {
		ino = 0
	}
	// magic ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check
	fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, mode, 0, 0, links, 0, size, 0, 0, dev>>8, dev&0xff, len(name)+1, 0, name)
	c.pad(4)
}
