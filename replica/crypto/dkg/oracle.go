package dkg

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// domain separates all our hashes from those of others; its number is that of the
// dealing format.
const domain = "ashlar nidkg 1 "

// oracle is the Fiat-Shamir transcript: what was added decides what is drawn, and
// what was drawn is bound by all later draws.
type oracle struct{ h *sha3.SHAKE }

func newOracle(purpose string) *oracle {
	return &oracle{sha3.NewCSHAKE256(nil, []byte(domain+purpose))}
}

// add absorbs data with its label, both with their lengths: no two sequences of
// calls absorb the same bytes.
func (o *oracle) add(label string, data []byte) {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(len(label)))
	binary.BigEndian.PutUint64(n[8:], uint64(len(data)))
	o.h.Write(n[:])
	o.h.Write([]byte(label))
	o.h.Write(data)
}

// draw squeezes n bytes, and goes on from a digest of all before.
func (o *oracle) draw(label string, n int) []byte {
	o.add(label, nil)
	out := make([]byte, n+64)
	o.h.Read(out)
	o.h.Reset()
	o.add("chain", out[n:])
	return out[:n]
}

// scalar draws a challenge; reducing 64 bytes leaves no bias.
func (o *oracle) scalar(label string) (s fr.Element) {
	s.SetBytes(o.draw(label, 64))
	return s
}

// weights draws coefficients of 128 bits, to check many equations as one.
func (o *oracle) weights(label string, n int) []fr.Element {
	raw := o.draw(label, 16*n)
	out := make([]fr.Element, n)
	for i := range out {
		out[i].SetBytes(raw[16*i : 16*i+16])
	}
	return out
}

// powers of x: x, x^2, ... x^n.
func powers(x *fr.Element, n int) []fr.Element {
	out := make([]fr.Element, n)
	p := *x
	for i := range out {
		out[i] = p
		p.Mul(&p, x)
	}
	return out
}

// drawScalar reads a uniform scalar that is not zero. It takes 255 bits until they
// are below the order: no number of arbitrary size that could not be wiped.
func drawScalar(random io.Reader) (s fr.Element, err error) {
	var b [fr.Bytes]byte
	defer clear(b[:])
	for range maxAttempts {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return s, fmt.Errorf("draw a scalar: %w", err)
		}
		b[0] &= 0x7f
		if s.SetBytesCanonical(b[:]) == nil && !s.IsZero() {
			return s, nil
		}
	}
	return s, errBroken
}

func drawScalars(random io.Reader, n int) ([]fr.Element, error) {
	out := make([]fr.Element, n)
	for i := range out {
		var err error
		if out[i], err = drawScalar(random); err != nil {
			clear(out)
			return nil, err
		}
	}
	return out, nil
}

// drawBelow reads a uniform number below n, which is not zero.
func drawBelow(random io.Reader, n uint64) (uint64, error) {
	var b [8]byte
	defer clear(b[:])
	top := -n % n // 2^64 mod n values at the bottom would be too many
	for range maxAttempts {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("draw a number: %w", err)
		}
		if v := binary.BigEndian.Uint64(b[:]); v >= top {
			return v % n, nil
		}
	}
	return 0, errBroken
}
