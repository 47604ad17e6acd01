package node

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ashlar/image/layout"
	"ashlar/qemu-tests/lab"
)

func TestABusyPortIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := PortFree(port); err == nil || !strings.Contains(err.Error(), "make run PORT=") {
		t.Errorf("busy: %v", err)
	}
	l.Close()
	if err := PortFree(port); err != nil {
		t.Errorf("free: %v", err)
	}
}

func TestOneNodePerFolder(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("the second lock: %v", err)
	}
	unlock()
	again, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// disk is an empty disk of the plan with these bytes in its data partition.
func disk(t *testing.T, data string) string {
	t.Helper()
	size := layout.MinimumDisk()
	table, err := layout.Host(size, 512, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	if err := lab.Patch(f.Name(), layout.Data, 5<<20, []byte(data)); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestTheDataMovesToTheNewDisk(t *testing.T) {
	old, fresh := disk(t, "the count is 2"), disk(t, "")
	if err := keepData(fresh, old); err != nil {
		t.Fatal(err)
	}
	got, err := lab.Peek(fresh, layout.Data, 5<<20, 14)
	if err != nil || !bytes.Equal(got, []byte("the count is 2")) {
		t.Errorf("%q %v", got, err)
	}
	if err := os.Truncate(old, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := keepData(fresh, old); err == nil {
		t.Error("a disk cut short gave its data")
	}
}

func TestPhaseList(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPhaseList(f)
	for _, l := range []lab.Line{
		{Text: `BdsDxe: starting Boot0001 "UEFI Misc Device"`, Since: 6 * time.Second},
		{Text: "[    3.1] random kernel line", Since: 7 * time.Second},
		{Text: "ashlar init 3.500 verity root hash abc", Since: 10 * time.Second},
		{Text: "ashlar host 20.250 ready replica healthy at height 4", Since: 40 * time.Second},
	} {
		p.line(l)
	}
	if end := p.end(); end != 40*time.Second {
		t.Errorf("the list ends at %v", end)
	}
	p.line(lab.Line{Text: "ashlar host 99.0 late news", Since: time.Minute})
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := `        at     took  who    phase
     6.0 s    6.0 s  uefi   firmware ready, starting the signed UKI
    10.0 s    4.0 s  init   verity  root hash abc
    40.0 s   30.0 s  host   ready  replica healthy at height 4
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}
