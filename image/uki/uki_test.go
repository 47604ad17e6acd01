package uki_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"ashlar/image/pe"
	"ashlar/image/pe/petest"
	"ashlar/image/uki"
)

var parts = uki.Parts{
	OSRelease:   "ID=ashlar\nVERSION_ID=1.0.0\n",
	CommandLine: "ashlar.role=host ashlar.root=00",
	Initrd:      bytes.Repeat([]byte("initrd"), 3000),
	Kernel:      bytes.Repeat([]byte("kernel"), 7001),
}

// stubs are the stand-in, and systemd's own where Debian's package is installed.
func stubs(t *testing.T) map[string][]byte {
	out := map[string][]byte{"stand-in": petest.Stub()}
	if raw, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"); err == nil {
		out["systemd"] = raw
	}
	return out
}

func TestBuildAndOpen(t *testing.T) {
	for name, stub := range stubs(t) {
		raw, err := uki.Build(stub, parts)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := uki.Open(raw)
		if err != nil || got.OSRelease != parts.OSRelease || got.CommandLine != parts.CommandLine ||
			!bytes.Equal(got.Initrd, parts.Initrd) || !bytes.Equal(got.Kernel, parts.Kernel) {
			t.Errorf("%s: read back %v", name, err)
		}
		again, err := uki.Build(stub, parts)
		if err != nil || !bytes.Equal(raw, again) {
			t.Errorf("%s: the same input gave other bytes, %v", name, err)
		}
		if _, err := uki.Build(raw, parts); err == nil {
			t.Errorf("%s: a UKI was taken as a stub", name)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*uki.Parts)
	}{
		{"long command line", "cut it", func(p *uki.Parts) { p.CommandLine = strings.Repeat("x", 2048) }},
		{"newline", "newline", func(p *uki.Parts) { p.CommandLine += "\ninit=/bin/sh" }},
		{"NUL", "NUL", func(p *uki.Parts) { p.CommandLine += "\x00" }},
		{"no kernel", ".linux", func(p *uki.Parts) { p.Kernel = nil }},
		{"no command line", ".cmdline", func(p *uki.Parts) { p.CommandLine = "" }},
	} {
		p := parts
		c.change(&p)
		if _, err := uki.Build(petest.Stub(), p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := uki.Open(petest.Stub()); err == nil || !strings.Contains(err.Error(), "not a unified kernel image") {
		t.Errorf("a stub: %v", err)
	}
	im, err := pe.Parse(petest.Stub())
	if err != nil {
		t.Fatal(err)
	}
	twice, err := im.Append([]pe.Payload{{Name: ".osrel", Data: []byte("a")}, {Name: ".cmdline", Data: []byte("a")}, {Name: ".cmdline", Data: []byte("b")}, {Name: ".initrd", Data: []byte("a")}, {Name: ".linux", Data: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := uki.Open(twice); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two command lines: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	raw, err := uki.Build(petest.Stub(), parts)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := uki.Open(raw)
		if err == nil && len(p.Kernel)*len(p.Initrd) == 0 {
			t.Error("accepted without kernel or initrd")
		}
	})
}
