package dkg

import (
	"errors"
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Dealing is one that Verify accepted for its session.
type Dealing struct {
	Dealer     int
	raw        []byte
	commitment []curve.G2Affine
	session    [32]byte
}

// Bytes is the dealing as it was verified.
func (d *Dealing) Bytes() []byte { return append([]byte(nil), d.raw...) }

// Verify accepts a dealing of which every receiver will get its share, and nobody
// else anything. It takes no randomness: all replicas come to the same verdict.
func (s *Session) Verify(dealer int, raw []byte) (*Dealing, error) {
	return s.accept(dealer, raw, func(c *content) error { return s.check(dealer, raw, c) })
}

// Own accepts a dealing that the caller itself made with Deal: it is read, and its
// proofs are not checked. Whoever is given what comes of it has to Recheck it.
func (s *Session) Own(dealer int, raw []byte) (*Dealing, error) {
	return s.accept(dealer, raw, func(*content) error { return nil })
}

func (s *Session) accept(dealer int, raw []byte, check func(*content) error) (*Dealing, error) {
	if dealer < 0 || dealer >= len(s.dealers) {
		return nil, fmt.Errorf("a dealing by dealer %d of %d", dealer, len(s.dealers))
	}
	c, err := decodeDealing(s.shape(), raw)
	if err == nil {
		err = check(c)
	}
	if err != nil {
		return nil, fmt.Errorf("dealing of dealer %d %w", dealer, err)
	}
	return &Dealing{dealer, append([]byte(nil), raw...), c.commitment, s.digest}, nil
}

var (
	errConstant = errors.New("does not deal the dealer's share of the previous key")
	errG1       = errors.New("is refused: its proofs do not hold in G1 (of chunking, or that ciphertexts fit the commitment)")
	errG2       = errors.New("is refused: its proof of sharing does not hold in G2")
)

func (s *Session) check(dealer int, raw []byte, c *content) error {
	if s.previous != nil {
		if want := s.previous.holder(dealer); !c.commitment[0].Equal(want) {
			return errConstant
		}
	}
	o := newOracle("subgroup")
	o.add("dealing", raw)
	if !inSubgroup(o, c.allG1) {
		return errSubgroup
	}
	ch := s.challenges(dealer)
	e := ch.chunks(raw)
	x := ch.second(raw)
	v := ch.instance(raw)
	w := ch.sharing(raw)
	q := &equations{content: c, receivers: s.receivers, fold: ch.folding(raw), w: w,
		xs: powers(&x, repetitions), vs: powers(&v, len(s.nodes))}
	q.folded = foldChallenges(e, q.xs)
	if p := q.sumG1(); !p.Z.IsZero() {
		return errG1
	}
	if p := q.sumG2(); !p.Z.IsZero() {
		return errG2
	}
	return nil
}

// equations are those of both proofs, each brought to the form "sum = identity":
//
//	chunking 1, each i:  sum_j f_ij R_j + D_i - zr_i g
//	chunking 2:          sum_k x^k B_k + D_0 - zb g
//	chunking 3:          sum_ij f_ij C_ij + sum_k x^k E_k + Y - sum_i zr_i y_i - zb y0 - sum_k x^k zs_k g
//	sharing 1:           w sum_j 2^16j R_j + F - sr g
//	sharing 2:           w sum_ij v^i 2^16j C_ij + G - sr sum_i v^i y_i - sa g
//	sharing 3, in G2:    w sum_k (sum_i v^i i^k) A_k + H - sa g2
//
// with f_ij = sum_k e_ijk x^k. Those in G1 are multiplied by random coefficients
// and added: if one does not hold, the total is the identity for one in 2^128.
type equations struct {
	*content
	receivers []curve.G1Affine
	fold      []fr.Element // of chunking 1 [0..n), 2, 3, sharing 1, 2
	xs, vs    []fr.Element
	w         fr.Element
	folded    []fr.Element // f
}

func (q *equations) sumG1() curve.G1Jac {
	n := len(q.receivers)
	each, two, three, four, five := q.fold[:n], &q.fold[n], &q.fold[n+1], &q.fold[n+2], &q.fold[n+3]
	weights := chunkWeights()
	for j := range weights {
		weights[j].Mul(&weights[j], &q.w)
	}
	var points []curve.G1Affine
	var scalars []fr.Element
	var generator, t, u fr.Element // the coefficient of -g
	add := func(p curve.G1Affine, s fr.Element) { points, scalars = append(points, p), append(scalars, s) }
	for j := range q.randomizers {
		t.Mul(four, &weights[j])
		for i := range each {
			t.Add(&t, u.Mul(&each[i], &q.folded[chunks*i+j]))
		}
		add(q.randomizers[j], t)
	}
	for i := range q.receivers {
		var vi fr.Element
		vi.Mul(five, &q.vs[i])
		for j := range chunks {
			t.Mul(three, &q.folded[chunks*i+j])
			add(q.ciphertexts[chunks*i+j], *t.Add(&t, u.Mul(&vi, &weights[j])))
		}
		add(q.d[1+i], each[i])
		generator.Add(&generator, t.Mul(&each[i], &q.zr[i]))
		t.Mul(three, &q.zr[i]).Add(&t, u.Mul(&vi, &q.sr))
		add(q.receivers[i], *t.Neg(&t))
	}
	add(q.d[0], *two)
	generator.Add(&generator, t.Mul(two, &q.zbeta))
	for k := range q.xs {
		add(q.b[k], *t.Mul(two, &q.xs[k]))
		t.Mul(three, &q.xs[k])
		add(q.e[k], t)
		u.SetUint64(q.zs[k])
		generator.Add(&generator, t.Mul(&t, &u))
	}
	add(q.y, *three)
	t.Mul(three, &q.zbeta)
	add(q.y0, *t.Neg(&t))
	add(q.f, *four)
	add(q.g, *five)
	generator.Add(&generator, t.Mul(four, &q.sr))
	generator.Add(&generator, t.Mul(five, &q.salpha))
	g, _ := generators()
	add(g, *generator.Neg(&generator))
	return msm(points, scalars)
}

func (q *equations) sumG2() curve.G2Jac {
	points := append(append([]curve.G2Affine(nil), q.commitment...), q.h)
	scalars := make([]fr.Element, len(points), len(points)+1)
	terms := append([]fr.Element(nil), q.vs...) // v^i i^k
	for k := range q.commitment {
		for i := range terms {
			var at fr.Element
			scalars[k].Add(&scalars[k], &terms[i])
			terms[i].Mul(&terms[i], at.SetUint64(uint64(i+1)))
		}
		scalars[k].Mul(&scalars[k], &q.w)
	}
	scalars[len(q.commitment)].SetOne()
	_, g2 := generators()
	var sa fr.Element
	return msm2(append(points, g2), append(scalars, *sa.Neg(&q.salpha)))
}
