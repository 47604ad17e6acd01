package main

import wt "github.com/bytecodealliance/wasmtime-go/v37"

// system is as much of ic0 as canisters without calls need, and the functions
// that a module rewritten by replica/execution/wasm imports. What is not named
// here answers zero.
type system struct {
	arg, reply []byte
	stable     []byte
}

const (
	wasmPage  = 64 << 10
	maxStable = 1 << 30 // bytes: more than any benchmark needs
	someTime  = 1_700_000_000_000_000_000
)

var selfID = []byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}

type hostFunc = func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap)

func (s *system) function(name string, t *wt.FuncType) hostFunc {
	results := t.Results()
	give := func(n uint64) []wt.Val {
		if len(results) == 0 {
			return nil
		}
		if results[0].Kind() == wt.KindI32 {
			return []wt.Val{wt.ValI32(int32(n))}
		}
		return []wt.Val{wt.ValI64(int64(n))}
	}
	size := func(of func() []byte) hostFunc {
		return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return give(uint64(len(of()))), nil }
	}
	out := func(from func() []byte) hostFunc {
		return func(c *wt.Caller, v []wt.Val) ([]wt.Val, *wt.Trap) {
			at, n := bitsOf(v[1].Get()), bitsOf(v[2].Get())
			if b := from(); at > uint64(len(b)) || n > uint64(len(b))-at {
				return nil, wt.NewTrap("copy out of range")
			}
			return nil, move(c, bitsOf(v[0].Get()), from()[at:at+n], nil)
		}
	}
	arg := func() []byte { return s.arg }
	self := func() []byte { return selfID }
	switch name {
	case "msg_arg_data_size":
		return size(arg)
	case "msg_arg_data_copy":
		return out(arg)
	case "msg_caller_size", "canister_self_size":
		return size(self)
	case "msg_caller_copy", "canister_self_copy":
		return out(self)
	case "msg_reply_data_append":
		return func(c *wt.Caller, v []wt.Val) ([]wt.Val, *wt.Trap) {
			b := make([]byte, bitsOf(v[1].Get()))
			t := move(c, bitsOf(v[0].Get()), nil, b)
			s.reply = append(s.reply, b...)
			return nil, t
		}
	case "trap":
		return func(c *wt.Caller, v []wt.Val) ([]wt.Val, *wt.Trap) {
			b := make([]byte, bitsOf(v[1].Get()))
			if t := move(c, bitsOf(v[0].Get()), nil, b); t != nil {
				return nil, t
			}
			return nil, wt.NewTrap("trapped explicitly: " + string(b))
		}
	case "time":
		return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return give(someTime), nil }
	case "canister_status", "may_grow":
		return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return give(1), nil }
	case "out_of_instructions":
		return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return nil, wt.NewTrap("out of instructions") }
	case "stable64_size":
		return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return give(uint64(len(s.stable) / wasmPage)), nil }
	case "stable64_grow":
		return func(_ *wt.Caller, v []wt.Val) ([]wt.Val, *wt.Trap) {
			was, more := len(s.stable), bitsOf(v[0].Get())
			if more > maxStable/wasmPage {
				return give(1<<64 - 1), nil
			}
			s.stable = append(s.stable, make([]byte, more*wasmPage)...)
			return give(uint64(was / wasmPage)), nil
		}
	case "stable64_read", "stable64_write":
		return func(c *wt.Caller, v []wt.Val) ([]wt.Val, *wt.Trap) {
			heap, stable, n := bitsOf(v[0].Get()), bitsOf(v[1].Get()), bitsOf(v[2].Get())
			if name == "stable64_write" {
				heap, stable = stable, heap
			}
			if stable > uint64(len(s.stable)) || n > uint64(len(s.stable))-stable {
				return nil, wt.NewTrap("stable memory out of bounds")
			}
			if part := s.stable[stable : stable+n]; name == "stable64_read" {
				return nil, move(c, heap, part, nil)
			} else {
				return nil, move(c, heap, nil, part)
			}
		}
	}
	return func(*wt.Caller, []wt.Val) ([]wt.Val, *wt.Trap) { return give(0), nil }
}

// move copies to the heap at a place, or from it.
func move(c *wt.Caller, at uint64, from, to []byte) *wt.Trap {
	e := c.GetExport("memory")
	if e == nil {
		e = c.GetExport("mem") // Motoko's name
	}
	if e == nil || e.Memory() == nil {
		return wt.NewTrap("the module exports no memory")
	}
	heap := e.Memory().UnsafeData(c)
	n := uint64(len(from) + len(to))
	if at > uint64(len(heap)) || n > uint64(len(heap))-at {
		return wt.NewTrap("heap out of bounds")
	}
	if from != nil {
		copy(heap[at:], from)
	} else {
		copy(to, heap[at:])
	}
	return nil
}
