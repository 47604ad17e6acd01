package wasm

import "slices"

// The depth limit: what a frame costs is static, so the depth at which a module
// overflows is the same on every machine. It bounds from above what wazero's
// frames take, so that the machine's own limit is never met first. wazero gives
// each value that lives across a call a slot of its own and never shares one.
//
// Only functions that can come back to themselves check: those on a cycle of the
// call graph, in which an indirect call may reach any function in a table.
//
//	update ──> a ──> b <──┐       a cycle: b and c take their frames from the
//	           │     └─> c┘       budget; a, d, e do not, as the chain they
//	           └──> d ──> e       make is short and paid for by who checks
const (
	frameBase  = 96       // return address, frame pointer, alignment, caller's argument area
	slotBytes  = 16       // of a local or an operand: its slot and its room as an argument
	spillBytes = 8        // of a further value in the same local; 16 for a vector
	registers  = 12       // more values than this at a time spill without a call
	maxChain   = 64 << 10 // frames of functions that do not check, one calling the next
)

func (p *bodyPass) frameCost() uint64 {
	slots := len(p.locals) + len(p.typ.results) + len(p.tempList) + p.maxHeight
	spilled := p.spills.count
	if slots > registers {
		spilled += p.spills.sets
	}
	bytes := uint64(spillBytes)
	for _, t := range p.locals {
		if t == V128 {
			bytes = slotBytes
			break
		}
	}
	return frameBase + slotBytes*uint64(slots) + bytes*spilled
}

// spills counts values that live across calls, each version of a local as a value.
type spills struct {
	count   uint64
	sets    uint64   // assignments to locals
	fresh   uint64   // locals assigned since the last call
	calls   uint32   // calls so far
	lastSet []uint32 // 1 + calls at the last assignment
	height  int      // operands below it are counted
}

func (s *spills) set(local uint32) {
	s.sets++
	if s.lastSet[local] != s.calls+1 {
		s.lastSet[local] = s.calls + 1
		s.fresh++
	}
}

// call spills all that was made since the last one, with height operands below.
func (s *spills) call(height int) {
	s.count += s.fresh + uint64(max(0, height-s.height))
	s.height = max(s.height, height)
	s.fresh = 0
	s.calls++
}

// join is the end of a block in which there were sets assignments: locals that
// differ by the way taken become new values. Those of a loop live across its slow path.
func (s *spills) join(sets uint64, loop bool) {
	n := min(sets, uint64(len(s.lastSet)))
	if loop {
		s.count += n
	}
	s.fresh = min(s.fresh+n, uint64(len(s.lastSet)))
}

func (rw *rewriter) leaveFrame(b []byte, cost uint64) []byte {
	return rw.addDepth(b, int64(cost))
}

func (rw *rewriter) addDepth(b []byte, n int64) []byte {
	b = appendU32(append(b, opGlobalGet), rw.depth)
	b = appendI64(append(b, opI64Const), n)
	b = append(b, opI64Add)
	return appendU32(append(b, opGlobalSet), rw.depth)
}

// planDepth decides which bodies check the depth, and what they take from it.
func (rw *rewriter) planDepth(bodies []*bodyPass) {
	g := callGraph{n: len(bodies), edges: make([][]uint32, len(bodies)+1)}
	table := make(map[uint32]bool)
	take := func(f uint32) {
		if own := int(f) - rw.m.importedFuncs; own >= 0 && !table[uint32(own)] {
			table[uint32(own)] = true
			g.edges[g.n] = append(g.edges[g.n], uint32(own))
		}
	}
	for _, e := range rw.m.elems {
		for _, f := range e.funcs {
			take(f)
		}
		for _, x := range e.exprs {
			walkConst(x, func(op byte, f uint32) {
				if op == opRefFunc {
					take(f)
				}
			})
		}
	}
	for i, b := range bodies {
		for _, f := range b.refs {
			take(f)
		}
		g.edges[i] = b.calls
		if b.indirect {
			g.edges[i] = append(g.edges[i], uint32(g.n))
		}
	}
	// Callees come before callers, unless they are on one cycle: those check, and
	// what is below them is paid for there.
	chain := make([]uint64, g.n+1)
	below := func(f uint32) (most uint64) {
		for _, callee := range g.edges[f] {
			most = max(most, chain[callee])
		}
		return most
	}
	g.components(func(members []uint32, cycle bool) {
		if slices.Contains(members, uint32(g.n)) {
			chain[g.n] = below(uint32(g.n)) // the table has no frame of its own
		}
		for _, f := range members {
			if int(f) == g.n {
				continue
			}
			b := bodies[f]
			b.frame = b.frameCost() + below(f)
			if b.guard = cycle || b.frame > maxChain; !b.guard {
				chain[f] = b.frame
			}
		}
	})
}

// callGraph has n functions and, as node n, the table: whoever calls indirectly
// calls it, and it calls all functions that may be in it.
type callGraph struct {
	n     int
	edges [][]uint32
}

// components yields the strongly connected components (Tarjan), callees first,
// without recursion: graphs from outside may be deep.
func (g *callGraph) components(yield func(members []uint32, cycle bool)) {
	type visit struct {
		node uint32
		edge int
	}
	order := make([]uint32, g.n+1) // 0: not seen
	low := make([]uint32, g.n+1)
	onStack := make([]bool, g.n+1)
	var stack []uint32
	var path []visit
	count := uint32(0)
	for root := range uint32(g.n + 1) {
		if order[root] != 0 {
			continue
		}
		path = append(path, visit{node: root})
		for len(path) > 0 {
			v := &path[len(path)-1]
			if v.edge == 0 {
				count++
				order[v.node], low[v.node], onStack[v.node] = count, count, true
				stack = append(stack, v.node)
			}
			if v.edge < len(g.edges[v.node]) {
				to := g.edges[v.node][v.edge]
				v.edge++
				if order[to] == 0 {
					path = append(path, visit{node: to})
				} else if onStack[to] {
					low[v.node] = min(low[v.node], order[to])
				}
				continue
			}
			node := v.node
			path = path[:len(path)-1]
			if len(path) > 0 {
				caller := path[len(path)-1].node
				low[caller] = min(low[caller], low[node])
			}
			if low[node] != order[node] {
				continue
			}
			at := len(stack) - 1
			for stack[at] != node {
				at--
			}
			members := stack[at:]
			for _, m := range members {
				onStack[m] = false
			}
			yield(members, len(members) > 1 || g.callsItself(node))
			stack = stack[:at]
		}
	}
}

func (g *callGraph) callsItself(f uint32) bool {
	for _, to := range g.edges[f] {
		if to == f {
			return true
		}
	}
	return false
}
