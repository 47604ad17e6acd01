package wasm

// Metering charges each basic block when it begins, by DFINITY's block rule
// (rs/embedders/src/wasm_utils/instrumentation.rs): a block ends with loop, if,
// else, end, any branch, return, unreachable and tail calls; a function costs 1
// more; the counter is checked at function entry and loop heads. The counter is a
// global, so that it is exact wherever a trap happens.
//
// The check's slow path stands outside of the loop, because a call inside makes
// the compiler spill registers even where it is never taken:
//
//	block D (result)
//	  loop R
//	    block S
//	      loop L (result)  counter -= k; br_if S (counter < 0)  ...body...  end
//	      br D
//	    end
//	    call out_of_instructions     ;; the host grants more, or traps
//	    counter += k                 ;; as L charges again
//	    br R
//	  end
//	  unreachable
//	end
//
// A function body has the same shape without L; its S also ends by return, and it
// takes its frame from the depth at the same place. Loops with parameters, which
// no compiler makes, check in place. A small leaf, without loops and calls, charges
// but does not check: the next check is near.

// charge is the basic block being read.
type charge struct {
	at    int // position in out where it is charged
	cost  uint64
	live  bool
	head  bool // of a loop: always checked
	loop  int  // its frame
	entry bool // of the function
}

// cost adds an instruction to the block.
func (p *bodyPass) cost(instructions, weight uint64) {
	p.charge.cost += instructions
	p.allCost += instructions
	p.weight += weight
}

func (p *bodyPass) openCharge(head bool) {
	p.charge = charge{at: len(p.out), live: p.live, head: head}
}

// closeCharge ends the block: now its cost is known.
func (p *bodyPass) closeCharge() {
	c := p.charge
	p.charge = charge{at: len(p.out), live: p.live}
	p.countInjected(c)
	switch {
	case !c.live:
	case c.entry:
		p.entryCost = c.cost
	case c.head && p.frames[c.loop].wrapped:
		p.frames[c.loop].cost = c.cost
		code := p.subtractKeep(nil, c.cost)
		code = append(code, opI64Const, 0, opI64LtS, opBrIf, 1)
		p.insertAt(c.at, code)
	case c.head:
		code := p.rw.subtract(nil, c.cost)
		code = appendU32(append(code, opGlobalGet), p.rw.counter)
		code = append(code, opI64Const, 0, opI64LtS, opIf, typeEmpty)
		code = appendU32(append(code, opCall), p.rw.outFunc)
		p.insertAt(c.at, append(code, opEnd))
	case c.cost > 0:
		p.insertAt(c.at, p.rw.subtract(nil, c.cost))
	}
}

// What mainnet's pass adds to the code, in instructions: compiling is charged by
// them too, so that they are counted as its pass adds them, not as this one does.
const (
	injectedCharge = 4 // counter -= cost
	injectedCheck  = 6 // if the counter is below zero, call
	injectedLength = 3 // of a bulk operation; 1 where it is of 64 bits
	injectedGrow   = 3 // memory.grow is asked for
)

func (p *bodyPass) countInjected(c charge) {
	switch {
	case c.entry, c.head:
		p.injected += injectedCharge + injectedCheck
	case c.cost > 0:
		p.injected += injectedCharge
	}
}

func (rw *rewriter) subtract(b []byte, cost uint64) []byte {
	b = appendU32(append(b, opGlobalGet), rw.counter)
	b = appendI64(append(b, opI64Const), int64(cost))
	b = append(b, opI64Sub)
	return appendU32(append(b, opGlobalSet), rw.counter)
}

// subtractKeep charges cost and leaves the counter on the stack, for a check: the
// compiler does not see that a global read was just written.
func (p *bodyPass) subtractKeep(b []byte, cost uint64) []byte {
	tmp := p.temp(I64, counterTemp)
	b = appendU32(append(b, opGlobalGet), p.rw.counter)
	b = appendI64(append(b, opI64Const), int64(cost))
	b = appendU32(append(b, opI64Sub, opLocalTee), tmp)
	b = appendU32(append(b, opGlobalSet), p.rw.counter)
	return appendU32(append(b, opLocalGet), tmp)
}

// leafCost is the largest cost of a function that does not check.
const leafCost = 1000

func (p *bodyPass) isLeaf() bool {
	return !p.guard && !p.loops && !p.bulk && !p.hostCalls && !p.indirect && len(p.calls) == 0 && p.allCost <= leafCost
}

// head is the start of a function: it charges the first block and takes the frame
// from the depth; one branch serves both, as either below zero makes the union so.
func (p *bodyPass) head(leaf bool) []byte {
	if leaf {
		return p.rw.subtract([]byte{opBlock, typeEmpty, opBlock, typeEmpty}, p.entryCost)
	}
	b := p.subtractKeep([]byte{opLoop, typeEmpty, opBlock, typeEmpty}, p.entryCost)
	if p.guard {
		tmp := p.temp(I64, depthTemp)
		b = appendU32(append(b, opGlobalGet), p.rw.depth)
		b = appendI64(append(b, opI64Const), int64(p.frame))
		b = appendU32(append(b, opI64Sub, opLocalTee), tmp)
		b = appendU32(append(b, opGlobalSet), p.rw.depth)
		b = appendU32(append(b, opLocalGet), tmp)
		b = append(b, opI64Or)
	}
	return append(b, opI64Const, 0, opI64LtS, opBrIf, 0)
}

// tailOfRetry is the end of a function: it is reached where head branched.
func (p *bodyPass) tailOfRetry(b []byte) []byte {
	if !p.guard {
		return append(p.rw.slowPath(b, p.entryCost), opBr, 0)
	}
	b = p.rw.leaveFrame(b, p.frame)
	b = appendU32(append(b, opGlobalGet), p.rw.counter)
	b = append(b, opI64Const, 0, opI64LtS, opIf, typeEmpty)
	b = append(p.rw.slowPath(b, p.entryCost), opBr, 1, opEnd)
	return p.rw.trap(b, causeDepth)
}

func (rw *rewriter) slowPath(b []byte, cost uint64) []byte {
	b = appendU32(append(b, opCall), rw.outFunc)
	b = appendU32(append(b, opGlobalGet), rw.counter)
	b = appendI64(append(b, opI64Const), int64(cost))
	b = append(b, opI64Add)
	return appendU32(append(b, opGlobalSet), rw.counter)
}

// The causes of a trap that the engine sees as a plain unreachable.
const (
	causeHeap  = 1
	causeTable = 2
	causeDepth = 3
)

// trap ends the run with a recorded cause.
func (rw *rewriter) trap(b []byte, cause byte) []byte {
	b = append(b, opI32Const, cause)
	b = appendU32(append(b, opGlobalSet), rw.cause)
	return append(b, opUnreachable)
}

// chargeTop charges the length on top of the stack, of type t, and leaves it there.
func (p *bodyPass) chargeTop(t ValType) {
	p.bulk = true
	tmp := p.temp(t, 0)
	p.emitU32(opLocalTee, tmp)
	if t == I32 {
		p.injected += injectedLength
		p.emit(opExtendU)
	} else {
		p.injected++
	}
	p.emitU32(opCall, p.rw.chargeFunc())
	p.emitU32(opLocalGet, tmp)
}
