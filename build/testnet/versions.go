package testnet

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// Versions of the replica that a network changes to, besides the one it began with:
//
//	Bin/replica                  the one it began with
//	Dir/versions/NAME/replica    ProgramOf(Dir, NAME), put there by who builds it
//
// The registry names a version; each node runs its catch-up package to the end and
// stops, saying which version goes on; then its program for that version is started.

func versionsIn(dir string) string { return filepath.Join(dir, "versions") }

// ProgramOf is where the network in a directory expects the replica of a version.
func ProgramOf(dir, version string) string {
	return filepath.Join(versionsIn(dir), version, "replica")
}

// strict tells whether the nodes heed the registry's version: networks that an older
// release made do not.
func (n *Net) strict() bool {
	_, err := os.Stat(versionsIn(n.Dir))
	return err == nil
}

// versions that there are programs for.
func (n *Net) versions() (names []string) {
	all, _ := os.ReadDir(versionsIn(n.Dir))
	for _, d := range all {
		if n.has(d.Name()) {
			names = append(names, d.Name())
		}
	}
	return names
}

func (n *Net) has(version string) bool {
	_, err := os.Stat(ProgramOf(n.Dir, version))
	return err == nil
}

var versionName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// CheckVersion refuses what is no name of a version.
func CheckVersion(name string) error {
	if !versionName.MatchString(name) {
		return fmt.Errorf("%q is no version: use up to 64 letters, digits, dots and dashes, such as 0.2.0-rc1", name)
	}
	return nil
}

// Upgrade has all members change to another version of the replica, at one height.
func (n *Net) Upgrade(version string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !n.strict():
		return fmt.Errorf("an older release made the network in %s: its nodes do not heed the registry's version\n  make a new one: rm -r %s", n.Dir, n.Dir)
	case !n.has(version):
		return fmt.Errorf("there is no replica of version %s at %s", version, ProgramOf(n.Dir, version))
	case version == n.version:
		return fmt.Errorf("version %s goes on already: give what is new another name", version)
	}
	if _, err := n.network("version", version, "--dir", n.Dir, "--offline"); err != nil {
		return err
	}
	n.version = version
	return n.send()
}

func upgrade(_ context.Context, n *Net, of given, out io.Writer) error {
	if err := CheckVersion(of.version); err != nil {
		return err
	}
	if err := n.Upgrade(of.version); err != nil {
		return err
	}
	fmt.Fprintf(out, "all nodes change to version %s at one height, at the end of this interval or the next: mk testnet status shows it\n", of.version)
	return nil
}

// program that the node runs.
func (d *Node) program() string {
	if d.version != "" {
		return ProgramOf(d.net.Dir, d.version)
	}
	return filepath.Join(d.net.Bin, "replica")
}

// goesOnWith is what a replica says in the end for which another version goes on.
var goesOnWith = regexp.MustCompile(`the subnet goes on after height (\d+) with replica version (\S+)`)

// upgraded tells whether the process ended since another version goes on, and there is
// that version. Called with mu held.
func (d *Node) upgraded() bool {
	m := goesOnWith.FindStringSubmatch(d.lastWords())
	if m == nil || d.state() != "upgrade" || !d.net.has(m[2]) {
		return false
	}
	d.version, d.changed = m[2], m[1]
	return true
}

func (d *Node) restart() {
	d.mu.Lock()
	wanted := d.wanted
	d.mu.Unlock()
	if !wanted { // it was stopped meanwhile
		return
	}
	d.net.Say("node %d goes on after height %s with version %s", d.Number, d.changed, d.version)
	if err := d.Start(); err != nil {
		d.net.Say("%v", err)
	}
}

// Version of the replica that the node runs, and the height at which it changed to it;
// "" for what the program replica is.
func (d *Node) Version() (version, since string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version, d.changed
}
