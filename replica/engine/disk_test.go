package engine

import (
	"bytes"
	"compress/gzip"
	"container/list"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ashlar/replica/execution/wasm"
	"ashlar/replica/state/pages"
)

// A module that is loaded by its shell counts, answers and traps as one that was
// just compiled, and is compiled anew where the disk has lost or changed anything.
func TestKeptCode(t *testing.T) {
	dir := t.TempDir()
	plain := testEngine(t, Config{})
	play := func(e *Engine, code []byte) (replies []byte, used []uint64) {
		in := install(t, e, code)
		defer in.Close()
		_, n := run(t, in, "canister_start", nil)
		_, m := run(t, in, "canister_init", []byte("DIDL\x00\x00"))
		used = append(used, uint64(n), uint64(m))
		for range 3 {
			r, n := run(t, in, "canister_update inc", []byte("DIDL\x00\x00"))
			replies, used = append(replies, r...), append(used, uint64(n))
		}
		return replies, used
	}
	want, counts := play(plain, motokoCounter)
	hash := sha256.Sum256(motokoCounter)
	same := func(what string, kept bool) {
		t.Helper()
		e := testEngine(t, Config{CacheDir: dir})
		k := e.disk.read(hash)
		if k == nil && kept {
			t.Fatalf("%s: the code was not kept", what)
		}
		if k != nil {
			m := e.load(k)
			if (m != nil) != kept {
				t.Errorf("%s: loaded by the shell: %v, want %v", what, m != nil, kept)
			}
			if m != nil && m.prep.FuncName(3) != install(t, plain, motokoCounter).module.prep.FuncName(3) {
				t.Errorf("%s: functions have other names", what)
			}
		}
		got, n := play(e, motokoCounter)
		if !bytes.Equal(got, want) || len(n) != len(counts) {
			t.Fatalf("%s: replies %x, want %x", what, got, want)
		}
		for i := range n {
			if n[i] != counts[i] {
				t.Errorf("%s: run %d took %d instructions, want %d", what, i, n[i], counts[i])
			}
		}
	}
	play(testEngine(t, Config{CacheDir: dir}), motokoCounter)
	same("as it was written", true)

	e := testEngine(t, Config{CacheDir: dir})
	file := e.disk.read(hash).file
	if _, err := e.Compile(kernels32); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(e.disk.read(sha256.Sum256(kernels32)).file)
	if err != nil {
		t.Fatal(err)
	}
	change := func(what string, f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		same(what, false)
		same("after "+what, true)
	}
	rewrite := func(name string, f func(b []byte) []byte) func() error {
		return func() error {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(name, f(b), 0o600)
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	change("with the code of another module", func() error { return os.WriteFile(file, other, 0o600) })
	change("with a flipped bit in the code", rewrite(file, flip))
	change("with half of the code", rewrite(file, half))
	change("without the code", func() error { return os.Remove(file) })
	from, name, err := e.disk.compile(e.config, e.disk.read(hash).prep.Code)
	if err != nil {
		t.Fatal(err)
	}
	change("with the shell's own code", func() error { return os.Rename(filepath.Join(from, name), filepath.Join(e.disk.dir, name)) })
	change("without wazero's file", func() error { return os.Remove(filepath.Join(e.disk.dir, name)) })
	change("with a flipped bit in what was prepared", rewrite(e.disk.name(hash), flip))
	change("with half of what was prepared", rewrite(e.disk.name(hash), half))
	change("without what was prepared", func() error { return os.Remove(e.disk.name(hash)) })
}

// Code is mapped from its file, once for all who have the module, and is let go with
// the last of them.
func TestCodeIsMapped(t *testing.T) {
	if !canMap {
		t.Skip("code is mapped on Linux only")
	}
	// What other tests have left on stacks and in pools may be what the collector takes for users.
	const alone = "ASHLAR_TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), alone+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in a process of its own: %v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	mappings := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip(err)
		}
		return strings.Count(string(maps), dir)
	}
	e := testEngine(t, Config{CacheDir: dir})
	start := func(code []byte) {
		m, err := e.Compile(code)
		if err != nil {
			t.Fatal(err)
		}
		in, err := m.Instantiate(pages.Map{}, pages.Map{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		run(t, in.(*Instance), "canister_start", nil)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(motokoCounter); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	start(motokoCounter)
	start(zipped.Bytes()) // the same module for wazero
	if n := mappings(); n != 1 {
		t.Fatalf("the code is mapped %d times", n)
	}
	e.modules, e.order = map[[32]byte]*entry{}, list.New()
	const patience = 20 * time.Second // a busy machine is slow to clean up
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if runtime.GC(); mappings() == 0 {
			return
		}
	}
	t.Errorf("the code is mapped though nobody has the module")
}

// The cache on disk has a bound: the oldest files go.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a/old", "b", "a/c/young"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	trimCache(dir, 2500)
	for name, want := range map[string]bool{"a/old": false, "b": true, "a/c/young": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

// Modules of all kinds get a shell, and damaged ones an error.
func FuzzShell(f *testing.F) {
	for _, code := range [][]byte{motokoCounter, kernels32} {
		prep, err := wasm.Prepare(code, testEngine(f, Config{}).imports)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(prep.Code)
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, module []byte) {
		full, shell, _, err := withProof(module)
		if err == nil && (len(shell) == 0 || len(full) <= len(module)) {
			t.Errorf("a module of %d bytes has %d with its proof, its shell %d", len(module), len(full), len(shell))
		}
	})
}

// Offsets of functions come back as they were, lie in the code, and take no more
// memory than the record has bytes.
func FuzzOffsets(f *testing.F) {
	f.Add([]byte{3, 0, 16, 200, 1}, uint16(1000))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		k := &kept{bytes: uint64(size)}
		rest := k.readOffsets(b)
		if rest == nil {
			return
		}
		if len(k.offsets) > len(b) {
			t.Errorf("%d offsets of %d bytes", len(k.offsets), len(b))
		}
		last := 0
		for _, at := range k.offsets {
			if at < last || at >= int(size) {
				t.Errorf("offsets %v of %d bytes of code", k.offsets, size)
			}
			last = at
		}
	})
}
