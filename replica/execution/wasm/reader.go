package wasm

import (
	"fmt"
	"unicode/utf8"
)

// reader walks over bytes from outside. The first fault sticks in err; after it
// every read gives zero, so that callers check once per item.
type reader struct {
	b   []byte
	pos int
	end int
	err error
}

func newReader(b []byte) *reader { return &reader{b: b, end: len(b)} }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s (at offset 0x%x)", fmt.Sprintf(format, args...), r.pos)
		r.pos = r.end
	}
}

// refuse ends the reading with an error that says all there is to say.
func (r *reader) refuse(err error) {
	if r.err == nil {
		r.err, r.pos = err, r.end
	}
}

func (r *reader) more() bool { return r.err == nil && r.pos < r.end }

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail("unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.end-r.pos) {
		r.fail("unexpected end: %d bytes announced, %d left", n, r.end-r.pos)
		return nil
	}
	s := r.b[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return s
}

// sub is a reader of the next n bytes, which r skips. Offsets stay those of the module.
func (r *reader) sub(n uint32) *reader {
	at := r.pos
	r.bytes(n)
	if r.err != nil {
		return &reader{b: r.b, pos: r.end, end: r.end, err: r.err}
	}
	return &reader{b: r.b, pos: at, end: r.pos}
}

func (r *reader) u32() uint32 {
	if r.pos < r.end && r.b[r.pos] < 0x80 { // nearly always
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	return uint32(r.unsigned(32))
}

func (r *reader) u64() uint64 { return r.unsigned(64) }

func (r *reader) unsigned(bits uint) uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if left := bits - shift; left < 7 && c>>left != 0 {
			if c&0x80 != 0 {
				r.fail("integer representation too long")
			} else {
				r.fail("integer too large")
			}
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v
		}
	}
}

func (r *reader) i32() int32 { return int32(r.signed(32)) }
func (r *reader) i33() int64 { return r.signed(33) }
func (r *reader) i64() int64 { return r.signed(64) }

func (r *reader) signed(bits uint) int64 {
	var v int64
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if left := bits - shift; left < 7 {
			if c&0x80 != 0 {
				r.fail("integer representation too long")
				return 0
			}
			// The bits beyond the type must all equal its sign.
			if rest := int8(c<<1) >> left; rest != 0 && rest != -1 {
				r.fail("integer too large")
				return 0
			}
		}
		v |= int64(c&0x7f) << shift
		if c&0x80 == 0 {
			if shift+7 < 64 {
				v = v << (64 - shift - 7) >> (64 - shift - 7)
			}
			return v
		}
	}
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if r.err == nil && len(b) > maxNameBytes {
		r.fail("name of %d bytes is longer than %d", len(b), maxNameBytes)
	}
	if r.err == nil && !utf8.Valid(b) {
		r.fail("malformed UTF-8 encoding")
	}
	if r.err != nil {
		return ""
	}
	return string(b)
}

// count reads the length of a vector whose items take at least one byte each,
// so that no allocation is larger than the input.
func (r *reader) count(what string, limit uint32) int {
	n := r.u32()
	if r.err == nil && n > limit {
		r.fail("%d %s are more than %d", n, what, limit)
	}
	if r.err == nil && uint64(n) > uint64(r.end-r.pos) {
		r.fail("unexpected end: %d %s announced, %d bytes left", n, what, r.end-r.pos)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}
