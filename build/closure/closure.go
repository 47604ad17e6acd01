// Package closure finds the shared libraries that a program needs.
//
//	qemu-system-x86_64 ── DT_NEEDED ──> libglib-2.0.so.0 ──> libpcre2-8.so.0 ...
//	                   └─ PT_INTERP ──> /lib64/ld-linux-x86-64.so.2
//
// It reads ELF headers only and runs nothing, so it works on unpacked packages
// of any release. Libraries opened at run time (dlopen) are the caller's to name.
package closure

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// File is one file of a closure.
type File struct {
	Path   string // where it belongs in the image: /usr/lib/x86_64-linux-gnu/libc.so.6
	Source string // where its bytes are now
	Tree   int    // which of the trees it came from
}

// Trees is a list of unpacked packages, searched in order.
type Trees struct {
	dirs []string
	libs map[string]File // by soname
}

// libraryDirs is where Debian's amd64 loader looks without configuration. On
// a merged /usr, /lib is a link to /usr/lib, so the first two are one place.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
	"/usr/lib/x86_64-linux-gnu/swtpm", // swtpm's RUNPATH
}

// Open indexes the libraries in dirs.
func Open(dirs []string) (*Trees, error) {
	t := &Trees{dirs: dirs, libs: map[string]File{}}
	for i, dir := range dirs {
		for _, lib := range libraryDirs {
			entries, err := os.ReadDir(filepath.Join(dir, lib))
			if err != nil {
				continue // most packages have no libraries
			}
			for _, e := range entries {
				if _, taken := t.libs[e.Name()]; !taken && strings.Contains(e.Name(), ".so") {
					t.libs[e.Name()] = File{Path: usr(lib + "/" + e.Name()), Source: filepath.Join(dir, lib, e.Name()), Tree: i}
				}
			}
		}
	}
	return t, nil
}

// usr moves a path to the merged /usr.
func usr(path string) string {
	for _, p := range []string{"/lib/", "/lib64/", "/bin/", "/sbin/"} {
		if strings.HasPrefix(path, p) {
			return "/usr" + path
		}
	}
	return path
}

// Find returns the file that the image path names, from the first tree that has it.
func (t *Trees) Find(path string) (File, error) {
	for i, dir := range t.dirs {
		for _, p := range []string{path, strings.TrimPrefix(path, "/usr")} {
			src := filepath.Join(dir, p)
			if _, err := os.Lstat(src); err == nil {
				return File{Path: path, Source: src, Tree: i}, nil
			}
		}
	}
	return File{}, fmt.Errorf("no pinned package holds %s: %w", path, fs.ErrNotExist)
}

// Of returns the programs and every library they need, sorted by path.
func (t *Trees) Of(programs ...string) ([]File, error) {
	seen := map[string]File{}
	for _, p := range programs {
		f, err := t.Find(p)
		if err != nil {
			return nil, err
		}
		if err := t.walk(f, seen); err != nil {
			return nil, err
		}
	}
	out := make([]File, 0, len(seen))
	for _, f := range seen {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

func (t *Trees) walk(f File, seen map[string]File) error {
	if _, done := seen[f.Path]; done {
		return nil
	}
	real, err := t.resolve(f)
	if err != nil {
		return err
	}
	seen[f.Path] = real
	needed, interp, err := needs(real.Source)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Path, err)
	}
	if interp != "" {
		needed = append(needed, filepath.Base(interp))
	}
	for _, n := range needed {
		lib, ok := t.libs[n]
		if !ok {
			return fmt.Errorf("%s needs the library %s, which no pinned package holds", f.Path, n)
		}
		if err := t.walk(lib, seen); err != nil {
			return err
		}
	}
	return nil
}

// resolve follows the link from a soname to its file, which keeps the soname's path.
func (t *Trees) resolve(f File) (File, error) {
	for hops := 0; hops < 8; hops++ { // Debian's longest chain is two
		i, err := os.Lstat(f.Source)
		if err != nil {
			return f, err
		}
		if i.Mode()&os.ModeSymlink == 0 {
			return f, nil
		}
		to, err := os.Readlink(f.Source)
		if err != nil {
			return f, err
		}
		if !filepath.IsAbs(to) {
			rel, _ := filepath.Rel(t.dirs[f.Tree], filepath.Dir(f.Source))
			to = filepath.Join("/", rel, to)
		}
		next, err := t.Find(usr(to))
		if err != nil {
			return f, err
		}
		f.Source, f.Tree = next.Source, next.Tree
	}
	return f, fmt.Errorf("%s is a circle of links", f.Path)
}

func needs(path string) (libs []string, interp string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, "", err
			}
			interp = strings.TrimRight(string(b), "\x00")
		}
	}
	libs, err = f.ImportedLibraries()
	return libs, interp, err
}
