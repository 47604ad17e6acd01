package wasm

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// This file: a Prepared as bytes, for a cache on disk. Preparing takes much longer
// than reading what it gave.

// encoded is what is kept of a Prepared; Format is Version.
type encoded struct {
	Format   int               `cbor:"1,keyasint"`
	Prepared Prepared          `cbor:"2,keyasint"`
	Names    map[uint32]string `cbor:"3,keyasint"`
}

// Limits of what is read back: a module has at most so many functions, names, segments.
var reading = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20, MaxNestedLevels: 8,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Encode is the inverse of Decode.
func (p *Prepared) Encode() ([]byte, error) {
	return cbor.Marshal(encoded{Version, *p, p.names})
}

// Decode reads what Encode of this Version wrote; a caller must know that nobody
// else wrote it, since the code in it is run as it is.
func Decode(b []byte) (*Prepared, error) {
	var e encoded
	if err := reading.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("prepared module: %w", err)
	}
	if e.Format != Version {
		return nil, errors.New("prepared module: it is of another version")
	}
	e.Prepared.names = e.Names
	return &e.Prepared, nil
}
