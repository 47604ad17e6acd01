package oracle

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ashlar/replica/engine"
	"ashlar/replica/execution/machine"
	"ashlar/replica/state/pages"
)

const root = "../../.."

var limits = machine.Limits{Instructions: 40_000_000_000, HeapBytes: 4 << 30, StableBytes: 1 << 30}

var noArguments = []byte("DIDL\x00\x00")

// subject is a canister and its methods to be timed.
type subject struct {
	name, code string // the file, below root
	init       []byte
	methods    []string
	arg        []byte
	times      int // calls that are timed as one
}

var kernels = []string{"sha", "sort", "mat", "fib", "hash", "sieve", "interp", "icall", "nbody"}

// BenchmarkBesideWasmtime runs the same canisters on our engine and on wasmtime, in
// turns, and compares the best times of the thread: what others do on the machine
// counts for neither. Ours runs as it does in a replica; wasmtime runs what
// DFINITY's pass would make of the module, its NaN option on.
//
//	all      geometric mean over the kernels of 32 bits, the Motoko and the Azle methods
//	wide     the kernels of 64 bits
//	counter  a Motoko canister's small update: Candid, and a dozen calls of the system
func BenchmarkBesideWasmtime(b *testing.B) {
	dir := filepath.Join(root, "out", "bench")
	program, err := Build(root, dir)
	if err != nil {
		b.Fatal(err)
	}
	compile(b, dir)
	e, err := engine.New(engine.Config{Host: fakeHost()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	k := "replica/engine/testdata/kernels/kernels"
	azle := append([]byte("DIDL\x00\x01\x79"), 0x20, 0x4e, 0, 0) // 20,000
	var all, wide, small mean
	for _, s := range []struct {
		subject
		in *mean
	}{
		{subject{"kernels", k + "32.wasm", nil, kernels, nil, 1}, &all},
		{subject{"motoko", "out/bench/compute.wasm", noArguments, []string{"fib", "primes", "texts"}, noArguments, 1}, &all},
		{subject{"azle", "out/accept/wasm/azle.wasm", []byte("DIDL\x00\x01\x7d\x07"), []string{"busy"}, azle, 1}, &all},
		{subject{"wide", k + "64.wasm", nil, kernels, nil, 1}, &wide},
		{subject{"counter", "replica/engine/testdata/motoko/counter.wasm", noArguments, []string{"inc"}, noArguments, 1000}, &small},
	} {
		compare(b, e, program, s.subject, s.in)
	}
	all.report(b, "all")
	wide.report(b, "wide")
}

// compile the canisters whose code is not in the tree.
func compile(b *testing.B, dir string) {
	clients, err := filepath.Abs(filepath.Join(root, "qemu-tests/clients"))
	if err != nil {
		b.Fatal(err)
	}
	dir, _ = filepath.Abs(dir)
	source, _ := filepath.Abs("testdata/compute.mo")
	for _, cmd := range []*exec.Cmd{
		exec.Command("node", filepath.Join(clients, "compile.mjs"), source, filepath.Join(dir, "compute.wasm")),
		exec.Command("node", filepath.Join(clients, "accept/build.mjs"), filepath.Join(dir, "../accept/wasm"), "azle"),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s\n  npm's clients may be missing: make setup", err, out[max(0, len(out)-500):])
		}
	}
}

// mean is a geometric one, of both sides.
type mean struct {
	ours, peer float64
	n          int
}

func (m *mean) add(ours, peer time.Duration) {
	m.ours += math.Log(float64(ours))
	m.peer += math.Log(float64(peer))
	m.n++
}

func (m *mean) report(b *testing.B, name string) {
	report(b, name, math.Exp(m.ours/float64(m.n)), math.Exp(m.peer/float64(m.n)))
}

// report is a line of its own for what was measured already.
func report(b *testing.B, name string, ours, peer float64) {
	b.Run(name, func(b *testing.B) {
		b.ReportMetric(ours/1000, "ours-us")
		b.ReportMetric(peer/1000, "wasmtime-us")
		b.ReportMetric(ours/peer, "ratio")
		b.ReportMetric(0, "ns/op")
	})
}

const rounds = 25 // of which the best counts

func compare(b *testing.B, e *engine.Engine, program string, s subject, m *mean) {
	code, err := os.ReadFile(filepath.Join(root, s.code))
	if err != nil {
		b.Fatal(err)
	}
	peer, err := Start(program)
	if err != nil {
		b.Fatal(err)
	}
	defer peer.Close()
	if err := peer.Load(code, true); err != nil {
		b.Fatal(err)
	}
	mod, err := e.Compile(code)
	if err != nil {
		b.Fatal(err)
	}
	in, err := mod.Instantiate(pages.Map{}, pages.Map{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	if mod.Info().HasStart {
		run(b, in, machine.Start, nil, 1) // wasmtime runs it by itself
	}
	if s.init != nil {
		both(b, in, peer, "canister_init", s.init, 1)
	}
	for _, method := range s.methods {
		ours, theirs := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
		for range rounds {
			x, y := both(b, in, peer, "canister_update "+method, s.arg, s.times)
			ours, theirs = min(ours, x), min(theirs, y)
		}
		report(b, s.name+"/"+method, float64(ours), float64(theirs))
		m.add(ours, theirs)
	}
}

// both engines run a method, and must give the same reply.
func both(b *testing.B, in machine.Instance, peer *Oracle, export string, arg []byte, times int) (ours, theirs time.Duration) {
	reply, ours := run(b, in, export, arg, times)
	r, err := peer.Run(export, arg, times)
	if err != nil || r.Trap != "" {
		b.Fatal(export, err, r.Trap)
	}
	if !bytes.Equal(reply, r.Data) {
		b.Fatalf("%s: ours replies %x, wasmtime %x", export, reply, r.Data)
	}
	return ours / time.Duration(times), r.CPU / time.Duration(times)
}

func run(b *testing.B, in machine.Instance, export string, arg []byte, times int) ([]byte, time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	env := &fake{arg: arg}
	before := threadTime()
	for range times {
		env.reply = env.reply[:0]
		if out := in.Run(machine.Entry{Export: export}, env, limits); out.Trap != nil {
			b.Fatalf("%s: %+v", export, out.Trap)
		}
	}
	took := threadTime() - before
	return env.reply, took
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
