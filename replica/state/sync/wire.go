package sync

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ashlar/replica/state/merkle"
)

// Request asks for nodes of the state with a root:
//
//	root 32 | budget 4 | items... of: depth, steps, steps times which kid (uvarints)
type Request struct {
	Root   Sum
	Budget int // bytes after which the answer may end
	Items  []Want
}

// Want is a node and the levels below it that are asked for.
type Want struct {
	Path  []int // which kid, from the root
	Depth int
}

// Encode the request.
func (r *Request) Encode() []byte {
	b := binary.BigEndian.AppendUint32(append([]byte(nil), r.Root[:]...), uint32(r.Budget))
	for _, w := range r.Items {
		b = w.append(b)
	}
	return b
}

func (w *Want) append(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(w.Depth)), uint64(len(w.Path)))
	for _, at := range w.Path {
		b = binary.AppendUvarint(b, uint64(at))
	}
	return b
}

// DecodeRequest reads a peer's request.
func DecodeRequest(b []byte) (*Request, error) {
	if len(b) < 36 {
		return nil, errors.New("a request for a state ends inside its head")
	}
	r := &Request{Root: Sum(b), Budget: int(binary.BigEndian.Uint32(b[32:]))}
	if r.Budget > MaxAnswer {
		return nil, fmt.Errorf("a request for %d bytes of state, the limit is %d", r.Budget, MaxAnswer)
	}
	in := reader{b[36:], nil}
	for len(in.b) > 0 && in.err == nil {
		w := Want{Depth: in.number(wholeSubtree)}
		w.Path = make([]int, in.number(maxPath))
		for i := range w.Path {
			w.Path[i] = in.number(merkle.MaxEncoding)
		}
		r.Items = append(r.Items, w)
	}
	if in.err == nil && (len(r.Items) == 0 || len(r.Items) > maxItems) {
		in.err = fmt.Errorf("a request for %d nodes, the limit is %d", len(r.Items), maxItems)
	}
	return r, in.err
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) number(most uint64) int {
	n, k := binary.Uvarint(r.b)
	if k <= 0 || n > most {
		r.err = errors.New("a request for a state with a number that is cut or too large")
		r.b = nil
		return 0
	}
	r.b = r.b[k:]
	return int(n)
}

// An answer is one of these bytes and, after here, nodes in the order in which
// their parents name them, each before those below it: uvarint of its length, and
// its encoding. It ends where the budget does.
const (
	here  = 1
	lacks = 2 // the peer has no such state (any more)
)

// split takes the next node off an answer.
func split(answer []byte) (node, rest []byte, err error) {
	n, k := binary.Uvarint(answer)
	if k <= 0 || n == 0 || n > merkle.MaxEncoding || n > uint64(len(answer)-k) {
		return nil, nil, errors.New("it ends inside a node")
	}
	return answer[k : k+int(n)], answer[k+int(n):], nil
}
