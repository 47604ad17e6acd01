package cbor

import (
	"bytes"
	"testing"
)

// A head is read as it was written, and the library writes the same.
func TestHead(t *testing.T) {
	for _, n := range []uint64{0, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 1} {
		raw := AppendHead(nil, Nat, n)
		if want := Plain(n); !bytes.Equal(raw, want) || len(raw) != HeadBytes(n) {
			t.Errorf("%d is %x, want %x", n, raw, want)
		}
		if major, back, size := ReadHead(append(raw, 1)); major != Nat || back != n || size != len(raw) {
			t.Errorf("%x is %d of major type %d in %d bytes", raw, back, major, size)
		}
		for i := range raw {
			if _, _, size := ReadHead(raw[:i]); size != 0 {
				t.Errorf("%x cut to %d bytes is a head", raw, i)
			}
		}
	}
	if _, _, size := ReadHead([]byte{Bytes<<5 | 31}); size != 0 {
		t.Error("a string of indefinite length has a head")
	}
	long := bytes.Repeat([]byte("a"), 300)
	if got := AppendBytes(nil, long); !bytes.Equal(got, Plain(long)) {
		t.Errorf("bytes are %x", got)
	}
	if got := AppendText(AppendTag(nil), string(long)); !bytes.Equal(got, Marshal(string(long))) || !bytes.Equal(TrimTag(got), Plain(string(long))) {
		t.Errorf("text is %x", got)
	}
	if got := TrimTag(long); len(got) != len(long) {
		t.Error("more than a tag was taken away")
	}
}
