package wasm

import (
	"reflect"
	"testing"
)

// counter is a small module: an exported function that returns.
var counter = []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01" +
	"\x07\x17\x01\x13canister_update run\x00\x00\x0a\x04\x01\x02\x00\x0b")

// What is read back is what was prepared; what is damaged is an error.
func FuzzDecode(f *testing.F) {
	p, err := Prepare(counter, nil)
	if err != nil {
		f.Fatal(err)
	}
	b, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	again, err := Decode(b)
	if err != nil {
		f.Fatal(err)
	}
	if !reflect.DeepEqual(again.Info, p.Info) || string(again.Code) != string(p.Code) || again.MinPages != p.MinPages || again.FuncName(0) != p.FuncName(0) {
		f.Errorf("%+v is read back as %+v", p, again)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Decode(b); (p == nil) == (err == nil) {
			t.Errorf("%v, %v", p, err)
		}
	})
}
