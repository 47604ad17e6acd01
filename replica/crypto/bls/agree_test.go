package bls

import (
	"bytes"
	"fmt"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// cases of subnets: a threshold, holders, and how many of them may be faulty.
var agreeing = []struct{ t, n, spare int }{{2, 4, 1}, {3, 4, 1}, {3, 7, 2}, {5, 7, 2}, {5, 13, 4}, {9, 13, 4}, {1, 3, 1}}

func sharesOf(t testing.TB, seed string, k, n int, message []byte) (*Group, []*SecretKey, []Share) {
	t.Helper()
	g, keys, err := Deal(newStream(seed), k, n)
	if err != nil {
		t.Fatal(err)
	}
	var shares []Share
	for i, key := range keys {
		shares = append(shares, Share{i, key.Sign(message)})
	}
	return g, keys, shares
}

// Without those that are down, what is left agrees on the one signature.
func TestAgree(t *testing.T) {
	message := []byte("round 9")
	for _, c := range agreeing {
		g, _, shares := sharesOf(t, "agree", c.t, c.n, message)
		want, _, err := g.Combine(message, shares)
		if err != nil {
			t.Fatal(err)
		}
		need := c.t + c.spare
		for first := 0; first+need <= c.n; first++ {
			some := append([]Share(nil), shares[first:first+need]...)
			some[0], some[need-1] = some[need-1], some[0]
			got, ok := g.Agree(some, c.spare)
			if !ok || !bytes.Equal(got, want) {
				t.Errorf("%d of %d, %d spare, from %d on: %v", c.t, c.n, c.spare, first, ok)
			}
			if _, ok := g.Agree(some[:need-1], c.spare); ok {
				t.Errorf("%d of %d, %d spare: %d shares agreed", c.t, c.n, c.spare, need-1)
			}
		}
	}
}

// All pairs of the four nodes that a subnet may lose one of, with a gap or without.
func TestAgreeWithGaps(t *testing.T) {
	message := []byte("round 10")
	g, _, shares := sharesOf(t, "gaps", 2, 4, message)
	want, _, _ := g.Combine(message, shares)
	for down := range 4 {
		some := append(append([]Share(nil), shares[:down]...), shares[down+1:]...)
		if got, ok := g.Agree(some, 1); !ok || !bytes.Equal(got, want) {
			t.Errorf("without %d: %v", down, ok)
		}
	}
}

// As many false shares as there are spare ones never pass, whatever they are.
func TestAgreeRefuses(t *testing.T) {
	message := []byte("round 11")
	for _, c := range agreeing {
		g, keys, shares := sharesOf(t, "refuse", c.t, c.n, message)
		need := c.t + c.spare
		for name, bad := range map[string]func(i int) []byte{
			"of another message":   func(i int) []byte { return keys[i].Sign([]byte("other")) },
			"of another holder":    func(i int) []byte { return keys[(i+1)%c.n].Sign(message) },
			"negated":              func(i int) []byte { s := bytes.Clone(shares[i].Signature); s[0] ^= 0x20; return s },
			"identity":             func(int) []byte { return append([]byte{0xc0}, make([]byte, 47)...) },
			"outside the subgroup": func(int) []byte { return outsideSubgroup(t) },
			"cut":                  func(i int) []byte { return shares[i].Signature[:47] },
			"empty":                func(int) []byte { return nil },
		} {
			for at := range need {
				for count := 1; count <= c.spare && at+count <= need; count++ {
					some := append([]Share(nil), shares[:need]...)
					for i := at; i < at+count; i++ {
						some[i].Signature = bad(i)
					}
					if c.n == 3 && name == "of another holder" { // a threshold of one: all have the same
						continue
					}
					if sig, ok := g.Agree(some, c.spare); ok {
						t.Errorf("%d of %d: %d shares from %d on, %s: agreed on %x", c.t, c.n, count, at, name, sig)
					}
				}
			}
		}
	}
}

// A right share with a part of small order added: some factors make it vanish, and what
// comes out must still be the signature or nothing.
func TestAgreeSmallOrder(t *testing.T) {
	message := []byte("round 12")
	three := orderThree(t)
	for _, c := range agreeing {
		g, _, shares := sharesOf(t, "small", c.t, c.n, message)
		want, _, _ := g.Combine(message, shares)
		need := c.t + c.spare
		agreed := 0
		for at := range need {
			some := append([]Share(nil), shares[:need]...)
			p, _ := parsePoint(some[at].Signature)
			p.Add(p, three)
			b := p.Bytes()
			some[at].Signature = b[:]
			sig, ok := g.Agree(some, c.spare)
			if ok && !bytes.Equal(sig, want) {
				t.Errorf("%d of %d: another signature came out", c.t, c.n)
			}
			if ok {
				agreed++
			}
		}
		t.Logf("%d of %d: %d of %d agreed", c.t, c.n, agreed, need)
	}
}

// orderThree is a point of order 3: (0, 2) on y^2 = x^3 + 4.
func orderThree(t *testing.T) *curve.G1Affine {
	p := new(curve.G1Affine)
	p.Y.SetUint64(2)
	var twice curve.G1Affine
	twice.Double(p)
	if !p.IsOnCurve() || !twice.Equal(new(curve.G1Affine).Neg(p)) {
		t.Fatal("not of order 3")
	}
	return p
}

func TestAgreeLimits(t *testing.T) {
	message := []byte("round 13")
	g, _, shares := sharesOf(t, "limits", 2, 4, message)
	for name, some := range map[string][]Share{
		"twice the same holder": {shares[0], shares[0], shares[1]},
		"nobody":                {shares[0], shares[1], {4, shares[2].Signature}},
		"less than nobody":      {{-1, shares[2].Signature}, shares[0], shares[1]},
	} {
		if _, ok := g.Agree(some, 1); ok {
			t.Errorf("%s: agreed", name)
		}
	}
	if _, ok := g.Agree(shares, 0); ok {
		t.Error("agreed with none to spare: nothing was proved")
	}
	if _, ok := g.Agree(shares, -1); ok {
		t.Error("agreed with less than nothing")
	}
	big, _, many := sharesOf(t, "limits", 14, 40, message)
	if _, ok := big.Agree(many, 13); ok {
		t.Error("27 shares are more than is worth it")
	}
	for i := range 3 * maxAccounts { // other sets of holders do not pile up
		g.accounts.of([]byte{byte(i), byte(i + 1), byte(i + 2)}, 1)
	}
	if n := len(g.accounts.all); n > maxAccounts {
		t.Errorf("%d accounts are kept", n)
	}
}

// The factors do what they are said to, for any polynomial.
func TestFactors(t *testing.T) {
	for _, c := range agreeing {
		poly := make([]fr.Element, c.t)
		for i := range poly {
			poly[i].SetUint64(uint64(7*i*i + 3*i + 11))
		}
		holders := make([]byte, c.t+c.spare)
		for i := range holders {
			holders[i] = byte(i + i/3) // gaps
		}
		acc := newAccount(holders, c.spare)
		if acc == nil {
			t.Logf("%d of %d: the factors are too large with gaps", c.t, c.n)
			continue
		}
		value := func(h byte) (y fr.Element) {
			var x fr.Element
			x.SetUint64(uint64(h) + 1)
			for j := len(poly) - 1; j >= 0; j-- {
				y.Mul(&y, &x).Add(&y, &poly[j])
			}
			return y
		}
		sum := func(factors []int64) (s fr.Element) {
			for i, f := range factors {
				var k fr.Element
				y := value(holders[i])
				k.SetInt64(f)
				s.Add(&s, y.Mul(&y, &k))
			}
			return s
		}
		for _, f := range acc.checks {
			if s := sum(f); !s.IsZero() {
				t.Errorf("%v: factors %v", holders, f)
			}
		}
		if s := sum(acc.join); !s.Equal(&poly[0]) {
			t.Errorf("%v: join %v", holders, acc.join)
		}
	}
}

func BenchmarkAgree(b *testing.B) {
	message := []byte("message")
	for _, c := range agreeing[:6] {
		g, _, shares := sharesOf(b, "bench", c.t, c.n, message)
		b.Run(fmt.Sprintf("agree/%d of %d", c.t, c.n), func(b *testing.B) {
			for b.Loop() {
				if _, ok := g.Agree(shares, c.spare); !ok {
					b.Fatal("they do not agree")
				}
			}
		})
		b.Run(fmt.Sprintf("combine/%d of %d", c.t, c.n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := g.Combine(message, shares); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Shares with both coordinates are the same points, and nothing else passes for one.
func TestShareForms(t *testing.T) {
	message := []byte("round 14")
	g, keys, short := sharesOf(t, "forms", 3, 4, message)
	want, _, err := g.Combine(message, short)
	if err != nil {
		t.Fatal(err)
	}
	var long []Share
	for i, k := range keys {
		long = append(long, Share{i, k.SignShare(message)})
		a, err := parseShare(long[i].Signature)
		b, _ := parsePoint(short[i].Signature)
		if err != nil || !a.Equal(b) {
			t.Fatalf("share %d is another point: %v", i, err)
		}
	}
	if got, bad, err := g.Combine(message, long); err != nil || len(bad) > 0 || !bytes.Equal(got, want) {
		t.Errorf("combined: bad %v, %v", bad, err)
	}
	if got, ok := g.Agree([]Share{short[0], long[1], long[2], short[3]}, 1); !ok || !bytes.Equal(got, want) {
		t.Error("both forms do not agree")
	}
	good := long[0].Signature
	change := func(f func(b []byte)) []byte { b := bytes.Clone(good); f(b); return b }
	p, q := fp.Modulus().Bytes(), make([]byte, 96)
	for name, bad := range map[string][]byte{
		"compressed flag":   change(func(b []byte) { b[0] |= 0x80 }),
		"infinity flag":     change(func(b []byte) { b[0] |= 0x40 }),
		"sign flag":         change(func(b []byte) { b[0] |= 0x20 }),
		"infinity":          q,
		"marked infinity":   append([]byte{0x40}, q[1:]...),
		"off the curve":     change(func(b []byte) { b[95] ^= 1 }),
		"x is the modulus":  change(func(b []byte) { copy(b, p[:]) }),
		"y is the modulus":  change(func(b []byte) { copy(b[48:], p[:]) }),
		"all ones":          bytes.Repeat([]byte{0x1f}, 96),
		"a byte more":       append(bytes.Clone(good), 0),
		"a byte less":       good[:95],
		"first coordinate":  good[:48],
		"second coordinate": good[48:],
	} {
		if _, err := parseShare(bad); err == nil {
			t.Errorf("%s was read", name)
		}
		some := append([]Share{{0, bad}}, long[1:]...)
		if _, ok := g.Agree(some, 1); ok {
			t.Errorf("%s: agreed", name)
		}
		if _, blamed, err := g.Combine(message, some); err != nil || len(blamed) != 1 || blamed[0] != 0 {
			t.Errorf("%s: blamed %v, %v", name, blamed, err)
		}
	}
	neg := change(func(b []byte) {
		var s curve.G1Affine
		a, _ := parseShare(b)
		s.Neg(a)
		raw := s.RawBytes()
		copy(b, raw[:])
	})
	if _, ok := g.Agree(append([]Share{{0, neg}}, long[1:]...), 1); ok {
		t.Error("the negative agreed")
	}
	if err := g.Holders[0].Verify(message, good); err == nil {
		t.Error("a share with both coordinates passed for a signature")
	}
}

// Who is alone makes a signature of its share.
func TestAgreeAlone(t *testing.T) {
	g, keys, short := sharesOf(t, "alone", 1, 1, []byte("m"))
	for _, s := range []Share{short[0], {0, keys[0].SignShare([]byte("m"))}} {
		sig, ok := g.Agree([]Share{s}, 0)
		if !ok || g.Key.Verify([]byte("m"), sig) != nil {
			t.Error("one share of one is no signature")
		}
	}
	if _, ok := g.Agree([]Share{{0, outsideSubgroup(t)}}, 0); ok {
		t.Error("a point outside of the subgroup became a signature")
	}
	if _, ok := g.Agree([]Share{{1, short[0].Signature}}, 0); ok {
		t.Error("a share of nobody became a signature")
	}
}
