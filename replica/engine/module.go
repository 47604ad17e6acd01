package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// instanceConfig is that of every instance. It names a source of randomness, of which
// no canister can read, because wazero seeds one for each instance otherwise.
var instanceConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)

// wasmPage is the unit in which memories grow.
const wasmPage = 64 << 10

// Module implements machine.Module.
type Module struct {
	engine   *Engine
	prep     *wasm.Prepared
	compiled wazero.CompiledModule
	bytes    uint64 // of compiled code
	initial  func() pages.Map
}

// proves tells whether the code is that of the module with this proof.
func (m *Module) proves(proof uint64) bool {
	in, err := m.instance(pages.Map{}, pages.Map{})
	if err != nil {
		return false
	}
	defer in.Close()
	fn := in.mod.ExportedFunction(proofName)
	if fn == nil {
		return false
	}
	var stack [1]uint64
	err = fn.CallWithStack(in.ctx, stack[:])
	return err == nil && stack[0] == proof
}

// Info implements machine.Module.
func (m *Module) Info() *wasm.Info { return &m.prep.Info }

// Instantiate implements machine.Module.
func (m *Module) Instantiate(heapMap, stableMap pages.Map, globals []machine.Global) (machine.Instance, error) {
	if globals != nil {
		if err := m.checkGlobals(globals); err != nil {
			return nil, err
		}
	}
	fresh := globals == nil && m.prep.Info.HasHeap && heapMap.Bytes() == 0
	if fresh {
		heapMap = m.initial()
	}
	in, err := m.instance(heapMap, stableMap)
	if err != nil {
		return nil, err
	}
	switch in.uncommitted = fresh; {
	case globals != nil:
		in.globals = append([]machine.Global(nil), globals...)
		in.writeGlobals(in.globals)
		return in, nil
	case !fresh:
		for _, d := range m.prep.Data {
			copy(in.heap.buf[d.Offset:], d.Bytes) // fits: Prepare checked it
		}
	}
	in.globals = in.readGlobals()
	return in, nil
}

// instance starts with memories, and with the globals that the code begins with.
func (m *Module) instance(heapMap, stableMap pages.Map) (*Instance, error) {
	in := &Instance{module: m, stable: stable{base: stableMap, bytes: stableMap.Bytes()}, heapBase: heapMap}
	in.ctx = &callContext{context.Background(), in}
	if m.prep.Info.HasHeap {
		if err := in.makeHeap(); err != nil {
			return nil, err
		}
	} else if heapMap.Bytes() != 0 {
		return nil, fmt.Errorf("module has no memory for the %d bytes of heap it is to keep", heapMap.Bytes())
	}
	if err := in.start(heapMap.Bytes()); err != nil {
		in.Close()
		return nil, err
	}
	if in.heap != nil {
		in.heap.fill(in.heapBase)
	}
	return in, nil
}

func (in *Instance) makeHeap() error {
	p := in.module.prep
	if b := in.heapBase.Bytes(); b%wasmPage != 0 || b > p.MaxPages*wasmPage {
		return fmt.Errorf("module cannot keep a heap of %d bytes: its maximum is %d", b, p.MaxPages*wasmPage)
	}
	in.heap = newHeap(p.MaxPages*wasmPage, in.module.engine.tracker)
	heap := in.heap
	in.cleanup = runtime.AddCleanup(in, func(h *heap_) { h.release() }, heap.heap_)
	return nil
}

// start makes the wazero instance, with at least bytes of heap.
func (in *Instance) start(bytes uint64) error {
	ctx := context.Background()
	if in.heap != nil {
		ctx = experimental.WithMemoryAllocator(ctx, in.heap)
	}
	mod, err := in.module.engine.runtime.InstantiateModule(ctx, in.module.compiled, instanceConfig)
	if err != nil {
		return fmt.Errorf("module cannot be instantiated: %w", err)
	}
	in.mod = mod
	in.funcs = map[string]api.Function{}
	in.counter = mutable(mod, wasm.ExportCounter)
	in.depth = mutable(mod, wasm.ExportDepth)
	in.cause = mutable(mod, wasm.ExportCause)
	in.saved = in.saved[:0]
	for _, g := range in.module.prep.Globals {
		in.saved = append(in.saved, in.bind(g))
	}
	if in.heap == nil {
		return nil
	}
	in.memory = mod.Memory()
	if have := uint64(len(in.heap.buf)); bytes > have {
		if _, ok := in.memory.Grow(uint32((bytes - have) / wasmPage)); !ok {
			panic(fmt.Sprintf("engine: heap does not grow from %d to %d bytes", have, bytes))
		}
	}
	in.fresh = true
	return nil
}

func mutable(mod api.Module, name string) api.MutableGlobal {
	return mod.ExportedGlobal(name).(api.MutableGlobal)
}

func (m *Module) checkGlobals(globals []machine.Global) error {
	want := m.prep.Globals
	if len(want) != len(globals) {
		return fmt.Errorf("module has %d mutable globals, the state has %d", len(want), len(globals))
	}
	for i, g := range globals {
		if g.Type != want[i].Type {
			return fmt.Errorf("mutable global %d has another type in the module than in the state", i)
		}
	}
	return nil
}
