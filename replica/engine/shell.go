package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// This file: shells. wazero keeps compiled code on disk under a name that it makes
// of the module's bytes, and takes it from there only after it has decoded and
// checked the whole module again: ten times the work of reading the code. A shell
// is the module without the insides of its functions:
//
//	module + proof ── compile ──> code ── kept, to be filled into the shell's
//	      └── shell: types, imports, exports, ... and functions that are only
//	          unreachable; the module's hash in a section of its own
//
// So a module that was compiled once is loaded by its shell. Should that get other
// code, or its own, in which case wazero has compiled it, then the proof, a function
// that returns the module's hash, does not return it: the module is compiled anew.

// proofName is the export of the proof; canisters have none of this form.
const proofName = "ashlar proof"

// The sections that the proof or the shell change.
const (
	secCustom   = 0
	secType     = 1
	secImport   = 2
	secFunction = 3
	secExport   = 7
	secCode     = 10
)

var errSections = errors.New("engine: a rewritten module has no sections as it should")

type section struct {
	id      byte
	content []byte
}

func split(module []byte) (out []section, err error) {
	if len(module) < 8 {
		return nil, errSections
	}
	for rest := module[8:]; len(rest) > 0; {
		n, k := binary.Uvarint(rest[1:])
		if k <= 0 || n > uint64(len(rest)-1-k) {
			return nil, errSections
		}
		out = append(out, section{rest[0], rest[1+k : 1+k+int(n)]})
		rest = rest[1+k+int(n):]
	}
	return out, nil
}

func join(sections []section) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		out = append(out, s.id)
		out = binary.AppendUvarint(out, uint64(len(s.content)))
		out = append(out, s.content...)
	}
	return out
}

// longer is a section that is a vector, with one more element.
func longer(content, element []byte) (out []byte, n uint64, err error) {
	n, k := binary.Uvarint(content)
	if k <= 0 {
		return nil, 0, errSections
	}
	out = binary.AppendUvarint(nil, n+1)
	return append(append(out, content[k:]...), element...), n, nil
}

// withProof adds the proof to a rewritten module, and makes the shell of that.
func withProof(module []byte) (full, shell []byte, proof uint64, err error) {
	hash := sha256.Sum256(module)
	proof = binary.LittleEndian.Uint64(hash[:])
	sections, err := split(module)
	if err != nil {
		return nil, nil, 0, err
	}
	var typ, imported, own uint64
	seen := 0
	for i := range sections {
		s := &sections[i]
		var element []byte
		switch s.id {
		case secType:
			element = []byte{0x60, 0, 1, 0x7e} // nothing to i64
		case secImport:
			imported, err = importedFuncs(s.content)
			if err != nil {
				return nil, nil, 0, err
			}
			continue
		case secFunction:
			element = binary.AppendUvarint(nil, typ)
		case secExport:
			element = append([]byte{byte(len(proofName))}, proofName...)
			element = binary.AppendUvarint(append(element, 0), imported+own)
		case secCode:
			body := append([]byte{0, 0x42}, signed(int64(proof))...)
			body = append(body, 0x0b)
			element = append(binary.AppendUvarint(nil, uint64(len(body))), body...)
		default:
			continue
		}
		var n uint64
		if s.content, n, err = longer(s.content, element); err != nil {
			return nil, nil, 0, err
		}
		switch seen++; s.id {
		case secType:
			typ = n
		case secFunction:
			own = n
		}
	}
	if seen != 4 {
		return nil, nil, 0, errSections
	}
	return join(sections), join(hollow(sections, hash)), proof, nil
}

// hollow takes the insides of the functions out.
func hollow(sections []section, hash [32]byte) (out []section) {
	for _, s := range sections {
		if s.id == secCode {
			n, _ := binary.Uvarint(s.content)
			s.content = binary.AppendUvarint(nil, n)
			for range n {
				s.content = append(s.content, 3, 0, 0x00, 0x0b) // no locals, unreachable, end
			}
		}
		out = append(out, s)
	}
	return append(out, section{secCustom, append([]byte("\x05shell"), hash[:]...)})
}

// importedFuncs counts the functions of an import section.
func importedFuncs(b []byte) (funcs uint64, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 {
		return 0, errSections
	}
	b = b[k:]
	name := func() {
		l, k := binary.Uvarint(b)
		if k <= 0 || l > uint64(len(b)-k) {
			b, err = nil, errSections
			return
		}
		b = b[k+int(l):]
	}
	for range n {
		name()
		name()
		if len(b) < 2 || b[0] != 0 { // rewritten modules import functions only
			return 0, errSections
		}
		if _, k = binary.Uvarint(b[1:]); k <= 0 {
			return 0, errSections
		}
		b = b[1+k:]
		funcs++
	}
	return funcs, err
}

// signed is LEB128.
func signed(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
