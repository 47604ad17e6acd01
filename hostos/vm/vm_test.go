package vm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ashlar/image/fat"
	"ashlar/image/layout"
	"ashlar/image/tree"
	"ashlar/internal/journal"
)

func TestCommand(t *testing.T) {
	m := Machine{KVM: true, System: "/dev/vda7", Data: "/dev/vda9", Tap: "tap0", MAC: "6a:01:00:00:00:01", MemoryMiB: 512, CPUs: 2}
	args := strings.Join(m.arguments("/run/k", "/run/i", "quiet ashlar.role=guest"), " ")
	for _, want := range []string{
		"-nodefaults -no-user-config -display none -no-reboot", "-enable-kvm -cpu host,-svm,-vmx", "q35,hpet=off,sata=off,smbus=off,i8042=off,vmport=off,smm=off",
		"-kernel /run/k -initrd /run/i -append quiet ashlar.role=guest -chardev",
		"node-name=system,read-only=on,file.driver=host_device,file.filename=/dev/vda7",
		"filename=/dev/vda9 -device virtio-blk-pci,drive=data,serial=ashlar-data", "vhost-vsock-pci,guest-cid=3", "ifname=tap0,script=no",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("lacks %q:\n%s", want, args)
		}
	}
	for _, never := range []string{"unsafe", "no-flush=on", "readonly=off", "snapshot", "-monitor", "-qmp", "-gdb"} { // a flush of the guest reaches the disk
		if strings.Contains(args, never) {
			t.Errorf("has %q:\n%s", never, args)
		}
	}
	m.KVM = false
	if args := m.arguments("k", "i", ""); slices.Contains(args, "-enable-kvm") || !slices.Contains(args, "tcg,thread=multi") {
		t.Errorf("without KVM: %v", args)
	}
}

func TestMitigationsStayOnOnRealProcessors(t *testing.T) {
	if got := (Machine{}).commandLine("quiet"); got != "quiet" {
		t.Errorf("%q", got)
	}
	if got := (Machine{Emulated: true}).commandLine("quiet"); !strings.HasPrefix(got, "quiet ") || !strings.Contains(got, "mitigations=off") {
		t.Errorf("%q", got)
	}
}

func certificate(t *testing.T) *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "db"}}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// guestDisk is a guest's disk image with this file as its UKI.
func guestDisk(t *testing.T, uki []byte) string {
	var files tree.Tree
	if err := files.File(ukiPath, 0o644, uki); err != nil {
		t.Fatal(err)
	}
	size, err := fat.SizeFor(&files)
	if err != nil {
		t.Fatal(err)
	}
	table, err := layout.GuestDisk(size, 1<<20, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "guest.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(table.DiskSize + 8<<20); err != nil { // a slot is larger than what lies in it
		t.Fatal(err)
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	parts, err := layout.ByName(table)
	if err != nil {
		t.Fatal(err)
	}
	at := parts[layout.ESP].Start
	if err := fat.Write(offset{f, at}, &files, fat.Options{Size: size, Label: "ESP"}); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

type offset struct {
	f  *os.File
	at int64
}

func (o offset) WriteAt(p []byte, off int64) (int, error) { return o.f.WriteAt(p, o.at+off) }

func TestTheUKIIsReadFromTheSlot(t *testing.T) {
	want := bytes.Repeat([]byte("uki"), 100000)
	f, err := os.Open(guestDisk(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, _ := f.Seek(0, 2)
	raw, err := readUKI(f, size)
	if err != nil || !bytes.Equal(raw, want) {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
}

func TestWhatIsNotSignedDoesNotStart(t *testing.T) {
	cert := certificate(t)
	if _, err := Open(guestDisk(t, []byte("not a UKI")), cert); err == nil || !strings.Contains(err.Error(), "guest image") {
		t.Errorf("garbage: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(empty, cert); err == nil {
		t.Error("an empty slot opened")
	}
}

func TestStopGoesFromAskingToKilling(t *testing.T) {
	asked := ""
	r := &Runner{Stop: func(why string) { asked = why }, StopTimeout: time.Minute, Log: journal.New(1<<16, nil)}
	ended := make(chan error, 1)
	ended <- nil
	r.stop(nil, ended, context.Canceled)
	if asked != context.Canceled.Error() || len(r.Log.Tail(9)) != 0 {
		t.Errorf("asked %q, log %q", asked, r.Log.Tail(9))
	}
}

func TestADeathShowsTheGuestsLastWords(t *testing.T) {
	r := &Runner{Log: journal.New(1<<16, nil), console: journal.New(1<<16, nil)}
	r.console.Printf("Kernel panic\x1b[2J")
	if err := r.died(nil); err == nil || !strings.Contains(err.Error(), "powered itself off") {
		t.Errorf("%v", err)
	}
	if got := r.Log.Tail(9); len(got) != 1 || got[0] != "guest| Kernel panic[2J" {
		t.Errorf("%q", got)
	}
}
