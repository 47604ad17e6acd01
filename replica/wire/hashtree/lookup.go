package hashtree

import (
	"bytes"
	"errors"
)

// Status is what a tree, perhaps pruned, says about a path.
type Status uint8

// The answers of Lookup; the spec section is "Certification: lookup".
const (
	Found   Status = iota // the path has a value
	Absent                // the tree proves that the path is not there
	Unknown               // the path may lie in a pruned part
	Error                 // the path is there, but is no leaf
)

func (s Status) String() string { return [...]string{"found", "absent", "unknown", "error"}[s] }

// Path is a sequence of labels.
type Path [][]byte

// P is a path of labels given as strings.
func P(labels ...string) Path {
	p := make(Path, len(labels))
	for i, l := range labels {
		p[i] = []byte(l)
	}
	return p
}

// Lookup finds the value at a path. The tree is well formed (see Check).
func (t *Tree) Lookup(path Path) ([]byte, Status) {
	sub, s := t.Subtree(path)
	if s != Found {
		return nil, s
	}
	switch sub = sub.seen(); sub.Kind() {
	case Empty:
		return nil, Absent
	case Leaf:
		return sub.data, Found
	case Pruned:
		return nil, Unknown
	}
	return nil, Error
}

// Subtree finds what lies below a path; Found may be any kind of node.
func (t *Tree) Subtree(path Path) (*Tree, Status) {
	for _, l := range path {
		n := t.near(l)
		if n.exact == nil {
			if t.Kind() == Leaf || !n.gap {
				return nil, Absent
			}
			return nil, Unknown
		}
		t = n.exact.left
	}
	return t, Found
}

// Each calls f for each label of a directory in order. Pruned parts are passed over.
func (t *Tree) Each(f func(label []byte, sub *Tree)) {
	switch t = t.seen(); t.Kind() {
	case Fork:
		t.left.Each(f)
		t.right.Each(f)
	case Labeled:
		f(t.data, t.left)
	}
}

// nearness is what surrounds a label in a directory: the labeled node itself,
// or the labels beside it, and whether something pruned lies between them.
type nearness struct {
	exact         *Tree // Labeled
	before, after neighbour
	gap           bool
}

// neighbour is a label that may be there.
type neighbour struct {
	label []byte
	there bool
}

// near looks for a label among the forks of t, in time of the square of the depth where
// it is not there. In a well-formed tree only what lies between the neighbours matters.
func (t *Tree) near(label []byte) nearness {
	if t != nil && t.kind == far {
		if exact := t.from.Find(label); exact != nil {
			return nearness{exact: exact}
		}
	}
	switch t = t.seen(); t.Kind() {
	case Empty:
		return nearness{}
	case Labeled:
		switch c := bytes.Compare(label, t.data); {
		case c == 0:
			return nearness{exact: t}
		case c < 0:
			return nearness{after: neighbour{t.data, true}}
		}
		return nearness{before: neighbour{t.data, true}}
	case Fork:
		first := t.right.first()
		if first.there && bytes.Compare(label, first.label) >= 0 {
			return t.right.near(label)
		}
		n := t.left.near(label)
		if n.exact == nil && !n.after.there {
			n.after, n.gap = first, n.gap || t.right.startsPruned()
		}
		return n
	}
	return nearness{gap: true}
}

// startsPruned tells whether something pruned comes before the first label.
func (t *Tree) startsPruned() bool {
	if t != nil && t.kind == far {
		return false
	}
	switch t.Kind() {
	case Empty, Labeled:
		return false
	case Fork:
		return t.left.startsPruned() || !t.left.first().there && t.right.startsPruned()
	}
	return true
}

// first is the smallest label of a directory that can be seen.
func (t *Tree) first() neighbour {
	for {
		if t != nil && t.kind == far {
			return neighbour{t.from.First(), true}
		}
		switch t.Kind() {
		case Labeled:
			return neighbour{t.data, true}
		case Fork:
			if f := t.left.first(); f.there {
				return f
			}
			t = t.right
		default:
			return neighbour{}
		}
	}
}

var errOrder = errors.New("hash tree: labels do not increase")
var errMixed = errors.New("hash tree: a leaf lies beside labels")

// Check tells whether the tree is well formed: labels of a directory strictly
// increase and leaves are not mixed with them. Decode does it.
func (t *Tree) Check() error {
	if t.Kind() == Leaf {
		return nil
	}
	var last []byte
	seen := false
	return t.check(&last, &seen)
}

func (t *Tree) check(last *[]byte, seen *bool) error {
	switch t = t.seen(); t.Kind() {
	case Leaf:
		return errMixed
	case Fork:
		if err := t.left.check(last, seen); err != nil {
			return err
		}
		return t.right.check(last, seen)
	case Labeled:
		if *seen && bytes.Compare(*last, t.data) >= 0 {
			return errOrder
		}
		*last, *seen = t.data, true
		return t.left.Check()
	}
	return nil
}
