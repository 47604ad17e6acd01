// Package deb reads Debian packages without dpkg.
//
//	x.deb = ar( debian-binary, control.tar.*, data.tar.{xz,zst,gz} )
//	Unpack(x.deb, dir):  data.tar's files under dir, modes 0755 or 0644, links kept
//
// Nothing is executed and no owner is kept: maintainer scripts never run, so
// Unpack needs no root. Callers check the package's hash first (build/pins).
package deb

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	maxFileBytes = 512 << 20 // the largest file in any pinned package is below 100 MB
	maxFiles     = 100_000   // a full kernel package has about 5,000
)

// Unpack writes the files of the package read from r under dir.
func Unpack(r io.Reader, dir string) error {
	data, err := member(r, "data.tar")
	if err != nil {
		return err
	}
	return untar(data, dir)
}

// Control returns the package's control file: its name, version and licence fields.
func Control(r io.Reader) (map[string]string, error) {
	data, err := member(r, "control.tar")
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(data); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("find the control file of the package: %w", err)
		}
		if filepath.Clean(h.Name) == "control" {
			return fields(t)
		}
	}
}

func fields(r io.Reader) (map[string]string, error) {
	m := map[string]string{}
	s := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for s.Scan() {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && !strings.HasPrefix(k, " ") {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m, s.Err()
}

// member finds the archive member whose name starts with prefix and returns it decompressed.
func member(r io.Reader, prefix string) (io.Reader, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != arMagic {
		return nil, errors.New("not a Debian package: the ar magic is missing")
	}
	for {
		name, size, err := arHeader(r)
		if err != nil {
			return nil, fmt.Errorf("find %s in the package: %w", prefix, err)
		}
		if strings.HasPrefix(name, prefix) {
			return decompress(name, io.LimitReader(r, size))
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, fmt.Errorf("skip %s in the package: %w", name, err)
		}
	}
}

func arHeader(r io.Reader) (name string, size int64, err error) {
	h := make([]byte, arHeaderSize)
	if _, err := io.ReadFull(r, h); err != nil {
		return "", 0, err
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", 0, errors.New("an ar header is damaged")
	}
	size, err = strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
	if err != nil || size < 0 {
		return "", 0, errors.New("an ar header has no size")
	}
	return strings.TrimRight(string(h[:16]), " /"), size, nil
}

func decompress(name string, r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	switch filepath.Ext(name) {
	case ".xz":
		return xz.NewReader(b)
	case ".zst":
		z, err := zstd.NewReader(b)
		if err != nil {
			return nil, err
		}
		return z, nil
	case ".gz":
		return gzip.NewReader(b)
	case ".tar":
		return b, nil
	}
	return nil, fmt.Errorf("the package member %s is compressed in a way this program does not know", name)
}

func untar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir) // no name and no link in the package can lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the package's files: %w", err)
		}
		if n > maxFiles || h.Size > maxFileBytes {
			return fmt.Errorf("the package is larger than this program allows at %s", h.Name)
		}
		if err := write(root, t, h); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func write(root *os.Root, t io.Reader, h *tar.Header) error {
	path := filepath.Clean(h.Name)
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, path)
	case tar.TypeLink:
		return root.Link(filepath.Clean(h.Linkname), path)
	case tar.TypeReg:
		return writeFile(root, path, t, h.FileInfo().Mode())
	}
	return errors.New("neither file, directory nor link")
}

func writeFile(root *os.Root, path string, r io.Reader, mode os.FileMode) error {
	perm := os.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	f, err := root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
