package tpm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"ashlar/hardware/tpm"
	"ashlar/hardware/tpm/tpmtest"
)

func TestNoTPM(t *testing.T) {
	dir := t.TempDir()
	if _, err := tpm.Open(filepath.Join(dir, "tpmrm0")); !errors.Is(err, tpm.ErrNoTPM) {
		t.Errorf("no device: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Open(file); err == nil || errors.Is(err, tpm.ErrNoTPM) {
		t.Errorf("a file that is no TPM: %v", err)
	}
}

func TestExtendAndRead(t *testing.T) {
	d := tpmtest.Open(t)
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23}
	digest := sha256.Sum256([]byte("configuration"))
	if err := d.Extend(12, digest); err != nil {
		t.Fatal(err)
	}
	got, err := d.Read(all...)
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d PCRs, %v", len(got), err)
	}
	var zero [32]byte
	for i, v := range got {
		want := zero
		if i == 12 {
			want = sha256.Sum256(append(zero[:], digest[:]...))
		}
		if v != want {
			t.Errorf("PCR %d is %x, want %x", i, v, want)
		}
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	again, err := d.Read(backwards...)
	if err != nil || again[12] != got[12] {
		t.Errorf("read in another order: %x, %v", again[12], err)
	}
}

func TestKeysAreTheSameEachTimeAndOtherInAnotherTPM(t *testing.T) {
	one, two := tpmtest.Open(t), tpmtest.Open(t)
	a, err := one.Identity()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // more than a TPM has slots: every object is flushed
		again, err := one.Identity()
		if err != nil || !bytes.Equal(a.AK, again.AK) || !bytes.Equal(a.EK, again.EK) {
			t.Fatalf("the keys changed, or %v", err)
		}
	}
	b, err := two.Identity()
	if err != nil || bytes.Equal(a.AK, b.AK) || bytes.Equal(a.EK, b.EK) {
		t.Errorf("two TPMs, the same keys, or %v", err)
	}
}

func TestQuote(t *testing.T) {
	d := tpmtest.Open(t)
	for range 5 {
		q, err := d.Quote([]byte("a nonce of 16 by"), []int{4, 7, 11})
		if err != nil {
			t.Fatal(err)
		}
		attest, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Attest)
		if err != nil || string(attest.ExtraData.Buffer) != "a nonce of 16 by" {
			t.Errorf("quote over %x, %v", attest.ExtraData.Buffer, err)
		}
	}
	if _, err := d.Quote(make([]byte, 200), []int{4}); err == nil {
		t.Error("a nonce of 200 bytes was quoted")
	}
}

func TestActivate(t *testing.T) {
	d, other := tpmtest.Open(t), tpmtest.Open(t)
	id, err := d.Identity()
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm2.Unmarshal[tpm2.TPMTPublic](id.EK)
	if err != nil {
		t.Fatal(err)
	}
	ak, err := tpm2.Unmarshal[tpm2.TPMTPublic](id.AK)
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		t.Fatal(err)
	}
	blob, secret, err := tpm2.CreateCredential(rand.Reader, seal, name.Buffer, []byte("what only this TPM reads"))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		got, err := d.Activate(blob, secret)
		if err != nil || string(got) != "what only this TPM reads" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if got, err := other.Activate(blob, secret); err == nil {
		t.Errorf("another TPM opened it: %q", got)
	}
	blob[5] ^= 1
	if got, err := d.Activate(blob, secret); err == nil {
		t.Errorf("a changed credential was opened: %q", got)
	}
	if _, err := d.Identity(); err != nil {
		t.Errorf("after failures: %v", err)
	}
}

// Makers store the EK's certificate in an NV index; here the test is the maker.
func TestEKCertificate(t *testing.T) {
	socket := tpmtest.Start(t)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("certificate "), 100)
	store(t, transport.FromReadWriteCloser(conn), want)
	conn.Close()
	d, err := tpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	id, err := d.Identity()
	if err != nil || !bytes.Equal(id.EKCert, want) {
		t.Errorf("read %d bytes, %v; want %d", len(id.EKCert), err, len(want))
	}
}

func store(t *testing.T, maker transport.TPM, data []byte) {
	t.Helper()
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	public := tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex:    0x01c0000a,
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{OwnerRead: true, OwnerWrite: true, NoDA: true},
		DataSize:   uint16(len(data)),
	})
	if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: public}).Execute(maker); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 512 {
		index, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(0x01c0000a)}.Execute(maker) // the first write changes its name
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpm2.NVWrite{
			AuthHandle: owner,
			NVIndex:    tpm2.NamedHandle{Handle: tpm2.TPMHandle(0x01c0000a), Name: index.NVName},
			Data:       tpm2.TPM2BMaxNVBuffer{Buffer: data[at:min(at+512, len(data))]},
			Offset:     uint16(at),
		}.Execute(maker)
		if err != nil {
			t.Fatal(err)
		}
	}
}
