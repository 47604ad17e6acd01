package wasm

// What a body costs the compiler. Time and memory of wazero's register allocation
// grow with the values alive at the places where control flow parts and joins: a
// function of 130 KB with 5,000 locals alive over 4,000 branches took it two minutes
// and 2.5 GB. No real code is near; the bounds below keep what is made for the
// purpose to seconds.
//
// The estimate is from above and takes code as a line: a local lives from its first
// use to its last read, and all through a loop that reads what it, or an earlier
// round, has set.
const (
	maxLiveSquares      = 500_000_000   // sum of the squares of the numbers alive, one function; the largest seen has 42 million
	maxLiveSquaresTotal = 4_000_000_000 // all functions; the largest seen has 450 million
	maxLiveValues       = 2_000_000     // sum of the numbers alive, one function: some 500 bytes each
	maxLiveValuesTotal  = 40_000_000    // all functions
	loopWeight          = 4             // blocks that the metering makes of a loop
)

type liveness struct {
	joins []join // places of branches, in order
	first []int  // by local: the place before its first use, -1: none yet
	last  []int  // by local: the place after its last read
	loops []openLoop
	noted []int // by local: 1 + start of the loop in whose list it is
}

type join struct {
	change int // of the locals alive
	stack  int // operands alive
	weight int // edges of the branch
}

// openLoop holds the locals that live to its end.
type openLoop struct {
	start  int
	locals []uint32
}

func newLiveness(locals int) liveness {
	l := liveness{joins: []join{{}}, first: make([]int, locals), last: make([]int, locals), noted: make([]int, locals)}
	for i := range l.first {
		l.first[i] = -1
	}
	return l
}

func (l *liveness) now() int { return len(l.joins) - 1 }

func (l *liveness) branch(stack, weight int) {
	l.joins = append(l.joins, join{stack: stack, weight: weight})
}

func (l *liveness) enterLoop() { l.loops = append(l.loops, openLoop{start: l.now()}) }

func (l *liveness) leaveLoop() {
	for _, i := range l.loops[len(l.loops)-1].locals {
		l.last[i], l.noted[i] = l.now(), 0
	}
	l.loops = l.loops[:len(l.loops)-1]
}

func (l *liveness) assign(local uint32) {
	if l.first[local] < 0 {
		l.first[local] = l.now()
	}
}

func (l *liveness) get(local uint32) {
	if l.first[local] < 0 {
		l.first[local] = 0 // a parameter, or zero from the start
	}
	l.last[local] = l.now()
	if len(l.loops) == 0 {
		return
	}
	// The outermost loop that the value came into, else the innermost around both.
	k := 0
	for k < len(l.loops)-1 && l.loops[k].start <= l.first[local] {
		k++
	}
	loop := &l.loops[k]
	l.first[local] = min(l.first[local], loop.start)
	if n := l.noted[local]; n == 0 || n > 1+loop.start {
		loop.locals = append(loop.locals, local)
		l.noted[local] = 1 + loop.start
	}
}

// sums adds up the values alive at all places.
func (l *liveness) sums() (values, squares uint64) {
	for i, from := range l.first {
		if from >= 0 && l.last[i] > from {
			l.joins[from].change++
			l.joins[l.last[i]].change--
		}
	}
	alive := 0
	for _, j := range l.joins {
		n := uint64(alive + j.stack)
		values += n * uint64(j.weight)
		squares += n * n * uint64(j.weight)
		alive += j.change
	}
	return values, squares
}
