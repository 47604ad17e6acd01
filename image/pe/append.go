package pe

import (
	"errors"
	"fmt"
	"math"
)

// The sections of a UKI are used in place by the kernel's EFI stub and by Linux, which think in pages.
const sectionAlignment = 4096

// A Payload is a section to append.
type Payload struct {
	Name string
	Data []byte
}

// Append returns a new, unsigned image: im without symbol table and signature, then the payloads, each in memory behind the last.
// VirtualSize is the exact length of a payload; its bytes in the file are padded with zeros.
func (im *Image) Append(payloads []Payload) ([]byte, error) {
	fileAlign := int(le.Uint32(im.raw[im.opt+36:]))
	if fileAlign < 8 || fileAlign > sectionAlignment || fileAlign&(fileAlign-1) != 0 {
		return nil, fmt.Errorf("append sections: file alignment %d of the stub is no power of two from 8 to %d", fileAlign, sectionAlignment)
	}
	n := len(im.sections) + len(payloads)
	if n > maxSections || im.table+n*sectionHeaderBytes > im.headers {
		return nil, fmt.Errorf("append sections: the stub's header has no room for %d more: use a stub with a larger header", len(payloads))
	}
	if im.end() > len(im.raw) || im.end()%fileAlign != 0 {
		return nil, errors.New("append sections: the stub's last section does not end at its file alignment")
	}
	out := append([]byte(nil), im.raw[:im.end()]...)
	// The symbol table behind the last section is not copied, so nothing may point to it.
	coff := out[im.opt-coffHeaderBytes:]
	le.PutUint16(coff[2:], uint16(n))
	le.PutUint32(coff[8:], 0)
	le.PutUint32(coff[12:], 0)
	clear(out[im.opt+optChecksum : im.opt+optChecksum+4])
	clear(out[im.opt+optCertificates : im.opt+optCertificates+8])

	address := im.memoryEnd()
	for i, p := range payloads {
		if len(p.Name) == 0 || len(p.Name) > 8 || len(p.Data) == 0 {
			return nil, fmt.Errorf("append section %q of %d bytes: a name has 1 to 8 characters, a section at least one byte", p.Name, len(p.Data))
		}
		size := align(len(p.Data), fileAlign)
		if len(out)+size > MaxImageBytes || address+int64(size) > math.MaxInt32 {
			return nil, fmt.Errorf("append section %q: the image would be larger than %d bytes", p.Name, MaxImageBytes)
		}
		h := out[im.table+(len(im.sections)+i)*sectionHeaderBytes:][:sectionHeaderBytes]
		clear(h)
		copy(h, p.Name)
		le.PutUint32(h[8:], uint32(len(p.Data)))
		le.PutUint32(h[12:], uint32(address))
		le.PutUint32(h[16:], uint32(size))
		le.PutUint32(h[20:], uint32(len(out)))
		le.PutUint32(h[36:], sectionCharacteristics)
		out = append(append(out, p.Data...), make([]byte, size-len(p.Data))...)
		address += int64(align(len(p.Data), sectionAlignment))
	}
	le.PutUint32(out[im.opt+optSizeOfImage:], uint32(address))
	_, err := Parse(out)
	return out, err
}

// memoryEnd is the first page behind every section in memory.
func (im *Image) memoryEnd() int64 {
	var end int64
	for _, s := range im.sections {
		end = max(end, int64(s.VirtualAddress)+int64(max(s.VirtualSize, s.Size)))
	}
	return (end + sectionAlignment - 1) &^ (sectionAlignment - 1)
}

func align(n, to int) int { return (n + to - 1) &^ (to - 1) }
