package sim

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/bls"
	"ashlar/replica/ic"
	"ashlar/replica/wire/block"
)

// genesis is the time at which all simulations begin.
const genesis ic.Time = 1_700_000_000_000_000_000

// firstVersion of the replica, that all simulations begin with.
const firstVersion = "1"

// maxTurns ends a run in which things happen without end at one moment.
const maxTurns = 20_000_000

// world is a subnet with all that surrounds it.
type world struct {
	*Plan
	rng   *rand.Rand
	now   time.Duration
	queue events
	turns int

	ids   *identities
	net   *network
	peers []*peer
	wire  *wire
	truth *truth
	users *users

	waiting     []Act                      // for a height, or for nodes
	wrongShares map[block.Hash][]bls.Share // of states that nobody computed
	lost        int                        // percent, at present
	crashes     int
	over        bool // too many forgot what they signed, and there is no state to recover from
	wrong       error

	trace hash.Hash
	tell  bool
	lines []string
}

// event is something that happens at a time; those of one time happen in the
// order in which they were planned.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events struct {
	list []event
	seq  int
}

func (q *events) Len() int { return len(q.list) }
func (q *events) Less(i, j int) bool {
	a, b := &q.list[i], &q.list[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (q *events) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *events) Push(x any)    { q.list = append(q.list, x.(event)) }
func (q *events) Pop() any {
	last := len(q.list) - 1
	e := q.list[last]
	q.list[last] = event{}
	q.list = q.list[:last]
	return e
}

// at plans something.
func (w *world) at(t time.Duration, do func()) {
	w.queue.seq++
	heap.Push(&w.queue, event{max(t, w.now), w.queue.seq, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now+d, do) }

func newWorld(p *Plan, tell bool) (*world, error) {
	w := &world{Plan: p, wrongShares: map[block.Hash][]bls.Share{}, rng: rand.New(rand.NewPCG(p.Seed, 1)), lost: p.Lost, trace: sha256.New(), tell: tell}
	rec := &consensus.Record{Interval: p.Interval, Version: firstVersion}
	var err error
	if w.ids, err = found(p, rec); err != nil {
		return nil, err
	}
	w.net = &network{w: w, records: []*consensus.Record{rec}, start: w.ids.start}
	w.truth, w.wire = newTruth(w), newWire(w)
	w.users = newUsers(w)
	founders := p.founders()
	for i := range p.Nodes {
		w.peers = append(w.peers, newPeer(w, i))
		w.peers[i].idle = !slices.Contains(founders, i)
	}
	return w, nil
}

// runs is how long things happen: until the last act, and at least Run. A power cut
// after all was repaired would be repaired by nobody.
func (p *Plan) runs() time.Duration {
	t := p.Run
	for _, a := range p.Acts {
		t = max(t, a.At)
	}
	return t
}

// play all acts, then repair everything and see the subnet recover.
func (w *world) play() {
	defer func() {
		if r := recover(); r != nil {
			w.fail(violated("panic: %v\n%s", r, stack()))
		}
	}()
	for _, p := range w.peers {
		if !p.idle {
			p.start()
		}
	}
	for _, a := range w.Acts {
		if a.Height != 0 || a.When != nil {
			w.waiting = append(w.waiting, a)
		} else {
			w.at(a.At, func() { w.act(a) })
		}
	}
	w.users.begin()
	w.until(w.runs(), func() bool { return false })
	if w.wrong == nil && !w.over {
		w.end()
	}
}

// forgotten is how many nodes lost what they signed, in all eras.
func (w *world) forgotten() (n int) {
	for _, p := range w.peers {
		if p.forgot {
			n++
		}
	}
	return n
}

// until t, or done; it tells whether it is done.
func (w *world) until(t time.Duration, done func() bool) bool {
	for w.wrong == nil {
		if done() {
			return true
		}
		if w.queue.Len() == 0 || w.queue.list[0].at > t {
			w.now = max(w.now, t)
			return false
		}
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
		w.due()
		if w.turns++; w.turns > maxTurns {
			w.fail(violated("%d turns and no end", w.turns))
		}
	}
	return false
}

// end repairs all, and expects what has to be true then.
func (w *world) end() {
	if w.expects("stuck") {
		w.stuck()
		return
	}
	w.log("all is repaired")
	w.lost = 0
	w.wire.heal()
	for _, p := range w.peers {
		p.slow, p.disk.cutIn, p.disk.cutSave, p.cutFetch = 1, 0, 0, 0
		p.disk.full.Store(false)
		if p.refused != nil && !p.disk.damaged && !p.left {
			p.refused = nil // its disk was full
		}
		if p.node == nil && p.refused == nil && !p.idle {
			p.start()
		}
	}
	goal, last := w.truth.best+3, false
	if !w.until(w.now+w.Within, func() bool {
		if !w.level(goal) {
			return false
		}
		if !last {
			last = true
			w.users.finish()
		}
		return w.users.served() && w.users.rests()
	}) && w.wrong == nil {
		w.fail(violated("not within %v after all was repaired: all nodes certified above height %d and all calls answered\n%s", w.Within, goal, w.state()))
	}
	for _, e := range w.Expects {
		if w.wrong == nil {
			w.fail(w.expect(e))
		}
	}
}

// level tells whether all honest nodes that can run show a height.
func (w *world) level(h ic.Height) bool {
	for _, p := range w.peers {
		if !p.byzantine() && p.refused == nil && !p.idle && p.shown < h {
			return false
		}
	}
	return true
}

// stuck: without a quorum nothing is decided, and nothing goes wrong.
func (w *world) stuck() {
	before := w.truth.best
	w.until(w.now+w.Within, func() bool { return false })
	if w.wrong == nil && w.truth.best > before+1 {
		w.fail(violated("height %d was certified, then %d: there is no quorum", before, w.truth.best))
	}
}

func (w *world) expects(what string) bool {
	for _, e := range w.Expects {
		if e.What == what {
			return true
		}
	}
	return false
}

func (w *world) expect(e Expect) error {
	switch e.What {
	case "height":
		if w.truth.best < e.Height {
			return violated("the subnet came to height %d, not to %d", w.truth.best, e.Height)
		}
	case "fetched":
		if kib := w.peers[e.Node].stateBytes >> 10; kib < e.Low || kib > e.High {
			return violated("node %d fetched %d KiB of states, not %d to %d", e.Node, kib, e.Low, e.High)
		}
	case "version":
		for _, p := range w.peers {
			if p.node != nil && p.version != e.Text {
				return violated("node %d runs version %s", p.index, p.version)
			}
		}
	case "package":
		for _, p := range w.peers {
			if p.node != nil && !p.byzantine() && (p.cup == nil || p.cup.Height < e.Height) {
				return violated("node %d has no catch-up package of height %d", p.index, e.Height)
			}
		}
	case "members":
		if got := w.members(); got != e.Text {
			return violated("the members are %s", got)
		}
	case "stopped":
		p := w.peers[e.Node]
		if p.refused == nil || !contains(p.refused.Error(), e.Text) {
			return violated("node %d was expected to stop and say %q; it said: %v", e.Node, e.Text, p.refused)
		}
	}
	return nil
}

// members of the committee that certified last.
func (w *world) members() string {
	var out []int
	for _, m := range w.truth.nodes {
		out = append(out, w.ids.index(m.ID))
	}
	slices.Sort(out)
	return numbers(out)
}

func (w *world) fail(err error) {
	if w.wrong == nil && err != nil {
		w.wrong = err
		w.log("VIOLATION %v", err)
	}
}

// state of all nodes, for people.
func (w *world) state() string {
	var b strings.Builder
	for _, p := range w.peers {
		fmt.Fprintf(&b, "  node %d: %s\n", p.index, p.status())
	}
	return strings.TrimRight(b.String(), "\n")
}

// log a line of the story.
func (w *world) log(format string, args ...any) {
	line := fmt.Sprintf("%9.3f  ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	w.trace.Write([]byte(line))
	w.say("%s", line)
}

// say what is no part of the trace.
func (w *world) say(format string, args ...any) {
	if w.tell {
		w.lines = append(w.lines, fmt.Sprintf(format, args...))
	}
}

// note what happens too often to be told.
func (w *world) note(kind byte, a, b int, c uint64) {
	var rec [32]byte
	rec[0], rec[1], rec[2] = kind, byte(a), byte(b)
	binary.LittleEndian.PutUint64(rec[8:], uint64(w.now))
	binary.LittleEndian.PutUint64(rec[16:], c)
	w.trace.Write(rec[:])
}

// span draws a time.
func (w *world) span(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

func (w *world) percent(n int) bool { return n > 0 && w.rng.IntN(100) < n }

func (w *world) close() {
	for _, p := range w.peers {
		p.shut()
	}
}

func contains(s, part string) bool { return strings.Contains(s, part) }

// stack of a panic, without the simulation's part of it.
func stack() string {
	all := strings.Split(string(debug.Stack()), "\n")
	for i, l := range all {
		if strings.Contains(l, "panic(") {
			all = all[i+2:]
			break
		}
	}
	return strings.Join(all[:min(len(all), 16)], "\n")
}
