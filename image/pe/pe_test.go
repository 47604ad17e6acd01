package pe_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"ashlar/image/pe"
	"ashlar/image/pe/petest"
)

var le = binary.LittleEndian

func parse(t testing.TB, raw []byte) *pe.Image {
	t.Helper()
	im, err := pe.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestAppendAndReadBack(t *testing.T) {
	payloads := []pe.Payload{{Name: ".a", Data: []byte("first")}, {Name: ".b", Data: bytes.Repeat([]byte{7}, 5000)}, {Name: ".c", Data: make([]byte, 512)}}
	stub := append(petest.Stub(), "a symbol table"...)
	out, err := parse(t, stub).Append(payloads)
	if err != nil {
		t.Fatal(err)
	}
	im := parse(t, out)
	var end uint32
	for i, s := range im.Sections() {
		if s.VirtualAddress < end {
			t.Errorf("section %s lies in memory at %#x, before the end %#x of the one before", s.Name, s.VirtualAddress, end)
		}
		end = s.VirtualAddress + s.VirtualSize
		if i < 3 {
			continue
		}
		data, err := im.Data(s)
		if err != nil || s.Name != payloads[i-3].Name || !bytes.Equal(data, payloads[i-3].Data) {
			t.Errorf("section %d is %q with %d bytes, %v", i, s.Name, len(data), err)
		}
	}
	again, _ := parse(t, stub).Append(payloads)
	if !bytes.Equal(out, again) {
		t.Error("the same input gave other bytes")
	}
}

func TestDigestCoversEverythingButSignatureAndChecksum(t *testing.T) {
	raw, err := parse(t, petest.Stub()).Append([]pe.Payload{{Name: ".x", Data: []byte("y")}})
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, raw).Digest()
	signed := parse(t, raw).WithSignature([]byte("any blob"))
	if parse(t, signed).Digest() != want {
		t.Error("a signature changed the digest")
	}
	blobs, err := parse(t, signed).Signatures()
	if err != nil || len(blobs) != 1 || string(blobs[0]) != "any blob" {
		t.Errorf("signatures: %q, %v", blobs, err)
	}
	const opt = 0x58
	for i := range raw {
		checksum, directory := i >= opt+64 && i < opt+68, i >= opt+144 && i < opt+152
		if directory {
			continue // makes another file of it: see below
		}
		raw[i] ^= 0x40
		if im, err := pe.Parse(raw); err == nil && (im.Digest() == want) != checksum {
			t.Errorf("byte %#x flipped: digest equal is %v", i, !checksum)
		}
		raw[i] ^= 0x40
	}
}

func TestRefused(t *testing.T) {
	const opt, table = 0x58, 0x58 + 240
	change := func(f func(b []byte) []byte) []byte { return f(petest.Stub()) }
	put := func(at int, v uint32) []byte {
		return change(func(b []byte) []byte { le.PutUint32(b[at:], v); return b })
	}
	for _, c := range []struct {
		name, want string
		raw        []byte
	}{
		{"empty", "MZ", nil},
		{"no MZ", "MZ", put(0, 0)},
		{"PE header outside", "outside", put(0x3c, 0xfffffff0)},
		{"no PE", "no PE signature", put(0x40, 1)},
		{"other machine", "machine", put(0x44, 0x0002014c)},
		{"no sections", "section table", put(0x44, 0x00008664)},
		{"too many sections", "section table", put(0x44, 0xffff8664)},
		{"PE32", "PE32+", put(opt, 0x10b)},
		{"few directories", "PE32+", put(opt+108, 4)},
		{"headers too long", "SizeOfHeaders", put(opt+60, 0xffffffff)},
		{"headers too short", "SizeOfHeaders", put(opt+60, 0x100)},
		{"overlap", "overlaps", put(table+40+20, 0x400)},
		{"gap", "no section", put(table+20, 0x410)},
		{"section behind the file", "after the file", put(table+80+16, 0x7fffffff)},
		{"cut short", "after the file", petest.Stub()[:0x900]},
		{"certificates in the middle", "not the end", change(func(b []byte) []byte {
			le.PutUint32(b[opt+144:], 0x600)
			le.PutUint32(b[opt+148:], 0x100)
			return b
		})},
	} {
		if _, err := pe.Parse(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestAppendRefused(t *testing.T) {
	many := make([]pe.Payload, 40)
	for i := range many {
		many[i] = pe.Payload{Name: ".x", Data: []byte{1}}
	}
	for _, payloads := range [][]pe.Payload{{{Name: "", Data: []byte{1}}}, {{Name: "ninechars", Data: []byte{1}}}, {{Name: ".empty", Data: nil}}, many} {
		if _, err := parse(t, petest.Stub()).Append(payloads); err == nil {
			t.Errorf("%d payloads, first %q: accepted", len(payloads), payloads[0].Name)
		}
	}
}

func TestMemoryOfASectionIsBounded(t *testing.T) {
	raw := petest.Stub()
	le.PutUint32(raw[0x58+240+8:], 0xffffffff)
	im := parse(t, raw)
	if _, err := im.Data(im.Sections()[0]); err == nil {
		t.Error("a section of 4 GiB was given memory")
	}
	le.PutUint32(raw[0x58+240+8:], 0x300)
	im = parse(t, raw)
	data, err := im.Data(im.Sections()[0])
	if err != nil || len(data) != 0x300 || !bytes.Equal(data[0x200:], make([]byte, 0x100)) {
		t.Errorf("a section larger in memory than in the file: %d bytes, %v", len(data), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(petest.Stub())
	f.Add(parse(f, petest.Stub()).WithSignature([]byte("blob")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		im, err := pe.Parse(raw)
		if err != nil {
			return
		}
		im.Digest()
		im.Signatures()
		for _, s := range im.Sections() {
			if s.VirtualSize < 1<<20 {
				im.Data(s)
			}
		}
		if out, err := im.Append([]pe.Payload{{Name: ".x", Data: []byte("y")}}); err == nil {
			parse(t, out)
		}
	})
}
