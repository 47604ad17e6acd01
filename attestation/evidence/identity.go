package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
)

const identityVersion = 1

// An identity file is what an operator keeps of an enrolled machine. It is no secret; whoever can change it chooses the machine.
type identityFile struct {
	Version int    `json:"version"`
	Machine Digest `json:"machine"` // Identity.Hash, for people
	Identity
}

// EncodeIdentity writes an identity file.
func EncodeIdentity(id Identity) ([]byte, error) {
	if err := id.check(); err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	raw, err := json.MarshalIndent(identityFile{identityVersion, id.Hash(), id}, "", "  ")
	return append(raw, '\n'), err
}

// DecodeIdentity reads one.
func DecodeIdentity(raw []byte) (Identity, error) {
	var f identityFile
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	if f.Version != identityVersion {
		return Identity{}, fmt.Errorf("read identity: format %d, and this program knows format %d", f.Version, identityVersion)
	}
	if err := f.check(); err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	if f.Hash() != f.Machine {
		return Identity{}, fmt.Errorf("read identity: it names machine %s and holds the key of %s: enrol the machine again", f.Machine, f.Hash())
	}
	return f.Identity, nil
}
