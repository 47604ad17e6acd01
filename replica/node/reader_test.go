package node

import (
	"fmt"
	"testing"

	"ashlar/replica/ic"
)

// What was read is found by its very bytes, and the oldest goes first.
func TestReader(t *testing.T) {
	r := newReader()
	call := func(i int) []byte { return fmt.Appendf(nil, "call %d", i) }
	for i := range maxRead + 3 {
		r.remember(call(i), &ic.Ingress{Method: string(call(i))})
	}
	for i := range maxRead + 3 {
		switch m := r.find(call(i)); {
		case i < 3 && m != nil:
			t.Errorf("call %d is not forgotten", i)
		case i >= 3 && (m == nil || m.Method != string(call(i))):
			t.Errorf("call %d gives %v", i, m)
		}
	}
	if r.find([]byte("call")) != nil {
		t.Error("a call that never came is known")
	}
	r.remember(make([]byte, maxReadBytes), &ic.Ingress{})
	if len(r.calls) != 1 || len(r.order) != 1 || r.bytes != maxReadBytes {
		t.Errorf("%d calls, %d bytes", len(r.calls), r.bytes)
	}
}
