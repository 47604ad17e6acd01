// Package bundle writes and reads a release: one signed file with all that a slot holds.
//
//	"ASHLARB1" | key id 32 | manifest length 4 | signature length 2 | manifest | signature | payload | payload | ... | end of file
//	                                                                             zstd, in the manifest's order
//
// The manifest is canonical JSON: Go's encoding of Manifest, no other bytes for the same content. The release key signs
// SHA-256("ashlar release manifest v1\n" || manifest) with ECDSA P-256, deterministically (RFC 6979). The key id only lets an
// error say "another key" where the signature alone could say no more than "wrong".
//
// Open reads and checks the head, and nothing of a payload, before the signature is found good; Check compares the manifest
// with the machine; Extract streams the payloads and checks each hash. What is written before a hash fails is the caller's
// idle slot: it stays "writing" in the slot record and never boots.
package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"ashlar/image/keys"
	"ashlar/image/version"
)

const (
	Format = 1 // of the manifest

	maxManifestBytes  = 64 << 10
	maxSignatureBytes = 72 // ASN.1 DER of two 256-bit numbers
	maxPayloads       = 16
	maxPayloadBytes   = 16 << 30 // uncompressed; a slot's root is a few hundred MB
	maxNameBytes      = 64

	magic     = "ASHLARB1"
	headBytes = len(magic) + sha256.Size + 4 + 2
	context   = "ashlar release manifest v1\n"
)

// What can be wrong with a bundle; each comes wrapped in a sentence.
var (
	ErrNotBundle = errors.New("this is not a release bundle")
	ErrTruncated = errors.New("the bundle is cut short")
	ErrChanged   = errors.New("the bundle was changed after it was signed")
	ErrOtherKey  = errors.New("the bundle is signed by another key")
	ErrTooOld    = errors.New("the release is too old")
	ErrUpgrade   = errors.New("this release cannot follow the running one")
	ErrTooLarge  = errors.New("the release is too large for the slot")
)

// A Digest is a SHA-256, in JSON and print as hex.
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

// A Manifest says what a release is. The order of the fields is the order in the file.
type Manifest struct {
	Format         int               `json:"format"`
	Version        string            `json:"version"`
	MinUpgradeFrom string            `json:"min_upgrade_from"` // the oldest release that knows how to go to this one
	Floor          string            `json:"floor"`            // once this release is confirmed, none older than this is taken
	Source         Digest            `json:"source"`           // the tree it was built from
	Payloads       []Payload         `json:"payloads"`
	Measurements   Measurements      `json:"measurements"`
	SBOM           map[string]Digest `json:"sbom"` // file name -> hash
}

// A Payload is a partition's content.
type Payload struct {
	Name             string `json:"name"` // host-esp, host-root, guest
	Size             int64  `json:"size"`
	SHA256           Digest `json:"sha256"`
	CompressedSize   int64  `json:"compressed_size"`
	CompressedSHA256 Digest `json:"compressed_sha256"`
}

// Measurements are what a machine that runs the release has in its TPM: attestation/measure makes them.
type Measurements struct {
	Host  HostMeasurements  `json:"host"`
	Guest GuestMeasurements `json:"guest"`
}

// HostMeasurements follow from the host's signed UKI and the Secure Boot keys.
type HostMeasurements struct {
	Authenticode Digest `json:"authenticode"` // of the UKI, as an event of PCR 4
	// PCR4 is for a firmware that started the UKI at the first attempt, then after one failed boot option, after two, ...
	PCR4  []Digest `json:"pcr4"`
	PCR7  Digest   `json:"pcr7"`
	PCR11 Digest   `json:"pcr11"`
}

// GuestMeasurements follow from the guest's UKI.
type GuestMeasurements struct {
	UKI   Digest `json:"uki"`   // SHA-256 of the file
	PCR13 Digest `json:"pcr13"` // after the host extended it
}

// encode writes the canonical form.
func (m Manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(m)
	if err == nil && len(raw) > maxManifestBytes {
		err = fmt.Errorf("a manifest of %d bytes, more than %d", len(raw), maxManifestBytes)
	}
	return raw, err
}

// decode accepts the canonical form only.
func decode(raw []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	again, err := m.encode()
	if err == nil && !bytes.Equal(again, raw) {
		err = errors.New("it is not in canonical form")
	}
	return m, err
}

func (m Manifest) check() error {
	if m.Format != Format {
		return fmt.Errorf("manifest format %d; this program knows format %d: upgrade in a smaller step", m.Format, Format)
	}
	for _, v := range []string{m.Version, m.MinUpgradeFrom, m.Floor} {
		if _, err := version.Parse(v); err != nil {
			return err
		}
	}
	if older, _ := version.Older(m.Version, m.Floor); older {
		return fmt.Errorf("version %s is older than its own floor %s", m.Version, m.Floor)
	}
	if len(m.Payloads) == 0 || len(m.Payloads) > maxPayloads {
		return fmt.Errorf("%d payloads; there are 1 to %d", len(m.Payloads), maxPayloads)
	}
	seen := map[string]bool{}
	for _, p := range m.Payloads {
		if p.Name == "" || len(p.Name) > maxNameBytes || seen[p.Name] {
			return fmt.Errorf("payload name %.80q is empty, too long, or there twice", p.Name)
		}
		seen[p.Name] = true
		if p.Size < 1 || p.Size > maxPayloadBytes || p.CompressedSize < 1 || p.CompressedSize > maxPayloadBytes {
			return fmt.Errorf("payload %s of %d bytes, %d compressed: 1 to %d are possible", p.Name, p.Size, p.CompressedSize, int64(maxPayloadBytes))
		}
	}
	return nil
}

// Total is the length of the payloads as they lie in the bundle.
func (m Manifest) Total() int64 {
	var n int64
	for _, p := range m.Payloads {
		n += p.CompressedSize
	}
	return n
}

// signed is what the release key signs.
func signed(manifest []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(context), manifest...))
}

// head is the fixed part in front of the manifest.
type head struct {
	key                 [sha256.Size]byte
	manifest, signature int
}

func (h head) encode() []byte {
	out := append([]byte(magic), h.key[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(h.manifest))
	return binary.BigEndian.AppendUint16(out, uint16(h.signature))
}

func decodeHead(raw [headBytes]byte) (head, error) {
	if string(raw[:len(magic)]) != magic {
		return head{}, ErrNotBundle
	}
	rest := raw[len(magic):]
	h := head{key: [sha256.Size]byte(rest)}
	rest = rest[sha256.Size:]
	h.manifest, h.signature = int(binary.BigEndian.Uint32(rest)), int(binary.BigEndian.Uint16(rest[4:]))
	if h.manifest > maxManifestBytes || h.signature > maxSignatureBytes {
		return head{}, fmt.Errorf("%w: its head announces a manifest of %d bytes and a signature of %d", ErrChanged, h.manifest, h.signature)
	}
	return h, nil
}

func verify(h head, manifest, signature []byte, pub *ecdsa.PublicKey) error {
	id, err := keys.KeyID(pub)
	if err != nil {
		return err
	}
	sum := signed(manifest)
	switch {
	case h.key != id:
		return fmt.Errorf("%w: %x, and this machine trusts %x: get the bundle from the release's own address", ErrOtherKey, h.key[:8], id[:8])
	case !ecdsa.VerifyASN1(pub, sum[:], signature):
		return fmt.Errorf("%w: its manifest does not fit its signature: download it again", ErrChanged)
	}
	return nil
}
