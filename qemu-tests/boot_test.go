package qemutests

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"ashlar/image/assemble"
	"ashlar/image/authenticode"
	"ashlar/image/fat"
	"ashlar/image/keys"
	"ashlar/image/layout"
	"ashlar/image/tree"
	"ashlar/qemu-tests/lab"
)

// uki takes the signed UKI off a disk's slot A.
func uki(t *testing.T, disk string) []byte {
	t.Helper()
	esp, err := lab.Peek(disk, layout.ESP+"-a", 0, layout.Size(layout.ESP))
	must(t, err)
	v, err := fat.Open(bytes.NewReader(esp), int64(len(esp)))
	must(t, err)
	raw, err := v.ReadFile(assemble.UKIPath, 128<<20)
	must(t, err)
	return raw
}

// replace puts another UKI on both ESPs: nothing else is left to boot.
func replace(t *testing.T, disk string, raw []byte) {
	t.Helper()
	var files tree.Tree
	must(t, files.File(assemble.UKIPath, 0o644, raw))
	size, err := fat.SizeFor(&files)
	must(t, err)
	f, err := os.Create(filepath.Join(t.TempDir(), "esp"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	must(t, fat.Write(f, &files, fat.Options{Size: size}))
	esp, err := os.ReadFile(f.Name())
	must(t, err)
	for _, slot := range []string{"-a", "-b"} {
		must(t, lab.Patch(disk, layout.ESP+slot, 0, esp))
	}
}

// unsigned cuts the signature off a PE file: the certificate table's entry and the table itself.
func unsigned(t *testing.T, signed []byte) []byte {
	t.Helper()
	raw := bytes.Clone(signed)
	const certificateTable = 4 // index in the data directories; PE32+ has them at 112 of the optional header
	at := int(binary.LittleEndian.Uint32(raw[0x3c:])) + 24 + 112 + 8*certificateTable
	table := binary.LittleEndian.Uint32(raw[at:])
	clear(raw[at : at+8])
	return raw[:table]
}

func wronglySigned(t *testing.T, signed []byte) []byte {
	t.Helper()
	stranger, err := keys.Dev(t.TempDir())
	must(t, err)
	raw, err := authenticode.Sign(signed, stranger.DB.Key, stranger.DB.Cert)
	must(t, err)
	return raw
}

func changed(_ *testing.T, signed []byte) []byte {
	raw := bytes.Clone(signed)
	raw[len(raw)/2] ^= 1 // somewhere in the kernel
	return raw
}

func TestSecureBootRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*testing.T, []byte) []byte
		smm  bool
	}{
		"an unsigned UKI":                       {unsigned, false},
		"a UKI signed by another key":           {wronglySigned, false},
		"a signed UKI with one bit changed":     {changed, false},
		"an unsigned UKI, firmware with SMM on": {unsigned, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, current(t), nodeConf)
			m.smm = c.smm
			replace(t, m.path("disk"), c.make(t, uki(t, m.path("disk"))))
			m.on()
			m.says(`BdsDxe: failed to load .*(Access Denied|Security Violation)`)
			m.says(`(No bootable option or device was found|failed to (start|load) .*(PXE|HTTP|Not Found|No Media|Shell))`)
			if m.vm.Console.Says(`ashlar init`) {
				t.Fatalf("it was started all the same\n%s", m.vm.Console.Tail())
			}
		})
	}
}

// A byte of the host's root is changed behind dm-verity's back, in the code of
// the first program that the root starts.
func TestAFlippedByteInTheRootIsNeverExecuted(t *testing.T) {
	m := newMachine(t, current(t), nodeConf)
	hostd, err := os.ReadFile(filepath.Join(out(t), "bin", "hostd"))
	must(t, err)
	root, err := lab.Peek(m.path("disk"), layout.Root+"-a", 0, layout.Size(layout.Root))
	must(t, err)
	entry := entryPoint(hostd)
	at := bytes.Index(root, hostd[entry:entry+2048])
	if at < 0 {
		t.Fatal("hostd's first instructions are not in the root")
	}
	must(t, lab.Patch(m.path("disk"), layout.Root+"-a", int64(at), []byte{root[at] ^ 1}))
	m.on()
	m.says(`ashlar init [0-9.]+ root starting /sbin/hostd`)
	m.says(`dm-verity device corrupted|BdsDxe: starting|verity.*(corrupt|block)|failed start /sbin/hostd|Kernel panic`)
	if m.vm.Console.Says(`ashlar host`) {
		t.Fatalf("hostd ran with a changed byte\n%s", m.vm.Console.Tail())
	}
}

// entryPoint is the place in an ELF file of the first instruction: for Go's
// static programs one segment maps the file from its start.
func entryPoint(file []byte) int {
	const textBase = 0x400000
	return int(binary.LittleEndian.Uint64(file[0x18:]) - textBase)
}
