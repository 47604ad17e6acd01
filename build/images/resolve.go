package images

import (
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"ashlar/build/closure"
	"ashlar/build/kmod"
	"ashlar/build/pins"
	"ashlar/build/sbom"
	"ashlar/image/keys"
	"ashlar/image/recipe"
	"ashlar/image/tree"
)

// modulesFormat is raised when kmod's output changes; the cache key of modules
// leaves the builder out, because unpacking them is slow.
const modulesFormat = "2"

// one resolves the recipe of one image.
type one struct {
	b      *Builder
	recipe *recipe.Recipe
	used   map[string]pins.Pin // Debian packages that a file was taken from, by hash
	mains  []string            // Go binaries inside, by host path
	sets   map[string]*set
}

// set is a set of pinned packages, unpacked.
type set struct {
	pins  []pins.Pin
	dirs  []string
	trees *closure.Trees
}

func (o *one) set(name string) (*set, error) {
	if s := o.sets[name]; s != nil {
		return s, nil
	}
	p := o.b.Pins.Set(name)
	if len(p) == 0 {
		return nil, fmt.Errorf("the recipe of %s takes from the set %s, which %s does not have", o.recipe.Image, name, pins.File)
	}
	dirs, err := o.b.Store.UnpackedAll(p)
	if err != nil {
		return nil, err
	}
	trees, err := closure.Open(dirs)
	if err != nil {
		return nil, err
	}
	s := &set{p, dirs, trees}
	o.sets[name] = s
	return s, nil
}

// take finds the one file of a set that a pattern names, and its path in the package.
func (o *one) take(d recipe.Deb) (string, error) {
	files, err := o.match(d)
	if err != nil {
		return "", err
	}
	if len(files) != 1 {
		return "", fmt.Errorf("%s in set %s is %d files, want one", d.Path, d.Set, len(files))
	}
	return files[0].Source, nil
}

// match lists what a pattern names in a set, with the paths in the image.
func (o *one) match(d recipe.Deb) ([]closure.File, error) {
	s, err := o.set(d.Set)
	if err != nil {
		return nil, err
	}
	var out []closure.File
	for i, dir := range s.dirs {
		found, err := filepath.Glob(filepath.Join(dir, d.Path))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			rel, _ := filepath.Rel(dir, f)
			out = append(out, closure.File{Path: "/" + rel, Source: f, Tree: i})
			o.used[s.pins[i].SHA256] = s.pins[i]
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no package of set %s holds %s", d.Set, d.Path)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

// fill puts all that the recipe's tree names into t, except what is made of the rest: see made.
func (o *one) fill(r recipe.Tree, t *tree.Tree) error {
	if err := r.AddPlain(t); err != nil {
		return err
	}
	for _, g := range r.Go {
		file := filepath.Join(o.b.bin(), path.Base(g.Package))
		o.mains = append(o.mains, file)
		if err := t.HostFile(g.Path, 0o755, file); err != nil {
			return err
		}
	}
	for _, d := range r.Debs {
		if err := o.deb(d, t); err != nil {
			return err
		}
	}
	for _, l := range r.Libs {
		if err := o.closure(l.Set, "/usr/lib/x86_64-linux-gnu/"+l.Soname, t); err != nil {
			return err
		}
	}
	return nil
}

func (o *one) deb(d recipe.Deb, t *tree.Tree) error {
	files, err := o.match(d)
	if err != nil {
		return err
	}
	for _, f := range files {
		to := f.Path
		if d.To != "" {
			to = d.To
		}
		i, err := os.Stat(f.Source)
		if err != nil {
			return err
		}
		switch {
		case i.IsDir():
			err = t.FromHost(to, f.Source)
		case isELF(f.Source):
			if err = o.closure(d.Set, f.Path, t); err == nil && to != f.Path {
				err = t.Symlink(to, f.Path)
			}
		default:
			err = t.HostFile(to, tree.Perm(i.Mode()), f.Source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// closure adds a program or library and all libraries that it is linked to.
func (o *one) closure(setName, file string, t *tree.Tree) error {
	s, err := o.set(setName)
	if err != nil {
		return err
	}
	files, err := s.trees.Of(file)
	if err != nil {
		return err
	}
	for _, f := range files {
		o.used[s.pins[f.Tree].SHA256] = s.pins[f.Tree]
		if err := t.HostFile(f.Path, 0o755, f.Source); err != nil {
			return err
		}
	}
	return nil
}

func isELF(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, len(elf.ELFMAG))
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == elf.ELFMAG
}

// initramfsModules adds /modules: the files and the list in load order.
func (o *one) initramfsModules(wanted []string, t *tree.Tree) error {
	return o.modules(wanted, "initramfs", func(mods []*kmod.Module, _, dir string) error {
		var list strings.Builder
		for _, m := range mods {
			name := path.Base(m.Path)
			list.WriteString(name + "\n")
			if err := os.WriteFile(filepath.Join(dir, name), m.Data, 0o644); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(dir, "list"), []byte(list.String()), 0o644)
	}, func(dir string) error { return t.FromHost("modules", dir) })
}

// rootModules adds lib/modules with the tables of depmod.
func (o *one) rootModules(wanted []string, t *tree.Tree) error {
	lib := "lib/modules"
	if e, ok := t.Get("lib"); ok && e.Mode&fs.ModeSymlink != 0 {
		lib = path.Join(e.Link, "modules") // a merged /usr
	}
	return o.modules(wanted, "root", func(mods []*kmod.Module, release, dir string) error {
		for _, m := range mods {
			if err := writeFile(filepath.Join(dir, release, m.Path), m.Data); err != nil {
				return err
			}
		}
		return errors.Join(writeFile(filepath.Join(dir, release, "modules.dep"), kmod.Dep(mods)),
			writeFile(filepath.Join(dir, release, "modules.alias"), kmod.Alias(mods)))
	}, func(dir string) error { return t.FromHost(lib, dir) })
}

// modules unpacks modules into a cached folder with lay, and adds that folder to the image with add.
func (o *one) modules(wanted []string, kind string, lay func(mods []*kmod.Module, release, dir string) error, add func(dir string) error) error {
	if len(wanted) == 0 {
		return nil
	}
	s, err := o.set(o.recipe.Kernel.Set)
	if err != nil {
		return err
	}
	k := &key{}
	k.add("modules", modulesFormat+" "+kind)
	k.add("wanted", quoted(wanted))
	for _, p := range s.pins {
		k.add("deb", p.SHA256)
	}
	dir, err := o.b.cache.part("modules-"+o.recipe.Image+"-"+kind, k, func(dir string) error {
		kernel, err := kmod.Open(s.dirs[0])
		if err != nil {
			return err
		}
		mods, err := kernel.Select(wanted)
		if err != nil {
			return fmt.Errorf("modules of %s: %w", o.recipe.Image, err)
		}
		return lay(mods, kernel.Release, dir)
	})
	if err != nil {
		return err
	}
	return add(dir)
}

// made adds the files that the builder generates. It comes last: the bill lists the rest.
func (o *one) made(r recipe.Tree, t *tree.Tree) (bill []byte, err error) {
	for _, m := range r.Made {
		var b []byte
		switch m.Name {
		case "os-release":
			b = []byte(o.osRelease())
		case "release.pub":
			b, err = keys.EncodePublic(&o.b.Keys.Release.PublicKey)
		case "db.pem":
			b = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.b.Keys.DB.Cert.Raw})
		case "sbom":
			b, err = o.bill()
			bill = b
		default:
			err = fmt.Errorf("the builder cannot make %s", m.Name)
		}
		if err == nil {
			err = t.File(m.Path, 0o644, b)
		}
		if err != nil {
			return nil, err
		}
	}
	return bill, nil
}

func (o *one) bill() ([]byte, error) {
	var used []pins.Pin
	for _, p := range o.used {
		used = append(used, p)
	}
	linked, err := sbom.Go(o.mains)
	if err != nil {
		return nil, err
	}
	return sbom.Document(o.recipe.Image, o.b.Version, append(sbom.Debian(used), linked...))
}

func (o *one) osRelease() string {
	return fmt.Sprintf("ID=ashlar\nNAME=Ashlar\nVARIANT_ID=%[1]s\nVERSION_ID=%[2]s\nPRETTY_NAME=\"Ashlar %[1]s %[2]s\"\n", o.recipe.Image, o.b.Version)
}

func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
