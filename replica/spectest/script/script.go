// Package script is a canister that does what its messages tell it.
//
//	Script ── Push, Blob, API("msg_reply"), ... ──> bytes ── argument ──> canister
//	                                                                        │
//	     every function of the system API <── one loop over the bytes ──────┘
//
// A message's argument is a program for a stack of 64-bit numbers; each function
// of the system API is one instruction of it. So a test says in one place what a
// canister, its callbacks and the canisters it calls do. Module (module.go)
// assembles the WebAssembly, for either width of memory.
package script

import (
	"encoding/binary"
	"fmt"
)

// Where things lie in the canister's memory.
const (
	nextAt  = 0x8       // address of the next kept byte
	stackAt = 0x100     // numbers of eight bytes
	hooksAt = 0x8000    // programs of the hooks, hookBytes each
	wordAt  = 0xff00    // where AppendInt puts the number
	keptAt  = 0x1_0000  // what Keep keeps: it is never freed
	Scratch = 0x11_0000 // what a program copies to, if it does not say
	argAt   = 0x48_0000 // the message's argument
	memory  = 0x70_0000 // bytes at the start
)

// Pages of 64 KiB at the start.
const Pages = memory >> 16

const hookBytes = 0x400 // length and program of a hook

// The hooks: entry points that have no argument run the program kept for them.
const (
	Heartbeat = iota
	Timer
	LowMemory
	Inspect
	PreUpgrade
)

// Instructions beside the system API, whose functions follow from firstAPI.
const (
	opPush = iota
	opBlob
	opKeep
	opDrop
	opDup
	opLoad
	opStore
	opAdd
	opEqual
	opSkip // forward, if zero
	opBack // if not zero
	opUnreachable
	opForever
	opAppendInt
	opGrow
	opDivide
	opIndirect
	opRecurse
	opHook
	opFill
	firstAPI
)

// Script is a program. Its methods return longer ones and leave the old one as it is.
type Script []byte

func (s Script) op(b ...byte) Script { return append(s[:len(s):len(s)], b...) }

// Push puts a number onto the stack.
func (s Script) Push(n uint64) Script { return binary.LittleEndian.AppendUint64(s.op(opPush), n) }

// Blob pushes address and length of b.
func (s Script) Blob(b []byte) Script {
	return append(binary.LittleEndian.AppendUint32(s.op(opBlob), uint32(len(b))), b...)
}

// Text is Blob of a string.
func (s Script) Text(t string) Script { return s.Blob([]byte(t)) }

// API calls a function of the system API: it pops the parameters, the last one
// being on top, and pushes the result.
func (s Script) API(name string) Script {
	for i := range Functions {
		if Functions[i].Name == name {
			return s.op(byte(firstAPI + i))
		}
	}
	panic(fmt.Sprintf("script: the system API has no function %s", name))
}

// Keep pops length and address, keeps the bytes for ever and pushes where.
func (s Script) Keep() Script { return s.op(opKeep) }

// Drop pops.
func (s Script) Drop() Script { return s.op(opDrop) }

// Dup pushes the top of the stack once more.
func (s Script) Dup() Script { return s.op(opDup) }

// Load pops an address and pushes the 64 bits there.
func (s Script) Load() Script { return s.op(opLoad) }

// Store pops a number and an address and stores it there.
func (s Script) Store() Script { return s.op(opStore) }

// Add pops two and pushes the sum.
func (s Script) Add() Script { return s.op(opAdd) }

// Equal pops two and pushes 1 or 0.
func (s Script) Equal() Script { return s.op(opEqual) }

// If pops a number and runs then unless it is zero.
func (s Script) If(then Script) Script {
	return append(binary.LittleEndian.AppendUint32(s.op(opSkip), uint32(len(then))), then...)
}

// Repeat runs body n times, n > 0, with a counter at the given address.
func (s Script) Repeat(n int, counter uint64, body Script) Script {
	s = s.Push(counter).Push(uint64(n)).Store()
	loop := Script(nil).cat(body).Push(counter).Push(counter).Load().Push(^uint64(0)).Add().Store().Push(counter).Load()
	return binary.LittleEndian.AppendUint32(s.cat(loop).op(opBack), uint32(len(loop)+5))
}

func (s Script) cat(t Script) Script { return append(s[:len(s):len(s)], t...) }

// Then runs t after s.
func (s Script) Then(t Script) Script { return s.cat(t) }

// AppendInt pops a number and appends its eight bytes to the reply.
func (s Script) AppendInt() Script { return s.op(opAppendInt) }

// Grow pops a number of pages, grows the memory by them and pushes what memory.grow tells.
func (s Script) Grow() Script { return s.op(opGrow) }

// Fill pops length and address and writes ones there.
func (s Script) Fill() Script { return s.op(opFill) }

// The ways to trap without the system API.
func (s Script) Unreachable() Script { return s.op(opUnreachable) }

// Forever loops until the instructions are used up.
func (s Script) Forever() Script { return s.op(opForever) }

// Divide pops two and divides the lower by the upper one.
func (s Script) Divide() Script { return s.op(opDivide) }

// Indirect pops the number of a table entry and calls it.
func (s Script) Indirect() Script { return s.op(opIndirect) }

// Recurse calls itself until the stack is used up.
func (s Script) Recurse() Script { return s.op(opRecurse) }

// Hook makes t the program of a hook, for all messages to come.
func (s Script) Hook(hook int, t Script) Script {
	if len(t) > hookBytes-8 {
		panic("script: a hook's program is too long")
	}
	return s.Blob(t).op(opHook, byte(hook))
}

// Append appends bytes to the reply.
func (s Script) Append(b []byte) Script { return s.Blob(b).API("msg_reply_data_append") }

// Reply replies with bytes, after those appended before.
func (s Script) Reply(b []byte) Script { return s.Append(b).API("msg_reply") }

// ReplyInt pops a number and replies with it.
func (s Script) ReplyInt() Script { return s.AppendInt().API("msg_reply") }

// Copied copies a blob of the system API to Scratch: "msg_caller" stands for
// msg_caller_size and msg_caller_copy.
func (s Script) Copied(what string) Script {
	return s.Push(Scratch).Push(0).API(what + "_size").API(what + "_copy")
}

// AppendCopied appends such a blob to the reply.
func (s Script) AppendCopied(what string) Script {
	return s.Copied(what).Push(Scratch).API(what + "_size").API("msg_reply_data_append")
}

// ReplyCopied replies with it.
func (s Script) ReplyCopied(what string) Script { return s.AppendCopied(what).API("msg_reply") }

// AppendCycles appends the 16 bytes that a function such as
// canister_cycle_balance128 writes.
func (s Script) AppendCycles(name string) Script {
	return s.Push(Scratch).API(name).Push(Scratch).Push(16).API("msg_reply_data_append")
}

// Reject rejects the call.
func (s Script) Reject(text string) Script { return s.Text(text).API("msg_reject") }

// Trap traps with a text.
func (s Script) Trap(text string) Script { return s.Text(text).API("trap") }

// Outgoing is a call to another canister.
type Outgoing struct {
	To                []byte
	Method            string
	Arg               []byte
	OnReply, OnReject Script
	OnCleanup         Script // nil: none
	Cycles            uint64
	Timeout           uint32 // seconds; 0: guaranteed response
}

// Begin assembles a call without performing it.
func (s Script) Begin(o Outgoing) Script {
	s = s.Blob(o.To).Text(o.Method).Push(0).Blob(o.OnReply).Keep().Push(0).Blob(o.OnReject).Keep().API("call_new")
	if o.OnCleanup != nil {
		s = s.Push(0).Blob(o.OnCleanup).Keep().API("call_on_cleanup")
	}
	if len(o.Arg) > 0 {
		s = s.Blob(o.Arg).API("call_data_append")
	}
	if o.Cycles > 0 {
		s = s.Push(0).Push(o.Cycles).API("call_cycles_add128")
	}
	if o.Timeout > 0 {
		s = s.Push(uint64(o.Timeout)).API("call_with_best_effort_response")
	}
	return s
}

// Call performs a call and traps where the system does not take it.
func (s Script) Call(o Outgoing) Script {
	return s.Begin(o).API("call_perform").If(Script(nil).Trap("call_perform failed"))
}

// Forwarded is a call whose reply or rejection becomes the caller's own.
func (s Script) Forwarded(o Outgoing) Script {
	o.OnReply, o.OnReject = Script(nil).ReplyCopied("msg_arg_data"), Outcome()
	return s.Call(o)
}

// Outcome replies, in a reject callback, with reject code and text.
func Outcome() Script {
	return Script(nil).API("msg_reject_code").AppendInt().ReplyCopied("msg_reject_msg")
}
