package sim

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Shrink makes a plan that fails smaller, as long as it fails in the same way, with at
// most tries runs: fewer acts, liars, nodes, less noise and time.
func Shrink(p *Plan, tries int) *Plan {
	first := ""
	fails := func(q *Plan) bool {
		tries--
		r, err := Run(q)
		return err == nil && r.Violation != nil && kind(r.Violation) == first
	}
	if r, err := Run(p); err == nil && r.Violation != nil {
		first = kind(r.Violation)
	}
	for progress := true; progress && tries > 0; {
		progress = false
		for _, smaller := range p.smaller() {
			if tries <= 0 {
				break
			}
			if q := smaller(p.copy()); q != nil && fails(q) {
				p, progress = q, true
			}
		}
	}
	return p
}

// kind of a violation: its first line without numbers.
func kind(v error) string {
	line, _, _ := strings.Cut(v.Error(), "\n")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'f' { // names of calls are hex
			return -1
		}
		return r
	}, line)
}

func (p *Plan) copy() *Plan {
	q := *p
	q.Acts, q.Skew, q.Slow, q.Lies = slices.Clone(p.Acts), maps.Clone(p.Skew), maps.Clone(p.Slow), maps.Clone(p.Lies)
	return &q
}

// smaller are ways to make a plan smaller, the boldest first; each gives nil
// where it does not apply.
func (p *Plan) smaller() (ways []func(*Plan) *Plan) {
	add := func(f func(q *Plan) *Plan) { ways = append(ways, f) }
	add(func(q *Plan) *Plan { return unless(len(q.Acts) == 0 || q.halts(), q, func() { q.Acts = nil }) })
	add(func(q *Plan) *Plan { return unless(!q.Canisters, q, func() { q.Canisters = false }) })
	add(func(q *Plan) *Plan { return unless(len(q.Lies) == 0, q, func() { clear(q.Lies) }) })
	add(func(q *Plan) *Plan { return unless(len(q.Skew) == 0, q, func() { clear(q.Skew) }) })
	add(func(q *Plan) *Plan { return unless(len(q.Slow) == 0, q, func() { clear(q.Slow) }) })
	add(func(q *Plan) *Plan { return unless(q.Lost+q.Twice == 0, q, func() { q.Lost, q.Twice = 0, 0 }) })
	for _, n := range []int{1, 4, 7, 13} {
		add(func(q *Plan) *Plan { return unless(n >= q.Nodes, q, func() { q.only(n) }) })
	}
	add(func(q *Plan) *Plan {
		return unless(q.Run < 500*time.Millisecond, q, func() { q.Run = (q.Run / 2).Round(time.Millisecond) })
	})
	add(func(q *Plan) *Plan { return unless(q.Calls < 2, q, func() { q.Calls = float64(int(q.Calls / 2)) }) })
	add(func(q *Plan) *Plan { return unless(q.Jitter < time.Millisecond, q, func() { q.Jitter = 0 }) })
	for i := len(p.Acts) - 1; i >= 0; i-- {
		act := p.Acts[i]
		if act.Do == Resume || act.Do == Recover {
			continue // a subnet that stays halted is another story
		}
		add(func(q *Plan) *Plan {
			at := slices.IndexFunc(q.Acts, func(a Act) bool { return a.text() == act.text() && a.At == act.At })
			return unless(at < 0, q, func() { q.Acts = slices.Delete(q.Acts, at, at+1) })
		})
		for _, node := range act.Nodes {
			add(func(q *Plan) *Plan { return q.without(act, node) })
		}
	}
	for _, i := range slices.Sorted(maps.Keys(p.Lies)) {
		for _, lie := range p.Lies[i] {
			add(func(q *Plan) *Plan { return q.honest(i, lie) })
		}
	}
	return ways
}

func unless(no bool, q *Plan, do func()) *Plan {
	if no {
		return nil
	}
	do()
	return q
}

func (p *Plan) halts() bool {
	return slices.ContainsFunc(p.Acts, func(a Act) bool { return a.Do == Halt })
}

// only the first n nodes are left.
func (p *Plan) only(n int) {
	p.Nodes = n
	gone := func(i int) bool { return i >= n }
	p.Members = slices.DeleteFunc(slices.Clone(p.Members), gone)
	maps.DeleteFunc(p.Skew, func(i int, _ time.Duration) bool { return gone(i) })
	maps.DeleteFunc(p.Slow, func(i, _ int) bool { return gone(i) })
	maps.DeleteFunc(p.Lies, func(i int, _ []Lie) bool { return gone(i) })
	for len(p.Lies) > (len(p.founders())-1)/3 {
		delete(p.Lies, slices.Max(slices.Collect(maps.Keys(p.Lies))))
	}
	acts := p.Acts[:0]
	for _, a := range p.Acts {
		had := len(a.Nodes) > 0
		a.Nodes = slices.DeleteFunc(slices.Clone(a.Nodes), gone)
		a.To = slices.DeleteFunc(slices.Clone(a.To), gone)
		if had == (len(a.Nodes) > 0) && (a.Do != Silence || len(a.To) > 0) {
			acts = append(acts, a)
		}
	}
	p.Acts = acts
}

// without a node in an act.
func (p *Plan) without(act Act, node int) *Plan {
	for i, a := range p.Acts {
		if a.text() == act.text() && a.At == act.At && len(a.Nodes) > 1 {
			p.Acts[i].Nodes = slices.DeleteFunc(slices.Clone(a.Nodes), func(n int) bool { return n == node })
			return p
		}
	}
	return nil
}

// honest node in one more thing.
func (p *Plan) honest(node int, lie Lie) *Plan {
	if !slices.Contains(p.Lies[node], lie) {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(p.Lies[node]), func(l Lie) bool { return l == lie })
	if p.Lies[node] = left; len(left) == 0 {
		delete(p.Lies, node)
	}
	return p
}

// Fits tells whether a plan keeps what the protocol needs: liars are at most f.
func (p *Plan) Fits() bool { return len(p.Lies) <= (len(p.founders())-1)/3 }
