package dkg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
)

const transcriptVersion = 1

// Transcript is a finished key: who holds it, its public polynomial, and the
// dealings from which each receiver decrypts its share. All replicas that combine
// the same dealings have the same bytes.
type Transcript struct {
	header
	commitment []curve.G2Affine // of the combined polynomial
	dealings   []stored
	raw        []byte
	group      *bls.Group
}

type stored struct {
	dealer int
	raw    []byte
}

// Combine joins the first Needed of the dealings, in the order of dealers.
func (s *Session) Combine(dealings []*Dealing) (*Transcript, error) {
	sorted := slices.Clone(dealings)
	slices.SortFunc(sorted, func(a, b *Dealing) int { return a.Dealer - b.Dealer })
	for i, d := range sorted {
		if d.session != s.digest {
			return nil, fmt.Errorf("combine: the dealing of dealer %d is of another session", d.Dealer)
		}
		if i > 0 && sorted[i-1].Dealer == d.Dealer {
			return nil, fmt.Errorf("combine: two dealings of dealer %d", d.Dealer)
		}
	}
	if len(sorted) < s.needed {
		return nil, fmt.Errorf("combine: %d dealings, %d are needed", len(sorted), s.needed)
	}
	sorted = sorted[:s.needed]
	t := &Transcript{header: s.header}
	columns := make([][]curve.G2Affine, s.Threshold())
	for _, d := range sorted {
		t.dealings = append(t.dealings, stored{d.Dealer, d.raw})
		for k := range columns {
			columns[k] = append(columns[k], d.commitment[k])
		}
	}
	weights := t.weights()
	for _, column := range columns {
		var a curve.G2Affine
		sum := msm2(column, weights)
		t.commitment = append(t.commitment, *a.FromJacobian(&sum))
	}
	if err := t.makeGroup(); err != nil {
		return nil, fmt.Errorf("combine: %w", err)
	}
	if s.previous != nil && !t.group.Key.Equal(s.previous.group.Key) {
		return nil, errors.New("combine: the resharing has another key: the previous transcript is inconsistent")
	}
	t.raw = t.encode()
	return t, nil
}

// weights of the dealings in the sum: one, or Lagrange's coefficients at zero.
func (t *Transcript) weights() []fr.Element {
	out := make([]fr.Element, len(t.dealings))
	for a := range out {
		out[a].SetOne()
		if t.previous == [32]byte{} {
			continue
		}
		var over, xa, xb, d fr.Element
		over.SetOne()
		xa.SetUint64(uint64(t.dealings[a].dealer + 1))
		for b := range t.dealings {
			if a == b {
				continue
			}
			xb.SetUint64(uint64(t.dealings[b].dealer + 1))
			out[a].Mul(&out[a], &xb)
			over.Mul(&over, d.Sub(&xb, &xa))
		}
		out[a].Mul(&out[a], over.Inverse(&over))
	}
	return out
}

// holder is the public half of share i.
func (t *Transcript) holder(i int) *curve.G2Affine {
	sum := evaluate(t.commitment, uint64(i+1))
	return new(curve.G2Affine).FromJacobian(&sum)
}

func (t *Transcript) makeGroup() error {
	key := func(p *curve.G2Affine) (*bls.PublicKey, error) { b := p.Bytes(); return bls.ParsePublicKey(b[:]) }
	k, err := key(&t.commitment[0])
	if err != nil {
		return err
	}
	t.group = &bls.Group{Key: k, Threshold: t.Threshold()}
	for i := range t.nodes {
		if k, err = key(t.holder(i)); err != nil {
			return fmt.Errorf("share %d: %w", i, err)
		}
		t.group.Holders = append(t.group.Holders, k)
	}
	return nil
}

// Group is the key as signatures are checked and combined with it.
func (t *Transcript) Group() *bls.Group { return t.group }

// Tag of the key.
func (t *Transcript) Tag() Tag { return t.tag }

// Subnet that dealt the key.
func (t *Transcript) Subnet() ic.SubnetID { return ic.SubnetID{Principal: ic.Principal(t.subnet)} }

// Start and Registry are those of the Config.
func (t *Transcript) Start() ic.Height { return ic.Height(t.start) }

// Registry version that members and keys were read at.
func (t *Transcript) Registry() uint64 { return t.registry }

// Receivers in the order of their shares.
func (t *Transcript) Receivers() (nodes []ic.NodeID) {
	for _, n := range t.nodes {
		nodes = append(nodes, ic.NodeID{Principal: ic.Principal(n)})
	}
	return nodes
}

// Index of a node's share.
func (t *Transcript) Index(node ic.NodeID) (int, bool) {
	i := slices.IndexFunc(t.nodes, func(n []byte) bool { return string(n) == string(node.Principal) })
	return i, i >= 0
}

// Bytes is the one encoding.
func (t *Transcript) Bytes() []byte { return slices.Clone(t.raw) }

// Hash names the transcript.
func (t *Transcript) Hash() [32]byte { return sha256.Sum256(t.raw) }

func (t *Transcript) encode() []byte {
	var w writer
	w.u8(transcriptVersion)
	w.raw(t.header.encode())
	for i := range t.commitment {
		b := t.commitment[i].Bytes()
		w.raw(b[:])
	}
	for _, d := range t.dealings {
		w.u16(d.dealer)
		w.raw(d.raw)
	}
	return w
}

// DecodeTranscript reads what Bytes made. It checks the form, not the proofs:
// transcripts come in blocks and packages that a subnet signed. Session.Recheck
// checks everything again.
func DecodeTranscript(data []byte) (*Transcript, error) {
	t, err := decodeTranscript(data)
	if err != nil {
		return nil, fmt.Errorf("key transcript: %w", err)
	}
	return t, nil
}

func decodeTranscript(data []byte) (*Transcript, error) {
	t := &Transcript{raw: slices.Clone(data)}
	r := &reader{left: t.raw}
	if v := r.u8(); r.err == nil && v != transcriptVersion {
		return nil, fmt.Errorf("has format version %d, this node knows %d", v, transcriptVersion)
	}
	h, err := decodeHeader(r)
	if err != nil {
		return nil, err
	}
	t.header = *h
	sh := t.shape()
	if want := sh.t*g2Bytes + t.needed*(2+sh.size()); r.err == nil && len(r.left) != want {
		return nil, fmt.Errorf("has %d bytes after its head, it must have %d", len(r.left), want)
	}
	points := r.take(sh.t * g2Bytes)
	for range t.needed {
		d := stored{r.u16(), r.take(sh.size())}
		if n := len(t.dealings); d.dealer >= len(t.dealers) || n > 0 && t.dealings[n-1].dealer >= d.dealer {
			return nil, fmt.Errorf("dealer %d is out of range or order", d.dealer)
		}
		if string(d.raw[:headBytes]) != string(sh.head()) {
			return nil, fmt.Errorf("the dealing of dealer %d has another head than version %d, %d receivers and threshold %d", d.dealer, dealingVersion, sh.n, sh.t)
		}
		t.dealings = append(t.dealings, d)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if t.commitment, err = decodeG2(points, sh.t); err != nil {
		return nil, err
	}
	return t, t.makeGroup()
}

// Recheck verifies a transcript from nobody in particular: that it is of this
// session, each of its dealings, and their sum.
func (s *Session) Recheck(t *Transcript) error {
	if t.header.digest() != s.digest {
		return errors.New("key transcript is of another session")
	}
	var dealings []*Dealing
	for _, d := range t.dealings {
		v, err := s.Verify(d.dealer, d.raw)
		if err != nil {
			return err
		}
		dealings = append(dealings, v)
	}
	again, err := s.Combine(dealings)
	if err != nil {
		return err
	}
	if again.Hash() != t.Hash() {
		return errors.New("key transcript's public polynomial is not the sum of its dealings")
	}
	return nil
}
