package deb

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// pack makes a package by hand: the test's own idea of the format.
func pack(t testing.TB, ext string, entries ...tar.Header) []byte {
	var tarball bytes.Buffer
	w := tar.NewWriter(&tarball)
	for _, h := range entries {
		body := h.PAXRecords["body"]
		h.PAXRecords = nil
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, body)
	}
	w.Close()
	var data bytes.Buffer
	var z io.WriteCloser
	switch ext {
	case ".xz":
		z, _ = xz.NewWriter(&data)
	case ".zst":
		z, _ = zstd.NewWriter(&data)
	}
	z.Write(tarball.Bytes())
	z.Close()
	return archive(map[string][]byte{"debian-binary": []byte("2.0\n"), "data.tar" + ext: data.Bytes()})
}

func archive(members map[string][]byte) []byte {
	out := []byte(arMagic)
	for _, name := range []string{"debian-binary", "data.tar.xz", "data.tar.zst", "data.tar.lz"} {
		b, ok := members[name]
		if !ok {
			continue
		}
		out = append(out, fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(b))...)
		out = append(out, b...)
		if len(b)%2 == 1 {
			out = append(out, '\n')
		}
	}
	return out
}

func file(name string, mode int64, body string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, PAXRecords: map[string]string{"body": body}}
}

func TestUnpack(t *testing.T) {
	for _, ext := range []string{".xz", ".zst"} {
		dir := t.TempDir()
		b := pack(t, ext, tar.Header{Name: "./usr/", Typeflag: tar.TypeDir, Mode: 0o700},
			file("./usr/bin/tool", 0o4755, "run me"), file("./usr/share/doc", 0o600, "read me"),
			tar.Header{Name: "./usr/bin/alias", Typeflag: tar.TypeSymlink, Linkname: "tool"})
		if err := Unpack(bytes.NewReader(b), dir); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "usr/bin/alias"))
		if err != nil || string(got) != "run me" {
			t.Fatalf("%s: alias reads %q, %v", ext, got, err)
		}
		if i, _ := os.Stat(filepath.Join(dir, "usr/bin/tool")); i.Mode().Perm()&0o100 == 0 || i.Mode()&os.ModeSetuid != 0 {
			t.Errorf("%s: tool has mode %v", ext, i.Mode())
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := pack(t, ".xz", file("./a", 0o644, strings.Repeat("a", 9000)))
	for name, b := range map[string][]byte{
		"no package":          []byte("MZ this is not a package"),
		"empty":               nil,
		"cut short":           good[:len(good)-40],
		"header damaged":      append(append([]byte{}, good[:8+58]...), append([]byte("xx"), good[8+60:]...)...),
		"leaves its folder":   pack(t, ".xz", file("../evil", 0o644, "x")),
		"unknown compression": archive(map[string][]byte{"data.tar.lz": []byte("LZIP")}),
		"a device":            pack(t, ".xz", tar.Header{Name: "./dev/sda", Typeflag: tar.TypeBlock}),
	} {
		if err := Unpack(bytes.NewReader(b), t.TempDir()); err == nil {
			t.Errorf("%s: unpacked without complaint", name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(f, ".xz", file("./a", 0o644, "abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<16 {
			Unpack(bytes.NewReader(b), t.TempDir())
		}
	})
}
