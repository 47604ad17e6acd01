package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// RemovablePath is the file that firmware looks for on a disk of which it knows nothing.
const RemovablePath = `\EFI\BOOT\BOOTX64.EFI`

const (
	active       = 1
	maxNodes     = 32  // of a device path; a fabric's has about ten
	maxNameUnits = 512 // UTF-16 units of a description or a file name

	typeMedia, subHardDrive, subFile = 4, 1, 4
	typeEnd, subEndAll               = 0x7f, 0xff
	hardDriveBytes                   = 42
	formatGPT, signatureGUID         = 2, 2
)

// A Partition as a device path names it: HD(number,GPT,id,first,sectors).
type Partition struct {
	Number  uint32
	First   uint64 // logical block
	Sectors uint64 // in logical blocks
	ID      GUID   // of the partition, not of its type
}

// An Entry is a Boot#### variable: a load option.
type Entry struct {
	Description string
	Active      bool
	Partition   *Partition // nil: not a file on a GPT partition
	File        string
	Plain       bool // the path is HD()/File and there is no optional data: such an entry is encoded as it was read
}

// Encode writes a load option for a file on a partition, without arguments.
func (e Entry) Encode() []byte {
	if e.Partition == nil {
		panic("efi: encode an entry without a partition")
	}
	path := append(hardDrive(*e.Partition), node(typeMedia, subFile, encodeUTF16(e.File))...)
	path = append(path, typeEnd, subEndAll, 4, 0)
	var attributes uint32
	if e.Active {
		attributes = active
	}
	out := binary.LittleEndian.AppendUint32(nil, attributes)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(path)))
	out = append(out, encodeUTF16(e.Description)...)
	return append(out, path...)
}

func hardDrive(p Partition) []byte {
	b := binary.LittleEndian.AppendUint32(nil, p.Number)
	b = binary.LittleEndian.AppendUint64(b, p.First)
	b = binary.LittleEndian.AppendUint64(b, p.Sectors)
	b = append(b, p.ID[:]...)
	return node(typeMedia, subHardDrive, append(b, formatGPT, signatureGUID))
}

func node(kind, sub byte, data []byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte{kind, sub}, uint16(4+len(data)))
	return append(out, data...)
}

// DecodeEntry reads a load option. What is not a file on a partition keeps its description only.
func DecodeEntry(raw []byte) (Entry, error) {
	if len(raw) < 6 {
		return Entry{}, errors.New("read boot entry: cut short")
	}
	e := Entry{Active: binary.LittleEndian.Uint32(raw)&active != 0}
	pathBytes := int(binary.LittleEndian.Uint16(raw[4:]))
	name, rest, err := decodeUTF16(raw[6:])
	if err != nil || pathBytes > len(rest) {
		return Entry{}, fmt.Errorf("read boot entry: its path of %d bytes is longer than what is there, or %w", pathBytes, orNone(err))
	}
	e.Description = name
	nodes, err := decodePath(rest[:pathBytes], &e)
	if err != nil {
		return Entry{}, fmt.Errorf("read boot entry %q: %w", name, err)
	}
	e.Plain = nodes == 2 && e.Partition != nil && e.File != "" && len(rest) == pathBytes
	return e, nil
}

func orNone(err error) error {
	if err == nil {
		return errors.New("nothing else")
	}
	return err
}

// decodePath counts the nodes before the end, and keeps those of a file on a partition.
func decodePath(path []byte, e *Entry) (int, error) {
	for n := range maxNodes {
		if len(path) < 4 {
			return 0, errors.New("its device path is cut short")
		}
		size := int(binary.LittleEndian.Uint16(path[2:]))
		if size < 4 || size > len(path) {
			return 0, fmt.Errorf("a device path node of %d bytes in %d", size, len(path))
		}
		kind, sub, data := path[0], path[1], path[4:size]
		path = path[size:]
		switch {
		case kind == typeEnd && sub == subEndAll:
			return n, nil
		case kind == typeMedia && sub == subHardDrive && size == hardDriveBytes && data[36] == formatGPT && data[37] == signatureGUID:
			e.Partition = &Partition{
				Number:  binary.LittleEndian.Uint32(data),
				First:   binary.LittleEndian.Uint64(data[4:]),
				Sectors: binary.LittleEndian.Uint64(data[12:]),
				ID:      GUID(data[20:36]),
			}
		case kind == typeMedia && sub == subFile:
			file, _, err := decodeUTF16(data)
			if err != nil {
				return 0, err
			}
			e.File = file
		}
	}
	return 0, fmt.Errorf("its device path has more than %d nodes", maxNodes)
}

func encodeUTF16(s string) []byte {
	var out []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// decodeUTF16 reads up to a NUL, and returns what is behind it.
func decodeUTF16(b []byte) (string, []byte, error) {
	var units []uint16
	for i := 0; i+1 < len(b) && len(units) < maxNameUnits; i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			return string(utf16.Decode(units)), b[i+2:], nil
		}
		units = append(units, u)
	}
	return "", nil, fmt.Errorf("a name without end in %d bytes", len(b))
}
