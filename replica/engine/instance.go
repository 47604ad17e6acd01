package engine

import (
	"context"
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero/api"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// instanceBytes is what an instance takes besides its memories, about: 48 KiB of the
// Go heap for a small module, with as much room as the collector leaves.
const instanceBytes = 128 << 10

// Instance implements machine.Instance and machine.Caller.
type Instance struct {
	module *Module
	ctx    *callContext

	mod                   api.Module
	memory                api.Memory
	counter, depth, cause api.MutableGlobal
	saved                 []savedGlobal
	funcs                 map[string]api.Function // kept: making one costs microseconds
	fresh                 bool                    // no run since start

	// The last committed state.
	heapBase    pages.Map
	uncommitted bool // heapBase is that of the data segments
	globals     []machine.Global

	heap    *heap
	stable  stable
	cleanup runtime.Cleanup

	// The present run.
	env     any
	limits  machine.Limits
	granted uint64 // instructions put into the counter so far
	hostErr error
	stack   [2]uint64
}

// Run implements machine.Instance.
func (in *Instance) Run(e machine.Entry, env any, lim machine.Limits) machine.Outcome {
	if in.module.prep.MutatesTables && !in.fresh {
		in.restart(in.HeapBytes(), in.readGlobals())
	}
	in.fresh = false
	fn, args, trap := in.entry(e)
	if trap != nil {
		return machine.Outcome{Trap: trap}
	}
	in.env, in.limits, in.hostErr = env, lim, nil
	in.stable.touched.begin(lim.StablePages)
	if lim.Slice == nil {
		in.limits.SliceAt = lim.Instructions
	}
	in.granted = 0
	in.grant(0)
	in.depth.Set(wasm.DepthBudget)
	in.cause.Set(0)
	err := fn.CallWithStack(in.ctx, args)
	out := machine.Outcome{Used: in.Used()}
	if err != nil {
		out.Trap = in.trap(err)
		callbackTrap(out.Trap, &e)
	}
	if out.Trap != nil && out.Trap.Kind == machine.TrapInstructionLimit || out.Used > lim.Instructions {
		out.Used = lim.Instructions
	}
	if out.Used > keepFuncBelow || out.Trap != nil && out.Trap.Kind == machine.TrapStackOverflow {
		clear(in.funcs)
	}
	in.env, in.limits = nil, machine.Limits{}
	return out
}

// entry finds the function and its arguments.
func (in *Instance) entry(e machine.Entry) (api.Function, []uint64, *machine.Trap) {
	if e.Export != "" {
		fn := in.function(e.Export)
		if fn == nil {
			panic(fmt.Sprintf("engine: module has no export %q", e.Export))
		}
		return fn, nil, nil
	}
	if !in.module.prep.HasTable || e.Func >= 1<<32 {
		return nil, nil, &machine.Trap{Kind: machine.TrapNoFunction, Func: min(e.Func, 1<<32-1)}
	}
	in.stack = [2]uint64{e.Func, e.Arg}
	return in.function(wasm.ExportCallback), in.stack[:], nil
}

func (in *Instance) function(name string) api.Function {
	fn := in.funcs[name]
	if fn == nil {
		if fn = in.mod.ExportedFunction(name); fn != nil {
			in.funcs[name] = fn
		}
	}
	return fn
}

// left is the counter: below zero when the slice is used up.
func (in *Instance) left() int64 { return int64(in.counter.Get()) }

// Used implements machine.Caller.
func (in *Instance) Used() machine.Instructions {
	return machine.Instructions(in.granted - uint64(in.left()))
}

// outOfInstructions is called by the canister's code when the counter is below
// zero: it grants the next slice, or ends the run.
func (in *Instance) outOfInstructions() {
	used := in.Used()
	if used > in.limits.Instructions {
		in.hostErr = errInstructions
		panic(stop{})
	}
	for used > in.limits.SliceAt && in.limits.Slice != nil {
		next, ok := in.limits.Slice(used)
		if !ok {
			in.hostErr = errStopped
			panic(stop{})
		}
		in.limits.SliceAt = next
	}
	in.grant(used)
}

// grant gives the run its next instructions: up to the limit, up to where it is to
// rest, and not more than garbage collection can wait for.
func (in *Instance) grant(used machine.Instructions) {
	to := min(in.limits.Instructions, used+sliceInstructions, max(in.limits.SliceAt, used))
	in.granted = uint64(to)
	in.counter.Set(uint64(to - used))
}

// Charge implements machine.Caller.
func (in *Instance) Charge(n machine.Instructions) error {
	left := in.limits.Instructions - min(in.Used(), in.limits.Instructions)
	if n > left {
		return errInstructions
	}
	in.counter.Set(uint64(in.left() - int64(n)))
	return nil
}

// mayGrow answers memory.grow.
func (in *Instance) mayGrow(wasmPages uint32) uint64 {
	if uint64(wasmPages)*wasmPage+in.HeapBytes() > in.limits.HeapBytes && wasmPages != 0 {
		return 0
	}
	return 1
}

// Env implements machine.Caller.
func (in *Instance) Env() any { return in.env }

// Heap implements machine.Caller.
func (in *Instance) Heap() []byte {
	if in.heap == nil {
		return nil
	}
	return in.heap.buf
}

// HeapBytes implements machine.Instance.
func (in *Instance) HeapBytes() uint64 {
	if in.heap == nil {
		return 0
	}
	return uint64(len(in.heap.buf))
}

// Resident implements machine.Instance.
func (in *Instance) Resident() uint64 {
	if in.heap == nil {
		return instanceBytes
	}
	return instanceBytes + in.heap.resident()
}

// StableBytes implements machine.Instance and machine.Caller.
func (in *Instance) StableBytes() uint64 { return in.stable.bytes }

// StableGrow implements machine.Caller.
func (in *Instance) StableGrow(wasmPages uint64) (uint64, bool) {
	return in.stable.grow(wasmPages, in.limits.StableBytes)
}

// StableRead implements machine.Caller.
func (in *Instance) StableRead(dst []byte, offset uint64) error { return in.stable.read(dst, offset) }

// StableWrite implements machine.Caller.
func (in *Instance) StableWrite(offset uint64, src []byte) (fresh uint64, err error) {
	return in.stable.write(offset, src)
}

// Commit implements machine.Instance.
func (in *Instance) Commit() machine.Delta {
	d := machine.Delta{HeapBytes: in.HeapBytes(), StableBytes: in.stable.bytes}
	switch {
	case in.uncommitted:
		d.Heap = in.installed()
	case in.heap != nil:
		d.Heap = in.heap.changes(in.heapBase)
		in.heapBase = in.heapBase.With(d.HeapBytes, d.Heap)
	}
	d.Stable = in.stable.commit()
	d.HeapMap, d.StableMap = in.heapBase, in.stable.base
	in.globals = in.readGlobals()
	d.Globals = append([]machine.Global(nil), in.globals...)
	return d
}

// Rollback implements machine.Instance.
func (in *Instance) Rollback() {
	in.stable.rollback()
	if in.heap != nil {
		in.heap.restore(in.heapBase)
	}
	in.match()
}

// Rebase implements machine.Instance.
func (in *Instance) Rebase(heap, stableMap pages.Map, globals []machine.Global) {
	in.stable = stable{base: stableMap, bytes: stableMap.Bytes()}
	in.globals = append(in.globals[:0:0], globals...)
	if in.heap != nil {
		in.heap.load(heap, in.heapBase)
		in.heapBase = heap
	}
	in.match()
}

// match brings the wazero instance to the length and globals of the last
// committed state; the pages are there already.
func (in *Instance) match() {
	// A memory cannot shrink: a longer one needs a new wazero instance.
	if bytes := max(in.heapBase.Bytes(), in.minBytes()); in.HeapBytes() != bytes || in.module.prep.MutatesTables {
		in.restart(bytes, in.globals)
		return
	}
	in.writeGlobals(in.globals)
}

func (in *Instance) minBytes() uint64 { return in.module.prep.MinPages * wasmPage }

// restart replaces the wazero instance and keeps the heap's mapping.
func (in *Instance) restart(heapBytes uint64, globals []machine.Global) {
	in.mod.Close(context.Background())
	if err := in.start(heapBytes); err != nil {
		panic(fmt.Sprintf("engine: restart of an instance: %v", err))
	}
	in.writeGlobals(globals)
}

// Close implements machine.Instance.
func (in *Instance) Close() {
	if in.mod != nil {
		in.mod.Close(context.Background())
		in.mod = nil
	}
	if in.heap != nil {
		in.cleanup.Stop()
		in.heap.release()
		in.heap = nil
	}
}
