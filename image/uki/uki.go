// Package uki builds and reads unified kernel images: systemd's EFI stub with the kernel and all that it is given.
//
//	linuxx64.efi.stub | .osrel | .cmdline | .initrd | .linux | signature (image/authenticode)
//
// One file, so one signature and one hash in PCR 4 bind the kernel, its initramfs and the command line with the root hash.
// The stub is version 252: under Secure Boot it ignores a command line from outside, and measures the four sections into
// PCR 11 (attestation/measure predicts it). Spec: UAPI group, "Unified Kernel Image (UKI)".
//
// Open is also how the host takes the guest's kernel out of the guest's UKI, for QEMU's direct kernel boot: it does not
// check the signature, the caller does (authenticode.Verify) or knows the bytes from a verity tree.
package uki

import (
	"fmt"
	"strings"

	"ashlar/image/pe"
)

const maxCommandLineBytes = 2047 // COMMAND_LINE_SIZE of x86 Linux is 2048 with the NUL; the rest would be cut off silently

// Section names, in the order in which Build appends them.
const (
	SectionOSRelease   = ".osrel"
	SectionCommandLine = ".cmdline"
	SectionInitrd      = ".initrd"
	SectionKernel      = ".linux"
)

// Parts is what a UKI carries besides the stub.
type Parts struct {
	OSRelease   string // os-release(5), for people and boot loaders
	CommandLine string // without newline
	Initrd      []byte // one or more cpio archives
	Kernel      []byte // a bzImage with EFI stub
}

// Build appends the parts to the stub. The result is unsigned, and the same bytes for the same input.
func Build(stub []byte, p Parts) ([]byte, error) {
	if len(p.CommandLine) > maxCommandLineBytes {
		return nil, fmt.Errorf("build UKI: a command line of %d bytes; Linux would cut it at %d", len(p.CommandLine), maxCommandLineBytes)
	}
	if strings.ContainsAny(p.CommandLine, "\x00\n\r") {
		return nil, fmt.Errorf("build UKI: the command line holds a NUL or a newline: %q", p.CommandLine)
	}
	im, err := pe.Parse(stub)
	if err != nil {
		return nil, fmt.Errorf("build UKI: the stub: %w", err)
	}
	out, err := im.Append([]pe.Payload{
		{Name: SectionOSRelease, Data: []byte(p.OSRelease)},
		{Name: SectionCommandLine, Data: []byte(p.CommandLine)},
		{Name: SectionInitrd, Data: p.Initrd},
		{Name: SectionKernel, Data: p.Kernel},
	})
	if err != nil {
		return nil, fmt.Errorf("build UKI: %w", err)
	}
	if _, err := Open(out); err != nil {
		return nil, fmt.Errorf("build UKI: the stub is a UKI already: %w", err)
	}
	return out, nil
}

// Open reads the parts back. Initrd and Kernel share memory with raw.
func Open(raw []byte) (Parts, error) {
	im, err := pe.Parse(raw)
	if err != nil {
		return Parts{}, fmt.Errorf("read UKI: %w", err)
	}
	data := map[string][]byte{}
	for _, s := range im.Sections() {
		if data[s.Name] != nil {
			return Parts{}, fmt.Errorf("read UKI: section %q is there twice: which one boots is anyone's guess", s.Name)
		}
		if data[s.Name], err = im.Data(s); err != nil {
			return Parts{}, fmt.Errorf("read UKI: %w", err)
		}
	}
	for _, name := range []string{SectionOSRelease, SectionCommandLine, SectionInitrd, SectionKernel} {
		if len(data[name]) == 0 {
			return Parts{}, fmt.Errorf("read UKI: there is no section %q: this is not a unified kernel image", name)
		}
	}
	if n := len(data[SectionCommandLine]); n > maxCommandLineBytes {
		return Parts{}, fmt.Errorf("read UKI: a command line of %d bytes, more than %d", n, maxCommandLineBytes)
	}
	return Parts{
		OSRelease:   string(data[SectionOSRelease]),
		CommandLine: string(data[SectionCommandLine]),
		Initrd:      data[SectionInitrd],
		Kernel:      data[SectionKernel],
	}, nil
}
