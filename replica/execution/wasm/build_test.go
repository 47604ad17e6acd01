package wasm

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// draft is a small module made by a test.
type draft struct {
	params, results []ValType
	locals          []ValType
	code            []byte // of the exported function f, without its end
	memory          []byte // limits of the memory, nil: none
	data            []byte // active at 0
}

func (d draft) bytes() []byte {
	b := []byte(header)
	b = appendSection(b, secType, appendTypes(appendTypes([]byte{1, 0x60}, d.params), d.results))
	b = appendSection(b, secFunction, []byte{1, 0})
	if d.memory != nil {
		b = appendSection(b, secMemory, append([]byte{1}, d.memory...))
	}
	b = appendSection(b, secExport, append(appendName([]byte{1}, "f"), kindFunc, 0))
	body := appendU32(nil, uint32(len(d.locals)))
	for _, t := range d.locals {
		body = append(body, 1, byte(t))
	}
	body = append(append(body, d.code...), opEnd)
	b = appendSection(b, secCode, append(appendU32([]byte{1}, uint32(len(body))), body...))
	if d.data != nil {
		offset := byte(opI32Const)
		if d.memory[0]&4 != 0 {
			offset = opI64Const
		}
		b = appendSection(b, secData, append(appendU32([]byte{1, 0, offset, 0, opEnd}, uint32(len(d.data))), d.data...))
	}
	return b
}

// bench runs modules on one engine, original and rewritten.
type bench struct {
	t       testing.TB
	ctx     context.Context
	runtime wazero.Runtime
	now     api.Module // the rewritten module running
	granted uint64
}

const benchSlice = 1000 // small, so that the slow path is taken often

func newBench(t testing.TB, config wazero.RuntimeConfig) *bench {
	b := &bench{t: t, ctx: context.Background()}
	b.runtime = wazero.NewRuntimeWithConfig(b.ctx, config)
	addOwn(t, b.runtime, func() {
		c := b.now.ExportedGlobal(ExportCounter).(api.MutableGlobal)
		used := b.granted - c.Get()
		b.granted = used + benchSlice
		c.Set(benchSlice)
	})
	t.Cleanup(func() { b.runtime.Close(b.ctx) })
	return b
}

func (b *bench) open(code []byte) (api.Module, error) {
	c, err := b.runtime.CompileModule(b.ctx, code)
	if err != nil {
		return nil, err
	}
	mod, err := b.runtime.InstantiateModule(b.ctx, c, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	c.Close(b.ctx) // closes when the instance does
	return mod, err
}

// rewritten prepares and instantiates; the data segments are applied.
func (b *bench) rewritten(code []byte) api.Module {
	b.t.Helper()
	p, err := prepare(code, options{})
	if err != nil {
		b.t.Fatal(err)
	}
	mod, err := b.open(p.Code)
	if err != nil {
		b.t.Fatalf("wazero does not take the rewritten module: %v", err)
	}
	for _, d := range p.Data {
		mod.Memory().Write(uint32(d.Offset), d.Bytes)
	}
	return mod
}

// call runs f of a rewritten module and returns the instructions used.
func (b *bench) call(mod api.Module, args ...uint64) ([]uint64, uint64, error) {
	c := mod.ExportedGlobal(ExportCounter).(api.MutableGlobal)
	b.now, b.granted = mod, benchSlice
	c.Set(benchSlice)
	mod.ExportedGlobal(ExportDepth).(api.MutableGlobal).Set(DepthBudget)
	mod.ExportedGlobal(ExportCause).(api.MutableGlobal).Set(0)
	res, err := mod.ExportedFunction("f").Call(b.ctx, args...)
	return res, b.granted - c.Get(), err
}

func writeFile(t testing.TB, name, content string) {
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustInstantiate checks that an engine takes what the pass made of a canister.
func mustInstantiate(t *testing.T, p *Prepared, config wazero.RuntimeConfig) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer r.Close(ctx)
	addOwn(t, r, func() {})
	for _, host := range []string{Host32, Host64} {
		b := r.NewHostModuleBuilder(host)
		for _, i := range testImports {
			types := func(ts []ValType) (out []api.ValueType) {
				for _, t := range lower(ts, host == Host64) {
					out = append(out, api.ValueType(t))
				}
				return out
			}
			b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), types(i.Params), types(i.Results)).Export(i.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.InstantiateWithConfig(ctx, p.Code, wazero.NewModuleConfig().WithStartFunctions()); err != nil {
		t.Fatalf("the engine does not take the rewritten module: %v", err)
	}
}

func trapLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
