package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// limitError is what Caller's methods return: it says which trap it makes.
type limitError struct {
	kind machine.TrapKind
	text string
}

func (e *limitError) Error() string { return e.text }

var (
	errInstructions = &limitError{machine.TrapInstructionLimit, "instruction limit exceeded"}
	errStopped      = &limitError{machine.TrapStopped, "run stopped"}
	errStable       = &limitError{machine.TrapStableBounds, "stable memory out of bounds"}
)

// What wazero says, and what it means. The errors themselves are internal to it.
var trapKinds = map[string]machine.TrapKind{
	"unreachable":                   machine.TrapUnreachable,
	"out of bounds memory access":   machine.TrapHeapBounds,
	"invalid table access":          machine.TrapTableBounds,
	"indirect call type mismatch":   machine.TrapIndirectCall,
	"integer divide by zero":        machine.TrapDivideByZero,
	"integer overflow":              machine.TrapIntegerOverflow,
	"invalid conversion to integer": machine.TrapBadConversion,
	"stack overflow":                machine.TrapStackOverflow,
}

// trap makes the outcome of a run that wazero ended with err. An error that no
// canister can cause is a failure of the host.
func (in *Instance) trap(err error) *machine.Trap {
	t := &machine.Trap{Frames: in.frames(err.Error())}
	if errors.As(err, new(stop)) {
		var limit *limitError
		if errors.As(in.hostErr, &limit) {
			t.Kind = limit.kind
		} else {
			t.Kind, t.Err = machine.TrapHost, in.hostErr
		}
		return t
	}
	root := err
	for next := errors.Unwrap(root); next != nil; next = errors.Unwrap(root) {
		root = next
	}
	kind, known := trapKinds[root.Error()]
	if !known {
		panic(fmt.Sprintf("engine: %v", err))
	}
	t.Kind = kind
	if kind == machine.TrapUnreachable {
		switch wasm.Cause(in.cause.Get()) {
		case wasm.CauseHeap:
			t.Kind = machine.TrapHeapBounds
		case wasm.CauseTable:
			t.Kind = machine.TrapTableBounds
		case wasm.CauseDepth:
			t.Kind = machine.TrapStackOverflow
		}
	}
	return t
}

// callbackTrap tells a callback that could not be called from one that trapped in the
// same way: that one has a frame.
func callbackTrap(t *machine.Trap, e *machine.Entry) {
	if e.Export != "" || len(t.Frames) > 0 {
		return
	}
	switch t.Kind {
	case machine.TrapTableBounds:
		t.Kind, t.Func = machine.TrapNoFunction, e.Func
	case machine.TrapIndirectCall:
		t.Kind = machine.TrapNoCallback
	}
}

// frames reads the canister's functions from wazero's trace, where the pass named each
// by its index in the original module; helpers have other names.
func (in *Instance) frames(trace string) (out []machine.Frame) {
	_, trace, _ = strings.Cut(trace, "wasm stack trace:\n")
	for line := range strings.Lines(trace) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "(")
		name = name[strings.LastIndexByte(name, '.')+1:]
		if i, err := strconv.ParseUint(name, 10, 32); err == nil {
			out = append(out, machine.Frame{Index: uint32(i), Name: in.module.prep.FuncName(uint32(i))})
		}
	}
	return out
}
