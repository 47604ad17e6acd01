package wasm

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"ashlar/build/bench/oracle"
)

// opinion is wasmtime's, which needs cgo and lives in another process.
type opinion struct{ *oracle.Oracle }

var startOracle = sync.OnceValues(func() (*oracle.Oracle, error) { return oracle.Start(os.Getenv(oracle.Program)) })

// secondOpinion is nil where there is none.
func secondOpinion(t *testing.T) *opinion {
	if os.Getenv(oracle.Program) == "" {
		return nil
	}
	o, err := startOracle()
	if err != nil {
		t.Fatal(err)
	}
	return &opinion{o}
}

func (o *opinion) original(t *testing.T, code []byte) behaviour {
	return o.observe(t, code, nil, nil)
}

func (o *opinion) rewritten(t *testing.T, code []byte) behaviour {
	p, err := prepare(code, options{})
	if err != nil {
		t.Fatal(err)
	}
	data := map[uint64][]byte{}
	for _, d := range p.Data {
		data[d.Offset] = d.Bytes
	}
	return o.observe(t, p.Code, map[string]int64{ExportCounter: oracleSlice, ExportDepth: DepthBudget, ExportCause: 0}, data)
}

const oracleSlice = 1 << 40 // instructions: the generated programs need no second slice

func (o *opinion) observe(t *testing.T, code []byte, set map[string]int64, data map[uint64][]byte) (b behaviour) {
	if err := o.Load(code, false); err != nil {
		t.Fatal(err)
	}
	s, err := o.Call("f", set, data, behaviourArgs...)
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		b.used = oracleSlice - s.Globals[ExportCounter]
	}
	if s.Trap != "" {
		b.trap = "wasm error: " + s.Trap
		if set != nil && s.Globals[ExportCause] == causeHeap {
			b.trap = "wasm error: out of bounds memory access"
		}
		return b
	}
	b.results = fmt.Sprintf("%x", s.Results)
	b.state = fmt.Sprintf("%d %x", s.Pages<<16, s.Memory)
	for i := range 4 {
		b.state += fmt.Sprintf(" %x", s.Globals[fmt.Sprint("g", i)])
	}
	return b
}
