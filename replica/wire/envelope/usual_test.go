package envelope

import (
	"bytes"
	"reflect"
	"testing"

	"ashlar/replica/wire/cbor"
)

// sameAsAny tells whether readUsual took a request, and fails if the library reads it
// otherwise.
func sameAsAny(t *testing.T, raw []byte) bool {
	t.Helper()
	usual, ok := readUsual(raw)
	if !ok {
		return false
	}
	any, has, err := readAny(raw)
	if err != nil {
		t.Fatalf("%x is no request: %v", raw, err)
	}
	if err := has.check(Call); err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	if !reflect.DeepEqual(usual, any) {
		t.Fatalf("%x: got %+v, want %+v", raw, usual, any)
	}
	return true
}

// What clients send is of the usual form, and what is not quite that is left to the library.
func TestUsual(t *testing.T) {
	c := content(Call)
	c.Nonce = []byte{1, 2}
	long := content(Query)
	long.Arg = make([]byte, 70_000)
	delegated := user{Identity: key(t, 1)}.to(t, key(t, 2), nil).to(t, key(t, 3), nil)
	for name, raw := range map[string][]byte{
		"signed": seal(t, c, user{Identity: key(t, 1)}), "anonymous": seal(t, c, anonymous{}), "delegated": seal(t, c, delegated), "long": seal(t, long, anonymous{}),
		"without the tag": cbor.TrimTag(seal(t, c, delegated)),
	} {
		if !sameAsAny(t, raw) {
			t.Errorf("%s: left to the library", name)
		}
		for i := range min(len(raw), 600) { // cut short, and with each byte changed
			sameAsAny(t, raw[:i])
			for _, x := range []byte{1, 0x20, 0x80} {
				odd := bytes.Clone(raw)
				odd[i] ^= x
				sameAsAny(t, odd)
			}
		}
		if sameAsAny(t, append(bytes.Clone(raw), 0)) {
			t.Errorf("%s: a byte behind was taken", name)
		}
	}
	targets := user{Identity: key(t, 1)}.to(t, key(t, 2), func(d *Delegation) { d.Targets = [][]byte{{1}} })
	informed := c
	informed.SenderInfo = &SenderInfo{Info: []byte{1}}
	for name, raw := range map[string][]byte{"read_state": seal(t, content(ReadState), anonymous{}), "targets": seal(t, c, targets), "sender_info": seal(t, informed, anonymous{})} {
		if sameAsAny(t, raw) {
			t.Errorf("%s: a field was left out", name)
		}
	}
}

func FuzzUsual(f *testing.F) {
	u := user{Identity: key(f, 1)}.to(f, key(f, 2), nil)
	f.Add(seal(f, content(Call), u))
	f.Add(seal(f, content(Query), anonymous{}))
	f.Fuzz(func(t *testing.T, raw []byte) { sameAsAny(t, raw) })
}

func BenchmarkParse(b *testing.B) {
	c := content(Call)
	c.Arg = make([]byte, 100)
	raw := seal(b, c, user{Identity: key(b, 1)})
	for b.Loop() {
		if _, err := Parse(raw, Call); err != nil {
			b.Fatal(err)
		}
	}
}
