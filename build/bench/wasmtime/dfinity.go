package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// meter rewrites a module in the shape of DFINITY's replica (dfinity/ic,
// rs/embedders/src/wasm_utils/instrumentation.rs): an exported global counts down
// at the start of each basic block; at the start of a function and of a loop it
// is compared with zero, and a function is called if it is below.
//
//	block:  counter -= cost          loop, function:  the same; if counter < 0 { call $out }
//	bulk:   call $charge (length) -> length
//
// Every instruction costs 1, as the speed does not depend on it. Functions and
// the global are appended, so that no index changes: the call that is never made
// goes to a function of the module rather than to an import.
func meter(code []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(parseError); ok {
				out, err = nil, e
				return
			}
			panic(r)
		}
	}()
	return newMeter(code).module(), nil
}

const (
	counterExport = "canister counter_instructions"
	fullCounter   = int64(1) << 60
)

type parseError struct{ error }

func fail(format string, args ...any) { panic(parseError{fmt.Errorf("meter: "+format, args...)}) }

// cursor reads a module.
type cursor struct{ b []byte }

func (c *cursor) byte() byte { return c.bytes(1)[0] }

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b) {
		panic(parseError{errors.New("meter: the module ends early")})
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		fail("not a number")
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) skipSigned() {
	for c.byte()&0x80 != 0 {
	}
}

func appendU(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendS(b []byte, v int64) []byte {
	for {
		d := byte(v & 0x7f)
		v >>= 7
		if v == 0 && d&0x40 == 0 || v == -1 && d&0x40 != 0 {
			return append(b, d)
		}
		b = append(b, d|0x80)
	}
}

const (
	secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart, secElement, secCode = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
)

type meterer struct {
	sections                        map[byte][]byte
	order                           []byte // of what is not custom
	imported, globals, defined      uint64
	types                           uint64
	wide                            bool
	counter, outFunc, charge        uint64
	bodies                          [][]byte
	oldTypes, oldGlobals, oldExport []byte
}

func newMeter(code []byte) *meterer {
	m := &meterer{sections: map[byte][]byte{}}
	c := &cursor{code}
	if string(c.bytes(8)) != "\x00asm\x01\x00\x00\x00" {
		fail("no Wasm")
	}
	for len(c.b) > 0 {
		id := c.byte()
		body := c.bytes(int(c.u()))
		if id != 0 {
			m.sections[id] = body
			m.order = append(m.order, id)
		}
	}
	m.count()
	m.counter, m.outFunc = m.globals, m.imported+m.defined
	m.charge = m.outFunc + 1
	return m
}

// count what there is, to append to it.
func (m *meterer) count() {
	c := &cursor{m.sections[secImport]}
	for n := c.vec(); n > 0; n-- {
		c.bytes(int(c.u()))
		c.bytes(int(c.u()))
		switch c.byte() {
		case 0:
			c.u()
			m.imported++
		case 3:
			c.bytes(2)
			m.globals++
		default:
			fail("an import that is no function")
		}
	}
	m.types, m.oldTypes = tail(m.sections[secType])
	globals, old := tail(m.sections[secGlobal])
	m.globals, m.oldGlobals = m.globals+globals, old
	m.defined, _ = tail(m.sections[secFunction])
	if _, b := tail(m.sections[secMemory]); len(b) > 0 {
		m.wide = b[0]&4 != 0
	}
	c = &cursor{m.sections[secCode]}
	for n := c.vec(); n > 0; n-- {
		m.bodies = append(m.bodies, c.bytes(int(c.u())))
	}
}

func (c *cursor) vec() uint64 {
	if len(c.b) == 0 {
		return 0
	}
	return c.u()
}

// tail is a vector without its length.
func tail(section []byte) (uint64, []byte) {
	c := &cursor{section}
	n := c.vec()
	return n, c.b
}

func (m *meterer) module() []byte {
	for _, id := range []byte{secType, secFunction, secGlobal, secExport} {
		if m.sections[id] == nil && !slices.Contains(m.order, id) {
			m.order = append(m.order, id)
		}
	}
	place := func(id byte) int { // the data count section, 12, lies before the code
		if id == 12 {
			return 2*secElement + 1
		}
		return 2 * int(id)
	}
	slices.SortFunc(m.order, func(a, b byte) int { return place(a) - place(b) })
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range m.order {
		body := m.section(id)
		out = append(appendU(append(out, id), uint64(len(body))), body...)
	}
	return out
}

func (m *meterer) section(id byte) []byte {
	old := m.sections[id]
	switch id {
	case secType: // () -> () and (length) -> length
		length := byte(0x7f)
		if m.wide {
			length = 0x7e
		}
		return append(append(appendU(nil, m.types+2), m.oldTypes...), 0x60, 0, 0, 0x60, 1, length, 1, length)
	case secFunction:
		n, rest := tail(old)
		return appendU(appendU(append(appendU(nil, n+2), rest...), m.types), m.types+1)
	case secGlobal:
		n, _ := tail(old)
		b := append(append(appendU(nil, n+1), m.oldGlobals...), 0x7e, 1, 0x42)
		return append(appendS(b, fullCounter), 0x0b)
	case secExport:
		n, rest := tail(old)
		b := append(appendU(nil, n+1), rest...)
		b = append(appendU(b, uint64(len(counterExport))), counterExport...)
		return appendU(append(b, 3), m.counter)
	case secCode:
		b := appendU(nil, uint64(len(m.bodies)+2))
		for _, body := range m.bodies {
			body = m.body(body)
			b = append(appendU(b, uint64(len(body))), body...)
		}
		b = append(b, 3, 0, 0x00, 0x0b) // $out: unreachable
		charge := m.chargeBody()
		return append(appendU(b, uint64(len(charge))), charge...)
	}
	return old
}

func (m *meterer) chargeBody() []byte {
	b := appendU([]byte{0, 0x23}, m.counter)
	b = append(b, 0x20, 0)
	if !m.wide {
		b = append(b, 0xad) // extend
	}
	b = appendU(append(b, 0x7d, 0x24), m.counter)
	return append(m.check(b), 0x20, 0, 0x0b)
}

// check calls $out if the counter is below zero.
func (m *meterer) check(b []byte) []byte {
	b = append(appendU(append(b, 0x23), m.counter), 0x42, 0, 0x53, 0x04, 0x40, 0x10)
	return append(appendU(b, m.outFunc), 0x0b)
}

// body charges each basic block at its start.
func (m *meterer) body(old []byte) []byte {
	c := &cursor{old}
	for n := c.vec(); n > 0; n-- {
		c.u()
		c.byte()
	}
	out := slices.Clone(old[:len(old)-len(c.b)])
	var block []byte // code of the basic block so far
	cost, head := int64(1), true
	end := func(nextIsHead bool) {
		if cost > 0 {
			out = appendS(append(appendU(append(out, 0x23), m.counter), 0x42), cost)
			out = appendU(append(out, 0x7d, 0x24), m.counter)
		}
		if head {
			out = m.check(out)
		}
		out = append(out, block...)
		block, cost, head = block[:0], 0, nextIsHead
	}
	for len(c.b) > 0 {
		from := c.b
		op := c.byte()
		bulk := m.immediates(c, op)
		if bulk {
			block = appendU(append(block, 0x10), m.charge)
			cost++
		}
		block = append(block, from[:len(from)-len(c.b)]...)
		switch op {
		case 0x02: // block: free
		case 0x03: // loop
			end(true)
		case 0x05, 0x0b: // else, end: free
			end(false)
		case 0x04, 0x0c, 0x0d, 0x0e, 0x0f, 0x00, 0x12, 0x13: // if, branches, return, unreachable, tail calls
			cost++
			end(false)
		default:
			cost++
		}
	}
	return append(out, block...)
}

// immediates skips what follows an opcode, and tells whether it takes a length.
func (m *meterer) immediates(c *cursor, op byte) (bulk bool) {
	switch {
	case op >= 0x02 && op <= 0x04: // block type
		c.skipSigned()
	case op == 0x0c || op == 0x0d || op == 0x10 || op == 0x12 || op >= 0x20 && op <= 0x26 || op == 0xd2:
		c.u()
	case op == 0x11 || op == 0x13:
		c.u()
		c.u()
	case op == 0x0e:
		for n := c.u() + 1; n > 0; n-- {
			c.u()
		}
	case op == 0x1c:
		c.bytes(int(c.u()))
	case op >= 0x28 && op <= 0x3e:
		c.u()
		c.u()
	case op == 0x3f || op == 0x40 || op == 0xd0:
		c.byte()
	case op == 0x41 || op == 0x42:
		c.skipSigned()
	case op == 0x43:
		c.bytes(4)
	case op == 0x44:
		c.bytes(8)
	case op == 0xfc:
		return m.prefixed(c)
	case op == 0xfd || op == 0xfe || op == 0xfb || op >= 0x06 && op <= 0x0a || op == 0x14 || op == 0x15:
		fail("opcode 0x%x is not known here", op)
	}
	return false
}

func (m *meterer) prefixed(c *cursor) (bulk bool) {
	switch sub := c.u(); sub {
	case 8: // memory.init
		c.u()
		c.byte()
		return !m.wide // its length has 32 bits in either width
	case 9, 13, 15, 16, 17:
		c.u()
	case 10:
		c.bytes(2)
		return true
	case 11:
		c.byte()
		return true
	case 12, 14:
		c.u()
		c.u()
	default:
		if sub > 7 {
			fail("opcode 0xfc %d is not known here", sub)
		}
	}
	return false
}
