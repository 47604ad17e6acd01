// Package repro builds twice, under other circumstances, and compares every byte.
//
//	            first            second
//	directory   the tree         a copy elsewhere
//	user        we               nobody, if we are root
//	umask       022              077
//	TZ, LANG    ours             Asia/Kathmandu, tr_TR.UTF-8
//	clock       now              file times in 2001; SOURCE_DATE_EPOCH set
//	cores       all              GOMAXPROCS=1
//	Go's cache  ours             an empty one
//	parts       ours             none
//	pins, keys  shared: they are inputs
//
// Every file of out/image and out/bin must be the same. Where one is not, the
// report names the first file and byte, and the partition if it is a disk image.
package repro

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"ashlar/image/layout"
)

// Difference is the first place where two builds differ.
type Difference struct {
	File   string
	Offset int64  // -1: the file is in one build only
	A, B   byte   // at Offset
	Where  string // the partition, if the file is a disk
}

func (d *Difference) Error() string {
	if d.Offset < 0 {
		return fmt.Sprintf("the builds differ: %s is in one of them only", d.File)
	}
	where := ""
	if d.Where != "" {
		where = ", in partition " + d.Where
	}
	return fmt.Sprintf("the builds differ: first at %s, byte %d%s: %#02x and %#02x", d.File, d.Offset, where, d.A, d.B)
}

// Compare compares the files of two folders. It returns how many bytes are equal, or a *Difference.
func Compare(a, b string) (files int, size int64, err error) {
	names, err := list(a)
	if err != nil {
		return 0, 0, err
	}
	others, err := list(b)
	if err != nil {
		return 0, 0, err
	}
	if extra := onlyIn(names, others); extra != "" {
		return 0, 0, &Difference{File: extra, Offset: -1}
	}
	for _, n := range names {
		same, err := compareFile(filepath.Join(a, n), filepath.Join(b, n), n)
		if err != nil {
			return files, size, err
		}
		files, size = files+1, size+same
	}
	return files, size, nil
}

func list(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	sort.Strings(out)
	return out, err
}

func onlyIn(a, b []string) string {
	seen := map[string]int{}
	for _, n := range a {
		seen[n]++
	}
	for _, n := range b {
		seen[n]--
	}
	var odd []string
	for n, c := range seen {
		if c != 0 {
			odd = append(odd, n)
		}
	}
	sort.Strings(odd)
	if len(odd) == 0 {
		return ""
	}
	return odd[0]
}

const chunk = 1 << 20

func compareFile(a, b, name string) (int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer fb.Close()
	ra, rb := bufio.NewReaderSize(fa, chunk), bufio.NewReaderSize(fb, chunk)
	ba, bb := make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); ; {
		na, ea := io.ReadFull(ra, ba)
		nb, eb := io.ReadFull(rb, bb)
		if !bytes.Equal(ba[:na], bb[:nb]) {
			return 0, difference(fa, name, at, ba[:na], bb[:nb])
		}
		at += int64(na)
		if end(ea) && end(eb) {
			return at, nil
		}
		if err := errors.Join(real(ea), real(eb)); err != nil {
			return 0, err
		}
	}
}

func end(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func real(err error) error {
	if end(err) {
		return nil
	}
	return err
}

func difference(f *os.File, name string, at int64, a, b []byte) error {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	d := &Difference{File: name, Offset: at + int64(i)}
	if i < len(a) {
		d.A = a[i]
	}
	if i < len(b) {
		d.B = b[i]
	}
	if info, err := f.Stat(); err == nil {
		if parts, err := layout.Find(f, info.Size()); err == nil {
			for n, p := range parts {
				if d.Offset >= p.Start && d.Offset < p.End() {
					d.Where = n
				}
			}
		}
	}
	return d
}
