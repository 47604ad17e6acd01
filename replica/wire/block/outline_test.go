package block

import (
	"bytes"
	"testing"
)

func outlined() (*Artifact, []byte) {
	b := &Block{Height: 7, Parent: Hash{1}, Time: 9, Registry: 2, Certified: 3, Ingress: [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("3"), 1000)}}
	a := &Artifact{Kind: Proposal, Height: 7, Hash: b.Hash(), Block: b, Signer: 2, Signature: []byte("signature")}
	return a, OutlineOf(a).Encode()
}

// An outline has its block's hash, and becomes it again.
func TestOutline(t *testing.T) {
	a, data := outlined()
	if len(data) > 300 {
		t.Errorf("an outline of %d bytes", len(data))
	}
	o, err := DecodeOutline(data)
	if err != nil {
		t.Fatal(err)
	}
	if o.Bytes != 1003 || o.Hash() != a.Hash || o.Height() != 7 || !IsOutline(data) || IsOutline(a.Encode()) {
		t.Errorf("outline %+v", o)
	}
	for i, raw := range a.Block.Ingress {
		if CallHash(raw) != o.Calls[i] {
			t.Errorf("call %d has another hash", i)
		}
	}
	if got := o.Fill(a.Block.Ingress); !bytes.Equal(got.Encode(), a.Encode()) || got.Hash != a.Hash || got.Height != a.Height {
		t.Errorf("filled: %+v", got)
	}
	if _, err := Decode(data); err == nil {
		t.Error("an outline was taken for an artifact")
	}
}

func TestOutlineRefuses(t *testing.T) {
	a, data := outlined()
	for i := range data {
		if _, err := DecodeOutline(data[:i]); err == nil {
			t.Errorf("the first %d bytes were decoded", i)
		}
	}
	if _, err := DecodeOutline(append(data, 0)); err == nil {
		t.Error("a byte too many was decoded")
	}
	if _, err := DecodeOutline(a.Encode()); err == nil {
		t.Error("an artifact was decoded")
	}
	full := &Outline{Block: a.Block, Signature: []byte("s")}
	if _, err := DecodeOutline(full.Encode()); err == nil {
		t.Error("an outline with calls in its block was decoded")
	}
	large := OutlineOf(a)
	large.Bytes = MaxIngressBytes + 1
	if _, err := DecodeOutline(large.Encode()); err == nil {
		t.Error("an outline of a block that is too large was decoded")
	}
	many := OutlineOf(a)
	many.Calls = make([]Hash, MaxIngressMessages+1)
	if _, err := DecodeOutline(many.Encode()); err == nil {
		t.Error("too many calls were decoded")
	}
}

func FuzzDecodeOutline(f *testing.F) {
	_, data := outlined()
	f.Add(data)
	f.Add([]byte{version, outlineKind})
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := DecodeOutline(data); err == nil && !bytes.Equal(o.Encode(), data) {
			t.Errorf("%x is encoded as %x", data, o.Encode())
		}
	})
}
