package sync

import (
	"encoding/binary"
	"fmt"

	"ashlar/replica/state/merkle"
)

// Serve answers a request from the states that find knows by their roots; nil is
// for one that it does not have. An error is the fault of who asked.
func Serve(request []byte, find func(root Sum) merkle.Node) ([]byte, error) {
	r, err := DecodeRequest(request)
	if err != nil {
		return nil, err
	}
	root := find(r.Root)
	if root == nil {
		return []byte{lacks}, nil
	}
	s := server{out: append(make([]byte, 0, r.Budget), here), budget: r.Budget, way: []step{{node: root}}}
	for _, w := range r.Items {
		n, err := s.find(w.Path)
		if err != nil {
			return nil, err
		}
		if !s.write(n, w.Depth) {
			break
		}
	}
	return s.out, nil
}

// server writes one answer. Way is the path of the last item: that of the next one
// has most of it in common.
type server struct {
	out    []byte
	raw    []byte // of the last node
	budget int
	way    []step
}

type step struct {
	at   int
	node merkle.Node
	kids []merkle.Kid // once somebody asked
}

func (s *server) find(path []int) (merkle.Node, error) {
	common := 0
	for common < len(path) && common+1 < len(s.way) && s.way[common+1].at == path[common] {
		common++
	}
	s.way = s.way[:common+1]
	for _, at := range path[common:] {
		last := &s.way[len(s.way)-1]
		if last.kids == nil {
			last.node = made(last.node)
			last.kids = last.node.Kids()
		}
		if at >= len(last.kids) {
			return nil, fmt.Errorf("a request for kid %d of a node of the state that has %d", at, len(last.kids))
		}
		s.way = append(s.way, step{at: at, node: last.kids[at].Node})
	}
	return s.way[len(s.way)-1].node, nil
}

// write n and what is below it. The first node of an answer is never too large.
func (s *server) write(n merkle.Node, depth int) bool {
	n = made(n)
	kids := n.Kids()
	s.raw = merkle.Append(s.raw[:0], n, kids)
	if len(s.out) > 1 && len(s.out)+len(s.raw) > s.budget {
		return false
	}
	s.out = append(binary.AppendUvarint(s.out, uint64(len(s.raw))), s.raw...)
	if depth == 0 {
		return true
	}
	for _, k := range kids {
		if !s.write(k.Node, depth-1) {
			return false
		}
	}
	return true
}

// made is a node with its insides, which are made once.
func made(n merkle.Node) merkle.Node {
	if k, ok := n.(merkle.Known); ok {
		return k.Make()
	}
	return n
}
