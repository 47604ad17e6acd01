package efi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	espA = Target{"Ashlar a", Partition{3, 36864, 131072, MustGUID("3d5a1a0e-5a5e-4f0b-8f6e-0a0000000001")}}
	espB = Target{"Ashlar b", Partition{4, 167936, 131072, MustGUID("3d5a1a0e-5a5e-4f0b-8f6e-0a0000000002")}}
)

// firmware is a directory with what OVMF leaves after its first boot.
func firmware(t *testing.T) *Variables {
	t.Helper()
	v := &Variables{t.TempDir()}
	for name, hexData := range map[string]string{
		"Boot0000":  "09010000" + "2c00" + "550069004100700070000000" + "04071400c9bdb87cebf8344faaea3ee4af6516a1" + "04061400" + "21aa2c4614760345836e8ab6f4662331" + "7fff0400",
		"Boot0001":  "01000000" + "1600" + "5500450046004900000002010c00d041030a0000000001010600" + "00027fff0400",
		"BootOrder": "01000000",
	} {
		raw, err := hex.DecodeString(hexData)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Write(name, raw); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func TestNoEFI(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := Open(dir); !errors.Is(err, ErrNoEFI) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := Open(firmware(t).dir); err != nil {
		t.Error(err)
	}
}

func TestReadAndWrite(t *testing.T) {
	v := firmware(t)
	if _, err := v.Read("Nothing", Global); !errors.Is(err, ErrNotFound) {
		t.Errorf("a variable that is not there: %v", err)
	}
	for _, data := range []string{"long data", "short"} {
		if err := v.Write("Some", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Read("Some", Global); err != nil || string(got) != data {
			t.Errorf("%q, %v; want %q", got, err, data)
		}
	}
	raw, err := os.ReadFile(filepath.Join(v.dir, "Some-8be4df61-93ca-11d2-aa0d-00e098032b8c"))
	if err != nil || !bytes.Equal(raw, []byte("\x07\x00\x00\x00short")) {
		t.Errorf("the file holds %q, %v", raw, err)
	}
	if err := errors.Join(v.Delete("Some"), v.Delete("Some")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, "Big-"+Global.String()), make([]byte, maxVariableBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Read("Big", Global); err == nil {
		t.Error("an endless variable was read")
	}
}

// An unchanged variable is not written: flash wears. The file's time tells.
func TestUnchangedIsNotWritten(t *testing.T) {
	v := firmware(t)
	path := filepath.Join(v.dir, "BootOrder-"+Global.String())
	old := time.Unix(1_000_000_000, 0)
	for _, c := range []struct {
		data    []byte
		written bool
	}{{[]byte{1, 0, 0, 0}, false}, {[]byte{0, 0, 1, 0}, true}} {
		if err := errors.Join(os.Chtimes(path, old, old), v.Write("BootOrder", c.data)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.ModTime().Equal(old) == c.written {
			t.Errorf("%v: written is %v, %v", c.data, !c.written, err)
		}
	}
}

// The bytes that OVMF boots from: see the recorded run in the commit that added them.
func TestEntryEncoding(t *testing.T) {
	want := "01000000" + // active
		"5e00" + // length of the path
		"4100730068006c00610072002000610000" + "00" + // Ashlar a
		"04012a00" + "03000000" + "0090000000000000" + "0000020000000000" + "0e1a5a3d5e5a0b4f8f6e0a0000000001" + "0202" +
		"04043000" + "5c004500460049005c0042004f004f0054005c0042004f004f0054005800360034002e004500460049000000" +
		"7fff0400"
	raw := espA.entry().Encode()
	if hex.EncodeToString(raw) != want {
		t.Errorf("\n got %x\nwant %s", raw, want)
	}
	e, err := DecodeEntry(raw)
	if err != nil || !e.Plain || *e.Partition != espA.Partition || e.File != RemovablePath || e.Description != "Ashlar a" || !e.Active {
		t.Errorf("read back %+v, %v", e, err)
	}
	if e, err := DecodeEntry(append(raw, "init=/bin/sh"...)); err != nil || e.Plain {
		t.Errorf("an entry with arguments is plain: %+v, %v", e, err)
	}
	for n := range raw {
		if _, err := DecodeEntry(raw[:n]); err == nil {
			t.Errorf("cut at %d, and read", n)
		}
	}
}

func state(t *testing.T, v *Variables) string {
	t.Helper()
	order, err := v.Order()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := v.Entries()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range order {
		out = append(out, entries[n].Description)
	}
	s := strings.Join(out, ", ")
	if next, set, err := v.Next(); err != nil {
		t.Fatal(err)
	} else if set {
		s += "; next " + entries[next].Description
	}
	return s
}

func TestBootOrder(t *testing.T) {
	v := firmware(t)
	step := func(name, want string, err error) {
		t.Helper()
		if got := state(t, v); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	step("after the first boot", "UEFI, UiApp", nil)
	step("a first", "Ashlar a, Ashlar b, UEFI, UiApp", v.First(espA, espB))
	step("again", "Ashlar a, Ashlar b, UEFI, UiApp", v.First(espA, espB))
	step("b once", "Ashlar a, Ashlar b, UEFI, UiApp; next Ashlar b", v.Once(espB))
	step("b once, again", "Ashlar a, Ashlar b, UEFI, UiApp; next Ashlar b", v.Once(espB))
	step("a again, given up", "Ashlar a, Ashlar b, UEFI, UiApp", v.First(espA, espB))
	step("b confirmed", "Ashlar b, Ashlar a, UEFI, UiApp", v.First(espB, espA))
	step("an entry lost", "Ashlar b, Ashlar a, UEFI, UiApp", errors.Join(v.Delete("Boot0002"), v.First(espB, espA)))
	step("the order lost", "Ashlar b, Ashlar a", errors.Join(v.Delete("BootOrder"), v.First(espB, espA)))
	moved := espA
	moved.Partition.First += 2048
	step("the disk replaced", "Ashlar a, Ashlar b", v.First(moved, espB))
	entries, err := v.Entries()
	if err != nil || len(entries) != 4 {
		t.Errorf("%d entries, %v; want the firmware's two and ours, none twice", len(entries), err)
	}
	for _, e := range entries {
		if e.Description == "Ashlar a" && *e.Partition != moved.Partition {
			t.Errorf("the old partition is still booted: %+v", e.Partition)
		}
	}
}

func TestEntriesOfOthersDoNotDisturb(t *testing.T) {
	v := firmware(t)
	for name, raw := range map[string]string{"Boot0002": "x", "Boot00FF": "", "BootXXXX": "y"} {
		if err := v.Write(name, []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.First(espA, espB); err != nil {
		t.Fatal(err)
	}
	if raw, err := v.Read("Boot0002", Global); err != nil || string(raw) != "x" {
		t.Errorf("an entry that does not parse was overwritten: %q, %v", raw, err)
	}
	order, err := v.Order()
	if err != nil || !slices.Equal(order[:2], []uint16{3, 4}) {
		t.Errorf("order %v, %v", order, err)
	}
	if err := v.Write("BootOrder", []byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := v.First(espA); err == nil {
		t.Error("half a number was read as a boot order")
	}
}

func TestGUID(t *testing.T) {
	const s = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	g, err := ParseGUID(s)
	if err != nil || g.String() != s || g[0] != 0x61 {
		t.Errorf("%s, %v", g, err)
	}
	for _, bad := range []string{"", "8be4df61", s + "0", strings.Replace(s, "8", "g", 1)} {
		if _, err := ParseGUID(bad); err == nil {
			t.Errorf("%q is a GUID", bad)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(espA.entry().Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := DecodeEntry(raw)
		if err == nil && e.Plain {
			e.Encode()
		}
	})
}
