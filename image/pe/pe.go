// Package pe reads PE32+ images, hashes them as Authenticode does, and appends sections and a signature.
//
//	DOS header | PE header | optional header | section table | room   <- SizeOfHeaders
//	section 1 .. section n, in file order, not overlapping
//	certificate table (WIN_CERTIFICATE), always the last bytes
//
// It is stricter than a UEFI loader: an image whose sections overlap, lie out of order or leave a gap, or that carries
// anything behind the certificate table is refused. What it accepts is therefore hashed in one way only.
// Spec: Microsoft PE format, "Windows Authenticode Portable Executable Signature Format" (2008), and UEFI 2.10 section 32.5.
// What the sections mean is left to image/uki, what the signature says to image/authenticode.
package pe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	MaxImageBytes = 256 << 20 // a UKI is 10 to 60 MB; more is a mistake or an attack
	maxSections   = 64        // the stub has 7, a UKI 11; the PE format allows 96

	coffHeaderBytes    = 20
	sectionHeaderBytes = 40
	magicPE32Plus      = 0x20b
	machineAMD64       = 0x8664
	minOptionalBytes   = 112 + 5*8 // standard and Windows fields, then data directories up to the certificate table

	optSizeOfImage   = 56 // offsets inside the optional header
	optSizeOfHeaders = 60
	optChecksum      = 64
	optDirectories   = 108
	optCertificates  = 112 + 4*8

	// 0x40000040: initialised data, readable. What objcopy gives the sections of a UKI.
	sectionCharacteristics = 0x40000040
)

// An Image is a parsed PE32+ file. It shares the bytes it was parsed from.
type Image struct {
	raw      []byte
	opt      int // file offset of the optional header
	table    int // file offset of the section table
	headers  int // SizeOfHeaders
	sections []Section
	certs    span
}

// A Section is one row of the section table.
type Section struct {
	Name           string
	VirtualAddress uint32
	VirtualSize    uint32
	Offset, Size   uint32 // where its bytes are in the file
}

type span struct{ off, size int }

var le = binary.LittleEndian

// Parse checks the structure of a PE32+ file for x86-64.
func Parse(raw []byte) (*Image, error) {
	im, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read PE image of %d bytes: %w", len(raw), err)
	}
	return im, nil
}

func parse(raw []byte) (*Image, error) {
	if len(raw) > MaxImageBytes {
		return nil, fmt.Errorf("larger than the limit of %d bytes", MaxImageBytes)
	}
	if len(raw) < 64 || raw[0] != 'M' || raw[1] != 'Z' {
		return nil, errors.New("does not start with an MZ header")
	}
	// 64-bit sums: no field of the file can make them overflow.
	peOff := int64(le.Uint32(raw[0x3c:]))
	if peOff < 64 || peOff+4+coffHeaderBytes+minOptionalBytes > int64(len(raw)) {
		return nil, errors.New("its PE header lies outside of the file")
	}
	if string(raw[peOff:peOff+4]) != "PE\x00\x00" {
		return nil, errors.New("has no PE signature")
	}
	coff := raw[peOff+4:]
	if m := le.Uint16(coff); m != machineAMD64 {
		return nil, fmt.Errorf("is for machine %#x, not for x86-64", m)
	}
	n, optBytes := int(le.Uint16(coff[2:])), int64(le.Uint16(coff[16:]))
	im := &Image{raw: raw, opt: int(peOff) + 4 + coffHeaderBytes}
	im.table = im.opt + int(optBytes)
	if optBytes < minOptionalBytes || im.table+n*sectionHeaderBytes > len(raw) || n == 0 || n > maxSections {
		return nil, fmt.Errorf("has a section table of %d rows that does not fit", n)
	}
	if le.Uint16(raw[im.opt:]) != magicPE32Plus || le.Uint32(raw[im.opt+optDirectories:]) < 5 {
		return nil, errors.New("is not a PE32+ file with a certificate directory")
	}
	im.headers = int(le.Uint32(raw[im.opt+optSizeOfHeaders:]))
	if im.headers < im.table+n*sectionHeaderBytes || im.headers > len(raw) {
		return nil, errors.New("its SizeOfHeaders does not cover the section table")
	}
	if err := im.readSections(n); err != nil {
		return nil, err
	}
	return im, im.readCertificates()
}

func (im *Image) readSections(n int) error {
	end := int64(im.headers)
	for i := range n {
		h := im.raw[im.table+i*sectionHeaderBytes:]
		s := Section{
			Name:           string(bytes.TrimRight(h[:8], "\x00")),
			VirtualSize:    le.Uint32(h[8:]),
			VirtualAddress: le.Uint32(h[12:]),
			Size:           le.Uint32(h[16:]),
			Offset:         le.Uint32(h[20:]),
		}
		if s.Size == 0 {
			s.Offset = 0 // it means nothing, and need not lie in the file
		} else {
			if int64(s.Offset) < end {
				return fmt.Errorf("section %q overlaps what lies before it", s.Name)
			}
			if int64(s.Offset) != end {
				return fmt.Errorf("%d bytes before section %q belong to no section", int64(s.Offset)-end, s.Name)
			}
			end += int64(s.Size)
		}
		if end > int64(len(im.raw)) {
			return fmt.Errorf("section %q ends after the file", s.Name)
		}
		im.sections = append(im.sections, s)
	}
	return nil
}

func (im *Image) readCertificates() error {
	d := im.raw[im.opt+optCertificates:]
	off, size := int64(le.Uint32(d)), int64(le.Uint32(d[4:]))
	if size == 0 {
		return nil
	}
	if off < int64(im.end()) || off+size != int64(len(im.raw)) {
		return errors.New("its certificate table is not the end of the file")
	}
	im.certs = span{int(off), int(size)}
	return nil
}

// Sections lists the section table in file order.
func (im *Image) Sections() []Section { return im.sections }

// Signed reports whether the image carries a certificate table; it says nothing about what that table is worth.
func (im *Image) Signed() bool { return im.certs.size > 0 }

// Data returns what a loader puts in memory for the section: VirtualSize bytes, zeros behind the file's. It shares memory where it can.
func (im *Image) Data(s Section) ([]byte, error) {
	if s.VirtualSize <= s.Size {
		return im.raw[s.Offset : s.Offset+s.VirtualSize : s.Offset+s.VirtualSize], nil
	}
	if s.VirtualSize > MaxImageBytes {
		return nil, fmt.Errorf("section %q wants %d bytes of memory, more than %d", s.Name, s.VirtualSize, MaxImageBytes)
	}
	out := make([]byte, s.VirtualSize)
	copy(out, im.raw[s.Offset:s.Offset+s.Size])
	return out, nil
}

// end is the first byte behind the headers and all sections.
func (im *Image) end() int {
	end := im.headers
	for _, s := range im.sections {
		if s.Size > 0 {
			end = int(s.Offset + s.Size)
		}
	}
	return end
}
