// Package evidence is the format in which a machine says what it runs, and what a checker needs to read it.
//
//	Evidence   the quote: TPMS_ATTEST signed by the attestation key (AK), over a nonce and PCR values
//	           the PCR values, and the firmware's event log, whose replay must give them
//	           the AK, the endorsement key (EK) and its certificate
//	           claims: what the machine says in words; only what the PCRs bear out counts
//
// JSON, byte strings in base64, digests in hex, with a version number. TPM structures are kept as the TPM made them. This
// package decodes and bounds; attestation/collect fills it, attestation/verify judges it. Specs: TPM 2.0 Library part 2
// (TPMS_ATTEST, TPMT_PUBLIC, TPMT_SIGNATURE), TCG PC Client Platform Firmware Profile 1.05 section 10 (event log).
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	Version = 1

	MaxBytes    = 4 << 20 // as JSON: a log of 1 MiB in base64, and certificates
	MaxLogBytes = 1 << 20 // OVMF writes 8 KiB, servers up to 200 KiB
	maxKeyBytes = 4 << 10 // a TPMT_PUBLIC, a quote, a signature: some hundred bytes each
	maxCert     = 8 << 10
	maxWord     = 256
	MinNonce    = 16 // bytes: no two checkers shall ever choose the same
	MaxNonce    = 48 // a TPM's qualifying data holds 50 in every implementation
	pcrs        = 24
)

// What lies in which PCR of the SHA-256 bank: see The joints.
const (
	PCRFirmware = 0
	PCRBoot     = 4  // the UKI, by the firmware
	PCRKeys     = 7  // Secure Boot's keys, by the firmware
	PCRKernel   = 9  // initrd and load options, by Linux' EFI stub
	PCRImage    = 11 // the UKI's sections, by systemd's stub
	PCRConfig   = 12 // the effective configuration, by hostd
	PCRGuest    = 13 // the guest's UKI, by hostd
)

// Quoted are the PCRs of a quote: those of the firmware, of the image and of hostd, and two that must have stayed empty.
var Quoted = []int{0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15}

// A Digest is a SHA-256: a PCR value or what is extended into one. In JSON and print it is hex.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads hex.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("%.80q is not a SHA-256 in hex", text)
	}
	*d = Digest(b)
	return nil
}

// Extend is the value of a PCR after a digest was extended into it.
func (d Digest) Extend(by Digest) Digest {
	return sha256.Sum256(append(append([]byte(nil), d[:]...), by[:]...))
}

// Extended is the value of a PCR that held zeros, after one extend by each digest.
func Extended(by ...Digest) Digest {
	var d Digest
	for _, b := range by {
		d = d.Extend(b)
	}
	return d
}

// Identity names a machine by its TPM. The structures are TPMT_PUBLIC.
type Identity struct {
	EK     []byte `json:"ek"`
	EKCert []byte `json:"ek_cert,omitempty"` // X.509 DER by the TPM's maker; swtpm and some boards have none
	AK     []byte `json:"ak"`
}

// Hash is a short name of the machine that survives a reinstallation: SHA-256 of the EK.
func (id Identity) Hash() Digest { return sha256.Sum256(id.EK) }

// Equal compares the keys.
func (id Identity) Equal(other Identity) bool {
	return bytes.Equal(id.EK, other.EK) && bytes.Equal(id.AK, other.AK)
}

// Claims are the machine's words.
type Claims struct {
	Version  string `json:"version"`   // of the release
	Slot     string `json:"slot"`      // a or b
	Config   Digest `json:"config"`    // extended into PCR 12
	GuestUKI Digest `json:"guest_uki"` // extended into PCR 13
}

// Evidence is one answer to one nonce.
type Evidence struct {
	Version   int            `json:"version"`
	Identity  Identity       `json:"identity"`
	Quote     []byte         `json:"quote"`     // TPMS_ATTEST
	Signature []byte         `json:"signature"` // TPMT_SIGNATURE by the AK
	PCRs      map[int]Digest `json:"pcrs"`
	EventLog  []byte         `json:"event_log"`
	Claims    Claims         `json:"claims"`
}

// Decode reads and bounds evidence.
func Decode(r io.Reader) (*Evidence, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("read evidence: more than %d bytes", MaxBytes)
	}
	var peek struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &peek); err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	if peek.Version != Version {
		return nil, fmt.Errorf("read evidence: format %d, and this program knows format %d: use the nodectl of the node's release", peek.Version, Version)
	}
	var e Evidence
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // what is not understood is not judged
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return &e, nil
}

func (e *Evidence) check() error {
	if err := e.Identity.check(); err != nil {
		return err
	}
	for name, b := range map[string][]byte{"quote": e.Quote, "signature": e.Signature} {
		if len(b) == 0 || len(b) > maxKeyBytes {
			return fmt.Errorf("%s of %d bytes: 1 to %d are possible", name, len(b), maxKeyBytes)
		}
	}
	if len(e.EventLog) > MaxLogBytes {
		return fmt.Errorf("event log of %d bytes, more than %d", len(e.EventLog), MaxLogBytes)
	}
	for i := range e.PCRs {
		if i < 0 || i >= pcrs {
			return fmt.Errorf("there is no PCR %d", i)
		}
	}
	if len(e.Claims.Version) > maxWord || len(e.Claims.Slot) > maxWord {
		return errors.New("a claim is longer than any true one")
	}
	return nil
}

func (id Identity) check() error {
	if len(id.EK) == 0 || len(id.EK) > maxKeyBytes || len(id.AK) == 0 || len(id.AK) > maxKeyBytes || len(id.EKCert) > maxCert {
		return fmt.Errorf("an EK of %d bytes, an AK of %d, a certificate of %d: at most %d, %d and %d are possible, and the keys must be there",
			len(id.EK), len(id.AK), len(id.EKCert), maxKeyBytes, maxKeyBytes, maxCert)
	}
	return nil
}

// PCRList is what e gives values for, in order.
func (e *Evidence) PCRList() []int {
	var out []int
	for i := range e.PCRs {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}
