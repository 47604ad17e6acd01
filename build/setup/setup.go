// Package setup installs what a workstation lacks.
//
//	pins.txt's tool lines ── probe missing? ──> apt-get install, as root or by sudo
//	package-lock.json in qemu-tests/clients, .../accept ── changed? ──> npm ci
//
// It says what it installs before it does, and does nothing, at once, where all
// is in place. Go modules come by themselves with the first go build.
package setup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ashlar/build/pins"
)

// Clients is the folder of the demo's npm clients, Acceptance that of the tests:
// a compiler more, the icp CLI, another generation of agents, 200 MB.
const (
	Clients    = "qemu-tests/clients"
	Acceptance = "qemu-tests/clients/accept"
)

// Machine is the workstation.
type Machine struct {
	Root string // the source tree
	Say  func(format string, args ...any)
}

// Packages installs the Debian packages for the purposes: run, test.
func (m Machine) Packages(t *pins.Table, purposes ...string) error {
	var missing []string
	for _, tool := range t.Tools {
		if wanted(tool, purposes) && !present(tool.Probe) {
			m.Say("  needs %-16s %s", tool.Package, tool.Why)
			missing = append(missing, tool.Package)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	m.Say("  installing: apt-get install %s", strings.Join(missing, " "))
	if err := m.apt("update"); err != nil {
		return err
	}
	return m.apt(append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
}

func wanted(t pins.Tool, purposes []string) bool {
	for _, p := range purposes {
		if t.For == p {
			return true
		}
	}
	return false
}

// present: administrators' commands are often outside of a user's PATH.
func present(probe string) bool {
	if filepath.IsAbs(probe) {
		_, err := os.Stat(probe)
		return err == nil
	}
	if _, err := exec.LookPath(probe); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, probe)); err == nil {
			return true
		}
	}
	return false
}

// apt runs apt-get as root: as we are, or by sudo.
func (m Machine) apt(args ...string) error {
	argv := append([]string{"apt-get", "-q"}, args...)
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return fmt.Errorf("this needs root: run as root, or install sudo, or run yourself:\n  %s", strings.Join(argv, " "))
		}
		argv = append([]string{"sudo"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdin = os.Stdin // sudo may ask for a password
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("apt-get is not on this machine: Ashlar is built on Debian (bookworm)")
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, tail(out))
	}
	return nil
}

// NPM installs the clients of a folder as its lock file names them, by hash.
func (m Machine) NPM(folder string) error {
	dir := filepath.Join(m.Root, folder)
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(lock)
	stamp := filepath.Join(dir, "node_modules", ".ashlar-lock")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == hex.EncodeToString(sum[:]) {
		return nil
	}
	m.Say("  installing the npm clients of %s/package-lock.json", folder)
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", folder, err, tail(out))
	}
	return os.WriteFile(stamp, []byte(hex.EncodeToString(sum[:])), 0o644)
}

const tailBytes = 2000 // the end of a tool's output is where it says what is wrong

func tail(out []byte) string {
	out = bytes.TrimSpace(out)
	if len(out) > tailBytes {
		out = out[len(out)-tailBytes:]
	}
	return string(out)
}
