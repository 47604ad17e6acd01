package dkg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"ashlar/replica/crypto/bls"
)

// Deal makes the dealing of a dealer: of a fresh secret where share is nil, or of
// its share of the previous transcript.
func (s *Session) Deal(random io.Reader, dealer int, share *bls.SecretKey) ([]byte, error) {
	if dealer < 0 || dealer >= len(s.dealers) {
		return nil, fmt.Errorf("dealer %d of %d", dealer, len(s.dealers))
	}
	if (share == nil) != (s.previous == nil) {
		return nil, errors.New("deal: a share is dealt exactly if a previous transcript is reshared")
	}
	poly, err := drawScalars(random, s.Threshold())
	if err != nil {
		return nil, err
	}
	defer clear(poly)
	if share != nil {
		if want := s.previous.holder(dealer).Bytes(); !bytes.Equal(share.PublicKey().Bytes(), want[:]) {
			return nil, fmt.Errorf("deal: the share is not that of dealer %d in the previous transcript", dealer)
		}
		b := share.Bytes()
		defer clear(b)
		poly[0].SetBytes(b)
	}
	w := &witness{poly: poly, chunks: make([]int64, 0, chunks*len(s.nodes))}
	for i := range s.nodes {
		w.appendChunks(i)
	}
	return s.prove(random, dealer, w)
}

// witness is what only the dealer knows.
type witness struct {
	poly   []fr.Element
	chunks []int64      // of share i at [16*i:], the lowest first
	r      []fr.Element // the randomizers' logarithms
	delta  []fr.Element // masks of the chunking proof
}

func (w *witness) erase() {
	clear(w.poly)
	clear(w.chunks)
	clear(w.r)
	clear(w.delta)
}

// share is the polynomial at i+1.
func (w *witness) share(i int) (y fr.Element) {
	var x fr.Element
	x.SetUint64(uint64(i + 1))
	for k := len(w.poly) - 1; k >= 0; k-- {
		y.Mul(&y, &x).Add(&y, &w.poly[k])
	}
	return y
}

func (w *witness) appendChunks(i int) {
	y := w.share(i)
	b := y.Bytes()
	defer clear(b[:])
	y.SetZero()
	for j := range chunks {
		w.chunks = append(w.chunks, int64(binary.BigEndian.Uint16(b[fr.Bytes-2*j-2:])))
	}
}

// prove encrypts the chunks and proves both statements; its tests give it chunks
// that an honest dealer would not.
func (s *Session) prove(random io.Reader, dealer int, w *witness) ([]byte, error) {
	defer w.erase()
	sh := s.shape()
	out := make(writer, 0, sh.size())
	out.raw(sh.head())
	if err := commit(&out, random, w.poly); err != nil {
		return nil, err
	}
	g, err := newBlinded(random, one())
	if err != nil {
		return nil, err
	}
	defer g.erase()
	if w.r, err = drawScalars(random, chunks); err != nil {
		return nil, err
	}
	if w.delta, err = drawScalars(random, sh.n+1); err != nil {
		return nil, err
	}
	y, err := s.encrypt(&out, random, g, w)
	if err != nil {
		return nil, err
	}
	if err := s.proveChunking(&out, random, dealer, g, w, y); err != nil {
		return nil, err
	}
	if len(out) != sh.size() {
		panic(fmt.Sprintf("dkg: made a dealing of %d bytes instead of %d", len(out), sh.size()))
	}
	return out, nil
}

// commit appends A. Coefficients are multiplied as a-c and c, for a random c.
func commit(out *writer, random io.Reader, poly []fr.Element) error {
	c, err := drawScalar(random)
	if err != nil {
		return err
	}
	_, g2 := generators()
	multiply := func(s *fr.Element) (p curve.G2Jac) {
		n := s.BigInt(new(big.Int))
		defer wipe(n)
		p.FromAffine(&g2)
		p.ScalarMultiplication(&p, n)
		return p
	}
	blind := multiply(&c)
	for k := range poly {
		var d fr.Element
		d.Sub(&poly[k], &c)
		p := multiply(&d)
		d.SetZero()
		p.AddAssign(&blind)
		var a curve.G2Affine
		b := a.FromJacobian(&p).Bytes()
		out.raw(b[:])
	}
	c.SetZero()
	return nil
}

// encrypt appends R and C, and returns Y's part for the receivers, while their
// tables are at hand.
func (s *Session) encrypt(out *writer, random io.Reader, g *blinded, w *witness) (y curve.G1Jac, err error) {
	points := make([]curve.G1Jac, 0, chunks*(1+len(s.receivers)))
	for j := range w.r {
		points = append(points, g.mul(&w.r[j]))
	}
	for i := range s.receivers {
		key, err := newBlinded(random, newComb(&s.receivers[i], 4))
		if err != nil {
			return y, err
		}
		for j := range chunks {
			c := key.mul(&w.r[j])
			var v fr.Element
			v.SetInt64(w.chunks[chunks*i+j])
			m := g.mul(&v)
			points = append(points, *c.AddAssign(&m))
		}
		d := key.mul(&w.delta[1+i])
		y.AddAssign(&d)
		key.erase()
	}
	out.points(points)
	return y, nil
}

// proveChunking appends the proof that all chunks are small (section 6.5), then
// the one of sharing.
func (s *Session) proveChunking(out *writer, random io.Reader, dealer int, g *blinded, w *witness, y curve.G1Jac) error {
	beta, err := drawScalars(random, repetitions)
	if err != nil {
		return err
	}
	defer clear(beta)
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return fmt.Errorf("draw a point: %w", err)
	}
	y0, err := curve.HashToG1(seed[:], []byte(domain+"y0"))
	if err != nil {
		return err
	}
	table, err := newBlinded(random, newComb(&y0, 4))
	if err != nil {
		return err
	}
	defer table.erase()
	first := make([]curve.G1Jac, 1+2*repetitions)
	first[0].FromAffine(&y0)
	masks := make([]curve.G1Jac, repetitions) // beta y0
	for k := range beta {
		first[1+k], masks[k] = g.mul(&beta[k]), table.mul(&beta[k])
	}
	start := len(*out)
	for range maxAttempts {
		sigma, err := s.drawMasks(random)
		if err != nil {
			return err
		}
		for k := range sigma {
			var v fr.Element
			v.SetInt64(sigma[k])
			m := g.mul(&v)
			first[1+repetitions+k] = *m.AddAssign(&masks[k])
		}
		*out = (*out)[:start]
		out.points(first)
		ch := s.challenges(dealer)
		e := ch.chunks(*out)
		zs, ok := maskedSums(e, w.chunks, sigma, len(s.nodes))
		clear(sigma)
		if !ok { // the sum would tell of the chunks: another try
			continue
		}
		own := table.mul(&w.delta[0])
		y.AddAssign(&own)
		s.finishChunking(out, ch, e, zs, g, w, beta, y)
		return s.proveSharing(out, random, ch, w)
	}
	return errAttempts
}

var errAttempts = fmt.Errorf("deal: %d attempts at the proof of chunking failed: the chunks are out of range or the source of randomness is broken", maxAttempts)

// drawMasks draws sigma, uniform from -S to Z-1.
func (s *Session) drawMasks(random io.Reader) ([]int64, error) {
	most, z := slack(len(s.nodes))
	out := make([]int64, repetitions)
	for k := range out {
		v, err := drawBelow(random, z+most)
		if err != nil {
			return nil, err
		}
		out[k] = int64(v) - int64(most)
	}
	return out, nil
}

// maskedSums are sum e s + sigma; they say nothing of s if each lies in 0..Z-1.
func maskedSums(e []byte, chunk, sigma []int64, n int) (zs []uint64, ok bool) {
	_, z := slack(n)
	zs, ok = make([]uint64, repetitions), true
	for k := range zs {
		sum := sigma[k]
		for i, c := range chunk {
			sum += int64(e[i*repetitions+k]) * c
		}
		ok = ok && sum >= 0 && uint64(sum) < z // both ends, before anything is reduced
		zs[k] = uint64(sum)
	}
	return zs, ok
}

func (s *Session) finishChunking(out *writer, ch *challenges, e []byte, zs []uint64, g *blinded, w *witness, beta []fr.Element, y curve.G1Jac) {
	second := make([]curve.G1Jac, 0, len(w.delta)+1)
	for i := range w.delta {
		second = append(second, g.mul(&w.delta[i]))
	}
	out.points(append(second, y))
	for _, z := range zs {
		out.u64(z)
	}
	x := ch.second(*out)
	xs := powers(&x, repetitions)
	folded := foldChallenges(e, xs)
	var t fr.Element
	for i := range s.nodes {
		z := w.delta[1+i]
		for j := range chunks {
			z.Add(&z, t.Mul(&w.r[j], &folded[chunks*i+j]))
		}
		out.scalar(&z)
	}
	z := w.delta[0]
	for k := range beta {
		z.Add(&z, t.Mul(&beta[k], &xs[k]))
	}
	out.scalar(&z)
	t.SetZero()
}

// proveSharing appends the proof that the chunks join to values of the committed
// polynomial (section 6.4).
func (s *Session) proveSharing(out *writer, random io.Reader, ch *challenges, w *witness) error {
	v := ch.instance(*out)
	vs := powers(&v, len(s.nodes))
	rho, err := GenerateKey(random, 0)
	if err != nil {
		return err
	}
	defer rho.Erase()
	alpha, err := GenerateKey(random, 0)
	if err != nil {
		return err
	}
	defer alpha.Erase()
	f, err := rho.public(random)
	if err != nil {
		return err
	}
	var keys curve.G1Affine
	sum := msm(s.receivers, vs)
	keys.FromJacobian(&sum)
	blind, err := rho.multiply(random, &keys)
	if err != nil {
		return err
	}
	a, err := alpha.public(random)
	if err != nil {
		return err
	}
	blind.AddMixed(&a)
	var first curve.G1Jac
	out.points([]curve.G1Jac{*first.FromAffine(&f), blind})
	mask := []fr.Element{alpha.x}
	defer clear(mask)
	if err := commit(out, random, mask); err != nil {
		return err
	}
	c := ch.sharing(*out)
	weights := chunkWeights()
	var zr, za, t fr.Element
	for j := range weights {
		zr.Add(&zr, t.Mul(&w.r[j], &weights[j]))
	}
	for i := range vs {
		var share fr.Element
		for j := range weights {
			t.SetInt64(w.chunks[chunks*i+j])
			share.Add(&share, t.Mul(&t, &weights[j]))
		}
		za.Add(&za, t.Mul(&share, &vs[i]))
		share.SetZero()
	}
	zr.Mul(&zr, &c).Add(&zr, &rho.x)
	za.Mul(&za, &c).Add(&za, &alpha.x)
	out.scalar(&zr)
	out.scalar(&za)
	t.SetZero()
	return nil
}

func (w *writer) points(jac []curve.G1Jac) {
	for _, p := range curve.BatchJacobianToAffineG1(jac) {
		b := p.Bytes()
		w.raw(b[:])
	}
}

func (w *writer) scalar(s *fr.Element) {
	b := s.Bytes()
	w.raw(b[:])
}

// blinded multiplies secrets: as s-c and c, for one random c a dealing, so that
// neither time nor table entries depend on a secret alone.
type blinded struct {
	*comb
	c     fr.Element
	point curve.G1Jac
}

func newBlinded(random io.Reader, table *comb) (*blinded, error) {
	c, err := drawScalar(random)
	if err != nil {
		return nil, err
	}
	return &blinded{table, c, table.mul(&c)}, nil
}

func (b *blinded) mul(s *fr.Element) curve.G1Jac {
	var d fr.Element
	d.Sub(s, &b.c)
	p := b.comb.mul(&d)
	d.SetZero()
	return *p.AddAssign(&b.point)
}

func (b *blinded) erase() { b.c.SetZero() }
