package merkle

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// flat is a node made by hand.
type flat struct {
	kind    Kind
	level   int
	content []byte
	kids    []Kid
}

func (f flat) Kind() Kind      { return f.kind }
func (f flat) Level() int      { return f.level }
func (f flat) Content() []byte { return f.content }
func (f flat) Kids() []Kid     { return f.kids }
func (f flat) Sum() Sum        { return sha256.Sum256(Encode(f, f.kids)) }

func samples() []Node {
	page := flat{kind: Page, content: bytes.Repeat([]byte{7}, PageBytes)}
	block := flat{kind: Pages, kids: []Kid{{Slot: 0, Node: page}, {Slot: 63, Node: page}}}
	return []Node{
		NewValue(nil), NewValue([]byte("value")), NewValue(make([]byte, PieceBytes)), NewValue(make([]byte, PieceBytes+1)), NewValue(make([]byte, 3*PieceBytes)),
		page, block, flat{kind: Pages, level: 3, kids: []Kid{{Slot: 5, Node: block}}},
		NewDir([]Kid{{Node: NewValue([]byte("l"))}, {Node: page}}), NewDir([]Kid{{Label: "key", Node: NewValue([]byte("v"))}}),
	}
}

// What is encoded has the node's sum, and decodes to the node.
func TestEncoding(t *testing.T) {
	for i, n := range samples() {
		b := Encode(n, n.Kids())
		if sha256.Sum256(b) != n.Sum() {
			t.Errorf("sample %d: the encoding has another sum than the node", i)
		}
		d, err := Decode(b)
		if err != nil {
			t.Errorf("sample %d: %v", i, err)
			continue
		}
		kids := n.Kids()
		if d.Kind != n.Kind() || d.Level != n.Level() || len(d.Edges) != len(kids) || n.Kind() != Long && !bytes.Equal(d.Content, n.Content()) {
			t.Errorf("sample %d: decoded as %v", i, d.Kind)
		}
		for j, e := range d.Edges {
			if e.Label != kids[j].Label || e.Sum != kids[j].Node.Sum() || n.Kind() != Dir && e.Slot != kids[j].Slot {
				t.Errorf("sample %d: kid %d is another", i, j)
			}
		}
	}
}

// Whatever comes is a node or an error, and what is a node means one thing only.
func FuzzDecode(f *testing.F) {
	for _, n := range samples() {
		if b := Encode(n, n.Kids()); len(b) < 8<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if err != nil {
			return
		}
		var sum Sum
		switch d.Kind {
		case Value, Page:
			sum = sha256.Sum256(append([]byte{byte(d.Kind)}, d.Content...))
		case Dir:
			sum = SumDir(d.Edges)
		case Pages:
			sum = SumPages(d.Level, d.Edges)
		case Long:
			sum = SumLong(d.Bytes, d.Edges)
		}
		if sum != sha256.Sum256(b) {
			t.Fatalf("decoded as %+v, which has another sum", d)
		}
	})
}
