// Command wasmtime runs Wasm on wasmtime for whoever starts it: the peer of the
// figures of execution, and the oracle of the fuzz test of replica/execution/wasm.
//
//	stdin ── Request ──> load | run | call ── Response, CPU time ──> stdout   (gob)
//
// It is a module of its own, since wasmtime needs cgo: the product has none, and
// knows nothing of this. A module is loaded as it is, or metered as DFINITY's
// replica does it (dfinity.go) with NaNs made canonical by wasmtime's own option.
package main

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// Request is one order. Callers have the same type: the two modules share no code.
type Request struct {
	Do     string // load, run, call
	Code   []byte // load: the module
	Meter  bool   // load: meter it, and canonicalise NaNs
	Export string // run: () -> (); call: any
	Arg    []byte // run: what ic0.msg_arg_data_copy gives
	Times  int    // run: so many in a row; the reply is the last one's
	Args   []uint64
	Set    map[string]int64  // call: exported globals to set before
	Data   map[uint64][]byte // call: what to write into the memory before
}

// Response to it.
type Response struct {
	Error   string // the order makes no sense: nothing was run
	Trap    string
	Reply   []byte // run
	Used    int64  // run, of a metered module: instructions
	CPU     int64  // run: nanoseconds of this thread
	Results []uint64
	Memory  []byte // call: without the zeros at its end
	Pages   uint64
	Globals map[string]uint64 // call: those exported
}

func main() {
	runtime.LockOSThread() // CPU time is that of the thread
	if err := serve(os.Stdin, os.Stdout); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "wasmtime:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	buffered := bufio.NewWriter(out)
	dec, enc := gob.NewDecoder(bufio.NewReader(in)), gob.NewEncoder(buffered)
	var m *machine
	for {
		var q Request
		if err := dec.Decode(&q); err != nil {
			return err
		}
		var a Response
		var err error
		switch {
		case q.Do == "load":
			if m != nil {
				m.close()
			}
			m, err = load(&q)
		case m == nil:
			err = errors.New("no module is loaded")
		case q.Do == "run":
			err = m.run(&q, &a)
		case q.Do == "call":
			err = m.call(&q, &a)
		default:
			err = fmt.Errorf("unknown order %q", q.Do)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := errors.Join(enc.Encode(&a), buffered.Flush()); err != nil {
			return err
		}
	}
}
