package block

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"ashlar/replica/ic"
)

// Outline is a proposal that names its calls by their hashes, for who has most of
// them already. It has the hash of the block that it becomes, so the maker's
// signature holds for both.
type Outline struct {
	Block     *Block // without calls
	Calls     []Hash
	Bytes     uint64 // of all calls, as the maker says: how long to wait for them
	Signer    uint64
	Signature []byte
}

// outlineKind stands where an artifact has its kind.
const outlineKind = 0x7f

// CallHash names a call of a block.
func CallHash(raw []byte) Hash { return sha256.Sum256(raw) }

// OutlineOf a proposal.
func OutlineOf(a *Artifact) *Outline {
	b := *a.Block
	b.Ingress = nil
	o := &Outline{Block: &b, Signer: a.Signer, Signature: a.Signature, Calls: make([]Hash, len(a.Block.Ingress))}
	for i, raw := range a.Block.Ingress {
		o.Calls[i] = CallHash(raw)
		o.Bytes += uint64(len(raw))
	}
	return o
}

// Hash is that of the block.
func (o *Outline) Hash() Hash { return o.Block.hash(o.Calls) }

// Fill makes the proposal of an outline and its calls, which the caller checked
// against their hashes.
func (o *Outline) Fill(calls [][]byte) *Artifact {
	if len(calls) != len(o.Calls) {
		panic(fmt.Sprintf("block: an outline of %d calls is filled with %d", len(o.Calls), len(calls)))
	}
	b := *o.Block
	b.Ingress = calls
	return &Artifact{Kind: Proposal, Height: b.Height, Hash: o.Hash(), Signer: o.Signer, Signature: o.Signature, Block: &b}
}

// IsOutline tells an outline's bytes from an artifact's.
func IsOutline(data []byte) bool {
	return len(data) > 1 && data[0] == version && data[1] == outlineKind
}

// Encode is the one encoding of o.
func (o *Outline) Encode() []byte {
	w := writer{version, outlineKind}
	w.block(o.Block)
	w.uint(uint64(len(o.Calls)))
	for _, h := range o.Calls {
		w = append(w, h[:]...)
	}
	w.uint(o.Bytes)
	w.uint(o.Signer)
	w.blob(o.Signature)
	return w
}

// DecodeOutline reads what Encode wrote and nothing else.
func DecodeOutline(data []byte) (*Outline, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("outline of %d bytes, the limit is %d", len(data), MaxBytes)
	}
	if !IsOutline(data) {
		return nil, errors.New("this is no outline of a block")
	}
	r := &reader{left: data[2:]}
	o := &Outline{Block: r.block()}
	if r.err == nil && len(o.Block.Ingress) > 0 {
		r.fail(errors.New("it has calls by themselves"))
	}
	count := r.uint()
	if count > MaxIngressMessages {
		r.fail(fmt.Errorf("%d calls, the limit is %d", count, MaxIngressMessages))
	}
	for range count {
		if r.err != nil {
			break
		}
		o.Calls = append(o.Calls, r.hash())
	}
	if o.Bytes = r.uint(); o.Bytes > MaxIngressBytes {
		r.fail(fmt.Errorf("calls of %d bytes, the limit is %d", o.Bytes, MaxIngressBytes))
	}
	o.Signer = r.uint()
	o.Signature = r.blob(maxSignatureBytes)
	if r.err == nil && len(r.left) > 0 {
		r.fail(fmt.Errorf("%d bytes after the end", len(r.left)))
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode the outline of a block: %w", r.err)
	}
	return o, nil
}

// Height of the block.
func (o *Outline) Height() ic.Height { return o.Block.Height }
