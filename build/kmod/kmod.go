// Package kmod chooses kernel modules for an image.
//
//	wanted names, folders ──> + depends, softdeps of their .modinfo ──> in load order
//	                                                 ├─> initramfs: /modules/*.ko and /modules/list
//	                                                 └─> root: modules.dep and modules.alias, as depmod writes them
//
// It reads an unpacked kernel package; nothing is loaded here. The kernel's own
// signatures stay on the modules: they are unpacked from .xz, not changed.
package kmod

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const maxModuleBytes = 64 << 20 // the largest of Debian's (amdgpu) has 25 MB

// Tree is the modules of one kernel.
type Tree struct {
	Release string // 6.12.117+deb12-amd64
	files   map[string]string
	builtin map[string]bool
	parsed  map[string]*Module
	root    string
}

// Module is one module, unpacked.
type Module struct {
	Name    string   // as the kernel spells it: net_failover
	Path    string   // below the release folder: kernel/drivers/net/net_failover.ko
	Data    []byte   // the ELF file with its signature
	Needs   []string // what must be loaded before it
	Aliases []string
}

// Open indexes the modules below pkg/lib/modules or pkg/usr/lib/modules.
func Open(pkg string) (*Tree, error) {
	var releases []string
	for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
		m, _ := filepath.Glob(filepath.Join(pkg, lib, "*", "kernel"))
		releases = append(releases, m...)
	}
	if len(releases) != 1 {
		return nil, fmt.Errorf("%s holds the modules of %d kernels, want one", pkg, len(releases))
	}
	root := filepath.Dir(releases[0])
	t := &Tree{Release: filepath.Base(root), root: root, files: map[string]string{}, builtin: map[string]bool{}, parsed: map[string]*Module{}}
	err := filepath.WalkDir(filepath.Join(root, "kernel"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), ".ko") {
			rel, _ := filepath.Rel(root, p)
			t.files[canon(p)] = rel
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("the kernel package does not say what is built in: %w", err)
	}
	for _, l := range strings.Fields(string(b)) {
		t.builtin[canon(l)] = true
	}
	return t, nil
}

// Select returns the wanted modules and all they need, each after what it
// needs. A name that ends in / is a folder below kernel/ and stands for all in
// it; a name that starts with - leaves out a module that a folder would bring.
func (t *Tree) Select(wanted []string) ([]*Module, error) {
	names, err := t.expand(wanted)
	if err != nil {
		return nil, err
	}
	var out []*Module
	state := map[string]int{} // 1 being visited, 2 done
	var visit func(name string) error
	visit = func(name string) error {
		if state[name] == 2 || t.builtin[name] {
			return nil
		}
		if state[name] == 1 {
			return fmt.Errorf("kernel module %s needs itself", name)
		}
		state[name] = 1
		m, err := t.module(name)
		if err != nil {
			return err
		}
		for _, n := range m.Needs {
			if err := visit(n); err != nil {
				return fmt.Errorf("%s needs %s: %w", name, n, err)
			}
		}
		state[name] = 2
		out = append(out, m)
		return nil
	}
	for _, n := range names {
		if err := visit(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *Tree) expand(wanted []string) ([]string, error) {
	var names []string
	drop := map[string]bool{}
	for _, w := range wanted {
		switch {
		case strings.HasPrefix(w, "-"):
			drop[canon(w[1:])] = true
		case strings.HasSuffix(w, "/"):
			in := t.under("kernel/" + w)
			if len(in) == 0 {
				return nil, fmt.Errorf("kernel %s has no modules in %s", t.Release, w)
			}
			names = append(names, in...)
		default:
			n := canon(w)
			if t.files[n] == "" && !t.builtin[n] {
				return nil, fmt.Errorf("kernel %s has no module %s", t.Release, w)
			}
			names = append(names, n)
		}
	}
	keep := names[:0]
	for _, n := range names {
		if !drop[n] {
			keep = append(keep, n)
		}
	}
	return keep, nil
}

func (t *Tree) under(folder string) []string {
	var out []string
	for n, f := range t.files {
		if strings.HasPrefix(f, folder) {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

func (t *Tree) module(name string) (*Module, error) {
	if m := t.parsed[name]; m != nil {
		return m, nil
	}
	file, ok := t.files[name]
	if !ok {
		return nil, fmt.Errorf("kernel %s has no module %s", t.Release, name)
	}
	data, err := unpack(filepath.Join(t.root, file))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	m := &Module{Name: name, Path: strings.TrimSuffix(strings.TrimSuffix(file, ".xz"), ".zst"), Data: data}
	if err := t.readInfo(m); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	t.parsed[name] = m
	return m, nil
}

// readInfo takes aliases and needs from the module's .modinfo section. A soft
// dependency that this kernel does not have is no dependency.
func (t *Tree) readInfo(m *Module) error {
	f, err := elf.NewFile(bytes.NewReader(m.Data))
	if err != nil {
		return err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return fmt.Errorf("it has no .modinfo: not a kernel module")
	}
	b, err := s.Data()
	if err != nil {
		return err
	}
	for _, kv := range strings.Split(string(b), "\x00") {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "alias":
			m.Aliases = append(m.Aliases, v)
		case "depends":
			for _, d := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' }) {
				m.Needs = append(m.Needs, canon(d))
			}
		case "softdep":
			m.Needs = append(m.Needs, t.softPre(v)...)
		}
	}
	return nil
}

// softPre reads "pre: a b post: c" and keeps what comes before and exists. An
// algorithm is named there, not its module (libcrc32c: "pre: crc32c"): its
// generic implementation works on every processor.
func (t *Tree) softPre(v string) []string {
	var out []string
	pre := false
	for _, w := range strings.Fields(v) {
		name := canon(w)
		switch {
		case strings.HasSuffix(w, ":"):
			pre = w == "pre:"
		case pre && t.files[name] != "":
			out = append(out, name)
		case pre && t.files[name+"_generic"] != "":
			out = append(out, name+"_generic")
		}
	}
	return out
}

// Dep is the text of modules.dep: each module with everything it needs, nearest last to load first, as depmod has it.
func Dep(mods []*Module) []byte {
	byName := map[string]*Module{}
	for _, m := range mods {
		byName[m.Name] = m
	}
	var b bytes.Buffer
	for _, m := range sorted(mods) {
		b.WriteString(m.Path + ":")
		for _, n := range m.Needs {
			if d := byName[n]; d != nil { // else built in
				b.WriteString(" " + d.Path)
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Alias is the text of modules.alias.
func Alias(mods []*Module) []byte {
	var b bytes.Buffer
	for _, m := range sorted(mods) {
		for _, a := range m.Aliases {
			fmt.Fprintf(&b, "alias %s %s\n", a, m.Name)
		}
	}
	return b.Bytes()
}

func sorted(mods []*Module) []*Module {
	out := append([]*Module(nil), mods...)
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

func unpack(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	switch path.Ext(file) {
	case ".xz":
		if r, err = xz.NewReader(f); err != nil {
			return nil, err
		}
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(io.LimitReader(r, maxModuleBytes+1))
	if err == nil && len(b) > maxModuleBytes {
		err = fmt.Errorf("larger than %d bytes", maxModuleBytes)
	}
	return b, err
}

// canon is a module's name as the kernel spells it: drivers/net-failover.ko.xz -> net_failover.
func canon(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
