// Package images builds a release from the sources.
//
//	recipes ─> go build, pinned packages, kernel modules ─> trees ─┬─> initramfs ──┐
//	                                                               └─> root ──> hash ──> signed UKI ──> ESP
//	guest: ESP + root = guest.img       host: ESP + root       all three, signed: the bundle
//	config + meta + slot A + empty slot B + data: the disk image
//
// Each part is cached by the hash of all that went into it, this program
// included; what did not change is not built again. The formats are image/*'s,
// what is in an image is the recipes', which packages are pins'. Builders need no root.
package images

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"ashlar/build/pins"
	"ashlar/build/progress"
	"ashlar/image/assemble"
	"ashlar/image/authenticode"
	"ashlar/image/keys"
	"ashlar/image/recipe"
	"ashlar/image/tree"
	"ashlar/image/uki"
	"ashlar/initramfs/pack"
)

// needFree is what a build may write in the worst case: unpacked packages 500
// MB, Go's cache 700 MB, parts and images 900 MB.
const needFree = 2 << 30

//go:embed release.txt
var releaseText string

// Numbers are a release's version and what may come before it.
type Numbers struct{ Version, UpgradeFrom, Floor string }

// Current reads release.txt.
func Current() (Numbers, error) {
	var n Numbers
	for line := range strings.Lines(releaseText) {
		line, _, _ = strings.Cut(line, "#")
		switch f := strings.Fields(line); {
		case len(f) == 0:
		case len(f) == 2 && f[0] == "version":
			n.Version = f[1]
		case len(f) == 2 && f[0] == "upgrade-from":
			n.UpgradeFrom = f[1]
		case len(f) == 2 && f[0] == "floor":
			n.Floor = f[1]
		default:
			return n, fmt.Errorf("build/images/release.txt: cannot read %q", strings.TrimSpace(line))
		}
	}
	return n, nil
}

// Builder builds releases. All fields are required but Env.
type Builder struct {
	Numbers
	Root  string // the source tree
	Out   string // where results go: usually out
	Cache string // usually .cache
	Keys  *keys.Set
	Pins  *pins.Table
	Store *pins.Store
	Print *progress.Printer
	Dir   string   // folder below Out for the images; "" is image
	Env   []string // added to go build's: repro takes a Go cache of its own

	cache cache
}

// System is one of the two images: its slot and its bill of materials.
type System struct {
	assemble.Slot
	SBOM    []byte
	Initrd  int // bytes
	Kernel  int
	Modules int // kernel modules in initramfs and root
}

func (b *Builder) bin() string { return filepath.Join(b.Out, "bin") }

// Release is what Build made; all files are in Dir.
type Release struct {
	Version string
	Dir     string
	Disk    string // a node's disk, ready to boot
	Bundle  string // the signed release
	Vars    string // OVMF variables with our keys enrolled
	// ReleaseKey is the public key, PEM, that the bundle is checked with.
	ReleaseKey string
	Host       System
	Guest      System
}

// Build builds everything.
func (b *Builder) Build() (*Release, error) {
	b.cache = cache{filepath.Join(b.Cache, "parts")}
	for _, dir := range []string{b.Out, b.Cache} {
		if err := Room(dir, needFree); err != nil {
			return nil, err
		}
	}
	r := &Release{Version: b.Version, Dir: filepath.Join(b.Out, cmp.Or(b.Dir, "image"))}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, err
	}
	return r, explainFull(b.steps(r), b.Out)
}

func (b *Builder) steps(r *Release) error {
	recipes, err := b.recipes()
	if err != nil {
		return err
	}
	host, guest := recipes["host"], recipes["guest"]
	for _, s := range []struct {
		name string
		do   func() (string, error)
	}{
		{"Go programs", func() (string, error) { return b.programs(host, guest) }},
		{"guest: root, UKI, ESP", func() (string, error) { return b.system(guest, &r.Guest) }},
		{"host: root, UKI, ESP", func() (string, error) { return b.system(host, &r.Host) }},
		{"release bundle", func() (string, error) { return b.bundle(r) }},
		{"disk image, firmware variables", func() (string, error) { return b.disk(r) }},
	} {
		if err := b.Print.Step(s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) recipes() (map[string]*recipe.Recipe, error) {
	out := map[string]*recipe.Recipe{}
	for _, name := range []string{"host", "guest"} {
		file := "image/" + name + "os.recipe"
		text, err := os.ReadFile(filepath.Join(b.Root, file))
		if err != nil {
			return nil, err
		}
		if out[name], err = recipe.Parse(file, bytes.NewReader(text)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *Builder) programs(recipes ...*recipe.Recipe) (string, error) {
	mains := mains(recipes...)
	var names []string
	for _, m := range mains {
		names = append(names, path.Base(m))
	}
	return strings.Join(names, " "), Binaries(b.Root, b.bin(), mains, b.Env...)
}

// system builds one image's slot from its recipe.
func (b *Builder) system(r *recipe.Recipe, out *System) (string, error) {
	o := &one{b: b, recipe: r, used: map[string]pins.Pin{}, sets: map[string]*set{}}
	kernel, err := o.take(r.Kernel)
	if err != nil {
		return "", err
	}
	stub, err := o.take(r.Stub)
	if err != nil {
		return "", err
	}
	var first, root tree.Tree
	err = errors.Join(o.fill(r.Initramfs, &first), o.initramfsModules(r.Initramfs.Modules, &first),
		o.fill(r.Root, &root), o.rootModules(r.Root.Modules, &root))
	if err != nil {
		return "", err
	}
	if out.SBOM, err = o.made(r.Root, &root); err != nil {
		return "", err
	}
	k, err := b.slotKey(o, &first, &root, kernel, stub)
	if err != nil {
		return "", err
	}
	dir, err := b.cache.part("slot-"+r.Image, k, func(dir string) error { return b.slot(dir, o, &first, &root, kernel, stub) })
	if err != nil {
		return "", err
	}
	if err := loadSlot(dir, out); err != nil {
		return "", err
	}
	return fmt.Sprintf("root %s, UKI %s (kernel %s, initramfs %s)", size(out.Root), progress.MB(int64(len(out.UKI))),
		progress.MB(int64(out.Kernel)), progress.MB(int64(out.Initrd))), nil
}

// slotKey is the hash of all that a slot is made of.
func (b *Builder) slotKey(o *one, first, root *tree.Tree, kernel, stub string) (*key, error) {
	k := &key{}
	self, err := builder()
	if err != nil {
		return nil, err
	}
	k.add("builder", self)
	k.add("version", b.Version)
	k.add("command line", quoted(o.recipe.Cmdline))
	k.add("db", string(b.Keys.DB.Cert.Raw))
	for _, t := range []*tree.Tree{first, root} {
		if err := k.tree(t); err != nil {
			return nil, err
		}
	}
	return k, errors.Join(k.file(kernel), k.file(stub))
}

func (k *key) tree(t *tree.Tree) error {
	entries, err := t.Entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		k.add("entry", fmt.Sprintf("%q %v %q %d", e.Path, e.Mode, e.Link, e.Dev))
		if e.Host != "" {
			err = k.file(e.Host)
		} else {
			k.add("data", string(e.Data))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// slot builds the part: root and ESP images, and slot.json with what loadSlot needs.
func (b *Builder) slot(dir string, o *one, first, root *tree.Tree, kernel, stub string) error {
	initrd, err := pack.Image(first, true)
	if err != nil {
		return err
	}
	kernelBytes, err := os.ReadFile(kernel)
	if err != nil {
		return err
	}
	stubBytes, err := os.ReadFile(stub)
	if err != nil {
		return err
	}
	s, err := assemble.BuildSlot(dir, assemble.Input{Role: o.recipe.Image, Version: b.Version, Cmdline: o.recipe.Cmdline, Root: root,
		BuildUKI: func(cmdline string) ([]byte, error) {
			raw, err := uki.Build(stubBytes, uki.Parts{OSRelease: o.osRelease(), CommandLine: cmdline, Initrd: initrd, Kernel: kernelBytes})
			if err != nil {
				return nil, err
			}
			return authenticode.Sign(raw, b.Keys.DB.Key, b.Keys.DB.Cert)
		}})
	if err != nil {
		return err
	}
	info := System{Slot: s, Initrd: len(initrd), Kernel: len(kernelBytes)}
	info.Root, info.ESP = filepath.Base(s.Root), filepath.Base(s.ESP)
	j, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "slot.json"), j, 0o644), b.guestDisk(dir, o, s))
}

// guestDisk: the guest's slot is carried as one disk image of its own.
func (b *Builder) guestDisk(dir string, o *one, s assemble.Slot) error {
	if o.recipe.Image != "guest" {
		return nil
	}
	return assemble.Guest(filepath.Join(dir, "guest.img"), s)
}

func loadSlot(dir string, out *System) error {
	j, err := os.ReadFile(filepath.Join(dir, "slot.json"))
	if err != nil {
		return err
	}
	bill := out.SBOM
	if err := json.Unmarshal(j, out); err != nil {
		return err
	}
	out.Root, out.ESP, out.SBOM = filepath.Join(dir, out.Root), filepath.Join(dir, out.ESP), bill
	return nil
}

func size(file string) string {
	i, err := os.Stat(file)
	if err != nil {
		return "?"
	}
	return progress.MB(i.Size())
}

// Room refuses to start what a full disk would stop half-way.
func Room(dir string, need uint64) error {
	at := dir
	for {
		var fs syscall.Statfs_t
		err := syscall.Statfs(at, &fs)
		if errors.Is(err, os.ErrNotExist) && filepath.Dir(at) != at {
			at = filepath.Dir(at)
			continue
		}
		if err != nil {
			return fmt.Errorf("look for free space at %s: %w", at, err)
		}
		if free := fs.Bavail * uint64(fs.Bsize); free < need {
			return fmt.Errorf("there are %d MB free at %s and this needs up to %d MB\n  to throw away what can be built again:  make clean", free/1e6, at, need/1e6)
		}
		return nil
	}
}

// explainFull turns the kernel's message into one that says what to do.
func explainFull(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("no space left at %s while building; nothing half-written was kept\n  to throw away what can be built again:  make clean\n  (%w)", dir, err)
	}
	return err
}
