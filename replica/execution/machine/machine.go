// Package machine is the engine room as execution sees it.
//
//	execution ── Compile ──> Module ── Instantiate ──> Instance
//	                                                    │ Run(entry, env, limits)
//	             HostFunc <── the canister calls ic0 ───┤
//	                                                    └ Commit() Delta │ Rollback()
//
// Execution is pure and names here what it needs; replica/engine implements it
// on wazero, and tests may fake it. Everything an instance does is a function of
// its code, its memories and what the host functions answer: no time, no
// randomness, no trace of the machine below. A failure of the host itself (out
// of memory, disk) is a panic, never an Outcome.
package machine

import (
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// Instructions are counted by the cost table of package wasm, the same on every
// engine and equal to mainnet's.
type Instructions uint64

// Engine compiles canister modules. It may be called from many goroutines.
type Engine interface {
	// Compile checks code (Wasm, perhaps zipped) against the rules of the Internet
	// Computer, rewrites and compiles it. An error is the fault of the
	// code and is a sentence for its author. Results are cached by hash of code.
	Compile(code []byte) (Module, error)
	// Load is Compile of code with this SHA-256. It asks for the code where it has
	// nothing compiled of it.
	Load(hash [32]byte, code func() []byte) (Module, error)
}

// Module is compiled code, shared by all canisters that run it.
type Module interface {
	// Info is what validation learned: exports, sections, memory width.
	Info() *wasm.Info
	// Instantiate binds the code to the memories of one canister. globals are
	// those of the last Delta, nil for a canister that was just installed: then
	// globals have their initial values, heap is what the caller gives (empty
	// for install, the old heap for an upgrade that keeps it), the active data
	// segments are applied, and the caller runs the entry Start.
	Instantiate(heap, stable pages.Map, globals []Global) (Instance, error)
}

// Global is the value of one mutable global: its bits, low word first (V128 uses both).
type Global struct {
	Type   wasm.ValType
	Lo, Hi uint64
}

// Entry names what to run: Export, or else the table entry Func with Arg, as
// reply and reject callbacks are.
type Entry struct {
	Export string // exported function without parameters; "" for a table entry
	Func   uint64 // index into the function table
	Arg    uint64 // the environment handed to ic0.call_new
}

// Start is the entry of the module's start function, which the rewriting pass
// takes out and exports under this name where the module has one.
const Start = "canister_start"

// Limits bound one Run.
type Limits struct {
	Instructions Instructions // of the whole run
	HeapBytes    uint64       // memory.grow beyond it fails with -1
	StableBytes  uint64       // stable grow beyond it fails
	// StablePages is how many pages of stable memory the run may touch, and how many
	// it may write.
	StablePages uint64
	// Slice, where set, is called on the goroutine of Run at the first point where the
	// run may rest (the head of a loop or function) after more than SliceAt
	// instructions: deterministic time slicing blocks in it. It returns the next such
	// limit, or false to end the run with TrapStopped.
	SliceAt Instructions
	Slice   func(used Instructions) (next Instructions, ok bool)
}

// Instance is a canister's code on its memories. One goroutine at a time uses it.
type Instance interface {
	// Run executes one entry point. What it changed stays pending, on top of
	// what earlier runs left pending, until Commit or Rollback.
	Run(e Entry, env any, lim Limits) Outcome
	// Commit makes all pending changes permanent in the instance and returns
	// them: the caller owns the pages.
	Commit() Delta
	// Rollback drops all pending changes of memory, globals and tables.
	Rollback()
	// Rebase makes an instance without pending changes one of another version of
	// the same code's memories. It loads the pages that differ, so that its cost is
	// that of what changed between the versions.
	Rebase(heap, stable pages.Map, globals []Global)
	// HeapBytes and StableBytes are the present lengths, pending ones included.
	HeapBytes() uint64
	StableBytes() uint64
	// Resident is the memory of the host in bytes that the instance takes, at most.
	Resident() uint64
	Close()
}

// Outcome of one Run.
type Outcome struct {
	Used Instructions // exact, also after a trap
	Trap *Trap        // nil: the entry point returned
}

// Delta is what changed since the last Commit.
type Delta struct {
	Heap, Stable           []pages.Change // in order of index
	HeapBytes, StableBytes uint64
	// HeapMap and StableMap are the versions that the changes made of the memories
	// that the instance had: who keeps these shares them with the instance.
	HeapMap, StableMap pages.Map
	Globals            []Global
}

// TrapKind tells why a run ended before its end.
type TrapKind uint8

// The kinds of trap.
const (
	TrapUnreachable TrapKind = iota + 1
	TrapHeapBounds
	TrapStableBounds
	TrapDivideByZero
	TrapIntegerOverflow
	TrapBadConversion
	TrapTableBounds
	TrapIndirectCall // null or wrong signature
	TrapStackOverflow
	TrapInstructionLimit
	TrapHost    // a host function returned an error: Trap.Err
	TrapStopped // Limits.Slice said so
	// More than Limits.StablePages were touched, or written.
	TrapStableTouched
	TrapStableWritten
	// A callback is not in the function table, or is no callback by its type.
	TrapNoFunction
	TrapNoCallback
)

// Trap is the end of a run by a fault; memory is to be rolled back.
type Trap struct {
	Kind   TrapKind
	Frames []Frame // the functions that were being called, the innermost first; not all of a deep stack
	Err    error   // of the host function, for TrapHost
	Func   uint64  // the callback, for TrapNoFunction
}

// Frame is a function of the canister, by its index in the module, and its name where
// the module has a name section.
type Frame struct {
	Index uint32
	Name  string
}

// In is the name of the function that trapped, "" where it is not known.
func (t *Trap) In() string {
	if len(t.Frames) == 0 {
		return ""
	}
	return t.Frames[0].Name
}

// HostFunc is one import that canisters may name, in module "ic0".
type HostFunc struct {
	Name string
	// Params and Results of the import. wasm.Addr stands for i32 in modules with
	// a 32-bit memory and for i64 in those with a 64-bit one.
	Params, Results []wasm.ValType
	// Only32 is set on the legacy functions that only 32-bit modules may import.
	Only32 bool
	// Call takes its arguments from stack and leaves its results there, zero
	// extended. An error traps the canister (TrapHost).
	Call func(c Caller, stack []uint64) error
}

// Caller is the running instance as a host function sees it. It is valid
// during the call only.
type Caller interface {
	// Env is what Run was given.
	Env() any
	// Heap is the linear memory, valid until it grows. Use Slice in package
	// sysapi to check bounds.
	Heap() []byte
	// Charge adds to the instructions used; its error (the limit is reached)
	// is to be returned as it is.
	Charge(n Instructions) error
	// Used is the number of instructions of this Run so far.
	Used() Instructions

	StableBytes() uint64
	// StableGrow returns the old length in Wasm pages, or ok=false beyond the limit.
	StableGrow(wasmPages uint64) (old uint64, ok bool)
	// StableRead and StableWrite fail outside of the memory, and beyond the limit of
	// pages, with an error to be returned as it is. fresh is how many pages this run
	// wrote for the first time.
	StableRead(dst []byte, offset uint64) error
	StableWrite(offset uint64, src []byte) (fresh uint64, err error)
}
