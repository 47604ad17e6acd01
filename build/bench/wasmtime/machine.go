package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	wt "github.com/bytecodealliance/wasmtime-go/v37"
	"golang.org/x/sys/unix"
)

// machine is one instance of a module.
type machine struct {
	engine   *wt.Engine
	store    *wt.Store
	instance *wt.Instance
	funcs    map[string]*wt.Func
	counter  *wt.Global
	system   system
}

func load(q *Request) (*machine, error) {
	code := q.Code
	config := wt.NewConfig()
	config.SetWasmMemory64(true)
	config.SetWasmTailCall(true)
	if q.Meter {
		var err error
		if code, err = meter(code); err != nil {
			return nil, err
		}
		config.SetCraneliftNanCanonicalization(true)
	}
	m := &machine{engine: wt.NewEngineWithConfig(config), funcs: map[string]*wt.Func{}}
	module, err := wt.NewModule(m.engine, code)
	if err != nil {
		return nil, err
	}
	m.store = wt.NewStore(m.engine)
	var imports []wt.AsExtern
	for _, i := range module.Imports() {
		t := i.Type().FuncType()
		if t == nil || i.Name() == nil {
			return nil, fmt.Errorf("import of %s, which is no function", i.Module())
		}
		imports = append(imports, wt.NewFunc(m.store, t, m.system.function(*i.Name(), t)))
	}
	if m.instance, err = wt.NewInstance(m.store, module, imports); err != nil {
		return nil, err
	}
	if e := m.instance.GetExport(m.store, counterExport); e != nil {
		m.counter = e.Global()
	}
	return m, nil
}

func (m *machine) close() {
	m.store.Close()
	m.engine.Close()
}

func (m *machine) function(name string) (*wt.Func, error) {
	if m.funcs[name] == nil {
		f := m.instance.GetFunc(m.store, name)
		if f == nil {
			return nil, fmt.Errorf("the module exports no function %q", name)
		}
		m.funcs[name] = f
	}
	return m.funcs[name], nil
}

// run an entry point of a canister.
func (m *machine) run(q *Request, a *Response) error {
	f, err := m.function(q.Export)
	if err != nil {
		return err
	}
	m.system.arg = q.Arg
	if m.counter != nil {
		if err := m.counter.Set(m.store, wt.ValI64(fullCounter)); err != nil {
			return err
		}
	}
	before := threadTime()
	for range q.Times {
		m.system.reply = nil
		if _, err = f.Call(m.store); err != nil {
			break
		}
	}
	a.CPU = int64(threadTime() - before)
	if a.Trap, err = trapOf(err); err != nil {
		return err
	}
	if m.counter != nil {
		a.Used = fullCounter - m.counter.Get(m.store).I64()
	}
	a.Reply = m.system.reply
	return nil
}

// call a function and show all that it left.
func (m *machine) call(q *Request, a *Response) error {
	f, err := m.function(q.Export)
	if err != nil {
		return err
	}
	for name, v := range q.Set {
		e := m.instance.GetExport(m.store, name)
		if e == nil || e.Global() == nil {
			return fmt.Errorf("the module exports no global %q", name)
		}
		val := wt.ValI64(v)
		if e.Global().Type(m.store).Content().Kind() == wt.KindI32 {
			val = wt.ValI32(int32(v))
		}
		if err := e.Global().Set(m.store, val); err != nil {
			return err
		}
	}
	for at, b := range q.Data {
		if mem := m.memory(); mem == nil || at+uint64(len(b)) > uint64(len(mem)) {
			return fmt.Errorf("%d bytes at %d do not fit into the memory", len(b), at)
		} else {
			copy(mem[at:], b)
		}
	}
	params := f.Type(m.store).Params()
	if len(params) != len(q.Args) {
		return fmt.Errorf("%s takes %d arguments", q.Export, len(params))
	}
	var args []any
	for i, t := range params {
		args = append(args, valueOf(t.Kind(), q.Args[i]))
	}
	got, err := f.Call(m.store, args...)
	if a.Trap, err = trapOf(err); err != nil {
		return err
	}
	switch got := got.(type) {
	case nil:
	case []wt.Val:
		for _, v := range got {
			a.Results = append(a.Results, bitsOf(v.Get()))
		}
	default:
		a.Results = append(a.Results, bitsOf(got))
	}
	return m.show(a)
}

// memory is the exported one.
func (m *machine) memory() []byte {
	for _, e := range m.instance.Exports(m.store) {
		if mem := e.Memory(); mem != nil {
			return mem.UnsafeData(m.store)
		}
	}
	return nil
}

func (m *machine) show(a *Response) error {
	a.Globals = map[string]uint64{}
	mem := m.memory()
	a.Memory, a.Pages = bytes.Clone(bytes.TrimRight(mem, "\x00")), uint64(len(mem)/wasmPage)
	for _, name := range []string{"g0", "g1", "g2", "g3", "ashlar counter", "ashlar cause"} {
		if e := m.instance.GetExport(m.store, name); e != nil && e.Global() != nil {
			a.Globals[name] = bitsOf(e.Global().Get(m.store).Get())
		}
	}
	return nil
}

func valueOf(kind wt.ValKind, bits uint64) any {
	switch kind {
	case wt.KindI32:
		return int32(bits)
	case wt.KindI64:
		return int64(bits)
	case wt.KindF32:
		return math.Float32frombits(uint32(bits))
	}
	return math.Float64frombits(bits)
}

func bitsOf(v any) uint64 {
	switch v := v.(type) {
	case int32:
		return uint64(uint32(v))
	case int64:
		return uint64(v)
	case float32:
		return uint64(math.Float32bits(v))
	case float64:
		return math.Float64bits(v)
	}
	return 0
}

// trapOf is what ended a call early: the fault of the code, or ours.
func trapOf(err error) (string, error) {
	var t *wt.Trap
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &t):
		if c := t.Code(); c != nil {
			return trapNames[*c], nil
		}
		return t.Message(), nil
	}
	return "", err
}

var trapNames = map[wt.TrapCode]string{
	wt.StackOverflow: "stack overflow", wt.MemoryOutOfBounds: "out of bounds memory access", wt.HeapMisaligned: "misaligned",
	wt.TableOutOfBounds: "invalid table access", wt.IndirectCallToNull: "invalid table access", wt.BadSignature: "indirect call type mismatch",
	wt.IntegerOverflow: "integer overflow", wt.IntegerDivisionByZero: "integer divide by zero", wt.BadConversionToInteger: "invalid conversion to integer",
	wt.UnreachableCodeReached: "unreachable", wt.Interrupt: "interrupt", wt.OutOfFuel: "out of fuel",
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
