package engine

import (
	"context"
	_ "embed"
	"encoding/binary"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/wasm"
)

//go:embed testdata/kernels/kernels32.wasm
var kernels32 []byte

//go:embed testdata/kernels/kernels64.wasm
var kernels64 []byte

var kernels = []string{"sha", "sort", "mat", "fib", "hash", "sieve", "interp", "icall", "nbody"}

// Both widths of every kernel give the same result, on compiler and interpreter.
func TestKernels(t *testing.T) {
	want := map[string]uint64{}
	counts := map[string]machine.Instructions{}
	for _, interpreter := range []bool{false, true} {
		e := testEngine(t, Config{Interpreter: interpreter})
		for width, code := range map[string][]byte{"32": kernels32, "64": kernels64} {
			in := install(t, e, code)
			in.Commit() // the data segments
			for _, k := range kernels {
				if interpreter && k != "fib" && k != "mat" && k != "interp" {
					continue // the others take long
				}
				reply, used := run(t, in, "canister_update "+k, nil)
				in.Rollback()
				got := binary.LittleEndian.Uint64(reply)
				if w, ok := want[k]; ok && got != w {
					t.Errorf("%s on %s bits, interpreter %v: %d, want %d", k, width, interpreter, got, w)
				}
				want[k] = got
				if n, ok := counts[k+width]; ok && used != n {
					t.Errorf("%s on %s bits: %d instructions, %d elsewhere", k, width, used, n)
				}
				counts[k+width] = used
			}
		}
	}
}

// BenchmarkKernels runs each kernel as the canister's author wrote it, on wazero
// alone, and as we run it: metered, canonical, bounded.
func BenchmarkKernels(b *testing.B) {
	e := testEngine(b, Config{})
	in32, in64 := install(b, e, kernels32), install(b, e, kernels64)
	plain := plainKernels(b)
	for _, k := range kernels {
		b.Run(k+"/wazero", func(b *testing.B) {
			fn := plain.ExportedFunction("canister_update " + k)
			for b.Loop() {
				if err := fn.CallWithStack(context.Background(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		for name, in := range map[string]*Instance{"ours32": in32, "ours64": in64} {
			b.Run(k+"/"+name, func(b *testing.B) {
				var used machine.Instructions
				for b.Loop() {
					_, used = run(b, in, "canister_update "+k, nil)
				}
				b.ReportMetric(float64(used), "instr/op")
			})
		}
	}
}

func plainKernels(b *testing.B) api.Module {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesTailCall))
	b.Cleanup(func() { r.Close(ctx) })
	i32 := api.ValueTypeI32
	if _, err := r.NewHostModuleBuilder(wasm.Host32).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), []api.ValueType{i32, i32}, nil).Export("msg_reply_data_append").Instantiate(ctx); err != nil {
		b.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, kernels32)
	if err != nil {
		b.Fatal(err)
	}
	return mod
}
