package merkle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// MaxEncoding bounds the encoding of one node: a whole piece, or a Long of as many
// pieces as the largest value has.
const MaxEncoding = PieceBytes + 1<<10

// maxLevel of Pages: eleven levels of 64 slots would be more than 2^64 pages.
const maxLevel = 10

// Encode gives the bytes of which a node's sum is the SHA-256: its kind, then what
// it holds. It is what state sync sends. The caller has the node's kids.
func Encode(n Node, kids []Kid) []byte { return Append(nil, n, kids) }

// Append is Encode behind b.
func Append(b []byte, n Node, kids []Kid) []byte {
	switch kind := n.Kind(); kind {
	case Value, Page:
		return append(append(b, byte(kind)), n.Content()...)
	case Dir:
		b = append(b, byte(Dir))
		for _, k := range kids {
			sum := k.Node.Sum()
			b = append(append(append(b, byte(len(k.Label))), k.Label...), sum[:]...)
		}
		return b
	case Pages:
		b = append(b, byte(Pages), byte(n.Level()))
		b = binary.BigEndian.AppendUint64(b, slots(kids))
	default:
		b = append(b, byte(Long))
		b = binary.BigEndian.AppendUint64(b, length(kids))
	}
	for _, k := range kids {
		sum := k.Node.Sum()
		b = append(b, sum[:]...)
	}
	return b
}

// slots of Pages that are not empty, a bit each.
func slots(kids []Kid) (mask uint64) {
	for _, k := range kids {
		mask |= 1 << k.Slot
	}
	return mask
}

// length of a Long, in bytes.
func length(kids []Kid) (total uint64) {
	for _, k := range kids {
		total += uint64(len(k.Node.Content()))
	}
	return total
}

// Decoded is a node as Encode wrote it.
type Decoded struct {
	Kind    Kind
	Level   int    // of Pages
	Bytes   uint64 // of Long: of the whole value
	Content []byte // of Value and Page: part of what was decoded
	Edges   []Edge // of the others
}

// Decode reads what Encode wrote. Whether it is what a sum stands for is for the
// caller to check: Decode(b) is of the node with the sum SHA-256(b).
func Decode(b []byte) (d Decoded, err error) {
	if len(b) == 0 || len(b) > MaxEncoding {
		return d, fmt.Errorf("a node of %d bytes", len(b))
	}
	d.Kind = Kind(b[0])
	switch b = b[1:]; d.Kind {
	case Value:
		if len(b) > PieceBytes {
			return d, errors.New("a value that should be in pieces")
		}
		d.Content = b
	case Page:
		if len(b) != PageBytes {
			return d, fmt.Errorf("a page of %d bytes", len(b))
		}
		d.Content = b
	case Dir:
		err = d.dir(b)
	case Pages:
		err = d.pages(b)
	case Long:
		err = d.long(b)
	default:
		err = fmt.Errorf("a node of kind %d", d.Kind)
	}
	return d, err
}

func (d *Decoded) dir(b []byte) error {
	for len(b) > 0 {
		end := 1 + int(b[0])
		if len(b) < end+len(Sum{}) {
			return errors.New("a Dir ends inside a kid")
		}
		d.Edges = append(d.Edges, Edge{Label: string(b[1:end]), Slot: len(d.Edges), Sum: Sum(b[end:])})
		b = b[end+len(Sum{}):]
	}
	if len(d.Edges) == 0 {
		return errors.New("a Dir of nothing")
	}
	return nil
}

func (d *Decoded) pages(b []byte) error {
	if len(b) < 9 || b[0] > maxLevel {
		return errors.New("a node of pages without its level and slots")
	}
	d.Level = int(b[0])
	mask := binary.BigEndian.Uint64(b[1:])
	b = b[9:]
	if mask == 0 || len(b) != bits.OnesCount64(mask)*len(Sum{}) {
		return errors.New("a node of pages with more or fewer sums than slots")
	}
	d.Edges = make([]Edge, 0, bits.OnesCount64(mask))
	for ; mask != 0; mask &= mask - 1 {
		d.Edges = append(d.Edges, Edge{Slot: bits.TrailingZeros64(mask), Sum: Sum(b)})
		b = b[len(Sum{}):]
	}
	return nil
}

func (d *Decoded) long(b []byte) error {
	if len(b) < 8 {
		return errors.New("a Long without its length")
	}
	d.Bytes = binary.BigEndian.Uint64(b)
	b = b[8:]
	if d.Bytes <= PieceBytes || len(b)%len(Sum{}) != 0 || (d.Bytes-1)/PieceBytes+1 != uint64(len(b)/len(Sum{})) {
		return errors.New("a Long with more or fewer pieces than its length asks for")
	}
	for ; len(b) > 0; b = b[len(Sum{}):] {
		d.Edges = append(d.Edges, Edge{Slot: len(d.Edges), Sum: Sum(b)})
	}
	return nil
}
