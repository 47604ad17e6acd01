package lab

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// helloSector is a boot sector that says hello on the serial port and halts:
// mov si,0x7c11; lodsb; test al,al; jz 14; mov dx,0x3f8; out dx,al; jmp 3; hlt; jmp 14.
var helloSector = append([]byte{0xbe, 0x11, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, 0xf4, 0xeb, 0xfd},
	"hello from the boot sector\r\n\x00"...)

func helloDisk(t *testing.T) string {
	sector := make([]byte, 1<<20)
	copy(sector, helloSector)
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(t.TempDir(), "hello.img")
	if err := os.WriteFile(disk, sector, 0o600); err != nil {
		t.Fatal(err)
	}
	return disk
}

func needs(t *testing.T, programs ...string) {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: run mk setup", p)
		}
	}
}

func TestAMachineSpeaksIsResetAndKilled(t *testing.T) {
	needs(t, "qemu-system-x86_64", "qemu-img", "swtpm")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := NewTPM(dir + "/tpm"); err != nil {
		t.Fatal(err)
	}
	if err := Overlay(dir+"/disk", helloDisk(t)); err != nil {
		t.Fatal(err)
	}
	vm, err := Start(ctx, Config{Disk: dir + "/disk", TPM: dir + "/tpm", MemoryMiB: 64, Log: dir + "/log"})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if _, err := vm.Console.Wait(ctx, "^hello from (.*) sector$"); err != nil {
		t.Fatal(err)
	}
	mark := vm.Console.Now()
	if err := vm.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := mark.Wait(ctx, "^hello"); err != nil {
		t.Fatal(err)
	}
	vm.Kill()
	if _, err := vm.Console.Wait(ctx, "never said"); err == nil || !strings.Contains(err.Error(), "hello from") {
		t.Errorf("the failure does not show the console: %v", err)
	}
	if log, _ := os.ReadFile(dir + "/log"); strings.Count(string(log), "hello") != 2 {
		t.Errorf("the log holds %q", log)
	}
}

func TestABadMachineSaysWhy(t *testing.T) {
	needs(t, "qemu-system-x86_64")
	_, err := Start(t.Context(), Config{Disk: "/nonexistent/disk", MemoryMiB: 64})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/disk") {
		t.Errorf("got %v", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	c := newConsole(nil)
	r, w := io.Pipe()
	go c.read(r, io.Discard)
	io.WriteString(w, "\x1b[2J\x1b[01;01Hfirst\r\nsecond  \n")
	if m, err := c.Wait(t.Context(), "^sec(.*)$"); err != nil || m[1] != "ond" {
		t.Fatalf("%q %v", m, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Wait(ctx, "third"); err == nil || !strings.Contains(err.Error(), "second") {
		t.Errorf("got %v", err)
	}
	w.Close()
}

func TestCloneKeepsBytesAndHoles(t *testing.T) {
	dir := t.TempDir()
	src, err := os.Create(dir + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	src.Truncate(64 << 20)
	src.WriteAt([]byte("in the middle"), 33<<20)
	if err := Clone(dir+"/b", dir+"/a"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/b")
	if err != nil || len(b) != 64<<20 || string(b[33<<20:33<<20+13]) != "in the middle" {
		t.Fatalf("the copy has %d bytes, %v", len(b), err)
	}
}
