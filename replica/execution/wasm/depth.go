package wasm

// The depth limit: what a frame costs is static, so the depth at which a module
// overflows is the same on every machine. It bounds from above what wazero's
// frames take, so that the machine's own limit is never met first. wazero gives
// each value that lives across a call a slot of its own and never shares one.
const (
	frameBase  = 96   // return address, frame pointer, alignment, caller's argument area
	slotBytes  = 16   // of a local or an operand: its slot and its room as an argument
	spillBytes = 8    // of a further value in the same local; 16 for a vector
	leafFrame  = 2048 // a leaf's frame up to this is not worth a check: there is one at a time
	registers  = 12   // more values than this at a time spill without a call
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

func (rw *rewriter) enterFrame(b []byte, cost uint64) []byte {
	b = rw.addDepth(b, -int64(cost))
	b = appendU32(append(b, opGlobalGet), rw.depth)
	b = append(b, opI32Const, 0, opI32LtS, opIf, typeEmpty)
	return append(rw.trap(b, causeDepth), opEnd)
}

func (rw *rewriter) leaveFrame(b []byte, cost uint64) []byte {
	return rw.addDepth(b, int64(cost))
}

func (rw *rewriter) addDepth(b []byte, n int64) []byte {
	b = appendU32(append(b, opGlobalGet), rw.depth)
	b = appendI64(append(b, opI32Const), n)
	b = append(b, opI32Add)
	return appendU32(append(b, opGlobalSet), rw.depth)
}
