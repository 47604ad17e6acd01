package sysapi

import "ashlar/replica/execution/machine"

// This file: stable memory, in its 64-bit and its legacy 32-bit form.

const (
	wasmPage = 64 << 10
	// max32Pages is what 32-bit offsets can name.
	max32Pages = 4 << 30 / wasmPage
	failed32   = 1<<32 - 1 // -1 as i32
	failed64   = 1<<64 - 1
)

func stable64Size(_ *Env, c machine.Caller, a []uint64) error {
	a[0] = c.StableBytes() / wasmPage
	return nil
}

func stable64Grow(_ *Env, c machine.Caller, a []uint64) error {
	old, ok := c.StableGrow(a[0])
	if !ok {
		old = failed64
	}
	a[0] = old
	return nil
}

// errHeap is what mainnet calls a bad address of these functions, which are code of the module there.
var errHeap = &Failed{"heap out of bounds"}

func stable64Write(e *Env, c machine.Caller, a []uint64) error {
	if a[2] == 0 {
		return nil // wherever it is
	}
	src, err := Slice("", c.Heap(), a[1], a[2])
	if err != nil {
		return outside(c, a[0], a[2])
	}
	fresh, err := c.StableWrite(a[0], src)
	if err != nil {
		return err
	}
	price := machine.Instructions(perDirtyPage)
	if e.Memory64 {
		price *= wideDirtyPage
	}
	return c.Charge(price * machine.Instructions(fresh))
}

func stable64Read(_ *Env, c machine.Caller, a []uint64) error {
	if a[2] == 0 {
		return nil
	}
	dst, err := Slice("", c.Heap(), a[0], a[2])
	if err != nil {
		return outside(c, a[1], a[2])
	}
	return c.StableRead(dst, a[1])
}

// outside is the error of a copy that leaves the heap: that it leaves stable memory
// too is seen first.
func outside(c machine.Caller, offset, size uint64) error {
	if n := c.StableBytes(); offset > n || size > n-offset {
		return c.StableRead(nil, n+1)
	}
	return errHeap
}

// fits32 is the error of legacy functions on a memory that outgrew them.
func fits32(c machine.Caller) error {
	if c.StableBytes() > max32Pages*wasmPage {
		return &Failed{"32 bit stable memory api used on a memory larger than 4GB"}
	}
	return nil
}

func stableSize(_ *Env, c machine.Caller, a []uint64) error {
	a[0] = c.StableBytes() / wasmPage
	return fits32(c)
}

func stableGrow(_ *Env, c machine.Caller, a []uint64) error {
	if err := fits32(c); err != nil {
		return err
	}
	n := a[0] & 0xffffffff
	a[0] = failed32
	if c.StableBytes()/wasmPage+n > max32Pages {
		return nil
	}
	if old, ok := c.StableGrow(n); ok {
		a[0] = old
	}
	return nil
}

func stableWrite(e *Env, c machine.Caller, a []uint64) error {
	if err := fits32(c); err != nil {
		return err
	}
	return stable64Write(e, c, low32(a))
}

func stableRead(e *Env, c machine.Caller, a []uint64) error {
	if err := fits32(c); err != nil {
		return err
	}
	return stable64Read(e, c, low32(a))
}

func low32(a []uint64) []uint64 {
	for i := range a[:3] {
		a[i] &= 0xffffffff
	}
	return a
}
