package wasm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
)

// IsZipped tells whether code has the magic number of gzip.
func IsZipped(code []byte) bool { return bytes.HasPrefix(code, []byte{0x1f, 0x8b, 0x08}) }

const leastZipped = 16 // bytes of gzip's header and footer

// Unzip returns code itself where it is not gzip, else what it unpacks to, which
// may have at most limit bytes. Memory use is bounded by that and by what code says.
func Unzip(code []byte, limit int) ([]byte, error) {
	if !IsZipped(code) {
		if len(code) > limit {
			return nil, moduleTooLarge(len(code), limit)
		}
		return code, nil
	}
	if len(code) < leastZipped {
		return nil, undecodable("invalid Wasm module: gzip stream is too short")
	}
	said := int(binary.LittleEndian.Uint32(code[len(code)-4:]))
	if said > limit {
		return nil, moduleTooLarge(said, limit)
	}
	z, err := gzip.NewReader(bytes.NewReader(code))
	if err != nil {
		return nil, undecodable("failed to decode compressed Wasm module: %v", err)
	}
	z.Multistream(false)
	out, err := io.ReadAll(io.LimitReader(z, int64(said)+1))
	if err != nil {
		return nil, undecodable("failed to decode compressed Wasm module: %v", err)
	}
	if len(out) != said {
		return nil, undecodable("specified uncompressed size %d does not match extracted size %d", said, len(out))
	}
	return out, nil
}
