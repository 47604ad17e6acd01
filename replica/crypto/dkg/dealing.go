package dkg

import (
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// dealingVersion 1 has no forward secrecy within a generation of keys; a version 2
// with the paper's binary tree encryption would add to the ciphertext.
const dealingVersion = 1

// shape fixes where everything is in a dealing for n receivers and threshold t.
//
//	head      version u8, n u16, t u16
//	instance  A[t] in G2 | R[16] C[n][16] in G1
//	chunking  y0 B[32] E[32] -> challenge e -> D[1+n] Y, zs[32] u64 -> challenge x -> zr[n] zb
//	sharing   -> challenge v -> F G in G1, H in G2 -> challenge w -> zr za
//
// Each challenge is a hash of the session and all bytes before it.
type shape struct{ n, t int }

const headBytes = 5

func (s shape) commitment() int { return headBytes }
func (s shape) randomizers() int {
	return headBytes + s.t*g2Bytes
}
func (s shape) ciphertexts() int { return s.randomizers() + chunks*g1Bytes }
func (s shape) row(i int) int    { return s.ciphertexts() + i*chunks*g1Bytes }
func (s shape) firstMove() int   { return s.row(s.n) }
func (s shape) secondMove() int  { return s.firstMove() + (1+2*repetitions)*g1Bytes }
func (s shape) masked() int      { return s.secondMove() + (s.n+2)*g1Bytes }
func (s shape) responses() int   { return s.masked() + repetitions*8 }
func (s shape) sharing() int     { return s.responses() + (s.n+1)*fr.Bytes }
func (s shape) answers() int     { return s.sharing() + 2*g1Bytes + g2Bytes }
func (s shape) size() int        { return s.answers() + 2*fr.Bytes }

func (s shape) head() []byte {
	var w writer
	w.u8(dealingVersion)
	w.u16(s.n)
	w.u16(s.t)
	return w
}

// DealingBytes is the exact size of a dealing: of n receivers, threshold t.
func DealingBytes(n, t int) int { return shape{n, t}.size() }

// content of a dealing, decoded: every point is on its curve and not the identity.
type content struct {
	commitment  []curve.G2Affine // A
	randomizers []curve.G1Affine // R[j] = r[j] g
	ciphertexts []curve.G1Affine // C[i*16+j] = r[j] y[i] + s[i][j] g

	y0    curve.G1Affine
	b, e  []curve.G1Affine // B[k] = beta[k] g, E[k] = beta[k] y0 + sigma[k] g
	d     []curve.G1Affine // D[0..n] = delta[i] g
	y     curve.G1Affine   // delta[0] y0 + sum delta[1+i] y[i]
	zs    []uint64         // the masked sums of chunks, each below Z
	zr    []fr.Element
	zbeta fr.Element

	f, g       curve.G1Affine // rho g and the blinded ciphertext
	h          curve.G2Affine // alpha g2
	sr, salpha fr.Element
	allG1      []curve.G1Affine // all of the above in G1, for the subgroup check
}

// decodeDealing checks sizes, forms and ranges; the subgroup of points in G1 and
// the proofs are left to Verify.
func decodeDealing(sh shape, raw []byte) (*content, error) {
	if len(raw) != sh.size() {
		return nil, fmt.Errorf("has %d bytes, for %d receivers and threshold %d it must have %d", len(raw), sh.n, sh.t, sh.size())
	}
	if string(raw[:headBytes]) != string(sh.head()) {
		return nil, fmt.Errorf("has another head than version %d, %d receivers and threshold %d", dealingVersion, sh.n, sh.t)
	}
	c := &content{}
	var err error
	if c.commitment, err = decodeG2(raw[sh.commitment():], sh.t); err != nil {
		return nil, err
	}
	n := (sh.masked() - sh.randomizers()) / g1Bytes
	p, err := decodeG1(raw[sh.randomizers():sh.masked()], n)
	if err != nil {
		return nil, err
	}
	pair, err := decodeG1(raw[sh.sharing():sh.sharing()+2*g1Bytes], 2)
	if err != nil {
		return nil, err
	}
	c.allG1 = append(p, pair...)
	c.split(sh)
	h, err := decodeG2(raw[sh.sharing()+2*g1Bytes:], 1)
	if err != nil {
		return nil, err
	}
	c.h = h[0]
	return c, c.decodeNumbers(sh, raw)
}

// split names the parts of allG1, in the order of the encoding.
func (c *content) split(sh shape) {
	left := c.allG1
	next := func(n int) []curve.G1Affine { p := left[:n:n]; left = left[n:]; return p }
	c.randomizers, c.ciphertexts = next(chunks), next(chunks*sh.n)
	c.y0 = next(1)[0]
	c.b, c.e = next(repetitions), next(repetitions)
	c.d = next(sh.n + 1)
	c.y, c.f, c.g = next(1)[0], next(1)[0], next(1)[0]
}

func (c *content) decodeNumbers(sh shape, raw []byte) (err error) {
	r := &reader{left: raw[sh.masked():sh.responses()]}
	_, z := slack(sh.n)
	for k := range repetitions {
		v := r.u64()
		if v >= z {
			return fmt.Errorf("masked sum %d is %d, it must be below %d: a chunk is out of its range", k, v, z)
		}
		c.zs = append(c.zs, v)
	}
	numbers, err := decodeScalars(raw[sh.responses():sh.sharing()], sh.n+1)
	if err != nil {
		return err
	}
	c.zr, c.zbeta = numbers[:sh.n], numbers[sh.n]
	numbers, err = decodeScalars(raw[sh.answers():], 2)
	if err != nil {
		return err
	}
	c.sr, c.salpha = numbers[0], numbers[1]
	return nil
}

// challenges in the order they are drawn; prover and verifier both walk through them.
type challenges struct {
	o  *oracle
	sh shape
}

func (s *Session) challenges(dealer int) *challenges {
	o := newOracle("dealing")
	o.add("session", s.digest[:])
	var w writer
	w.u16(dealer)
	o.add("dealer", w)
	return &challenges{o, s.shape()}
}

// chunks is e: a byte for each repetition, after the first move; of ciphertext i
// and repetition k it is [i*32+k].
func (c *challenges) chunks(raw []byte) []byte {
	c.o.add("instance and first move", raw[:c.sh.secondMove()])
	return c.o.draw("e", c.sh.n*chunks*repetitions)
}

func (c *challenges) second(raw []byte) fr.Element {
	c.o.add("second move", raw[c.sh.secondMove():c.sh.responses()])
	return c.o.scalar("x")
}

func (c *challenges) instance(raw []byte) fr.Element {
	c.o.add("responses", raw[c.sh.responses():c.sh.sharing()])
	return c.o.scalar("v")
}

func (c *challenges) sharing(raw []byte) fr.Element {
	c.o.add("sharing", raw[c.sh.sharing():c.sh.answers()])
	return c.o.scalar("w")
}

// folding draws the coefficients under which all equations are checked as one.
func (c *challenges) folding(raw []byte) []fr.Element {
	c.o.add("answers", raw[c.sh.answers():])
	return c.o.weights("fold", c.sh.n+4)
}

// fold is sum e[i][k] x^(k+1) for each ciphertext chunk i.
func foldChallenges(e []byte, xs []fr.Element) []fr.Element {
	table := make([][challenge + 1]fr.Element, repetitions) // a small multiple costs a lookup
	for k := range table {
		for v := 1; v <= challenge; v++ {
			table[k][v].Add(&table[k][v-1], &xs[k])
		}
	}
	out := make([]fr.Element, len(e)/repetitions)
	for i := range out {
		for k := range repetitions {
			out[i].Add(&out[i], &table[k][e[i*repetitions+k]])
		}
	}
	return out
}

// chunkWeights are 2^(16 j).
func chunkWeights() []fr.Element {
	out := make([]fr.Element, chunks)
	var base fr.Element
	base.SetUint64(1 << chunkBits)
	out[0].SetOne()
	for j := 1; j < chunks; j++ {
		out[j].Mul(&out[j-1], &base)
	}
	return out
}
