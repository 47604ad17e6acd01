package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ashlar/image/assemble"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/tree"
)

// Overlay makes a disk at path that starts as base and keeps its own changes: instant, and base stays as it is.
func Overlay(path, base string) error {
	abs, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", format(base), "-b", abs, path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the disk %s: %w: %s", path, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Clone copies a raw disk, holes as holes: for tests that change its bytes.
func Clone(path, base string) error {
	src, err := os.Open(base)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(path)
	if err != nil {
		return err
	}
	err = copySparse(dst, src)
	return errors.Join(err, dst.Close())
}

func copySparse(dst, src *os.File) error {
	i, err := src.Stat()
	if err != nil {
		return err
	}
	if err := dst.Truncate(i.Size()); err != nil {
		return err
	}
	for at := int64(0); at < i.Size(); {
		start, err := src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // holes to the end
		}
		if err != nil {
			return err
		}
		end, err := src.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, end-start)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// Configure puts a node.conf on the config partition of a raw disk, as an
// owner's laptop would before the node's first boot.
func Configure(disk string, conf []byte) error {
	var t tree.Tree
	if err := t.File("node.conf", 0o644, conf); err != nil {
		return err
	}
	volume := disk + ".config"
	if err := assemble.Config(volume, &t); err != nil {
		return err
	}
	defer os.Remove(volume)
	b, err := os.ReadFile(volume)
	if err != nil {
		return err
	}
	return Patch(disk, layout.Config, 0, b)
}

// Patch writes bytes into a partition of a raw disk.
func Patch(disk, partition string, at int64, b []byte) error {
	f, p, err := section(disk, partition)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, p.Start+at)
	return errors.Join(err, f.Close())
}

// Peek reads bytes of a partition of a raw disk.
func Peek(disk, partition string, at, n int64) ([]byte, error) {
	f, p, err := section(disk, partition)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, p.Start+at)
	return b, err
}

func section(disk, partition string) (*os.File, gpt.Partition, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return nil, gpt.Partition{}, err
	}
	i, err := f.Stat()
	if err != nil {
		return nil, gpt.Partition{}, errors.Join(err, f.Close())
	}
	parts, err := layout.Find(f, i.Size())
	if err != nil {
		return nil, gpt.Partition{}, errors.Join(err, f.Close())
	}
	p, ok := parts[partition]
	if !ok {
		return nil, p, errors.Join(fmt.Errorf("%s has no partition %s", disk, partition), f.Close())
	}
	return f, p, nil
}

// format tells an overlay from a raw image by its first bytes.
func format(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "raw"
	}
	defer f.Close()
	magic := make([]byte, 4)
	if io.ReadFull(f, magic); string(magic) == "QFI\xfb" {
		return "qcow2"
	}
	return "raw"
}

// FreePort asks the kernel for a port on loopback that nobody uses now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
