package wasm

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// IsZipped tells whether code has the magic number of gzip.
func IsZipped(code []byte) bool { return bytes.HasPrefix(code, []byte{0x1f, 0x8b, 0x08}) }

// Unzip returns code itself where it is not gzip, else what it unpacks to, which
// may have at most limit bytes. Memory use is bounded by that, whatever code says.
func Unzip(code []byte, limit int) ([]byte, error) {
	if !IsZipped(code) {
		if len(code) > limit {
			return nil, fmt.Errorf("module has %d bytes, the limit is %d", len(code), limit)
		}
		return code, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(code))
	if err != nil {
		return nil, fmt.Errorf("module is not valid gzip: %w", err)
	}
	z.Multistream(false)
	out, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("module is not valid gzip: %w", err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("module unpacks to more than %d bytes", limit)
	}
	return out, nil
}
