// Package kmod loads kernel modules, only those that this machine asks for.
//
//	initramfs  /modules/list          ──> LoadList: all of them, in order
//	root       modules.alias + .dep   ──> Open ──> Coldplug: for each device's modalias, its driver
//	                                          └──> Load: one by name, what it needs first
//
// The two tables have the format of depmod(8). A module that the kernel has
// built in, or has loaded already, counts as loaded. Compressed modules (.ko.xz,
// .ko.zst) are left to the kernel to unpack.
package kmod

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

const (
	maxModules = 512      // in a list: a dozen are usual
	maxTable   = 32 << 20 // bytes of modules.alias: Debian's full kernel has 1.2 MB
)

// LoadList loads the modules named in dir/list, one file name per line, in
// that order. It goes on after a failure: the error tells all of them.
func LoadList(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "list"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a kernel with everything built in
	}
	if err != nil {
		return 0, fmt.Errorf("read the module list: %w", err)
	}
	var errs []error
	n := 0
	for line := range strings.Lines(string(b)) {
		name := strings.TrimSpace(line)
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if n == maxModules {
			return n, fmt.Errorf("module list %s names more than %d modules", dir, maxModules)
		}
		if !strings.HasPrefix(name, "/") {
			name = filepath.Join(dir, name)
		}
		if err := insert(name); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// A Tree is a folder of modules with its tables.
type Tree struct {
	dir     string
	files   map[string]string // module name -> file below dir
	deps    map[string][]string
	aliases map[string][]alias // by bus, the part of the pattern before the colon
	done    map[string]bool
	insert  func(file string) error
}

type alias struct{ pattern, module string }

// Open reads the tables of dir, or of the one release folder in dir.
func Open(dir string) (*Tree, error) {
	if _, err := os.Stat(filepath.Join(dir, "modules.dep")); err != nil {
		below, _ := filepath.Glob(filepath.Join(dir, "*", "modules.dep"))
		if len(below) != 1 {
			return nil, fmt.Errorf("%s holds %d kernel module trees, want one: the image is not complete", dir, len(below))
		}
		dir = filepath.Dir(below[0])
	}
	t := &Tree{dir: dir, files: map[string]string{}, deps: map[string][]string{}, aliases: map[string][]alias{}, done: map[string]bool{}, insert: insert}
	if err := t.readDeps(); err != nil {
		return nil, err
	}
	return t, t.readAliases()
}

// Load loads a module and what it needs. A name that the tree does not have is
// an error that Missing recognizes.
func (t *Tree) Load(name string) error { return t.load(canon(name), 0) }

// Missing says whether err is about a module that is not in the tree.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (t *Tree) load(name string, depth int) error {
	if t.done[name] {
		return nil
	}
	file, ok := t.files[name]
	if !ok {
		if _, err := os.Stat("/sys/module/" + name); err == nil {
			return nil // built in
		}
		return fmt.Errorf("kernel module %s is not in %s: %w", name, t.dir, fs.ErrNotExist)
	}
	if depth > 32 {
		return fmt.Errorf("kernel module %s needs itself", name)
	}
	for _, dep := range t.deps[name] {
		if err := t.load(dep, depth+1); err != nil {
			return err
		}
	}
	if err := t.insert(filepath.Join(t.dir, file)); err != nil {
		return err
	}
	t.done[name] = true
	return nil
}

// Coldplug loads the driver of each device in sys that names one, and returns
// the names of the modules loaded, with the failures. A device may announce
// others behind it (a bridge, a hub): it goes on until nothing new comes.
func (t *Tree) Coldplug(sys fs.FS) ([]string, error) {
	var loaded []string
	failed := map[string]error{}
	for range 4 { // bus, bridge, device, function: deeper was not seen
		before := len(t.done)
		for _, m := range modaliases(sys) {
			for _, name := range t.wanted(m) {
				if t.done[name] || failed[name] != nil {
					continue
				}
				if err := t.Load(name); err != nil {
					failed[name] = err
					continue
				}
				loaded = append(loaded, name)
			}
		}
		if len(t.done) == before {
			break
		}
	}
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return loaded, errors.Join(errs...)
}

// wanted returns the modules whose aliases match.
func (t *Tree) wanted(modalias string) []string {
	bus, _, _ := strings.Cut(modalias, ":")
	var names []string
	for _, a := range t.aliases[bus] {
		if ok, _ := path.Match(a.pattern, modalias); ok {
			names = append(names, a.module)
		}
	}
	return names
}

func (t *Tree) readDeps() error {
	return t.table("modules.dep", func(line string) {
		file, needs, ok := strings.Cut(line, ":")
		if !ok {
			return
		}
		name := canon(file)
		t.files[name] = file
		for _, n := range strings.Fields(needs) {
			t.deps[name] = append(t.deps[name], canon(n))
		}
	})
}

func (t *Tree) readAliases() error {
	return t.table("modules.alias", func(line string) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "alias" {
			return
		}
		bus, _, _ := strings.Cut(f[1], ":")
		t.aliases[bus] = append(t.aliases[bus], alias{f[1], canon(f[2])})
	})
}

func (t *Tree) table(name string, each func(string)) error {
	f, err := os.Open(filepath.Join(t.dir, name))
	if err != nil {
		return fmt.Errorf("read kernel module table: %w", err)
	}
	defer f.Close()
	total := 0
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if total += len(s.Text()); total > maxTable {
			return fmt.Errorf("kernel module table %s is over %d bytes", f.Name(), maxTable)
		}
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			each(line)
		}
	}
	return s.Err()
}

// modaliases returns what the devices ask for, each once, sorted.
func modaliases(sys fs.FS) []string {
	files, _ := fs.Glob(sys, "bus/*/devices/*/modalias")
	seen := map[string]bool{}
	for _, f := range files {
		if b, err := fs.ReadFile(sys, f); err == nil {
			if m := strings.TrimSpace(string(b)); m != "" {
				seen[m] = true
			}
		}
	}
	out := make([]string, 0, len(seen))
	for m := range seen {
		out = append(out, m)
	}
	sort.Strings(out)
	return out
}

// canon is a module's name as the kernel spells it: kernel/drivers/net/e1000-x.ko.xz -> e1000_x.
func canon(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
