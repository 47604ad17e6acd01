package dkg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// fields of a dealing, each with its place.
func fields(sh shape) map[string][3]int { // first byte, element size, elements
	return map[string][3]int{
		"A":  {sh.commitment(), g2Bytes, sh.t},
		"R":  {sh.randomizers(), g1Bytes, chunks},
		"C":  {sh.ciphertexts(), g1Bytes, chunks * sh.n},
		"y0": {sh.firstMove(), g1Bytes, 1},
		"B":  {sh.firstMove() + g1Bytes, g1Bytes, repetitions},
		"E":  {sh.firstMove() + (1+repetitions)*g1Bytes, g1Bytes, repetitions},
		"D":  {sh.secondMove(), g1Bytes, sh.n + 1},
		"Y":  {sh.secondMove() + (sh.n+1)*g1Bytes, g1Bytes, 1},
		"zs": {sh.masked(), 8, repetitions},
		"zr": {sh.responses(), fr.Bytes, sh.n},
		"zb": {sh.responses() + sh.n*fr.Bytes, fr.Bytes, 1},
		"F":  {sh.sharing(), g1Bytes, 1},
		"G":  {sh.sharing() + g1Bytes, g1Bytes, 1},
		"H":  {sh.sharing() + 2*g1Bytes, g2Bytes, 1},
		"sr": {sh.answers(), fr.Bytes, 1},
		"sa": {sh.answers() + fr.Bytes, fr.Bytes, 1},
	}
}

func dealt(t testing.TB, seed string, n int) (*Session, []byte) {
	t.Helper()
	all := people(t, seed, n)
	s := session(t, config(High, all, all))
	raw, err := s.Deal(stream(seed), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(0, raw); err != nil {
		t.Fatal(err)
	}
	return s, raw
}

// Each element of each field is replaced by another valid one: all are refused.
func TestEveryFieldIsBound(t *testing.T) {
	s, raw := dealt(t, "bound", 4)
	g, g2 := generators()
	b1, b2 := g.Bytes(), g2.Bytes()
	covered := headBytes
	for name, f := range fields(s.shape()) {
		covered += f[1] * f[2]
		for k := range f[2] {
			bad := bytes.Clone(raw)
			at := bad[f[0]+k*f[1] : f[0]+(k+1)*f[1]]
			switch f[1] {
			case g1Bytes:
				copy(at, b1[:])
			case g2Bytes:
				copy(at, b2[:])
			default:
				at[len(at)-1] ^= 1
			}
			if _, err := s.Verify(0, bad); err == nil {
				t.Errorf("%s[%d] was replaced and the dealing accepted", name, k)
			}
		}
	}
	if covered != len(raw) {
		t.Errorf("the table names %d of %d bytes", covered, len(raw))
	}
	swapped := bytes.Clone(raw) // two ciphertexts of one receiver
	copy(swapped[s.row0():], raw[s.row0()+g1Bytes:s.row0()+2*g1Bytes])
	copy(swapped[s.row0()+g1Bytes:], raw[s.row0():s.row0()+g1Bytes])
	if _, err := s.Verify(0, swapped); err == nil {
		t.Error("swapped chunks were accepted")
	}
}

func (s *Session) row0() int { return s.shape().row(0) }

// What gnark's decoders let through, and what they do not, in each field with points.
func TestBadPoints(t *testing.T) {
	s, raw := dealt(t, "points", 4)
	for name, f := range fields(s.shape()) {
		if f[1] != g1Bytes && f[1] != g2Bytes {
			continue
		}
		for kind, spoil := range map[string]func(b []byte){
			"identity":              func(b []byte) { clear(b); b[0] = 0xc0 },
			"uncompressed":          func(b []byte) { b[0] &= 0x1f },
			"uncompressed identity": func(b []byte) { clear(b); b[0] = 0x40 },
			"x not reduced":         func(b []byte) { copy(b, modulusTop(b)) },
			"not on the curve":      func(b []byte) { copy(b, offCurve(len(b))) },
			"outside the subgroup":  func(b []byte) { copy(b, outside(t, len(b))) },
		} {
			bad := bytes.Clone(raw)
			spoil(bad[f[0]+(f[2]-1)*f[1] : f[0]+f[2]*f[1]])
			if _, err := s.Verify(0, bad); err == nil || err == errG1 {
				t.Errorf("%s: %s: %v", name, kind, err)
			} else if !strings.Contains(err.Error(), "point") && !strings.Contains(err.Error(), errSubgroup.Error()) {
				t.Errorf("%s: %s was refused for another reason: %v", name, kind, err)
			} else if strings.HasPrefix(kind, "uncompressed") && !strings.Contains(err.Error(), errForm.Error()) {
				t.Errorf("%s: %s was refused for another reason: %v", name, kind, err)
			}
		}
	}
	for name, at := range map[string]int{"zs": s.shape().masked(), "zr": s.shape().responses(), "sa": s.shape().size() - 32} {
		bad := bytes.Clone(raw)
		for i := range 8 {
			bad[at+i] = 0xff
		}
		if _, err := s.Verify(0, bad); err == nil || !strings.Contains(err.Error(), "below") {
			t.Errorf("%s out of range: %v", name, err)
		}
	}
	for _, n := range []int{0, 4, 5, len(raw) - 1, len(raw) + 1} {
		if _, err := s.Verify(0, append(bytes.Clone(raw), 0)[:n]); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
	for i := range headBytes {
		bad := bytes.Clone(raw)
		bad[i]++
		if _, err := s.Verify(0, bad); err == nil {
			t.Errorf("head byte %d", i)
		}
	}
}

// modulusTop is a point with x + p where that fits, here simply the largest x.
func modulusTop(b []byte) []byte {
	p := fp.Modulus().FillBytes(make([]byte, len(b)))[len(b)-48:]
	out := append(bytes.Clone(p), b[48:]...)
	out[0] |= 0x80
	return out
}

func offCurve(n int) []byte {
	for x := byte(1); ; x++ {
		b := make([]byte, n)
		b[0], b[n-1] = 0x80, x
		var err error
		if n == g1Bytes {
			var p curve.G1Affine
			_, err = p.SetBytes(b)
		} else {
			var p curve.G2Affine
			_, err = p.SetBytes(b)
		}
		if err != nil && strings.Contains(err.Error(), "square root") {
			return b
		}
	}
}

// outside is a point of the curve that is not in the group of prime order.
func outside(t testing.TB, n int) []byte {
	if n == g1Bytes {
		p := outsideG1(t, 0)
		b := p.Bytes()
		return b[:]
	}
	for x := byte(0); x < 200; x++ {
		b := make([]byte, n)
		b[0], b[n-1] = 0x80, x
		var p curve.G2Affine
		if err := curve.NewDecoder(bytes.NewReader(b), curve.NoSubgroupChecks()).Decode(&p); err == nil && !p.IsInSubGroup() {
			return b
		}
	}
	t.Fatal("no point found")
	return nil
}

func outsideG1(t testing.TB, from uint64) curve.G1Affine {
	for x := from; x < from+100; x++ {
		var p curve.G1Affine
		var y2, four fp.Element
		p.X.SetUint64(x)
		y2.Square(&p.X).Mul(&y2, &p.X).Add(&y2, four.SetUint64(4))
		if p.Y.Sqrt(&y2) != nil && !p.IsInSubGroup() {
			return p
		}
	}
	t.Fatal("no point found")
	return curve.G1Affine{}
}

// A dealing is for one session and one dealer.
func TestReplayRefused(t *testing.T) {
	all := people(t, "replay", 5)
	base := func() *Config { return config(High, all[:4], all[:4]) }
	s := session(t, base())
	raw, err := s.Deal(stream("replay"), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(2, raw); err == nil {
		t.Error("as another dealer's")
	}
	rotated, err := GenerateKey(stream("rotated"), 2)
	if err != nil {
		t.Fatal(err)
	}
	public, err := rotated.Public(stream("p"), all[3].id)
	if err != nil {
		t.Fatal(err)
	}
	previous := run(t, session(t, base()), []int{0, 1}, nil)
	for name, change := range map[string]func(c *Config){
		"subnet":         func(c *Config) { c.Subnet.Principal = "other" },
		"target":         func(c *Config) { c.Target[31] = 1 },
		"start":          func(c *Config) { c.Start++ },
		"registry":       func(c *Config) { c.Registry++ },
		"dealers":        func(c *Config) { c.Dealers[3] = all[4].id },
		"dealers' order": func(c *Config) { c.Dealers[2], c.Dealers[3] = c.Dealers[3], c.Dealers[2] },
		"receiver":       func(c *Config) { c.Receivers[3] = all[4].public },
		"order":          func(c *Config) { c.Receivers[2], c.Receivers[3] = c.Receivers[3], c.Receivers[2] },
		"key":            func(c *Config) { c.Receivers[3] = public },
		"previous":       func(c *Config) { c.Previous = previous },
	} {
		c := base()
		change(c)
		if _, err := session(t, c).Verify(1, raw); err == nil {
			t.Errorf("another %s: accepted", name)
		}
	}
	c := base() // the same shape, another kind of key: only where the thresholds agree can it be told by the digest alone
	one := config(High, all[:1], all[:1])
	alone := session(t, one)
	if raw, err = alone.Deal(stream("one"), 0, nil); err != nil {
		t.Fatal(err)
	}
	one.Tag = Low
	if _, err := session(t, one).Verify(0, raw); err == nil {
		t.Error("a dealing of the high key passed for the low one")
	}
	if _, err := session(t, c).Verify(0, raw); err == nil {
		t.Error("a dealing for one passed for four")
	}
}

// Each equation alone refuses what the others let pass: the folded check equals all of them.
func TestEachEquation(t *testing.T) {
	s, raw := dealt(t, "equations", 4)
	sh := s.shape()
	load := func() *equations {
		c, err := decodeDealing(sh, raw)
		if err != nil {
			t.Fatal(err)
		}
		ch := s.challenges(0)
		e, x, v, w := ch.chunks(raw), ch.second(raw), ch.instance(raw), ch.sharing(raw)
		q := &equations{content: c, receivers: s.receivers, fold: ch.folding(raw), w: w, xs: powers(&x, repetitions), vs: powers(&v, sh.n)}
		q.folded = foldChallenges(e, q.xs)
		return q
	}
	g, _ := generators()
	move := func(p *curve.G1Affine) { p.Add(p, &g) }
	inc := func(s *fr.Element) { var one fr.Element; s.Add(s, one.SetOne()) }
	for name, c := range map[string]struct {
		spoil func(q *equations)
		fails string // the equations that must fail when checked one by one
	}{
		"nothing": {func(q *equations) {}, ""},
		"D[1]":    {func(q *equations) { move(&q.d[1]) }, "chunking 1"},
		"D[4]":    {func(q *equations) { move(&q.d[4]) }, "chunking 1"},
		"D[0]":    {func(q *equations) { move(&q.d[0]) }, "chunking 2"},
		"B[7]":    {func(q *equations) { move(&q.b[7]) }, "chunking 2"},
		"E[7]":    {func(q *equations) { move(&q.e[7]) }, "chunking 3"},
		"Y":       {func(q *equations) { move(&q.y) }, "chunking 3"},
		"zs[3]":   {func(q *equations) { q.zs[3]++ }, "chunking 3"},
		"y0":      {func(q *equations) { move(&q.y0) }, "chunking 3"},
		"F":       {func(q *equations) { move(&q.f) }, "sharing 1"},
		"G":       {func(q *equations) { move(&q.g) }, "sharing 2"},
		"H":       {func(q *equations) { q.h.Add(&q.h, &q.commitment[0]) }, "sharing 3"},
		"A[2]":    {func(q *equations) { q.commitment[2].Add(&q.commitment[2], &q.h) }, "sharing 3"},
		"R[5]":    {func(q *equations) { move(&q.randomizers[5]) }, "chunking 1, sharing 1"},
		"C[0][0]": {func(q *equations) { move(&q.ciphertexts[0]) }, "chunking 3, sharing 2"},
		"zr[2]":   {func(q *equations) { inc(&q.zr[2]) }, "chunking 1, chunking 3"},
		"zb":      {func(q *equations) { inc(&q.zbeta) }, "chunking 2, chunking 3"},
		"sr":      {func(q *equations) { inc(&q.sr) }, "sharing 1, sharing 2"},
		"sa":      {func(q *equations) { inc(&q.salpha) }, "sharing 2, sharing 3"},
	} {
		q := load()
		c.spoil(q)
		if got := strings.Join(failing(q), ", "); got != c.fails {
			t.Errorf("%s: %q fail, expected %q", name, got, c.fails)
		}
		g1, g2 := q.sumG1(), q.sumG2()
		if folded := !g1.Z.IsZero() || !g2.Z.IsZero(); folded != (c.fails != "") {
			t.Errorf("%s: the folded check fails: %t", name, folded)
		}
	}
}

// failing checks the equations one by one, as the paper writes them.
func failing(q *equations) (names []string) {
	g, g2 := generators()
	mul := func(p curve.G1Affine, s fr.Element) curve.G1Jac {
		return msm([]curve.G1Affine{p}, []fr.Element{s})
	}
	check := func(name string, left, right curve.G1Jac) {
		if !left.Equal(&right) {
			names = append(names, name)
		}
	}
	n := len(q.receivers)
	for i := range n {
		left := msm(q.randomizers, q.folded[chunks*i:chunks*(i+1)])
		left.AddMixed(&q.d[1+i])
		before := len(names)
		check("chunking 1", left, mul(g, q.zr[i]))
		if len(names) > before && before > 0 {
			names = names[:before]
		}
	}
	left := msm(q.b, q.xs)
	left.AddMixed(&q.d[0])
	check("chunking 2", left, mul(g, q.zbeta))
	left = msm(q.ciphertexts, q.folded)
	more := msm(q.e, q.xs)
	left.AddAssign(&more)
	left.AddMixed(&q.y)
	right := msm(q.receivers, q.zr)
	more = mul(q.y0, q.zbeta)
	right.AddAssign(&more)
	var sum, t fr.Element
	for k := range q.xs {
		t.SetUint64(q.zs[k])
		sum.Add(&sum, t.Mul(&t, &q.xs[k]))
	}
	more = mul(g, sum)
	check("chunking 3", left, *right.AddAssign(&more))

	weights := chunkWeights()
	joined := msm(q.randomizers, weights)
	var r curve.G1Affine
	left = mul(*r.FromJacobian(&joined), q.w)
	left.AddMixed(&q.f)
	check("sharing 1", left, mul(g, q.sr))
	left = curve.G1Jac{}
	for i := range n {
		joined := msm(q.ciphertexts[chunks*i:chunks*(i+1)], weights)
		m := mul(*r.FromJacobian(&joined), q.vs[i])
		left.AddAssign(&m)
	}
	left = mul(*r.FromJacobian(&left), q.w)
	left.AddMixed(&q.g)
	right = msm(q.receivers, q.vs)
	right = mul(*r.FromJacobian(&right), q.sr)
	more = mul(g, q.salpha)
	check("sharing 2", left, *right.AddAssign(&more))

	var left2, right2 curve.G2Jac
	for i := range n {
		at := evaluate(q.commitment, uint64(i+1))
		var p curve.G2Affine
		at = msm2([]curve.G2Affine{*p.FromJacobian(&at)}, []fr.Element{q.vs[i]})
		left2.AddAssign(&at)
	}
	var p curve.G2Affine
	left2 = msm2([]curve.G2Affine{*p.FromJacobian(&left2)}, []fr.Element{q.w})
	left2.AddMixed(&q.h)
	right2 = msm2([]curve.G2Affine{g2}, []fr.Element{q.salpha})
	if !left2.Equal(&right2) {
		names = append(names, "sharing 3")
	}
	return names
}

// Fiat-Shamir is only as good as what it hashes: a byte of the dealing decides every
// challenge drawn after it, and none before.
func TestChallengesBind(t *testing.T) {
	s, raw := dealt(t, "challenges", 4)
	sh := s.shape()
	names := []string{"e", "x", "v", "w", "fold"}
	cuts := []int{sh.secondMove(), sh.responses(), sh.sharing(), sh.answers(), sh.size()}
	all := func(raw []byte) (out []string) {
		ch := s.challenges(0)
		out = append(out, string(ch.chunks(raw)))
		for _, f := range []func([]byte) fr.Element{ch.second, ch.instance, ch.sharing} {
			c := f(raw)
			out = append(out, c.String())
		}
		return append(out, fmt.Sprint(ch.folding(raw)))
	}
	want := all(raw)
	for at := 0; at < len(raw); at += 7 { // hits every element: they have 8 bytes or more
		bad := bytes.Clone(raw)
		bad[at] ^= 1
		for k, got := range all(bad) {
			if bound := at < cuts[k]; (got != want[k]) != bound {
				t.Errorf("byte %d changed: challenge %s changed: %t", at, names[k], !bound)
			}
		}
	}
}

// The 27 sums of three points, and what stands in for points that are not there.
func TestCombineThrees(t *testing.T) {
	points := []curve.G1Affine{multipleOf(5), multipleOf(70), multipleOf(900), multipleOf(3), multipleOf(3)}
	table := combineThrees(points)
	sign := []int64{0, 1, -1}
	for k := range threeDigits {
		for g, of := range [][3]int64{{5, 70, 900}, {3, 3, 0}} {
			var s fr.Element
			s.SetInt64(sign[k%3]*of[0] + sign[k/3%3]*of[1] + sign[k/9]*of[2])
			j := one().mul(&s)
			var want curve.G1Affine
			if want.FromJacobian(&j); !table[k][g].Equal(&want) {
				t.Errorf("sum %d of group %d is another point", k, g)
			}
		}
	}
}

// The batch check of subgroups agrees with the check of each point.
func TestSubgroup(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, subgroupSingly - 1, subgroupSingly, subgroupSingly + 1, 200} {
		points := make([]curve.G1Affine, n)
		for i := range points {
			points[i] = multipleOf(uint64(i%50 + 1)) // equal ones meet in the sums
		}
		if n > 3 {
			points[1].Neg(&points[0]) // and opposite ones
		}
		if !inSubgroup(newOracle("t"), points) {
			t.Errorf("%d points inside were refused", n)
		}
		for range 3 {
			bad := append([]curve.G1Affine(nil), points...)
			bad[random.IntN(n)] = outsideG1(t, 1)
			if inSubgroup(newOracle("t"), bad) {
				t.Errorf("a point outside among %d was accepted", n)
			}
		}
		// the point of order 3, the hardest to see: a third of all coefficients miss it
		bad := append([]curve.G1Affine(nil), points...)
		bad[n-1] = outsideG1(t, 0)
		if bad[n-1].X.IsZero() && inSubgroup(newOracle("t"), bad) {
			t.Errorf("a point of order 3 among %d was accepted", n)
		}
		if n > 3 { // two that cancel each other in a plain sum
			bad[n-2].Neg(&bad[n-1])
			if inSubgroup(newOracle("t"), bad) {
				t.Errorf("two opposite points outside among %d were accepted", n)
			}
		}
	}
}

func TestComb(t *testing.T) {
	g, _ := generators()
	for _, width := range []int{4, 8} {
		c := newComb(&g, width)
		top := fr.Modulus().Bytes()
		var max fr.Element
		max.SetBytes(top)
		max.Sub(&max, new(fr.Element).SetOne())
		scalars := []fr.Element{{}, *new(fr.Element).SetOne(), max, *new(fr.Element).SetInt64(-1)}
		for i := range 20 {
			s, err := drawScalar(stream(fmt.Sprint("comb", i)))
			if err != nil {
				t.Fatal(err)
			}
			scalars = append(scalars, s)
			var edge [32]byte
			binary.BigEndian.PutUint64(edge[8:], 0x8888888888888880>>i|0xff<<i)
			scalars = append(scalars, *new(fr.Element).SetBytes(edge[:]))
		}
		for _, s := range scalars {
			got, want := c.mul(&s), msm([]curve.G1Affine{g}, []fr.Element{s})
			if !got.Equal(&want) {
				t.Errorf("width %d: %s", width, s.String())
			}
		}
	}
}
