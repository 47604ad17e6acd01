package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/build/pins"
)

// machine has an apt-get that writes down how it was called.
func machine(t *testing.T, apt string) (m Machine, said *strings.Builder, calls string) {
	bin := t.TempDir()
	calls = filepath.Join(bin, "calls")
	for name, script := range map[string]string{"apt-get": "echo \"$@\" >> " + calls + "\n" + apt, "sudo": "exec \"$@\"", "present": ""} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	said = &strings.Builder{}
	return Machine{Root: t.TempDir(), Say: func(f string, a ...any) { fmt.Fprintf(said, f+"\n", a...) }}, said, calls
}

const table = `tool run  here  present        is there already
tool run  gone  no-such-tool   is asked for
tool run  file  /no/such/file  is asked for, too
tool test later no-such-tool   only tests need it
`

func TestOnlyWhatIsMissingIsInstalled(t *testing.T) {
	m, said, calls := machine(t, "")
	tools, err := pins.Parse(table)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Packages(tools, "run"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(calls)
	if want := "-q update\n-q install -y --no-install-recommends gone file\n"; string(got) != want {
		t.Errorf("apt-get was called with\n%s", got)
	}
	if !strings.Contains(said.String(), "is asked for") || strings.Contains(said.String(), "already") {
		t.Errorf("it said\n%s", said)
	}
}

func TestAMachineWithEverythingIsLeftAlone(t *testing.T) {
	m, said, calls := machine(t, "")
	tools, _ := pins.Parse("tool run here present is there")
	if err := m.Packages(tools, "run", "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(calls); err == nil || said.Len() != 0 {
		t.Errorf("apt-get was called, or it spoke: %s", said)
	}
}

func TestAptsComplaintIsPassedOn(t *testing.T) {
	m, _, _ := machine(t, "echo 'E: Unable to locate package gone' >&2; exit 100")
	tools, _ := pins.Parse(table)
	if err := m.Packages(tools, "run"); err == nil || !strings.Contains(err.Error(), "Unable to locate package gone") {
		t.Errorf("got %v", err)
	}
}
