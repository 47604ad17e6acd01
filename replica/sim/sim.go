// Package sim runs whole subnets of the real node from a seed: their consensus,
// stores and recovery, on clocks, disks, a network and users that the seed plays.
//
//	seed ──> Plan <──> story (text)
//	          │
//	          v   virtual time: a queue of what happens next
//	    peers: node.Step | Execute | Save    users: a call, an answer
//	    wire:  delay, loss, cuts             disk:  power cuts, full, damaged
//	    liars: what Byzantine nodes send     truth: invariants, after every turn
//
// What holds at every turn: all nodes execute the same batches in order and get
// the same states; a certificate is of such a state; what a node shows never goes
// back; no answered call is lost, changed or executed twice; only what users
// signed is executed; cycles are conserved; no honest node contradicts what it
// signed. And once all is repaired, the subnet goes on and every node catches up.
// The same plan gives the same trace.
//
// The state machine is one of two: a ledger, which is fast (ledger.go), or the real one
// with canisters that call each other (canisters.go). Of these holds besides, at every
// height: for everybody who waits for an answer, exactly one is to come; and when all is
// at rest, no token was made or lost, and as many answers were heard as calls were sent.
//
// A plan that fails is made smaller (Shrink) and printed as a story.
package sim

import (
	"errors"
	"fmt"
	"time"

	"ashlar/replica/ic"
)

// Result of a run.
type Result struct {
	Height    ic.Height     // certified, by the best node
	Time      time.Duration // virtual
	Answered  int
	Took      []time.Duration // of the answered calls, from the call to the certificate
	Crashes   int
	Messages  int // between nodes
	Bytes     int
	Trace     [32]byte // hash of all that happened
	Violation error    // nil: all invariants held, and all expectations came true
	Lines     []string // what happened, of Tell only
}

// Run plays a plan.
func Run(p *Plan) (Result, error) { return play(p, false) }

// Tell is Run with its story in lines.
func Tell(p *Plan) (Result, error) { return play(p, true) }

// Twice plays a plan two times and compares the traces.
func Twice(p *Plan) (Result, error) {
	first, err := Run(p)
	if err != nil {
		return first, err
	}
	again, err := Run(p)
	if err == nil && again.Trace != first.Trace && first.Violation == nil {
		first.Violation = violated("the same plan gives two traces: something reads the clock, a map's order or randomness")
	}
	return first, err
}

func play(p *Plan, tell bool) (Result, error) {
	if p.Nodes < 1 || p.Nodes > MaxNodes {
		return Result{}, fmt.Errorf("sim: a subnet of %d nodes: 1 to %d can be simulated", p.Nodes, MaxNodes)
	}
	w, err := newWorld(p, tell)
	if err != nil {
		return Result{}, err
	}
	defer w.close()
	w.play()
	r := Result{Height: w.truth.best, Time: w.now, Answered: len(w.truth.answers), Took: w.users.took, Crashes: w.crashes,
		Messages: w.wire.messages, Bytes: w.wire.bytes, Trace: [32]byte(w.trace.Sum(nil)), Lines: w.lines}
	var v violation
	if w.wrong != nil && !errors.As(w.wrong, &v) {
		return r, w.wrong
	}
	r.Violation = p.judge(w.wrong)
	return r, nil
}

// judge compares what went wrong with what was expected to.
func (p *Plan) judge(wrong error) error {
	for _, e := range p.Expects {
		if e.What != "violation" {
			continue
		}
		if wrong == nil {
			return violated("nothing was violated; the story expects: %s", e.Text)
		}
		if contains(wrong.Error(), e.Text) {
			return nil
		}
	}
	return wrong
}

// violation is an invariant that does not hold.
type violation string

func (v violation) Error() string { return string(v) }

func violated(format string, args ...any) error { return violation(fmt.Sprintf(format, args...)) }
