package engine

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

// Host functions find their instance by the context, which is the instance's own:
// wazero hands on the one that it was called with.
type callContext struct {
	context.Context
	in *Instance
}

func instanceOf(ctx context.Context) *Instance { return ctx.(*callContext).in }

// stop is what a host function panics with to end the run. wazero turns it into an error.
type stop struct{}

func (stop) Error() string { return "run stopped by a host function" }

// addHost instantiates the modules that canisters import from: the functions of
// the configuration in both widths, and the engine's own.
func (e *Engine) addHost(ctx context.Context) error {
	for _, name := range []string{wasm.Host32, wasm.Host64} {
		b := e.runtime.NewHostModuleBuilder(name)
		for i := range e.cfg.Host {
			h := &e.cfg.Host[i]
			params, results := widen(h.Params, name), widen(h.Results, name)
			b.NewFunctionBuilder().WithGoFunction(hostFunc(h, params, results), params, results).Export(h.Name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host functions: %w", err)
		}
	}
	_, err := e.runtime.NewHostModuleBuilder(wasm.EngineModule).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, _ []uint64) {
		instanceOf(ctx).outOfInstructions()
	}), nil, nil).Export(wasm.ImportOut).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
		stack[0] = instanceOf(ctx).mayGrow(uint32(stack[0]))
	}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export(wasm.ImportGrow).
		Instantiate(ctx)
	return err
}

func widen(ts []wasm.ValType, module string) []api.ValueType {
	out := make([]api.ValueType, len(ts))
	for i, t := range ts {
		switch {
		case t != wasm.Addr:
			out[i] = api.ValueType(t)
		case module == wasm.Host64:
			out[i] = api.ValueTypeI64
		default:
			out[i] = api.ValueTypeI32
		}
	}
	return out
}

// hostFunc adapts h to wazero, whose stack has garbage in the upper half of 32-bit values.
func hostFunc(h *machine.HostFunc, params, results []api.ValueType) api.GoFunc {
	var cutIn, cutOut []int
	for i, t := range params {
		if t == api.ValueTypeI32 {
			cutIn = append(cutIn, i)
		}
	}
	for i, t := range results {
		if t == api.ValueTypeI32 {
			cutOut = append(cutOut, i)
		}
	}
	return func(ctx context.Context, stack []uint64) {
		in := instanceOf(ctx)
		for _, i := range cutIn {
			stack[i] = uint64(uint32(stack[i]))
		}
		if err := h.Call(in, stack); err != nil {
			in.hostErr = err
			panic(stop{})
		}
		for _, i := range cutOut {
			stack[i] = uint64(uint32(stack[i]))
		}
	}
}
