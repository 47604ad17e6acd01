package candid

import (
	"strings"
	"testing"
	"time"
)

// FuzzDecode looks for messages that panic, take long, or change when encoded again.
func FuzzDecode(f *testing.F) {
	f.Add(Marshal(sample(), "text", true), uint8(0))
	f.Add([]byte("DIDL\x02\x6e\x01\x6c\x02\xa0\xd2\xac\xa8\x04\x7c\x90\xed\xda\xe7\x04\x00\x01\x00\x01\x01\x01\x02\x00"), uint8(1))
	f.Add([]byte("DIDL\x01\x6a\x00\x00\x01\x01\x01\x00\x01\x01\x00\x01f"), uint8(2))
	list := &Type{Kind: Opt}
	list.Elem = RecordOf(F("head", Prim(Int)), F("tail", list))
	wants := [][]*Type{{For[install](), Prim(Text)}, {list}, {OptOf(FuncOf(nil, []*Type{list}, Query))}, {Prim(Reserved)},
		{OptOf(VecOf(OptOf(VecOf(OptOf(Prim(Nat))))))}, nil}
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		start := time.Now()
		want := wants[int(which)%len(wants)]
		values, err := Decode(raw, want, DefaultLimits(len(raw)))
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("%d bytes took %v", len(raw), took)
		}
		if own, err := Types(raw); err == nil { // at the types that the message claims
			_, _ = Decode(raw, own, DefaultLimits(len(raw)))
		}
		if err != nil {
			return
		}
		again, err := Encode(want, values)
		if err != nil {
			t.Fatalf("%v does not encode: %v", values, err)
		}
		back, err := Decode(again, want, Limits{1 << 30, 1 << 30, maxDepth})
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		for i := range values {
			if !Equal(values[i], back[i]) {
				t.Fatalf("%v became %v", values[i], back[i])
			}
		}
	})
}

// A large module passes beside a field that nobody asked for.
func TestLargeBlobs(t *testing.T) {
	raw := Marshal(struct {
		Wasm  []byte `candid:"wasm_module"`
		Other []byte `candid:"other"`
	}{make([]byte, 2<<20), make([]byte, 1<<20)})
	var out struct {
		Wasm []byte `candid:"wasm_module"`
	}
	if err := Unmarshal(raw, &out); err != nil || len(out.Wasm) != 2<<20 {
		t.Errorf("%d bytes, %v", len(out.Wasm), err)
	}
}

// Types that would make the decoder loop are refused or bounded.
func TestDeepValues(t *testing.T) {
	deep := "DIDL\x01\x6e\x00\x01\x00" + strings.Repeat("\x01", 1<<16) + "\x00"
	self := &Type{Kind: Opt}
	self.Elem = self
	if _, err := Decode([]byte(deep), []*Type{self}, DefaultLimits(len(deep))); err == nil {
		t.Error("65536 opts in each other were accepted")
	}
	if _, err := Decode([]byte(deep), nil, DefaultLimits(len(deep))); err == nil {
		t.Error("65536 opts in each other were skipped")
	}
}
