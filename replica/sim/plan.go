package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"ashlar/replica/ic"
)

// MaxNodes of a simulated subnet: the largest ones have 40.
const MaxNodes = 40

// Plan is all that a run depends on. A story (see story.go) is a Plan as text.
type Plan struct {
	Title     string
	Nodes     int
	Seed      uint64 // of all that the plan leaves open
	Real      bool   // signatures: Ed25519 and BLS, not hashes
	Canisters bool   // state machine: the real one, with canisters that call each other, not the ledger
	Interval  uint64 // heights between summaries; 0: as on real networks
	Pages     int    // of the state, beside what accounts need
	Members   []int  // that the subnet begins with; empty: all nodes

	Delay, Jitter time.Duration // of a message: Delay and up to Jitter more
	Lost, Twice   int           // percent of messages that are lost once, that come twice
	Calls         float64       // a second, by users
	Run           time.Duration // how long things happen, before all is repaired
	Within        time.Duration // in which the subnet has to recover then

	Skew map[int]time.Duration // of nodes' clocks
	Slow map[int]int           // by how much nodes are slower
	Lies map[int][]Lie         // of Byzantine nodes
	Bug  Bug                   // planted in all honest nodes

	Acts    []Act
	Expects []Expect // at the end, besides that all goes on
	Skip    string   // why this story is not true yet
}

// Act is one thing that happens.
type Act struct {
	At     time.Duration
	Height ic.Height // if not 0: when this is certified somewhere, instead of At
	When   *When     // if not nil: once this is so, instead of At
	Do     Verb
	Nodes  []int
	To     []int         // of a cut between two groups; empty: all others
	By     time.Duration // of a clock; of a disk: how long
	N      int           // percent, or how many times slower
	Text   string        // a version
}

// When is what an Act waits for: all of some nodes have come to something.
type When struct {
	Nodes []int
	What  string // one of the below
	Than  string // a version; a height
}

// What nodes come to, as stories write it.
const (
	HaveLeft    = "have left"
	HaveVersion = "have version"
	HavePackage = "have package" // of a height, or a later one
	Fetch       = "fetch"        // a state: the first part of it has come
)

// Verb of an Act.
type Verb string

// The verbs, as stories write them.
const (
	PowerCut Verb = "power cut at" // what was not synced is lost
	Kill     Verb = "kill"         // nothing is lost
	MidStep  Verb = "power cut in the middle of a step of"
	MidSave  Verb = "power cut in the middle of a save of"
	Start    Verb = "start"
	Cut      Verb = "cut"     // NODES from TO, both ways
	Silence  Verb = "silence" // NODES to TO, one way
	Heal     Verb = "heal"    // all cuts
	Lose     Verb = "lose"    // N percent of messages
	SlowDown Verb = "slow"    // NODES N times
	SetClock Verb = "move the clock of"
	FillDisk Verb = "fill the disk of"
	FreeDisk Verb = "free the disk of"
	Damage   Verb = "damage the disk of"
	Wipe     Verb = "wipe the disk of"
	Resync   Verb = "resync" // begin anew with a state of peers, what is on disk is set aside
	MidFetch Verb = "power cut in the middle of a fetch of"
	Add      Verb = "add"        // NODES to the registry
	Remove   Verb = "remove"     // NODES from it
	Upgrade  Verb = "upgrade to" // a version, in the registry
	Halt     Verb = "halt the subnet"
	Resume   Verb = "resume the subnet"
	Recover  Verb = "recover the subnet"     // by a catch-up package in the registry
	LongCall Verb = "send a call that takes" // N rounds, to a canister
)

// Lie is what a Byzantine node does.
type Lie string

// The lies.
const (
	Equivocate   Lie = "equivocates"      // two blocks, each to some
	VoteAll      Lie = "votes for all"    // notarizes and finalizes whatever it sees
	Withhold     Lie = "withholds shares" // of a random kind, from some
	BadShares    Lie = "sends bad shares" // signatures that do not match
	BadPayload   Lie = "makes bad blocks" // forged, repeated, expired calls; false context
	WrongState   Lie = "certifies a wrong state"
	Garbage      Lie = "sends garbage" // bytes of no meaning, and cut or changed messages
	Replay       Lie = "repeats old messages"
	FalseAnswers Lie = "signs falsely" // aggregates without a quorum behind them
	Relabel      Lie = "gives certificates other heights"
	BadDealings  Lie = "makes bad dealings"
	NoDealings   Lie = "withholds dealings"
	FalseCUPs    Lie = "signs false packages" // of another state, and answers with forged ones
)

// Lies are all of them.
var Lies = []Lie{Equivocate, VoteAll, Withhold, BadShares, BadPayload, WrongState, Garbage, Replay, FalseAnswers, Relabel, BadDealings, NoDealings, FalseCUPs}

// founders are the members that the subnet begins with.
func (p *Plan) founders() []int {
	if len(p.Members) > 0 {
		return p.Members
	}
	all := make([]int, p.Nodes)
	for i := range all {
		all[i] = i
	}
	return all
}

// Expect is something that has to be true at the end.
type Expect struct {
	What   string // stuck, height, fetched, package, version, members, stopped, violation
	Height ic.Height
	Node   int
	Low    int // KiB
	High   int
	Text   string // part of the violation, or of why the node stopped
}

// FromSeed makes the plan of a seed: which faults strike, whom and when.
func FromSeed(seed uint64, nodes int) *Plan {
	r := rand.New(rand.NewPCG(seed, uint64(nodes)))
	p := &Plan{Title: fmt.Sprintf("seed %d of %d nodes", seed, nodes), Nodes: nodes, Seed: seed, Within: time.Duration(30+10*nodes) * time.Second,
		Run: between(r, 2*time.Second, 8*time.Second), Calls: float64(2 + r.IntN(40)),
		Delay: between(r, 0, 20*time.Millisecond), Jitter: between(r, time.Millisecond, 60*time.Millisecond),
		Skew: map[int]time.Duration{}, Slow: map[int]int{}, Lies: map[int][]Lie{}}
	p.Interval = uint64(10 + r.IntN(20))
	if r.IntN(3) == 0 {
		p.Lost, p.Twice = r.IntN(20), r.IntN(20)
	}
	for i := range nodes {
		if r.IntN(3) == 0 {
			p.Skew[i] = between(r, -2*time.Second, 2*time.Second)
		}
		if r.IntN(6) == 0 {
			p.Slow[i] = 2 + r.IntN(20)
		}
	}
	if r.IntN(2) == 0 {
		for _, i := range r.Perm(nodes)[:r.IntN((nodes-1)/3+1)] {
			for range 1 + r.IntN(3) {
				if l := Lies[r.IntN(len(Lies))]; !slices.Contains(p.Lies[i], l) {
					p.Lies[i] = append(p.Lies[i], l)
				}
			}
		}
	}
	for range r.IntN(8) {
		p.fault(r)
	}
	if r.IntN(2) == 0 {
		p.change(r)
	}
	switch k := r.IntN(12); {
	case k < 4:
		p.loss(r)
	case k < 5 && nodes > 1:
		p.disaster(r)
	}
	slices.SortStableFunc(p.Acts, func(a, b Act) int { return int(a.At - b.At) })
	share := 8
	if nodes > 4 {
		share = 24 // they take longer
	}
	p.Canisters = r.IntN(share) == 0 // drawn last: all else is as it would be with the ledger
	return p
}

// spare is how many more members may be faulty, whoever is a member just then: those
// that lie, or lost what they signed and may not vote for a while, count already.
func (p *Plan) spare() int {
	members, faulty := len(p.founders()), len(p.Lies)
	for _, a := range p.Acts {
		switch a.Do {
		case Remove:
			members -= len(a.Nodes)
		case Wipe, Resync:
			faulty += len(a.Nodes)
		}
	}
	return (members-1)/3 - faulty
}

// someHonest node of those that the subnet begins with.
func (p *Plan) someHonest(r *rand.Rand) int {
	all := p.founders()
	for {
		if i := all[r.IntN(len(all))]; len(p.Lies[i]) == 0 {
			return i
		}
	}
}

// loss of what a node has on its disk, or a long time in which it is down: late enough
// for its peers to have forgotten where it comes back from. More goes wrong meanwhile.
func (p *Plan) loss(r *rand.Rand) {
	if p.spare() < 1 {
		return
	}
	who := []int{p.someHonest(r)}
	p.Pages = r.IntN(200)
	at := p.Run + between(r, 4*time.Second, 8*time.Second).Round(time.Millisecond)
	begin := at + between(r, 0, 2*time.Second).Round(time.Millisecond)
	back := Start
	switch r.IntN(5) {
	case 0: // no loss: it lags
		p.Acts = append(p.Acts, Act{At: between(r, 0, 2*time.Second).Round(time.Millisecond), Do: Kill, Nodes: who})
	case 1:
		back = Resync
		p.Acts = append(p.Acts, Act{At: at, Do: PowerCut, Nodes: who})
	default:
		p.Acts = append(p.Acts, Act{At: at, Do: Wipe, Nodes: who})
	}
	for range r.IntN(3) {
		p.Acts = append(p.Acts, Act{At: begin, Do: MidFetch, Nodes: who}, Act{At: begin, Do: back, Nodes: who})
		back = Start
		begin += between(r, 0, 2*time.Second).Round(time.Millisecond)
	}
	p.Acts = append(p.Acts, Act{At: begin, Do: back, Nodes: who})
	p.Run = begin + between(r, time.Second, 4*time.Second).Round(time.Millisecond)
	for range r.IntN(4) {
		p.fault(r)
	}
}

// amnesia is for how long nodes that lost what they signed may not vote, and more: as
// long as clocks may differ.
const amnesia = 40 * time.Second

// disaster: so many nodes lose what they signed that no quorum is left, until the
// registry says from which state to go on. Or the subnet is recovered for no reason.
func (p *Plan) disaster(r *rand.Rand) {
	at := between(r, 0, p.Run).Round(time.Millisecond)
	begin := at + between(r, 0, 2*time.Second).Round(time.Millisecond)
	recover := begin + between(r, 0, time.Second).Round(time.Millisecond)
	if all := p.founders(); r.IntN(4) > 0 {
		lost := r.Perm(len(all))[:1+r.IntN(len(all)-1)]
		keeps := p.someHonest(r) // what there is to go on from
		for _, i := range lost {
			if all[i] == keeps {
				continue
			}
			who := []int{all[i]}
			if r.IntN(3) == 0 {
				p.Acts = append(p.Acts, Act{At: at, Do: PowerCut, Nodes: who}, Act{At: begin, Do: Resync, Nodes: who})
			} else {
				p.Acts = append(p.Acts, Act{At: at, Do: Wipe, Nodes: who}, Act{At: begin, Do: Start, Nodes: who})
			}
		}
		recover += amnesia
	}
	p.Acts = append(p.Acts, Act{At: recover, Do: Recover})
	p.Run = recover + between(r, time.Second, 4*time.Second).Round(time.Millisecond)
}

// change adds what the registry brings: nodes that join and leave, versions, halts.
func (p *Plan) change(r *rand.Rand) {
	switch k := r.IntN(10); {
	case k < 6 && p.Nodes >= 4:
		p.membership(r)
		if r.IntN(3) == 0 {
			p.upgrades(r)
		}
	case k < 8:
		p.upgrades(r)
	default:
		begin := p.moment(r)
		p.Acts = append(p.Acts, Act{At: begin, Do: Halt}, Act{At: begin + between(r, time.Second, 5*time.Second).Round(time.Millisecond), Do: []Verb{Resume, Recover}[r.IntN(2)]})
	}
}

// moment of the run.
func (p *Plan) moment(r *rand.Rand) time.Duration {
	return between(r, 0, p.Run).Round(time.Millisecond)
}

// upgrades to one version, or two one after the other.
func (p *Plan) upgrades(r *rand.Rand) {
	at := p.moment(r)
	for v := range 1 + r.IntN(2) {
		p.Acts = append(p.Acts, Act{At: at, Do: Upgrade, Text: strconv.Itoa(2 + v)})
		at += p.moment(r)
	}
}

// membership: nodes join, perhaps with a disk that fails them, and one leaves, perhaps
// to come back.
func (p *Plan) membership(r *rand.Rand) {
	members, more := p.Nodes, 1+r.IntN(2)
	p.Members = p.founders()
	p.Nodes = min(p.Nodes+more, MaxNodes)
	var joined []Act
	for i := members; i < p.Nodes; i++ {
		joined = append(joined, Act{At: p.moment(r), Do: Add, Nodes: []int{i}})
	}
	p.Acts = append(p.Acts, joined...)
	if r.IntN(2) == 0 && (members-2)/3 >= len(p.Lies) { // with the liars that stay
		gone := Act{At: p.moment(r), Do: Remove, Nodes: []int{r.IntN(members)}}
		p.Acts = append(p.Acts, gone)
		if r.IntN(3) == 0 {
			p.Acts = append(p.Acts, Act{At: gone.At + p.moment(r), Do: Add, Nodes: gone.Nodes})
		}
	}
	for _, a := range joined {
		p.trouble(r, a)
	}
}

// trouble of a node that joins: its power fails while it fetches a state, or it is
// given another disk.
func (p *Plan) trouble(r *rand.Rand, join Act) {
	at := join.At + maxNews + between(r, 0, time.Second).Round(time.Millisecond)
	later := at + between(r, 0, time.Second).Round(time.Millisecond)
	bad := Act{At: at, Nodes: join.Nodes}
	switch k := r.IntN(6); {
	case k < 2:
		bad.At, bad.Do = join.At, MidFetch
	case k < 3:
		bad.Do = PowerCut
	case k < 4 && p.spare() > 0:
		bad.Do = Wipe
	default:
		return
	}
	p.Acts = append(p.Acts, bad, Act{At: later, Do: Start, Nodes: join.Nodes})
}

// fault adds one thing that goes wrong and, mostly, when it is right again.
func (p *Plan) fault(r *rand.Rand) {
	at := between(r, 0, p.Run).Round(time.Millisecond)
	later := at + between(r, 10*time.Millisecond, p.Run/2).Round(time.Millisecond)
	some := r.Perm(p.Nodes)[:1+r.IntN((p.Nodes+2)/3)]
	slices.Sort(some)
	both := func(bad, good Act) {
		bad.At, good.At = at, later
		p.Acts = append(p.Acts, bad, good)
	}
	switch k := r.IntN(20); {
	case k < 5:
		both(Act{Do: PowerCut, Nodes: some}, Act{Do: Start, Nodes: some})
	case k < 6:
		both(Act{Do: MidSave, Nodes: some}, Act{Do: Start, Nodes: some})
	case k < 8:
		both(Act{Do: MidStep, Nodes: some}, Act{Do: Start, Nodes: some})
	case k < 10:
		both(Act{Do: Kill, Nodes: some}, Act{Do: Start, Nodes: some})
	case k < 11: // everybody at once
		all := make([]int, p.Nodes)
		for i := range all {
			all[i] = i
		}
		both(Act{Do: PowerCut, Nodes: all}, Act{Do: Start, Nodes: all})
	case k < 14 && p.Nodes > 1:
		both(Act{Do: Cut, Nodes: some}, Act{Do: Heal})
	case k < 16 && p.Nodes > 1:
		to := r.Perm(p.Nodes)[:1+r.IntN(p.Nodes-1)]
		slices.Sort(to)
		both(Act{Do: Silence, Nodes: some, To: to}, Act{Do: Heal})
	case k < 17:
		both(Act{Do: Lose, N: 20 + r.IntN(60)}, Act{Do: Lose, N: p.Lost})
	case k < 18:
		both(Act{Do: SlowDown, Nodes: some, N: 5 + r.IntN(100)}, Act{Do: SlowDown, Nodes: some, N: 1})
	case k < 19:
		p.Acts = append(p.Acts, Act{At: at, Do: SetClock, Nodes: some[:1], By: between(r, -time.Second, 5*time.Second)})
	default:
		both(Act{Do: FillDisk, Nodes: some[:1]}, Act{Do: FreeDisk, Nodes: some[:1]})
	}
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return (low + time.Duration(r.Int64N(int64(high-low)))).Round(100 * time.Microsecond)
}
