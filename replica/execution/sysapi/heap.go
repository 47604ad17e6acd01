package sysapi

import (
	"encoding/binary"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
)

// Slice is the part of data that offset and size name; what is a word for the
// error. It never overflows, whatever a canister hands in.
func Slice(what string, data []byte, offset, size uint64) ([]byte, error) {
	n := uint64(len(data))
	if offset > n || size > n-offset {
		return nil, violation("%s: src=%d + length=%d exceeds the slice size=%d", what, offset, size, n)
	}
	return data[offset : offset+size], nil
}

// heapSlice checks that bytes lie in the heap.
func heapSlice(c machine.Caller, what string, at, size uint64) ([]byte, error) {
	return Slice("ic0."+what, c.Heap(), at, size)
}

// copyOut is every *_copy function: a = dst, offset, size.
func copyOut(c machine.Caller, name string, a []uint64, from []byte, part string) error {
	dst, err := heapSlice(c, name+" heap", a[0], a[2])
	if err != nil {
		return err
	}
	src, err := Slice("ic0."+name+" "+part, from, a[1], a[2])
	if err != nil {
		return err
	}
	copy(dst, src)
	return nil
}

// putCycles writes an amount of 128 bits, little endian.
func putCycles(c machine.Caller, name string, at uint64, amount ic.Cycles) error {
	const size = 16
	dst, err := Slice("", c.Heap(), at, size)
	if err != nil {
		return violation("ic0_%s failed because dst + size is out of bounds.Found dst = %d and size = %d while must be <= %d", name, at, size, len(c.Heap()))
	}
	binary.LittleEndian.PutUint64(dst, amount.Lo)
	binary.LittleEndian.PutUint64(dst[8:], amount.Hi)
	return nil
}

// word puts an amount of cycles on the stack of a 64-bit legacy function.
func word(a []uint64, amount ic.Cycles) error {
	if amount.Hi != 0 {
		return &Failed{"cycles amount exceeds 64-bit representation"}
	}
	a[0] = amount.Lo
	return nil
}

func flag(a []uint64, yes bool) {
	a[0] = 0
	if yes {
		a[0] = 1
	}
}
