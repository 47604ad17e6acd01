package hashtree

import (
	"errors"
	"fmt"

	"ashlar/replica/wire/cbor"
)

// MaxDepth bounds forks and labels on one way down. A directory of 2^64 labels has 64
// forks; the longest path of the state tree has six labels.
const MaxDepth = 1024

var (
	errCut  = errors.New("hash tree: encoding ends too early")
	errDeep = fmt.Errorf("hash tree: deeper than %d", MaxDepth)
)

// Append writes the CBOR form of the tree.
func (t *Tree) Append(out []byte) []byte {
	switch t = t.seen(); t.Kind() {
	case Fork:
		return t.right.Append(t.left.Append(append(out, 0x83, 1)))
	case Labeled:
		return t.left.Append(cbor.AppendBytes(append(out, 0x83, 2), t.data))
	case Leaf:
		return cbor.AppendBytes(append(out, 0x82, 3), t.data)
	case Pruned:
		return cbor.AppendBytes(append(out, 0x82, 4), t.digest[:])
	}
	return append(out, 0x81, 0)
}

// MarshalCBOR lets a tree be a field of a structure.
func (t *Tree) MarshalCBOR() ([]byte, error) { return t.Append(nil), nil }

// UnmarshalCBOR is Decode in place.
func (t *Tree) UnmarshalCBOR(data []byte) error {
	u, err := Decode(data)
	if err != nil {
		return err
	}
	*t = Tree{}
	if u != nil {
		*t = *u
	}
	return nil
}

// Decode reads the CBOR form, computes every digest and refuses trees that are
// not well formed. The tree keeps pieces of data.
func Decode(data []byte) (*Tree, error) {
	d := &decoder{data}
	t, err := d.tree(0)
	if err != nil {
		return nil, err
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("hash tree: %d bytes follow the encoding", len(d.rest))
	}
	return t, t.Check()
}

type decoder struct{ rest []byte }

func (d *decoder) tree(depth int) (*Tree, error) {
	if depth > MaxDepth {
		return nil, errDeep
	}
	items, err := d.head(cbor.Array)
	if err != nil {
		return nil, err
	}
	kind, err := d.head(cbor.Nat)
	if err != nil {
		return nil, err
	}
	if kind > uint64(Pruned) || items != [...]uint64{1, 3, 3, 2, 2}[kind] {
		return nil, fmt.Errorf("hash tree: no node has kind %d and %d items", kind, items)
	}
	switch Kind(kind) {
	case Fork:
		left, err := d.tree(depth + 1)
		if err != nil {
			return nil, err
		}
		right, err := d.tree(depth + 1)
		if err != nil {
			return nil, err
		}
		return NewFork(left, right), nil
	case Empty:
		return nil, nil
	}
	b, err := d.bytes()
	if err != nil {
		return nil, err
	}
	switch Kind(kind) {
	case Labeled:
		sub, err := d.tree(depth + 1)
		if err != nil {
			return nil, err
		}
		return NewLabeled(b, sub), nil
	case Pruned:
		if len(b) != 32 {
			return nil, fmt.Errorf("hash tree: a pruned hash has %d bytes, want 32", len(b))
		}
		return NewPruned([32]byte(b)), nil
	}
	return NewLeaf(b), nil
}

// head reads a CBOR head of the given major type and returns its argument.
func (d *decoder) head(major byte) (uint64, error) {
	is, n, size := cbor.ReadHead(d.rest)
	switch {
	case len(d.rest) == 0:
		return 0, errCut
	case is != major:
		return 0, fmt.Errorf("hash tree: CBOR major type %d where %d belongs", is, major)
	case size == 0 && d.rest[0]&31 > 27:
		return 0, errors.New("hash tree: CBOR items of indefinite length are not accepted")
	case size == 0:
		return 0, errCut
	}
	d.rest = d.rest[size:]
	return n, nil
}

func (d *decoder) bytes() ([]byte, error) {
	n, err := d.head(cbor.Bytes)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(d.rest)) {
		return nil, errCut
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b, nil
}
