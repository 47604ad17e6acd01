// Package petest makes a small PE image, a stand-in for systemd's EFI stub in tests: the smallest file that image/pe accepts,
// with room in its header for more sections. It does not run, but says that it is version 252.
package petest

import "encoding/binary"

const (
	header    = 0x400
	alignment = 0x200
)

// Stub has the sections ".text", ".sbat" and ".sdmagic", and header room for many more.
func Stub() []byte {
	le := binary.LittleEndian
	out := make([]byte, header+3*alignment)
	copy(out, "MZ")
	le.PutUint32(out[0x3c:], 0x40)
	copy(out[0x40:], "PE\x00\x00")
	coff := out[0x44:]
	le.PutUint16(coff, 0x8664)
	le.PutUint16(coff[2:], 3)
	le.PutUint16(coff[16:], 240) // size of the optional header
	le.PutUint16(coff[18:], 0x206)
	opt := out[0x58:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[16:], 0x1000)    // entry point
	le.PutUint32(opt[32:], alignment) // in memory
	le.PutUint32(opt[36:], alignment) // in the file
	le.PutUint32(opt[56:], 0x1600)
	le.PutUint32(opt[60:], header)
	le.PutUint16(opt[68:], 10) // EFI application
	le.PutUint32(opt[108:], 16)
	for i, name := range []string{".text", ".sbat", ".sdmagic"} {
		h := out[0x58+240+i*40:]
		copy(h, name)
		le.PutUint32(h[8:], 0x80)
		le.PutUint32(h[12:], uint32(0x1000+i*alignment))
		le.PutUint32(h[16:], alignment)
		le.PutUint32(h[20:], uint32(header+i*alignment))
		le.PutUint32(h[36:], 0x60000020)
		for j := range 0x80 {
			out[header+i*alignment+j] = byte(i*16 + j)
		}
	}
	copy(out[header+2*alignment:], "#### LoaderInfo: systemd-stub 252 ####")
	return out
}
