package kmod

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// object makes the smallest ELF file with a .modinfo section.
func object(info ...string) []byte {
	body := strings.Join(info, "\x00") + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 1)  // ET_REL
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], uint64(64+len(body)+len(names))) // section headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(append(b, body...), names...)
	section := func(name, kind uint32, off, size int) {
		s := make([]byte, 64)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(off))
		le.PutUint64(s[32:], uint64(size))
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, 64, len(body))
	section(10, 3, 64+len(body), len(names))
	return b
}

func kernel(t *testing.T, builtin string, files map[string][]byte) *Tree {
	pkg := t.TempDir()
	root := filepath.Join(pkg, "lib/modules/6.12-test")
	for name, b := range files {
		if strings.HasSuffix(name, ".xz") {
			var z bytes.Buffer
			w, _ := xz.NewWriter(&z)
			w.Write(b)
			w.Close()
			b = z.Bytes()
		}
		p := filepath.Join(root, "kernel", name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, b, 0o644)
	}
	os.WriteFile(filepath.Join(root, "modules.builtin"), []byte(builtin), 0o644)
	tree, err := Open(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func example(t *testing.T) *Tree {
	return kernel(t, "kernel/crypto/sha256.ko\n", map[string][]byte{
		"net/bridge.ko.xz":      object("name=bridge", "depends=stp,llc"),
		"net/stp.ko":            object("depends=llc"),
		"net/llc.ko":            object("depends="),
		"drivers/a/one-nic.ko":  object("alias=pci:v1d2*", "softdep=pre: sha256 crc-32 absent post: later"),
		"drivers/a/two-nic.ko":  object("alias=pci:v3d4*", "alias=pci:v3d5*", "depends=one-nic"),
		"lib/libsum.ko":         object("softdep=pre: sum post: x"),
		"crypto/sum_generic.ko": object("alias=sum", "alias=crypto-sum"),
		"lib/crc-32.ko":         object("alias=crc32"),
		"broken/circle-a.ko":    object("depends=circle-b"),
		"broken/circle-b.ko":    object("depends=circle-a"),
		"broken/wants-other.ko": object("depends=nobody_has_it"),
		"broken/text.ko":        []byte("not an ELF file"),
	})
}

func names(mods []*Module) string {
	var out []string
	for _, m := range mods {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func TestSelect(t *testing.T) {
	for _, c := range []struct{ want, get string }{
		{"bridge", "llc stp bridge"},
		{"bridge stp llc", "llc stp bridge"},
		{"libsum", "sum_generic libsum"},
		{"sha256", ""},
		{"one-nic", "crc_32 one_nic"},
		{"drivers/a/", "crc_32 one_nic two_nic"},
		{"drivers/a/ -two_nic", "crc_32 one_nic"},
		{"drivers/a/ -one_nic", "crc_32 one_nic two_nic"}, // needed by the other: it stays
	} {
		mods, err := example(t).Select(strings.Fields(c.want))
		if err != nil || names(mods) != c.get {
			t.Errorf("%s: got %q, %v; want %q", c.want, names(mods), err, c.get)
		}
	}
}

func TestSelectRefuses(t *testing.T) {
	for _, want := range []string{"no_such_module", "no/such/folder/", "circle_a", "wants_other", "text"} {
		if mods, err := example(t).Select([]string{want}); err == nil {
			t.Errorf("%s: got %s", want, names(mods))
		}
	}
}

func TestTables(t *testing.T) {
	mods, err := example(t).Select([]string{"two-nic", "bridge"})
	if err != nil {
		t.Fatal(err)
	}
	dep := `kernel/drivers/a/one-nic.ko: kernel/lib/crc-32.ko
kernel/drivers/a/two-nic.ko: kernel/drivers/a/one-nic.ko
kernel/lib/crc-32.ko:
kernel/net/bridge.ko: kernel/net/stp.ko kernel/net/llc.ko
kernel/net/llc.ko:
kernel/net/stp.ko: kernel/net/llc.ko
`
	if got := string(Dep(mods)); got != dep {
		t.Errorf("modules.dep:\n%s", got)
	}
	alias := "alias pci:v1d2* one_nic\nalias pci:v3d4* two_nic\nalias pci:v3d5* two_nic\nalias crc32 crc_32\n"
	if got := string(Alias(mods)); got != alias {
		t.Errorf("modules.alias:\n%s", got)
	}
}
