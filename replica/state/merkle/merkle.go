// Package merkle is the hash tree over a whole state: every key and value, pages
// included, so that one root names all of it.
//
//	           Dir                   Value  bytes
//	     "c" /     \ "m"             Dir    nodes under labels, in their order
//	       Dir      Value            Pages  up to 64 pages or Pages of the level below
//	   ""/   \""                     Page   4096 bytes
//	   Dir   ...                     Long   a value of more than PieceBytes, in pieces
//	key |
//	  Pages ── Page
//
// Labels on the way down to a Value add up to its key in the store; those of a
// Pages node are slots, and add up to the index of a page. A node's sum begins with
// its kind, so that no node can be taken for one of another kind. The shapes come
// from replica/state/trie and replica/state/pages, which remember the sums: a round
// hashes only what it changed. State sync (replica/state/sync) walks the same tree.
package merkle

import (
	"crypto/sha256"
	"encoding/binary"
)

// Sum is the SHA-256 that stands for a node and all below it.
type Sum = [32]byte

// Kind of a node.
type Kind uint8

// The kinds.
const (
	Value Kind = 0
	Dir   Kind = 1
	Pages Kind = 2
	Page  Kind = 3
	Long  Kind = 4
)

// Sizes that are part of the tree's definition.
const (
	PageBytes  = 4096
	Fanout     = 64        // slots of a Pages node
	PieceBytes = 256 << 10 // of a Long value: fits a message of state sync
	MaxLabel   = 255       // bytes; the longest is a canister's id or a hash
)

// Node is one node, as sync and proofs walk it.
type Node interface {
	Kind() Kind
	Sum() Sum
	Level() int      // of Pages; 0: its kids are pages
	Kids() []Kid     // of Dir, Pages and Long, in order
	Content() []byte // of Value and Page; not to be changed
}

// Kid is a node below another.
type Kid struct {
	Label string // in a Dir
	Slot  int    // in Pages and Long
	Node
}

// Edge is a kid known by its sum alone.
type Edge struct {
	Label string
	Slot  int
	Sum   Sum
}

// SumValue is the sum of a value, Long where it is.
func SumValue(content []byte) Sum {
	if len(content) > PieceBytes {
		var edges []Edge
		for i, rest := 0, content; len(rest) > 0; i++ {
			n := min(len(rest), PieceBytes)
			edges = append(edges, Edge{Slot: i, Sum: SumValue(rest[:n])})
			rest = rest[n:]
		}
		return SumLong(uint64(len(content)), edges)
	}
	var stack [1 << 10]byte
	if len(content) < len(stack) {
		return sha256.Sum256(append(append(stack[:0], byte(Value)), content...))
	}
	h := sha256.New() // as the content is: to copy it takes a third of the time of its hash
	h.Write([]byte{byte(Value)})
	h.Write(content)
	return Sum(h.Sum(stack[:0]))
}

// SumBehind is the sum of a value of at most PieceBytes, which begins behind a byte that
// is free.
func SumBehind(b []byte) Sum {
	b[0] = byte(Value)
	return sha256.Sum256(b)
}

// SumPage is the sum of a page.
func SumPage(p *[PageBytes]byte) Sum {
	var b [1 + PageBytes]byte
	b[0] = byte(Page)
	copy(b[1:], p[:])
	return sha256.Sum256(b[:])
}

// SumDir is the sum of a Dir.
func SumDir(kids []Edge) Sum {
	var stack [1 << 10]byte
	b := append(stack[:0], byte(Dir))
	for i := range kids {
		b = append(append(b, byte(len(kids[i].Label))), kids[i].Label...)
		b = append(b, kids[i].Sum[:]...)
	}
	return sha256.Sum256(b)
}

// SumFork is SumDir of two nodes without labels.
func SumFork(l, r *Sum) Sum {
	var b [1 + 2*33]byte
	b[0] = byte(Dir)
	copy(b[2:], l[:])
	copy(b[35:], r[:])
	return sha256.Sum256(b[:])
}

// SumPages is the sum of a Pages node.
func SumPages(level int, kids []Edge) Sum {
	var s PagesSum
	for i := range kids {
		s.Add(kids[i].Slot, kids[i].Sum)
	}
	return s.Sum(level)
}

// PagesSum makes the sum of a Pages node kid by kid. The zero value has none.
type PagesSum struct {
	b    [10 + Fanout*32]byte
	n    int
	mask uint64
}

// Add is given the kids in order of slot.
func (s *PagesSum) Add(slot int, kid Sum) {
	copy(s.b[10+32*s.n:], kid[:])
	s.n++
	s.mask |= 1 << slot
}

// Empty tells that there is no kid.
func (s *PagesSum) Empty() bool { return s.n == 0 }

// Sum of the node.
func (s *PagesSum) Sum(level int) Sum {
	s.b[0], s.b[1] = byte(Pages), byte(level)
	binary.BigEndian.PutUint64(s.b[2:], s.mask)
	return sha256.Sum256(s.b[:10+32*s.n])
}

// SumLong is the sum of a value of so many bytes from those of its pieces.
func SumLong(bytes uint64, kids []Edge) Sum {
	b := binary.BigEndian.AppendUint64([]byte{byte(Long)}, bytes)
	for i := range kids {
		b = append(b, kids[i].Sum[:]...)
	}
	return sha256.Sum256(b)
}
