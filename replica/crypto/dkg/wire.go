package dkg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errShort = errors.New("ends early")

// writer appends fields in order, numbers big endian of fixed size: one encoding of each value.
type writer []byte

func (w *writer) u8(v uint8)    { *w = append(*w, v) }
func (w *writer) u16(v int)     { *w = binary.BigEndian.AppendUint16(*w, uint16(v)) }
func (w *writer) u64(v uint64)  { *w = binary.BigEndian.AppendUint64(*w, v) }
func (w *writer) raw(b []byte)  { *w = append(*w, b...) }
func (w *writer) name(b []byte) { w.u8(uint8(len(b))); w.raw(b) }

// reader takes fields from the front and keeps the first error.
type reader struct {
	left []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.left = nil
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.left) {
		r.fail(errShort)
		return make([]byte, min(n, 64)) // zeros for the fixed fields of the caller
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() int    { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) name() []byte {
	n := int(r.u8())
	if n > maxIDBytes {
		r.fail(fmt.Errorf("an identity has %d bytes, the limit is %d", n, maxIDBytes))
		return nil
	}
	return r.take(n)
}

// count reads a number of nodes.
func (r *reader) count(of string) int {
	n := r.u16()
	if r.err == nil && (n < 1 || n > MaxNodes) {
		r.fail(fmt.Errorf("%d %s: there must be 1 to %d", n, of, MaxNodes))
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *reader) end() error {
	if r.err == nil && len(r.left) > 0 {
		r.err = fmt.Errorf("has %d bytes after its end", len(r.left))
	}
	return r.err
}
