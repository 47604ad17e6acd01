// Package oracle runs Wasm on wasmtime: the peer of execution's figures, and a
// second opinion for its fuzz tests.
//
//	test ── Start ──> go build ──> build/bench/wasmtime, a process ── pipes ──> Load, Run, Call
//
// wasmtime needs cgo, so it lives in a module of its own and in another process.
// Nothing that is shipped imports this.
package oracle

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Oracle is the other process, with one module loaded.
type Oracle struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *gob.Encoder
	dec *gob.Decoder
}

// request and response are those of build/bench/wasmtime.
type request struct {
	Do     string
	Code   []byte
	Meter  bool
	Export string
	Arg    []byte
	Times  int
	Args   []uint64
	Set    map[string]int64
	Data   map[uint64][]byte
}

type response struct {
	Error, Trap string
	Reply       []byte
	Used, CPU   int64
	Results     []uint64
	Memory      []byte
	Pages       uint64
	Globals     map[string]uint64
}

// Program is the environment variable that names the program, for tests that ask
// wasmtime only where it is there.
const Program = "ASHLAR_WASMTIME"

// Build makes the program in dir; root is the folder of go.mod.
func Build(root, dir string) (program string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "wasmtime")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join(root, "build", "bench", "wasmtime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the peer wasmtime: %w\n%s\n  it needs a C compiler: apt-get install gcc libc6-dev", err, out)
	}
	return program, nil
}

// Start the program that Build made.
func Start(program string) (*Oracle, error) {
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Oracle{cmd: cmd, in: in, enc: gob.NewEncoder(in), dec: gob.NewDecoder(out)}, nil
}

// Close ends the process.
func (o *Oracle) Close() error { return errors.Join(o.in.Close(), o.cmd.Wait()) }

func (o *Oracle) do(q request) (a response, err error) {
	if err = o.enc.Encode(&q); err == nil {
		err = o.dec.Decode(&a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		err = fmt.Errorf("wasmtime: %s: %w", q.Do, err)
	}
	return a, err
}

// Load a module and instantiate it. Metered: in the shape of DFINITY's replica,
// and with canonical NaNs.
func (o *Oracle) Load(code []byte, metered bool) error {
	_, err := o.do(request{Do: "load", Code: code, Meter: metered})
	return err
}

// Reply is what an entry point of a canister did.
type Reply struct {
	Data []byte // of the last run
	Trap string
	CPU  time.Duration // of the thread, for all runs
}

// Run an entry point of a canister so many times in a row.
func (o *Oracle) Run(export string, arg []byte, times int) (Reply, error) {
	a, err := o.do(request{Do: "run", Export: export, Arg: arg, Times: times})
	return Reply{a.Reply, a.Trap, time.Duration(a.CPU)}, err
}

// State is what a call left.
type State struct {
	Trap    string
	Results []uint64
	Memory  []byte // without the zeros at its end
	Pages   uint64
	Globals map[string]uint64 // the exported ones
}

// Call a function; set are exported globals to set before, and data is what to write into the memory.
func (o *Oracle) Call(export string, set map[string]int64, data map[uint64][]byte, args ...uint64) (State, error) {
	a, err := o.do(request{Do: "call", Export: export, Args: args, Set: set, Data: data})
	return State{a.Trap, a.Results, a.Memory, a.Pages, a.Globals}, err
}
