package ic

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrincipalText(t *testing.T) {
	for _, c := range []struct{ raw, text string }{
		{"", "aaaaa-aa"},
		{"\x04", "2vxsx-fae"},
		{"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01", "rwlgt-iiaaa-aaaaa-aaaaa-cai"},
		{"\xab\xcd\x01", "em77e-bvlzu-aq"},
	} {
		if got := Principal(c.raw).String(); got != c.text {
			t.Errorf("%x: got %s, want %s", c.raw, got, c.text)
		}
		if p, err := ParsePrincipal(c.text); err != nil || p != Principal(c.raw) {
			t.Errorf("%s: got %x, %v", c.text, string(p), err)
		}
	}
	for _, bad := range []string{"", "aaaaa", "2vxsx-faf", "2vxsxfae", "2VXSX-fae", "rwlgt-iiaaa-aaaaa-aaaaa-caj"} {
		if _, err := ParsePrincipal(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestCycles(t *testing.T) {
	most := Cycles{^uint64(0), ^uint64(0)}
	if most.Add(NewCycles(1)) != most {
		t.Error("Add does not saturate")
	}
	if _, ok := NewCycles(1).Sub(NewCycles(2)); ok {
		t.Error("1-2 is an amount")
	}
	if got := (Cycles{1, 0}).Mul(3).Div(3); got != (Cycles{1, 0}) {
		t.Errorf("2^64*3/3 = %s", got)
	}
	if got, err := CyclesFromBig(most.Big()); err != nil || got != most {
		t.Errorf("round trip: %s, %v", got, err)
	}
}

func TestCanisterID(t *testing.T) {
	id := CanisterIDFromUint64(7)
	if n, ok := id.Uint64(); !ok || n != 7 {
		t.Errorf("got %d, %v", n, ok)
	}
}

// A long text loses its middle, and no character loses a byte.
func TestShorten(t *testing.T) {
	const limit = 8 << 10
	long := strings.Repeat("a", limit) + strings.Repeat("z", limit)
	for _, c := range []struct {
		what, got  string
		head, tail string
		size       int
	}{
		{"a text that fits", (&UserError{Message: long[:limit]}).Reject().Message, long[:limit], "", limit},
		{"a text of the network", (&UserError{Message: long}).Reject().Message, long[:limit/2] + "...z", "z", limit},
		{"a canister's text, to a canister", (&Reject{Message: long}).ToCanister().Message, long[:limit*3/4] + "...z", "z", limit},
		{"characters of two bytes", (&UserError{Message: strings.Repeat("é", limit)}).Reject().Message, strings.Repeat("é", limit/4) + "...é", "é", limit - 1},
		{"and off by one", (&UserError{Message: "a" + strings.Repeat("é", limit)}).Reject().Message, "a" + strings.Repeat("é", limit/4-1) + "...é", "é", limit - 2},
	} {
		if len(c.got) != c.size || !strings.HasPrefix(c.got, c.head) || !strings.HasSuffix(c.got, c.tail) || !utf8.ValidString(c.got) {
			t.Errorf("%s: %d bytes, want %d", c.what, len(c.got), c.size)
		}
	}
	if r := (&Reject{Message: long}); r.ToCanister() == r || len(r.Message) != 2*limit {
		t.Error("what a user sees of a canister's text is short too")
	}
}
