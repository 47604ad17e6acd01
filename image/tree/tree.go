// Package tree is a file tree as a value: what an image holds, before it is laid out.
//
//	Add("usr/bin/hostd", file) ──> Tree ── Entries() ──> fat, erofs, cpio
//	                                       sorted, parents first
//
// A tree knows no owner and no time: all is root's, and of the same moment. That is
// half of what makes images reproducible; the order is the other half.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

const (
	maxPath = 1024 // bytes; the kernel's own limit is 4096, ours are all short
	maxName = 255  // bytes; of every format we write
)

// Entry is a file, directory, symbolic link or device node.
type Entry struct {
	Path string      // "usr/bin/hostd": slash-separated, clean, not rooted
	Mode fs.FileMode // type and permission bits
	Link string      // the target, of a symbolic link
	Data []byte      // the content of a regular file, or
	Host string      // the file on the builder's disk that has the content
	Dev  uint32      // of a device node: major<<8 | minor
}

// Size is the length of the content.
func (e Entry) Size() (int64, error) {
	if !e.Mode.IsRegular() || e.Host == "" {
		return int64(len(e.Data)), nil
	}
	st, err := os.Stat(e.Host)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s, content of /%s, is not a regular file", e.Host, e.Path)
	}
	return st.Size(), nil
}

// Open reads the content.
func (e Entry) Open() (io.ReadCloser, error) {
	if e.Host == "" {
		return io.NopCloser(bytes.NewReader(e.Data)), nil
	}
	return os.Open(e.Host)
}

// Read is the whole content.
func (e Entry) Read() ([]byte, error) {
	if e.Host == "" {
		return e.Data, nil
	}
	return os.ReadFile(e.Host)
}

// Tree is a set of entries by path. The zero Tree is empty and ready.
type Tree struct{ m map[string]Entry }

// File adds a regular file with this content.
func (t *Tree) File(path string, perm fs.FileMode, data []byte) error {
	return t.Add(Entry{Path: path, Mode: perm & fs.ModePerm, Data: data})
}

// HostFile adds a regular file whose content is a file on the builder's disk.
func (t *Tree) HostFile(path string, perm fs.FileMode, host string) error {
	return t.Add(Entry{Path: path, Mode: perm & fs.ModePerm, Host: host})
}

// Dir adds a directory. Parents that nobody adds appear by themselves, with mode 0755.
func (t *Tree) Dir(path string, perm fs.FileMode) error {
	return t.Add(Entry{Path: path, Mode: fs.ModeDir | perm&fs.ModePerm})
}

// Symlink adds a symbolic link.
func (t *Tree) Symlink(path, target string) error {
	return t.Add(Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Link: target})
}

// Add adds an entry. A leading slash is dropped. The same path twice is an error, unless
// the entries are equal: two lines of a recipe that disagree must not depend on their order.
func (t *Tree) Add(e Entry) error {
	e.Path = strings.TrimPrefix(e.Path, "/")
	if err := check(e); err != nil {
		return err
	}
	if old, ok := t.m[e.Path]; ok && !same(old, e) {
		return fmt.Errorf("/%s is already there and differs", e.Path)
	}
	if t.m == nil {
		t.m = map[string]Entry{}
	}
	t.m[e.Path] = e
	return nil
}

func check(e Entry) error {
	if e.Path == "" || e.Path == "." || path.Clean(e.Path) != e.Path || strings.HasPrefix(e.Path, "../") || e.Path == ".." || strings.HasPrefix(e.Path, "/") {
		return fmt.Errorf("path %q is not clean", e.Path)
	}
	if len(e.Path) > maxPath || strings.ContainsRune(e.Path, 0) {
		return fmt.Errorf("path %.40q is too long or holds a zero byte", e.Path)
	}
	for name := range strings.SplitSeq(e.Path, "/") {
		if len(name) > maxName {
			return fmt.Errorf("name %.40q is longer than %d bytes", name, maxName)
		}
	}
	switch e.Mode.Type() {
	case 0, fs.ModeDir, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
	case fs.ModeSymlink:
		if e.Link == "" || len(e.Link) > maxPath {
			return fmt.Errorf("link /%s has no target, or one longer than %d bytes", e.Path, maxPath)
		}
	default:
		return fmt.Errorf("/%s: a %v cannot be in an image", e.Path, e.Mode.Type())
	}
	return nil
}

func same(a, b Entry) bool {
	return a.Mode == b.Mode && a.Link == b.Link && a.Host == b.Host && a.Dev == b.Dev && bytes.Equal(a.Data, b.Data)
}

// Get finds an entry.
func (t *Tree) Get(path string) (Entry, bool) {
	e, ok := t.m[strings.TrimPrefix(path, "/")]
	return e, ok
}

// Len is the number of entries that were added.
func (t *Tree) Len() int { return len(t.m) }

// Entries gives all entries, sorted by path, each directory before what it holds. A file
// in the place of a directory is an error.
func (t *Tree) Entries() ([]Entry, error) {
	all := make(map[string]Entry, len(t.m))
	for p, e := range t.m {
		all[p] = e
	}
	for p := range t.m {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			e, ok := all[dir]
			if !ok {
				all[dir] = Entry{Path: dir, Mode: fs.ModeDir | 0o755}
			} else if !e.Mode.IsDir() {
				return nil, fmt.Errorf("/%s is not a directory, and yet /%s is to be in it", dir, p)
			}
		}
	}
	list := make([]Entry, 0, len(all))
	for _, e := range all {
		list = append(list, e)
	}
	// Compare name by name: "a/b" goes before "a.b", right behind "a".
	sort.Slice(list, func(i, j int) bool {
		return strings.ReplaceAll(list[i].Path, "/", "\x00") < strings.ReplaceAll(list[j].Path, "/", "\x00")
	})
	return list, nil
}

// FromHost adds all of a directory of the builder's disk under dst ("" for the top).
// Owners and times are left behind; permissions become 0755 or 0644, so that the
// builder's umask does not reach the image.
func (t *Tree) FromHost(dst, dir string) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		to, host := path.Join(dst, p), path.Join(dir, p)
		switch d.Type() {
		case fs.ModeDir:
			return t.Dir(to, 0o755)
		case fs.ModeSymlink:
			link, err := os.Readlink(host)
			return errors.Join(err, t.Symlink(to, link))
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return t.Add(Entry{Path: to, Mode: st.Mode().Type() | Perm(st.Mode()), Host: host})
	})
}

// Perm is the permission of a file in an image: 0755 if anybody may run it, else 0644.
func Perm(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}
