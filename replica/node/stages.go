package node

import (
	"sync"

	"ashlar/replica/ic"
)

// Stage of a block on its way here: what its users wait for.
type Stage int

// The stages, in order; each begins where the one before ends.
const (
	Agreed   Stage = iota // from the first block of a height to the final one, which is here
	Executed              // until it was executed
	Shown                 // until its state was certified, and is what readers see
	stages
)

func (s Stage) String() string { return [...]string{"agreed", "executed", "certified"}[s] }

// Spent is the time that blocks took in a stage.
type Spent struct {
	Blocks uint64
	Time   ic.Time // in all
}

// timeline measures the stages of blocks.
type timeline struct {
	mu    sync.Mutex
	began map[ic.Height]ic.Time // the stage that a height is in
	next  map[ic.Height]Stage
	spent [stages]Spent
}

// maxTimed heights are measured at a time; others are left out.
const maxTimed = 4 * maxSpan

func newTimeline() *timeline {
	return &timeline{began: map[ic.Height]ic.Time{}, next: map[ic.Height]Stage{}}
}

// begin with a block of a height.
func (t *timeline) begin(h ic.Height, now ic.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.began[h]; !ok && len(t.began) < maxTimed {
		t.began[h], t.next[h] = now, Agreed
	}
}

// end a stage. What came in another order, after a restart or a jump, is not measured.
func (t *timeline) end(h ic.Height, s Stage, now ic.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if began, ok := t.began[h]; ok && t.next[h] == s {
		t.spent[s].Blocks++
		t.spent[s].Time += max(now, began) - began
		t.began[h], t.next[h] = now, s+1
	}
	if s == Shown { // older ones are not shown any more
		for old := range t.began {
			if old <= h {
				delete(t.began, old)
				delete(t.next, old)
			}
		}
	}
}

// Stages tells what blocks took in each stage.
func (n *Node) Stages() map[Stage]Spent {
	n.timeline.mu.Lock()
	defer n.timeline.mu.Unlock()
	out := map[Stage]Spent{}
	for s, spent := range n.timeline.spent {
		out[Stage(s)] = spent
	}
	return out
}
