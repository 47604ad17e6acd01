package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/state/pages"
)

// bulky makes a module of about so many bytes that looks as compilers' output does:
// functions of some hundred instructions with locals, branches, loads, stores, calls.
func bulky(bytes int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(bytes)))
	u := func(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }
	body := func(i int) []byte {
		b := []byte{1, 8, 0x7f} // eight locals of i32
		for range 40 + rng.IntN(200) {
			x, y := byte(rng.IntN(9)), byte(rng.IntN(9))
			switch rng.IntN(7) {
			case 0:
				b = append(b, 0x20, x, 0x41, y, 0x6a, 0x21, y) // y = x + n
			case 1:
				b = append(b, 0x20, x, 0x28, 2, 16, 0x21, y) // y = load x+16
			case 2:
				b = append(b, 0x20, x, 0x20, y, 0x36, 2, 8) // store
			case 3:
				b = append(b, 0x20, x, 0x04, 0x40, 0x20, y, 0x41, 3, 0x74, 0x21, x, 0x05, 0x41, 7, 0x21, y, 0x0b) // if else
			case 4:
				b = append(b, 0x02, 0x40, 0x20, x, 0x20, y, 0x48, 0x0d, 0, 0x20, x, 0x20, y, 0x6c, 0x21, x, 0x0b) // block br_if
			case 5:
				if i > 0 {
					b = u(append(b, 0x20, x, 0x10), uint64(rng.IntN(i)))
					b = append(b, 0x21, y)
				}
			case 6:
				b = append(b, 0x20, x, 0x20, y, 0x72, 0x21, x)
			}
		}
		return append(b, 0x20, 0, 0x0b)
	}
	var code []byte
	n := 0
	for len(code) < bytes {
		f := body(n)
		code = append(u(code, uint64(len(f))), f...)
		n++
	}
	run := []byte{0, 0x41, 0, 0x10}
	run = append(u(run, uint64(n-1)), 0x1a, 0x0b)
	code = append(u(code, uint64(len(run))), run...)
	section := func(id byte, content []byte) []byte { return append(u([]byte{id}, uint64(len(content))), content...) }
	funcs := u(nil, uint64(n+1))
	for range n {
		funcs = append(funcs, 0)
	}
	funcs = append(funcs, 1)
	name := "canister_update run"
	exports := append(append([]byte{1, byte(len(name))}, name...), 0)
	exports = u(exports, uint64(n))
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, []byte{2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0})...)
	out = append(out, section(3, funcs)...)
	out = append(out, section(5, []byte{1, 0, 16})...)
	out = append(out, section(7, exports)...)
	return append(out, section(10, append(u(nil, uint64(n+1)), code...))...)
}

func coldModule(b *testing.B) []byte {
	if name := os.Getenv("COLD"); name != "" {
		code, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return code
	}
	return bulky(3 << 20)
}

// A cold start of an installed canister whose code the disk has, and where its time goes.
func BenchmarkColdCode(b *testing.B) {
	code := coldModule(b)
	hash := sha256.Sum256(code)
	dir := b.TempDir()
	cfg := Config{CacheDir: dir, Host: sysapi.Functions()}
	e := testEngine(b, cfg)
	m, err := e.Compile(code)
	if err != nil {
		b.Fatal(err)
	}
	k := e.disk.read(hash)
	if k == nil {
		b.Fatal("the compiled code was not kept")
	}
	b.Logf("%d bytes, shell %d, compiled %d", len(code), len(k.prep.Code), k.bytes)
	part := func(name string, f func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				e = testEngine(b, cfg)
				runtime.GC()
				began := cpuTime()
				f(b)
				took += cpuTime() - began
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
			b.ReportMetric(0, "ns/op") // of the engine around it too
		})
	}
	instance := func(b *testing.B, m machine.Module) {
		in, err := m.Instantiate(pages.Map{}, pages.Map{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		in.Close()
	}
	part("all", func(b *testing.B) {
		m, err := e.Load(hash, nil)
		if err != nil {
			b.Fatal(err)
		}
		instance(b, m)
	})
	part("kept", func(b *testing.B) { e.disk.read(hash) })
	part("wazero", func(b *testing.B) {
		if _, err := e.runtime.CompileModule(context.Background(), k.prep.Code); err != nil {
			b.Fatal(err)
		}
	})
	part("floor", func(b *testing.B) {
		space, err := reserve(k.bytes)
		if err != nil {
			b.Fatal(err)
		}
		defer unmap(space)
		f, err := os.Open(k.file)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if _, err := io.ReadFull(f, space); err != nil {
			b.Fatal(err)
		}
	})
	part("instance", func(b *testing.B) { instance(b, m) })
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
