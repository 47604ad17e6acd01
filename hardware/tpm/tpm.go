// Package tpm talks to the machine's TPM 2.0: the few commands that measured boot and attestation need.
//
//	endorsement hierarchy ── EK   P-256, restricted decryption: TCG's template, so the maker's certificate fits it
//	                      └─ AK   P-256, restricted signing: it signs nothing but what the TPM itself made
//
// Both keys are primary keys: derived from the TPM's seed and a template, the same after each boot, so nothing is stored. They
// live until the TPM is cleared. Every object is flushed after use. Only the SHA-256 bank is used.
// The device is the kernel's resource manager, or swtpm's socket. A Device is not safe for use by two goroutines at once.
// Specs: TPM 2.0 Library 1.59, TCG EK Credential Profile 2.5 (template L-2). What quotes mean is left to attestation.
package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

const (
	DevicePath = "/dev/tpmrm0" // the kernel's resource manager

	PCRs         = 24
	pcrsAtOnce   = 8                          // TPM2_PCR_Read answers with at most eight
	readAttempts = 5                          // a PCR that is extended while we read: read anew
	ekCertP256   = tpm2.TPMHandle(0x01c0000a) // EK Credential Profile section 2.2.1.5.1
	maxNVChunk   = 512
	maxCertBytes = 8 << 10
)

// ErrNoTPM says that the machine has none, as opposed to one that fails.
var ErrNoTPM = errors.New("this machine has no TPM 2.0")

// A Device is an open TPM.
type Device struct {
	t transport.TPMCloser
}

// Open opens a character device (DevicePath), or the unix socket of a swtpm.
func Open(path string) (*Device, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open %s: %w: switch it on in the firmware's setup (fTPM, PTT or a module)", path, ErrNoTPM)
	case err != nil:
		return nil, fmt.Errorf("open TPM: %w", err)
	case info.Mode()&fs.ModeSocket != 0:
		conn, err := net.Dial("unix", path)
		if err != nil {
			return nil, fmt.Errorf("open TPM: %w", err)
		}
		return &Device{transport.FromReadWriteCloser(conn)}, nil
	}
	t, err := linuxtpm.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open TPM: %w", err)
	}
	return &Device{t}, nil
}

// Close closes the device; the TPM keeps its PCRs and nothing of ours.
func (d *Device) Close() error { return d.t.Close() }

// Extend extends a PCR by a digest.
func (d *Device) Extend(pcr int, digest [32]byte) error {
	if pcr < 0 || pcr >= PCRs {
		panic(fmt.Sprintf("tpm: extend PCR %d", pcr))
	}
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}},
	}.Execute(d.t)
	if err != nil {
		return fmt.Errorf("extend PCR %d: %w", pcr, err)
	}
	return nil
}

// Read reads PCRs, all of one moment.
func (d *Device) Read(pcrs ...int) (map[int][32]byte, error) {
	for range readAttempts {
		out, stable, err := d.readOnce(pcrs)
		if err != nil {
			return nil, fmt.Errorf("read PCRs: %w", err)
		}
		if stable {
			return out, nil
		}
	}
	return nil, fmt.Errorf("read PCRs: they were extended during each of %d attempts", readAttempts)
}

func (d *Device) readOnce(pcrs []int) (map[int][32]byte, bool, error) {
	out := map[int][32]byte{}
	var counter uint32
	for i, chunk := 0, slices.Collect(slices.Chunk(pcrs, pcrsAtOnce)); i < len(chunk); i++ {
		rsp, err := tpm2.PCRRead{PCRSelectionIn: selection(chunk[i])}.Execute(d.t)
		if err != nil {
			return nil, false, err
		}
		if i > 0 && rsp.PCRUpdateCounter != counter {
			return nil, false, nil
		}
		counter = rsp.PCRUpdateCounter
		want := slices.Sorted(slices.Values(chunk[i])) // the answer is in order of index
		if len(rsp.PCRValues.Digests) != len(want) {
			return nil, false, errors.New("the TPM has no SHA-256 bank: switch the bank on in the firmware's setup")
		}
		for j, v := range rsp.PCRValues.Digests {
			if len(v.Buffer) != 32 {
				return nil, false, fmt.Errorf("PCR %d has %d bytes", want[j], len(v.Buffer))
			}
			out[want[j]] = [32]byte(v.Buffer)
		}
	}
	return out, true, nil
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	var list []uint
	for _, p := range pcrs {
		list = append(list, uint(p))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(list...)},
	}}
}
