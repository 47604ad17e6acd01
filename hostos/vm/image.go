package vm

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"ashlar/image/authenticode"
	"ashlar/image/fat"
	"ashlar/image/gpt"
	"ashlar/image/layout"
	"ashlar/image/uki"
	"ashlar/internal/cmdline"
)

const (
	ukiPath = "EFI/BOOT/BOOTX64.EFI"
	maxUKI  = 128 << 20 // bytes: a guest's is about 20 MiB
)

// An Image is a guest whose signature was found good.
type Image struct {
	Digest  [sha256.Size]byte // of the UKI file, for PCR 13
	Version string            // of the release, as its signed command line says
	parts   uki.Parts
}

// Open reads the guest's UKI from the disk image in a slot's partition and
// checks that the release's certificate has signed it.
func Open(partition string, cert *x509.Certificate) (*Image, error) {
	f, err := os.Open(partition)
	if err != nil {
		return nil, fmt.Errorf("open the guest's slot: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("size of the guest's slot: %w", err)
	}
	raw, err := readUKI(f, size)
	if err != nil {
		return nil, fmt.Errorf("guest image in %s: %w", partition, err)
	}
	return check(raw, cert)
}

func check(raw []byte, cert *x509.Certificate) (*Image, error) {
	if err := authenticode.Verify(raw, cert); err != nil {
		return nil, fmt.Errorf("guest image: %w", err)
	}
	parts, err := uki.Open(raw)
	if err != nil {
		return nil, fmt.Errorf("guest image: %w", err)
	}
	line, err := cmdline.Parse(parts.CommandLine)
	if err != nil {
		return nil, fmt.Errorf("guest image: %w", err)
	}
	if line.Role != cmdline.Guest {
		return nil, fmt.Errorf("guest image: it is signed, but as a %s: write the release to this slot again", line.Role)
	}
	return &Image{Digest: sha256.Sum256(raw), Version: line.Version, parts: parts}, nil
}

// readUKI takes the UKI out of the ESP in the guest's disk image.
func readUKI(r io.ReaderAt, size int64) ([]byte, error) {
	table, err := gpt.Read(r, size)
	if err != nil {
		return nil, err
	}
	parts, err := layout.ByName(*table)
	if err != nil {
		return nil, err
	}
	esp, ok := parts[layout.ESP]
	if !ok || esp.End() > size {
		return nil, errors.New("it has no ESP")
	}
	volume, err := fat.Open(layout.Section(r, esp), esp.Size)
	if err != nil {
		return nil, err
	}
	return volume.ReadFile(ukiPath, maxUKI)
}
