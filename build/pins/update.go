package pins

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"ashlar/build/closure"
)

// Update resolves every wanted package to the version the mirror has now and
// returns the new text of pins.txt. Of a set with elf lines only those packages
// stay that hold one of the programs, one of their libraries, or are wanted by name.
func (s *Store) Update(old *Table, oldText string) (string, error) {
	opts, err := s.privateLists()
	if err != nil {
		return "", err
	}
	var pins []Pin
	for _, set := range old.sets() {
		got, err := s.resolve(old, set, opts)
		if err != nil {
			return "", fmt.Errorf("update the pins of %s: %w", set, err)
		}
		pins = append(pins, got...)
	}
	return render(oldText, pins), nil
}

func (t *Table) sets() []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range t.Wants {
		if !seen[w.Set] {
			seen[w.Set] = true
			out = append(out, w.Set)
		}
	}
	return out
}

func (s *Store) resolve(t *Table, set string, opts []string) ([]Pin, error) {
	var names, programs []string
	for _, w := range t.Wants {
		if w.Set == set {
			names = append(names, w.Name)
		}
	}
	for _, e := range t.ELFs {
		if e.Set == set {
			programs = append(programs, e.Name)
		}
	}
	if len(programs) == 0 {
		return s.byName(set, names, opts)
	}
	return s.byClosure(set, names, programs, opts)
}

// byName pins the packages themselves; an empty meta-package stands for the one it depends on.
func (s *Store) byName(set string, names, opts []string) ([]Pin, error) {
	var pins []Pin
	for _, n := range names {
		c, err := show(n, opts)
		if err != nil {
			return nil, err
		}
		if c["Section"] == "metapackages" || strings.Contains(c["Description"], "(meta-package)") {
			n, _, _ = strings.Cut(c["Depends"], " ")
			if c, err = show(strings.TrimSuffix(n, ","), opts); err != nil {
				return nil, err
			}
		}
		pins = append(pins, pin(set, c))
	}
	return pins, nil
}

// byClosure looks through everything the packages depend on and keeps what is used.
func (s *Store) byClosure(set string, names, programs, opts []string) ([]Pin, error) {
	all, err := depends(names, opts)
	if err != nil {
		return nil, err
	}
	var pins []Pin
	for _, n := range all {
		if c, err := show(n, opts); err == nil { // a virtual package has none: the one that provides it is in the list too
			pins = append(pins, pin(set, c))
		}
	}
	dirs, err := s.UnpackedAll(pins)
	if err != nil {
		return nil, err
	}
	trees, err := closure.Open(dirs)
	if err != nil {
		return nil, err
	}
	files, err := trees.Of(programs...)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, n := range names {
		used[n] = true
	}
	for _, f := range files {
		used[pins[f.Tree].Package] = true
	}
	var keep []Pin
	for _, p := range pins {
		if used[p.Package] {
			keep = append(keep, p)
		}
	}
	return keep, nil
}

func pin(set string, c map[string]string) Pin {
	return Pin{Set: set, Package: c["Package"], Version: c["Version"], Arch: c["Architecture"], SHA256: c["SHA256"]}
}

// show returns the fields of the candidate version of a package.
func show(name string, opts []string) (map[string]string, error) {
	out, err := cache(append([]string{"show", "--no-all-versions"}, append(opts, name)...)...)
	if err != nil {
		return nil, fmt.Errorf("the mirror has no package %s", name)
	}
	m := map[string]string{}
	for _, l := range strings.Split(out, "\n") {
		if k, v, ok := strings.Cut(l, ": "); ok && !strings.HasPrefix(l, " ") {
			if _, dup := m[k]; !dup {
				m[k] = v
			}
		}
	}
	if m["SHA256"] == "" {
		return nil, fmt.Errorf("the mirror has no package %s", name)
	}
	return m, nil
}

func depends(names, opts []string) ([]string, error) {
	args := append([]string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances"}, opts...)
	out, err := cache(append(args, names...)...)
	if err != nil {
		return nil, err
	}
	var pkgs []string
	for _, l := range strings.Split(out, "\n") {
		if l != "" && l[0] != ' ' && l[0] != '<' {
			pkgs = append(pkgs, l)
		}
	}
	sort.Strings(pkgs)
	return slices.Compact(pkgs), nil
}

func cache(args ...string) (string, error) {
	cmd := exec.Command("apt-cache", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache: %s", strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// render replaces the deb lines of a table and keeps every other line.
func render(old string, pins []Pin) string {
	var b strings.Builder
	for _, l := range strings.Split(strings.TrimRight(old, "\n"), "\n") {
		if !strings.HasPrefix(l, "deb ") {
			b.WriteString(l + "\n")
		}
	}
	for _, p := range pins {
		fmt.Fprintf(&b, "deb %s %s %s %s %s\n", p.Set, p.Package, p.Version, p.Arch, p.SHA256)
	}
	return b.String()
}

// Diff says in words what differs between two tables, one line each.
func Diff(old, new *Table) []string {
	key := func(p Pin) string { return p.Set + " " + p.Package }
	was := map[string]Pin{}
	for _, p := range old.Pins {
		was[key(p)] = p
	}
	var out []string
	for _, p := range new.Pins {
		o, ok := was[key(p)]
		delete(was, key(p))
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("+ %s %s %s", p.Set, p.Package, p.Version))
		case o != p && o.Version != p.Version:
			out = append(out, fmt.Sprintf("~ %s %s %s -> %s", p.Set, p.Package, o.Version, p.Version))
		case o != p:
			out = append(out, fmt.Sprintf("~ %s %s %s: same version, other file", p.Set, p.Package, p.Version))
		}
	}
	for _, p := range was {
		out = append(out, fmt.Sprintf("- %s %s %s", p.Set, p.Package, p.Version))
	}
	sort.Strings(out)
	return out
}

// UpdateFile is `mk pins update`: it writes pins.txt of the tree at root anew and returns the changes.
func (s *Store) UpdateFile(root string) ([]string, error) {
	path := filepath.Join(root, File)
	oldText, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	old, err := Parse(string(oldText))
	if err != nil {
		return nil, err
	}
	newText, err := s.Update(old, string(oldText))
	if err != nil {
		return nil, err
	}
	fresh, err := Parse(newText)
	if err != nil {
		return nil, fmt.Errorf("the updated table cannot be read back: %w", err)
	}
	return Diff(old, fresh), os.WriteFile(path, []byte(newText), 0o644)
}
