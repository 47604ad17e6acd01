package candid

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"ashlar/replica/ic"
)

type upgradeOptions struct {
	SkipPreUpgrade *bool `candid:"skip_pre_upgrade"`
}

type mode struct {
	OneOf
	Install *Unit            `candid:"install"`
	Upgrade **upgradeOptions `candid:"upgrade"`
}

type install struct {
	Mode     mode           `candid:"mode"`
	Canister ic.CanisterID  `candid:"canister_id"`
	Wasm     []byte         `candid:"wasm_module"`
	Cycles   *ic.Cycles     `candid:"amount"`
	Hash     [3]byte        `candid:"hash"`
	Others   []ic.Principal `candid:"controllers"`
	Pair     struct {
		A Natural `candid:"0"`
		B Integer `candid:"1"`
	} `candid:"pair"`
	Next *install `candid:"next"`
}

func sample() install {
	skip := true
	opts := &upgradeOptions{&skip}
	amount := ic.Cycles{Hi: 5, Lo: 6}
	in := install{Mode: mode{Upgrade: &opts}, Canister: ic.CanisterIDFromUint64(7), Wasm: []byte("\x00asm"), Cycles: &amount,
		Hash: [3]byte{1, 2, 3}, Others: []ic.Principal{ic.Anonymous, ic.Management}}
	in.Pair.A = Nat64Of(1 << 63)
	in.Pair.B = Integer{big.NewInt(-1)}
	in.Pair.B.Lsh(in.Pair.B.Int, 200)
	in.Next = &install{Mode: mode{Install: &Unit{}}}
	return in
}

func TestMarshalRoundTrip(t *testing.T) {
	in := sample()
	raw := Marshal(in, "text", true)
	var out install
	var s string
	var b bool
	if err := Unmarshal(raw, &out, &s, &b); err != nil {
		t.Fatal(err)
	}
	if s != "text" || !b {
		t.Errorf("got %q %v", s, b)
	}
	if !bytes.Equal(Marshal(out, s, b), raw) {
		t.Errorf("not the same bytes after a round trip: %+v", out)
	}
	if out.Pair.B.Cmp(in.Pair.B.Int) != 0 || *out.Cycles != *in.Cycles || out.Canister != in.Canister || !*(*out.Mode.Upgrade).SkipPreUpgrade {
		t.Errorf("values changed: %+v", out)
	}
	if out.Next == nil || out.Next.Mode.Install == nil || out.Next.Mode.Upgrade != nil {
		t.Errorf("nested record changed: %+v", out.Next)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tooMany := Marshal(Natural{new(big.Int).Lsh(big.NewInt(1), 128)})
	for name, c := range map[string]struct {
		raw  []byte
		into any
		want string
	}{
		"cycles of 129 bits":   {tooMany, new(ic.Cycles), "not an amount of cycles"},
		"blob of a wrong size": {Marshal([]byte{1}), new([3]byte), "1 bytes, want 3"},
		"a missing field": {Marshal(struct{}{}), new(struct {
			A string `candid:"a"`
		}), "field a: a required text is missing"},
		"another type":     {Marshal("x"), new(bool), "found text where bool was asked for"},
		"a cut message":    {Marshal("x")[:7], new(string), "ends too early"},
		"a long principal": {append([]byte("DIDL\x00\x01\x68\x01\x1e"), make([]byte, 30)...), new(ic.Principal), "limit is 29"},
	} {
		if err := Unmarshal(c.raw, c.into); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// The numbers at the edges of their LEB128 groups, in both directions.
func TestBigNumbers(t *testing.T) {
	for bit := uint(0); bit < 300; bit++ {
		for _, off := range []int64{-1, 0, 1} {
			v := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bit), big.NewInt(off))
			neg := new(big.Int).Neg(v)
			raw := Marshal(Natural{v}, Integer{v}, Integer{neg})
			var n Natural
			var i, j Integer
			if err := Unmarshal(raw, &n, &i, &j); err != nil {
				t.Fatalf("2^%d%+d: %v", bit, off, err)
			}
			if n.Cmp(v) != 0 || i.Cmp(v) != 0 || j.Cmp(neg) != 0 {
				t.Fatalf("2^%d%+d: got %s %s %s", bit, off, n, i, j)
			}
		}
	}
}

func TestKnownBytes(t *testing.T) {
	for want, args := range map[string][]any{
		"4449444c0000":               {},
		"4449444c00017d2a":           {Nat64Of(42)},
		"4449444c00017102c3a9":       {"é"},
		"4449444c016d7b010003010203": {[]byte{1, 2, 3}},
		"4449444c0001680100":         {ic.Management},
		"4449444c016e7c010001ff7e":   {&Integer{big.NewInt(-129)}},
		"4449444c016c01617e010001": {struct {
			A bool `candid:"a"`
		}{true}},
	} {
		if got := hex.EncodeToString(Marshal(args...)); got != want {
			t.Errorf("%v: got %s, want %s", args, got, want)
		}
	}
}

// A message cannot make the decoder work more than its size allows.
func TestQuota(t *testing.T) {
	billion := "\x80\x94\xeb\xdc\x03"
	for name, raw := range map[string]string{
		"vec null, not asked for":     "DIDL\x01\x6d\x7f\x01\x00" + billion,
		"vec reserved, not asked for": "DIDL\x01\x6d\x70\x01\x00" + billion,
	} {
		if _, err := Decode([]byte(raw), nil, DefaultLimits(len(raw))); err != errSkip && (err == nil || !strings.Contains(err.Error(), errSkip.Error())) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw := []byte("DIDL\x01\x6d\x7f\x01\x00" + billion)
	want := []*Type{VecOf(OptOf(Prim(Nat)))}
	if _, err := Decode(raw, want, DefaultLimits(len(raw))); err == nil || !strings.Contains(err.Error(), errCost.Error()) {
		t.Errorf("vec null, asked for: %v", err)
	}
}
