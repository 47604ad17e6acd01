package block

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/ic"
)

const version = 2

// MaxBytes is the longest encoding of an artifact: a full block.
const MaxBytes = MaxIngressBytes + MaxIngressMessages*5 + MaxSectionsBytes + 2048

var errShort = errors.New("artifact ends early")

type writer []byte

func (w *writer) uint(n uint64) { *w = binary.AppendUvarint(*w, n) }
func (w *writer) blob(b []byte) { w.uint(uint64(len(b))); *w = append(*w, b...) }

func (w *writer) header(b *Block) {
	w.uint(uint64(b.Height))
	*w = append(*w, b.Parent[:]...)
	w.blob(b.Maker.Bytes())
	w.uint(b.Rank)
	w.uint(uint64(b.Time))
	w.uint(b.Registry)
	w.uint(uint64(b.Certified))
}

func (w *writer) block(b *Block) {
	w.header(b)
	w.uint(uint64(len(b.Sections)))
	for _, s := range b.Sections {
		*w = append(*w, byte(s.Kind))
		w.blob(s.Data)
	}
	w.uint(uint64(len(b.Ingress)))
	for _, raw := range b.Ingress {
		w.blob(raw)
	}
}

// Encode is the one encoding of a.
func (a *Artifact) Encode() []byte {
	w := writer{version, byte(a.Kind)}
	switch a.Kind {
	case Proposal, CUP:
		w.block(a.Block)
	default:
		w.uint(uint64(a.Height))
		w = append(w, a.Hash[:]...)
	}
	switch a.Kind {
	case CUP:
		w.blob(a.Data)
		w = append(w, a.Other[:]...)
	case Dealing:
		w.blob(a.Data)
	case Equivocation:
		w = append(w, a.Other[:]...)
		w.blob(a.OtherSignature)
	}
	if a.Kind == Notarization || a.Kind == Finalization {
		w.uint(uint64(len(a.Votes)))
		for _, v := range a.Votes {
			w.uint(v.Signer)
			w.blob(v.Signature)
		}
		return w
	}
	if a.Kind.Signed() {
		w.uint(a.Signer)
	}
	w.blob(a.Signature)
	return w
}

// Decode reads what Encode wrote and nothing else. Slices of the result point
// into data.
func Decode(data []byte) (*Artifact, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("artifact has %d bytes, the limit is %d", len(data), MaxBytes)
	}
	r := &reader{left: data}
	if v := r.byte(); v != version && r.err == nil {
		return nil, fmt.Errorf("artifact has format version %d, this node knows %d", v, version)
	}
	a := &Artifact{Kind: Kind(r.byte())}
	if r.err == nil && (a.Kind == 0 || a.Kind >= kinds) {
		return nil, fmt.Errorf("unknown kind of artifact: %d", a.Kind)
	}
	r.artifact(a)
	if r.err == nil && len(r.left) > 0 {
		r.err = fmt.Errorf("%d bytes after the end", len(r.left))
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode %s: %w", a.Kind, r.err)
	}
	switch a.Kind {
	case Proposal:
		a.Hash = a.Block.Hash()
	case CUP:
		a.Hash = CUPHash(a.Block.Hash(), a.Data, a.Other)
	}
	return a, nil
}

func (r *reader) artifact(a *Artifact) {
	switch a.Kind {
	case Proposal, CUP:
		a.Block = r.block()
		a.Height = a.Block.Height
	default:
		a.Height = ic.Height(r.uint())
		a.Hash = r.hash()
	}
	switch a.Kind {
	case CUP:
		a.Data = r.blob(maxSignatureBytes)
		a.Other = r.hash()
	case Dealing:
		a.Data = r.blob(MaxDealingBytes)
	case Equivocation:
		a.Other = r.hash()
		a.OtherSignature = r.blob(maxSignatureBytes)
	}
	if a.Kind == Notarization || a.Kind == Finalization {
		a.Votes = r.votes()
		return
	}
	if a.Kind.Signed() {
		a.Signer = r.uint()
	}
	a.Signature = r.blob(maxSignatureBytes)
}

// reader takes fields from the front of left and keeps the first error.
type reader struct {
	left []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.left = nil
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.left) {
		r.fail(errShort)
		return nil
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.left)
	switch {
	case size <= 0:
		r.fail(errShort)
		return 0
	case size > 1 && r.left[size-1] == 0:
		r.fail(errors.New("a number is not in its shortest form"))
		return 0
	}
	r.take(size)
	return n
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

func (r *reader) blob(limit int) []byte {
	n := r.uint()
	if n > uint64(limit) {
		r.fail(fmt.Errorf("a field of %d bytes, the limit is %d", n, limit))
		return nil
	}
	return r.take(int(n))
}

func (r *reader) block() *Block {
	b := &Block{Height: ic.Height(r.uint())}
	b.Parent = r.hash()
	b.Maker = ic.NodeID{Principal: ic.Principal(r.blob(ic.MaxPrincipalBytes))}
	b.Rank = r.uint()
	b.Time = ic.Time(r.uint())
	b.Registry = r.uint()
	b.Certified = ic.Height(r.uint())
	b.Sections = r.sections()
	count, total := r.uint(), 0
	if count > MaxIngressMessages {
		r.fail(fmt.Errorf("%d messages, the limit is %d", count, MaxIngressMessages))
		return b
	}
	for range count {
		raw := r.blob(MaxIngressBytes)
		if total += len(raw); total > MaxIngressBytes {
			r.fail(fmt.Errorf("messages of more than %d bytes", MaxIngressBytes))
		}
		if r.err != nil {
			return b
		}
		b.Ingress = append(b.Ingress, raw)
	}
	return b
}

func (r *reader) votes() (votes []Vote) {
	count := r.uint()
	if count > MaxSignatures {
		r.fail(fmt.Errorf("%d signatures, the limit is %d", count, MaxSignatures))
	}
	for i := range count {
		v := Vote{Signer: r.uint(), Signature: r.blob(maxSignatureBytes)}
		if r.err != nil {
			return nil
		}
		if i > 0 && v.Signer <= votes[i-1].Signer {
			r.fail(errors.New("signatures are not in order of their signers"))
			return nil
		}
		votes = append(votes, v)
	}
	return votes
}
