// Package pins is the list of every outside input of the images.
//
//	pins.txt:  deb SET PACKAGE VERSION ARCH SHA256     one file, never another
//	           want SET PACKAGE WHY                    what `mk pins update` starts from
//	           elf SET FILE WHY                        programs whose libraries the set must hold
//	           tool run|test PACKAGE PROBE WHY         used on the workstation, not shipped; installed if PROBE is missing
//
//	Fetch: cache, else apt-get download -> SHA-256 -> unpacked under .cache/deb/SHA256
//	Update: what the mirror has today -> new table, shown as a diff
//
// Go modules are pinned by go.sum, the demo's npm packages by its
// package-lock.json: their own tools check those. Everything else is here.
package pins

import (
	"bufio"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed pins.txt
var text string

// File is the table's place in the source tree.
const File = "build/pins/pins.txt"

// Pin is one Debian package file.
type Pin struct {
	Set     string // which part of the build uses it: host-kernel, guest-kernel, stub, vmm
	Package string
	Version string
	Arch    string
	SHA256  string
}

func (p Pin) String() string { return p.Package + " " + p.Version }

// Want is one line that says why something is among the inputs.
type Want struct {
	Set  string
	Name string // a package, or for elf lines a file
	Why  string
}

// Tool is a Debian package that the workstation needs.
type Tool struct {
	For     string // run: the demo needs it; test: only `make test` does
	Package string
	Probe   string // a file, or a command in PATH: if it exists, the package is not asked for
	Why     string
}

// Table is the parsed pins.txt.
type Table struct {
	Wants []Want
	ELFs  []Want
	Tools []Tool
	Pins  []Pin
}

// Load parses the table built into this program.
func Load() (*Table, error) { return Parse(text) }

// Parse reads a table and refuses what it cannot understand.
func Parse(text string) (*Table, error) {
	t := &Table{}
	s := bufio.NewScanner(strings.NewReader(text))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := t.add(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", File, n, err)
		}
	}
	return t, s.Err()
}

func (t *Table) add(f []string) error {
	switch {
	case f[0] == "deb" && len(f) == 6:
		p := Pin{Set: f[1], Package: f[2], Version: f[3], Arch: f[4], SHA256: f[5]}
		if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != 32 {
			return fmt.Errorf("the hash of %s is not a SHA-256", p.Package)
		}
		for _, q := range t.Pins {
			if q.Set == p.Set && q.Package == p.Package {
				return fmt.Errorf("%s is pinned twice in set %s", p.Package, p.Set)
			}
		}
		t.Pins = append(t.Pins, p)
	case f[0] == "want" && len(f) >= 4:
		t.Wants = append(t.Wants, Want{f[1], f[2], strings.Join(f[3:], " ")})
	case f[0] == "elf" && len(f) >= 4:
		t.ELFs = append(t.ELFs, Want{f[1], f[2], strings.Join(f[3:], " ")})
	case f[0] == "tool" && len(f) >= 5 && (f[1] == "run" || f[1] == "test"):
		t.Tools = append(t.Tools, Tool{f[1], f[2], f[3], strings.Join(f[4:], " ")})
	default:
		return fmt.Errorf("cannot read %q: want deb, want, elf or tool with its fields and a reason", strings.Join(f, " "))
	}
	return nil
}

// Set returns the pins of one part of the build.
func (t *Table) Set(name string) []Pin {
	var out []Pin
	for _, p := range t.Pins {
		if p.Set == name {
			out = append(out, p)
		}
	}
	return out
}
