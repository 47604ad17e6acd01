// Package recipe reads the texts that say what is in each image: image/*.recipe.
//
//	hostos.recipe ── Parse ──> Recipe ── the builder resolves it ──> trees ── image/assemble
//
// One directive a line, words separated by spaces, '#' to the end of the line is a comment:
//
//	image host                                  what the image is called
//	kernel SET boot/vmlinuz-*                   the kernel; its modules are in the same set
//	stub SET PATH                               the EFI stub of the UKI
//	cmdline WORD...                             added to the kernel command line
//	initramfs { ... }  root { ... }             two trees of these lines:
//	  go PACKAGE -> /PATH                       a Go main, built without cgo
//	  deb SET PATH [-> /PATH]                   a file, directory or pattern of Debian packages;
//	                                            a program brings the libraries that it is linked to
//	  lib SET SONAME...                         libraries that are opened by name at run time
//	  module NAME... FOLDER/...                 kernel modules (all below kernel/FOLDER/) with all that they need
//	  make NAME -> /PATH                        a file that the builder generates: see Made
//	  text /PATH STRING                         a file of one line
//	  dir /PATH [MODE]                          an empty directory
//	  link /PATH -> TARGET                      a symbolic link
//
// A directive that is not in this list is an error, so that a recipe means the same to every
// version of the builder or nothing at all. A SET is a set of pinned packages: build/pins knows
// which, and their versions and hashes.
package recipe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"ashlar/image/tree"
)

const (
	maxLine  = 4096 // bytes
	maxLines = 5000
)

// Recipe is one image.
type Recipe struct {
	Image     string // host, guest or setup
	Kernel    Deb
	Stub      Deb
	Cmdline   []string
	Initramfs Tree
	Root      Tree
}

// Tree is what one file tree is made of.
type Tree struct {
	Go      []Go
	Debs    []Deb
	Libs    []Lib
	Modules []string // names, and folders below kernel/ that end in a slash
	Made    []Made
	Texts   []Text
	Dirs    []Dir
	Links   []Link
}

// Go is a main package and where its binary goes.
type Go struct{ Package, Path string }

// Deb is a file, a directory or a path.Match pattern in a set of Debian packages. Path has
// no leading slash; To is empty when it stays where it is.
type Deb struct{ Set, Path, To string }

// Lib is a library that no ELF header names.
type Lib struct{ Set, Soname string }

// Made is a file that the builder generates.
type Made struct{ Name, Path string }

// MadeNames are the files that a builder must know how to make.
var MadeNames = []string{
	"os-release",  // name and version of the image
	"release.pub", // public key of the release, PEM
	"db.pem",      // certificate that signs the UKIs, PEM: the host checks the guest's with it
	"sbom",        // what is in the image, SPDX
}

// Text is a file of one line.
type Text struct{ Path, Line string }

// Dir is an empty directory.
type Dir struct {
	Path string
	Perm fs.FileMode
}

// Link is a symbolic link.
type Link struct{ Path, Target string }

// Error is a mistake in a recipe; errors.Join holds all that were found.
type Error struct {
	File string
	Line int
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// Parse reads a recipe; name is what errors call it. All mistakes are reported at once.
func Parse(name string, r io.Reader) (*Recipe, error) {
	p := &parser{name: name, seen: map[string]int{}, recipe: &Recipe{}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		if p.line++; p.line > maxLines {
			return nil, fmt.Errorf("%s has more than %d lines", name, maxLines)
		}
		p.parse(s.Text())
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		p.fail("the line is longer than %d bytes", maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	p.finish()
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.recipe, nil
}

type parser struct {
	name   string
	line   int
	recipe *Recipe
	tree   *Tree
	inside string         // the block that is open: initramfs or root
	opened int            // where
	seen   map[string]int // directives and paths that may be there once, by line
	errs   []error
}

func (p *parser) fail(format string, args ...any) {
	p.errs = append(p.errs, &Error{p.name, p.line, fmt.Sprintf(format, args...)})
}

func (p *parser) parse(line string) {
	if i := strings.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	w := strings.Fields(line)
	switch {
	case len(w) == 0:
	case w[0] == "}" && len(w) == 1 && p.tree != nil:
		p.tree = nil
	case p.tree != nil:
		p.treeLine(w)
	default:
		p.topLine(w)
	}
}

func (p *parser) topLine(w []string) {
	r := p.recipe
	switch w[0] {
	case "image":
		if p.once(w[0]) && p.count(w, 2, "image NAME") {
			r.Image = w[1]
			if w[1] != "host" && w[1] != "guest" && w[1] != "setup" {
				p.fail("image %q: want host, guest or setup", w[1])
			}
		}
	case "kernel", "stub":
		if p.once(w[0]) && p.count(w, 3, w[0]+" SET PATH") {
			d := Deb{Set: w[1], Path: p.rel(w[2])}
			if w[0] == "kernel" {
				r.Kernel = d
			} else {
				r.Stub = d
			}
		}
	case "cmdline":
		for _, word := range w[1:] {
			if strings.HasPrefix(word, "ashlar.") {
				p.fail("cmdline %s: the words that begin with ashlar. are the builder's", word)
			}
		}
		r.Cmdline = append(r.Cmdline, w[1:]...)
	case "initramfs", "root":
		if p.once(w[0]) && p.count(w, 2, w[0]+" {") && w[1] != "{" {
			p.fail("%s: want an opening brace, not %q", w[0], w[1])
		}
		p.tree, p.inside, p.opened = &r.Initramfs, w[0], p.line
		if w[0] == "root" {
			p.tree = &r.Root
		}
	default:
		p.fail("unknown directive %q: want image, kernel, stub, cmdline, initramfs or root", w[0])
	}
}

func (p *parser) treeLine(w []string) {
	t := p.tree
	switch w[0] {
	case "go":
		if p.arrow(w, "go PACKAGE -> /PATH") {
			t.Go = append(t.Go, Go{p.rel(w[1]), p.abs(w[3])})
		}
	case "deb":
		if len(w) == 3 {
			t.Debs = append(t.Debs, Deb{Set: w[1], Path: p.rel(w[2])})
		} else if len(w) == 5 && w[3] == "->" {
			t.Debs = append(t.Debs, Deb{w[1], p.rel(w[2]), p.abs(w[4])})
		} else {
			p.fail("want: deb SET PATH [-> /PATH]")
		}
	case "lib":
		if len(w) < 3 {
			p.fail("want: lib SET SONAME...")
			return
		}
		for _, n := range w[2:] {
			if strings.Contains(n, "/") || !strings.Contains(n, ".so") {
				p.fail("lib %s: want a soname like libfoo.so.1", n)
			}
			t.Libs = append(t.Libs, Lib{w[1], n})
		}
	case "module":
		if len(w) < 2 {
			p.fail("want: module NAME... or FOLDER/...")
		}
		for _, n := range w[1:] {
			if strings.Contains(n, "/") != strings.HasSuffix(n, "/") || strings.HasPrefix(n, "/") || strings.HasSuffix(n, ".ko") {
				p.fail("module %s: want a name like virtio_blk, or a folder below kernel/ with a slash at its end", n)
			}
			t.Modules = append(t.Modules, n)
		}
	case "make":
		if p.arrow(w, "make NAME -> /PATH") {
			p.known(w[1])
			t.Made = append(t.Made, Made{w[1], p.abs(w[3])})
		}
	case "text":
		if len(w) < 3 {
			p.fail("want: text /PATH STRING")
			return
		}
		t.Texts = append(t.Texts, Text{p.abs(w[1]), strings.Join(w[2:], " ")})
	case "dir":
		p.dir(w)
	case "link":
		if p.arrow(w, "link /PATH -> TARGET") {
			t.Links = append(t.Links, Link{p.abs(w[1]), w[3]})
		}
	default:
		p.fail("unknown directive %q in %s: want go, deb, lib, module, make, text, dir or link", w[0], p.inside)
	}
}

func (p *parser) dir(w []string) {
	perm := uint64(0o755)
	var err error
	if len(w) == 3 {
		perm, err = strconv.ParseUint(w[2], 8, 9)
	}
	if len(w) < 2 || len(w) > 3 || err != nil {
		p.fail("want: dir /PATH [MODE], with an octal mode like 0755")
		return
	}
	p.tree.Dirs = append(p.tree.Dirs, Dir{p.abs(w[1]), fs.FileMode(perm)})
}

func (p *parser) known(name string) {
	for _, n := range MadeNames {
		if n == name {
			return
		}
	}
	p.fail("make %s: the builder makes only %s", name, strings.Join(MadeNames, ", "))
}

func (p *parser) arrow(w []string, form string) bool {
	ok := len(w) == 4 && w[2] == "->"
	if !ok {
		p.fail("want: %s", form)
	}
	return ok
}

func (p *parser) count(w []string, n int, form string) bool {
	if len(w) != n {
		p.fail("want: %s", form)
	}
	return len(w) == n
}

func (p *parser) once(word string) bool {
	if first, ok := p.seen[word]; ok {
		p.fail("%s is already said in line %d", word, first)
		return false
	}
	p.seen[word] = p.line
	return true
}

// rel wants a path from the top of something, without a leading slash.
func (p *parser) rel(s string) string {
	if strings.HasPrefix(s, "/") || path.Clean(s) != s || strings.HasPrefix(s, "..") {
		p.fail("path %q: want it clean and without a leading slash", s)
	}
	return s
}

// abs wants a path in the image, and that nobody else puts something there.
func (p *parser) abs(s string) string {
	if !strings.HasPrefix(s, "/") || path.Clean(s) != s || s == "/" {
		p.fail("path %q: want it clean and with a leading slash", s)
	}
	key := p.inside + " " + s
	if first, ok := p.seen[key]; ok {
		p.fail("%s is already made in line %d", s, first)
	}
	p.seen[key] = p.line
	return s
}

func (p *parser) finish() {
	if p.tree != nil {
		p.fail("%s is not closed: its brace is in line %d", p.inside, p.opened)
	}
	for _, word := range []string{"image", "kernel", "stub", "initramfs"} {
		if _, ok := p.seen[word]; !ok {
			p.fail("the recipe has no %s", word)
		}
	}
}

// AddPlain adds what needs no builder to a tree: texts, directories and links.
func (t Tree) AddPlain(to *tree.Tree) error {
	var errs []error
	for _, e := range t.Texts {
		errs = append(errs, to.File(e.Path, 0o644, []byte(e.Line+"\n")))
	}
	for _, e := range t.Dirs {
		errs = append(errs, to.Dir(e.Path, e.Perm))
	}
	for _, e := range t.Links {
		errs = append(errs, to.Symlink(e.Path, e.Target))
	}
	return errors.Join(errs...)
}
