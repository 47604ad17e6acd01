// Package engine runs canisters: it implements replica/execution/machine on wazero.
//
//	code ── wasm.Prepare ──> wazero compile ──> Module ── Instantiate ──> Instance
//	          (bounded pool, LRU by hash, disk cache)          │
//	   heap    mmapped, grows in place ── tracker says which pages were written
//	   stable  dirty pages over the last committed pages.Map
//
// An Instance is reused across messages and cannot be told from a fresh one:
// globals and memory are the committed ones, and code that can change tables gets
// a new wazero instance for each run. Traps are values; a failure of the host
// (out of memory, a bug of ours or of wazero) panics and stops the node.
//
// Wasm code is not preemptible, so it calls out every sliceInstructions: Go's
// garbage collector gets in there, and Limits.Slice may block there.
package engine

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

const (
	// sliceInstructions between two calls out of Wasm code: about half a
	// millisecond, the longest that a garbage collection waits for one canister.
	sliceInstructions = 3_000_000
	// codeBytesPerByte estimates compiled code by the size of the rewritten module.
	codeBytesPerByte = 5
	// defaultCodeBytes is what the cache of compiled modules may hold by default.
	defaultCodeBytes = 1 << 30
	// maxLoaded modules are in the cache: each is two mappings, of the 65,530 that the
	// kernel gives a process. Those that instances have besides stay.
	maxLoaded = 4096
	// keepFuncBelow: a run shorter than this cannot have grown its stack much, so
	// its api.Function is kept; a longer one may hold megabytes and is dropped.
	keepFuncBelow = 100_000
)

// Config of an Engine. The zero value but for Host works.
type Config struct {
	// Host are the functions canisters may import from "ic0".
	Host []machine.HostFunc
	// CacheDir, where set, keeps compiled code across restarts, on Linux.
	CacheDir string
	// CodeBytes bounds the compiled modules kept in memory; 0: 1 GiB. A module in
	// use stays beyond it.
	CodeBytes uint64
	// Compilers is how many modules compile at once; 0: one per processor, up to four.
	Compilers int
	// Tracker chooses how written pages are found; "" picks the best that works.
	Tracker Tracker
	// Interpreter runs Wasm by wazero's interpreter: slow, an oracle for tests.
	Interpreter bool
}

// Engine implements machine.Engine.
type Engine struct {
	cfg     Config
	runtime wazero.Runtime
	config  wazero.RuntimeConfig // without a cache
	loaded  wazero.CompilationCache
	disk    *cache // nil: none
	imports []wasm.Import
	tracker trackerMaker
	slots   chan struct{} // one token per running compilation
	last    installations

	mu      sync.Mutex
	modules map[[32]byte]*entry
	order   *list.List // of *entry, most recent first
	bytes   uint64
}

// entry is a module in the cache: compiled once ready is closed.
type entry struct {
	hash  [32]byte
	ready chan struct{}
	mod   *Module
	err   error
	bytes uint64
	place *list.Element
}

// New makes an engine.
func New(cfg Config) (*Engine, error) {
	if cfg.CodeBytes == 0 {
		cfg.CodeBytes = defaultCodeBytes
	}
	if cfg.Compilers == 0 {
		cfg.Compilers = min(runtime.NumCPU(), 4)
	}
	e := &Engine{cfg: cfg, modules: map[[32]byte]*entry{}, order: list.New(), slots: make(chan struct{}, cfg.Compilers)}
	var err error
	if e.tracker, err = chooseTracker(cfg.Tracker); err != nil {
		return nil, err
	}
	for _, h := range cfg.Host {
		e.imports = append(e.imports, wasm.Import{Name: h.Name, Params: h.Params, Results: h.Results, Only32: h.Only32})
	}
	ctx := context.Background()
	rc := wazero.NewRuntimeConfigCompiler()
	if cfg.Interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	rc = rc.WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst).
		WithDebugInfoEnabled(false)
	e.config = rc
	if cfg.CacheDir != "" && !cfg.Interpreter && canMap {
		if e.disk, err = newCache(cfg.CacheDir, e.imports); err != nil {
			return nil, err
		}
		if e.loaded, err = wazero.NewCompilationCacheWithDir(e.disk.dir); err != nil {
			return nil, fmt.Errorf("open the cache of compiled code: %w", err)
		}
		rc = rc.WithCompilationCache(e.loaded)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	if err := e.addHost(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Close frees the engine. No instance of it may be in use.
func (e *Engine) Close() {
	ctx := context.Background()
	e.runtime.Close(ctx)
	if e.loaded != nil {
		e.loaded.Close(ctx)
	}
}

// Compile implements machine.Engine.
func (e *Engine) Compile(code []byte) (machine.Module, error) {
	return e.Load(sha256.Sum256(code), func() []byte { return code })
}

// Load implements machine.Engine.
func (e *Engine) Load(hash [32]byte, code func() []byte) (machine.Module, error) {
	e.mu.Lock()
	en, ok := e.modules[hash]
	if ok {
		e.order.MoveToFront(en.place)
		e.mu.Unlock()
		<-en.ready
	} else {
		en = &entry{hash: hash, ready: make(chan struct{})}
		en.place = e.order.PushFront(en)
		e.modules[hash] = en
		e.mu.Unlock()
		e.fill(en, code)
	}
	if en.err != nil {
		return nil, en.err
	}
	return en.mod, nil
}

func (e *Engine) fill(en *entry, code func() []byte) {
	defer close(en.ready)
	en.err = errors.New("compilation did not finish") // should it panic
	defer e.account(en)
	e.slots <- struct{}{}
	defer func() { <-e.slots }()
	en.mod, en.err = e.make(en.hash, code)
}

// make loads what the disk has of a module, or prepares and compiles it.
func (e *Engine) make(hash [32]byte, code func() []byte) (*Module, error) {
	if e.disk != nil {
		if k := e.disk.read(hash); k != nil {
			if m := e.load(k); m != nil {
				return m, nil
			}
		}
	}
	plain, err := wasm.Unzip(code(), wasm.MaxModuleBytes)
	if err != nil {
		return nil, err
	}
	prep, err := wasm.Prepare(plain, e.imports)
	if err != nil {
		return nil, err
	}
	if e.disk != nil {
		k, err := e.disk.keep(e.config, hash, prep)
		if path := (*fs.PathError)(nil); errors.As(err, &path) || errors.As(err, new(*os.LinkError)) {
			panic(fmt.Sprintf("engine: cache of compiled code: %v", err)) // the disk's fault, not the canister's
		}
		if err == nil {
			if m := e.load(k); m != nil {
				return m, nil
			}
		}
	}
	return e.compile(prep)
}

// load makes a module of its shell and the code that is kept for it; nil where that
// is not the code of the module.
func (e *Engine) load(k *kept) *Module {
	compiled, err := e.runtime.CompileModule(context.Background(), k.prep.Code)
	if err != nil {
		return nil
	}
	m := &Module{engine: e, prep: k.prep, compiled: compiled, bytes: k.bytes}
	if err := k.fill(compiled); err != nil || !m.proves(k.proof) {
		compiled.Close(context.Background())
		os.Remove(k.file)
		return nil
	}
	return m.watched()
}

// fill gives the module of a shell its code, unless it has some.
func (k *kept) fill(c wazero.CompiledModule) error {
	code, err := mapCode(k.file, k.bytes)
	if err != nil {
		return err
	}
	err = errDamaged
	if crc32.Checksum(code, castagnoli) == k.sum {
		err = withInside(c, func(in *inside) error {
			if len(*in.code) == 0 {
				in.fill(code, k.offsets)
				code = nil
			}
			return nil
		})
	}
	if code != nil {
		unmapCode(code)
	}
	return err
}

var errDamaged = errors.New("engine: compiled code is damaged")

// account adds a compiled module to the bytes of the cache and drops the oldest
// ones above the bound. Code is freed when the last instance is gone.
func (e *Engine) account(en *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	en.bytes = 1 << 10 // a refusal takes some room too
	if en.err == nil {
		en.bytes += en.mod.bytes
	}
	e.bytes += en.bytes
	for (e.bytes > e.cfg.CodeBytes || e.order.Len() > maxLoaded) && e.order.Len() > 1 {
		old := e.order.Back().Value.(*entry)
		if old.bytes == 0 || old == en { // still compiling
			break
		}
		e.order.Remove(old.place)
		delete(e.modules, old.hash)
		e.bytes -= old.bytes
	}
}

func (e *Engine) compile(prep *wasm.Prepared) (*Module, error) {
	compiled, err := e.runtime.CompileModule(context.Background(), prep.Code)
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		panic(fmt.Sprintf("engine: cache of compiled code: %v", err))
	}
	if err != nil {
		return nil, fmt.Errorf("engine cannot compile the module: %w", err)
	}
	m := &Module{engine: e, prep: prep, compiled: compiled, bytes: uint64(len(prep.Code)) * codeBytesPerByte}
	return m.watched(), nil
}

// watched lets the compiled code go when nobody has the module any more.
func (m *Module) watched() *Module {
	prep := m.prep
	prep.Code = nil // compiled: no longer needed
	m.initial = sync.OnceValue(func() pages.Map { return initialHeap(prep) })
	runtime.AddCleanup(m, func(c wazero.CompiledModule) { c.Close(context.Background()) }, m.compiled)
	return m
}
