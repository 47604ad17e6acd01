package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ashlar/replica/ic"
)

// A story is a plan as text, one sentence a line, in any order:
//
//	# three of four are enough
//	4 nodes, seed 7
//	signatures are real
//	canisters
//	intervals of 12 heights
//	the state has 300 pages
//	members 0 1 2
//	messages take 5ms to 25ms
//	2 % of messages are lost, 1 % come twice
//	20 calls a second
//	the clock of node 1 is 300ms ahead
//	node 2 is 10 times slower
//	node 3 is Byzantine: equivocates, withholds shares
//	bug: votes are forgotten in a crash
//	at 2s: cut 3
//	at height 20: power cut at 1 2
//	when 1 2 have version 2: power cut at 1 2
//	at 4s: heal
//	at 5s: add 3
//	at 5s: upgrade to 2
//	at 6s: halt the subnet
//	at 6s: send a call that takes 60 rounds
//	run 10s, recover within 30s
//	expect height 50
//	at 5s: wipe the disk of 3
//	at 5s: power cut in the middle of a fetch of 3
//	at 6s: resync 3
//	expect node 3 fetched 100 to 900 KiB
//	expect package 24
//	expect members 0 1 2 3
//	expect version 2
//	expect node 3 stopped: damaged
//	expect stuck
//	expect violation: two blocks
//	not yet: why this story is skipped
//
// Nodes are numbered from 0.

// Story is the plan as text; ParseStory reads it.
func (p *Plan) Story() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if p.Title != "" {
		line("# %s", p.Title)
	}
	line("%d nodes, seed %d", p.Nodes, p.Seed)
	if p.Real {
		line("signatures are real")
	}
	if p.Canisters {
		line("canisters")
	}
	if p.Interval != 0 {
		line("intervals of %d heights", p.Interval)
	}
	if p.Pages != 0 {
		line("the state has %d pages", p.Pages)
	}
	if len(p.Members) > 0 {
		line("members %s", numbers(p.Members))
	}
	line("messages take %v to %v", p.Delay, p.Delay+p.Jitter)
	if p.Lost+p.Twice > 0 {
		line("%d %% of messages are lost, %d %% come twice", p.Lost, p.Twice)
	}
	line("%v calls a second", p.Calls)
	for _, i := range slices.Sorted(maps.Keys(p.Skew)) {
		line("the clock of node %d is %v", i, ahead(p.Skew[i]))
	}
	for _, i := range slices.Sorted(maps.Keys(p.Slow)) {
		line("node %d is %d times slower", i, p.Slow[i])
	}
	for _, i := range slices.Sorted(maps.Keys(p.Lies)) {
		var lies []string
		for _, l := range p.Lies[i] {
			lies = append(lies, string(l))
		}
		line("node %d is Byzantine: %s", i, strings.Join(lies, ", "))
	}
	if p.Bug != NoBug {
		line("bug: %s", p.Bug)
	}
	for _, a := range p.Acts {
		switch {
		case a.When != nil:
			line("when %s: %s", strings.TrimSpace(numbers(a.When.Nodes)+" "+a.When.What+" "+a.When.Than), a.text())
		case a.Height != 0:
			line("at height %d: %s", a.Height, a.text())
		default:
			line("at %v: %s", a.At, a.text())
		}
	}
	line("run %v, recover within %v", p.Run, p.Within)
	for _, e := range p.Expects {
		line("%s", e.text())
	}
	if p.Skip != "" {
		line("not yet: %s", p.Skip)
	}
	return strings.TrimRight(b.String(), "\n")
}

func ahead(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%v behind", -d)
	}
	return fmt.Sprintf("%v ahead", d)
}

func (a Act) text() string {
	nodes := numbers(a.Nodes)
	switch a.Do {
	case Cut:
		if len(a.To) > 0 {
			return fmt.Sprintf("cut %s from %s", nodes, numbers(a.To))
		}
		return "cut " + nodes
	case Silence:
		return fmt.Sprintf("silence %s to %s", nodes, numbers(a.To))
	case Heal, Halt, Resume, Recover:
		return string(a.Do)
	case Upgrade:
		return "upgrade to " + a.Text
	case Lose:
		return fmt.Sprintf("lose %d %%", a.N)
	case LongCall:
		return fmt.Sprintf("%s %d rounds", a.Do, a.N)
	case SlowDown:
		return fmt.Sprintf("slow %s %d times", nodes, a.N)
	case SetClock:
		return fmt.Sprintf("move the clock of %s by %v", nodes, a.By)
	}
	return string(a.Do) + " " + nodes
}

func (e Expect) text() string {
	switch e.What {
	case "height":
		return fmt.Sprintf("expect height %d", e.Height)
	case "fetched":
		return fmt.Sprintf("expect node %d fetched %d to %d KiB", e.Node, e.Low, e.High)
	case "package":
		return fmt.Sprintf("expect package %d", e.Height)
	case "version", "members":
		return fmt.Sprintf("expect %s %s", e.What, e.Text)
	case "stopped":
		return fmt.Sprintf("expect node %d stopped: %s", e.Node, e.Text)
	case "violation":
		return "expect violation: " + e.Text
	}
	return "expect " + e.What
}

func numbers(list []int) string {
	var out []string
	for _, i := range list {
		out = append(out, strconv.Itoa(i))
	}
	return strings.Join(out, " ")
}

// ParseStory reads a story.
func ParseStory(text string) (*Plan, error) {
	p := &Plan{Seed: 1, Delay: time.Millisecond, Jitter: 10 * time.Millisecond, Calls: 10, Run: 5 * time.Second, Within: 30 * time.Second,
		Skew: map[int]time.Duration{}, Slow: map[int]int{}, Lies: map[int][]Lie{}}
	for n, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		if title, ok := strings.CutPrefix(l, "#"); ok {
			if p.Title == "" {
				p.Title = strings.TrimSpace(title)
			}
			continue
		}
		if err := p.sentence(l); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n+1, l, err)
		}
	}
	return p, p.check()
}

// check that all nodes named exist, and who is called.
func (p *Plan) check() error {
	if p.Nodes < 1 || p.Nodes > MaxNodes {
		return fmt.Errorf("a story begins with how many nodes there are, 1 to %d", MaxNodes)
	}
	var named []int
	for _, a := range p.Acts {
		named = append(append(named, a.Nodes...), a.To...)
		if a.Do == LongCall && !p.Canisters {
			return fmt.Errorf("%q: only canisters take that long; say so in a line \"canisters\"", a.text())
		}
		if a.When != nil {
			named = append(named, a.When.Nodes...)
		}
	}
	named = append(named, p.Members...)
	named = slices.AppendSeq(named, maps.Keys(p.Skew))
	named = slices.AppendSeq(named, maps.Keys(p.Slow))
	named = slices.AppendSeq(named, maps.Keys(p.Lies))
	for _, e := range p.Expects {
		named = append(named, e.Node)
	}
	for _, i := range named {
		if i < 0 || i >= p.Nodes {
			return fmt.Errorf("there is no node %d: the %d nodes are numbered from 0", i, p.Nodes)
		}
	}
	return nil
}

// form of a sentence: words, with %d, %s (one word) and %* (the rest) in between.
type form struct {
	words string
	take  func(p *Plan, got []string) error
}

func (p *Plan) sentence(l string) error {
	for _, f := range forms {
		if got, ok := match(f.words, l); ok {
			return f.take(p, got)
		}
	}
	return fmt.Errorf("no such sentence; see the top of replica/sim/story.go for all of them")
}

// match a sentence with a pattern, of which each _ is one word and * the rest.
func match(pattern, l string) (got []string, ok bool) {
	words, rest := strings.Fields(pattern), strings.Fields(l)
	for _, w := range words {
		if w == "*" {
			return append(got, strings.Join(rest, " ")), true
		}
		if len(rest) == 0 {
			return nil, false
		}
		if w == "_" {
			got = append(got, strings.TrimRight(rest[0], ",:"))
		} else if w != rest[0] {
			return nil, false
		}
		rest = rest[1:]
	}
	return got, len(rest) == 0
}

var forms []form

func init() {
	forms = []form{
		{"_ nodes, seed _", func(p *Plan, g []string) error { return read(g, &p.Nodes, &p.Seed) }},
		{"_ nodes", func(p *Plan, g []string) error { return read(g, &p.Nodes) }},
		{"signatures are real", func(p *Plan, _ []string) error { p.Real = true; return nil }},
		{"canisters", func(p *Plan, _ []string) error { p.Canisters = true; return nil }},
		{"intervals of _ heights", func(p *Plan, g []string) error { return read(g, &p.Interval) }},
		{"the state has _ pages", func(p *Plan, g []string) error { return read(g, &p.Pages) }},
		{"members *", func(p *Plan, g []string) error {
			var a Act
			err := a.nodes(g[0])
			p.Members = a.Nodes
			return err
		}},
		{"messages take _ to _", func(p *Plan, g []string) error {
			err := read(g, &p.Delay, &p.Jitter)
			p.Jitter -= p.Delay
			return err
		}},
		{"_ % of messages are lost, _ % come twice", func(p *Plan, g []string) error { return read(g, &p.Lost, &p.Twice) }},
		{"_ calls a second", func(p *Plan, g []string) error { return read(g, &p.Calls) }},
		{"the clock of node _ is _ ahead", func(p *Plan, g []string) error { return p.clock(g, 1) }},
		{"the clock of node _ is _ behind", func(p *Plan, g []string) error { return p.clock(g, -1) }},
		{"node _ is _ times slower", func(p *Plan, g []string) error {
			var i, n int
			err := read(g, &i, &n)
			p.Slow[i] = n
			return err
		}},
		{"node _ is Byzantine: *", (*Plan).byzantine},
		{"bug: *", (*Plan).bug},
		{"not yet: *", func(p *Plan, g []string) error { p.Skip = g[0]; return nil }},
		{"at height _ *", func(p *Plan, g []string) error {
			var a Act
			if err := read(g[:1], &a.Height); err != nil {
				return err
			}
			return p.does(a, g[1])
		}},
		{"at _ *", func(p *Plan, g []string) error {
			var a Act
			if err := read(g[:1], &a.At); err != nil {
				return err
			}
			return p.does(a, g[1])
		}},
		{"when *", func(p *Plan, g []string) error {
			var a Act
			when, what, _ := strings.Cut(g[0], ": ")
			if err := a.waits(when); err != nil {
				return err
			}
			return p.does(a, what)
		}},
		{"run _ recover within _", func(p *Plan, g []string) error { return read(g, &p.Run, &p.Within) }},
		{"expect height _", func(p *Plan, g []string) error {
			e := Expect{What: "height"}
			err := read(g, &e.Height)
			p.Expects = append(p.Expects, e)
			return err
		}},
		{"expect package _", func(p *Plan, g []string) error {
			e := Expect{What: "package"}
			err := read(g, &e.Height)
			p.Expects = append(p.Expects, e)
			return err
		}},
		{"expect version _", func(p *Plan, g []string) error {
			p.Expects = append(p.Expects, Expect{What: "version", Text: g[0]})
			return nil
		}},
		{"expect members *", func(p *Plan, g []string) error {
			p.Expects = append(p.Expects, Expect{What: "members", Text: g[0]})
			return nil
		}},
		{"expect stuck", func(p *Plan, _ []string) error { p.Expects = append(p.Expects, Expect{What: "stuck"}); return nil }},
		{"expect violation: *", func(p *Plan, g []string) error {
			p.Expects = append(p.Expects, Expect{What: "violation", Text: g[0]})
			return nil
		}},
		{"expect node _ fetched _ to _ KiB", func(p *Plan, g []string) error {
			e := Expect{What: "fetched"}
			err := read(g, &e.Node, &e.Low, &e.High)
			p.Expects = append(p.Expects, e)
			return err
		}},
		{"expect node _ stopped: *", func(p *Plan, g []string) error {
			e := Expect{What: "stopped", Text: g[1]}
			err := read(g[:1], &e.Node)
			p.Expects = append(p.Expects, e)
			return err
		}},
	}
}

func (p *Plan) clock(g []string, sign time.Duration) error {
	var i int
	var d time.Duration
	err := read(g, &i, &d)
	p.Skew[i] = sign * d
	return err
}

func (p *Plan) byzantine(g []string) error {
	var i int
	if err := read(g[:1], &i); err != nil {
		return err
	}
	for _, name := range strings.Split(g[1], ", ") {
		if !slices.Contains(Lies, Lie(name)) {
			return fmt.Errorf("%q is no lie; there are: %q", name, Lies)
		}
		p.Lies[i] = append(p.Lies[i], Lie(name))
	}
	return nil
}

func (p *Plan) bug(g []string) error {
	if p.Bug = Bug(g[0]); !slices.Contains(Bugs, p.Bug) {
		return fmt.Errorf("no such bug; there are: %q", Bugs)
	}
	return nil
}

// does adds an act.
func (p *Plan) does(a Act, what string) error {
	err := a.read(what)
	p.Acts = append(p.Acts, a)
	return err
}

func (a *Act) read(what string) error {
	for _, a.Do = range []Verb{Heal, Halt, Resume, Recover} {
		if what == string(a.Do) {
			return nil
		}
	}
	if version, ok := strings.CutPrefix(what, string(Upgrade)+" "); ok {
		a.Do, a.Text = Upgrade, version
		return nil
	}
	for _, f := range []struct {
		do   Verb
		form string
		take func(g []string) error
	}{
		{Silence, "silence *", func(g []string) error { return a.groups(g[0], " to ") }},
		{Cut, "cut *", func(g []string) error { return a.groups(g[0], " from ") }},
		{Lose, "lose _ %", func(g []string) error { return read(g, &a.N) }},
		{LongCall, string(LongCall) + " _ rounds", func(g []string) error { return read(g, &a.N) }},
		{SlowDown, "slow *", func(g []string) error {
			w := strings.Fields(g[0])
			if len(w) < 3 || w[len(w)-1] != "times" {
				return fmt.Errorf("slow NODES N times")
			}
			if err := read(w[len(w)-2:len(w)-1], &a.N); err != nil {
				return err
			}
			return a.nodes(strings.Join(w[:len(w)-2], " "))
		}},
		{SetClock, "move the clock of _ by _", func(g []string) error {
			if err := read(g[1:], &a.By); err != nil {
				return err
			}
			return a.nodes(g[0])
		}},
	} {
		if got, ok := match(f.form, what); ok {
			a.Do = f.do
			return f.take(got)
		}
	}
	for _, v := range []Verb{MidStep, MidSave, MidFetch, PowerCut, Kill, Start, FillDisk, FreeDisk, Damage, Wipe, Resync, Add, Remove} {
		if nodes, ok := strings.CutPrefix(what, string(v)+" "); ok {
			a.Do = v
			return a.nodes(nodes)
		}
	}
	return fmt.Errorf("%q is nothing that can happen", what)
}

// waits for nodes to come to something.
func (a *Act) waits(text string) error {
	for _, what := range []string{HaveLeft, HaveVersion, HavePackage, Fetch} {
		if nodes, than, ok := strings.Cut(text, " "+what); ok {
			var of Act
			err := of.nodes(nodes)
			a.When = &When{of.Nodes, what, strings.TrimSpace(than)}
			return err
		}
	}
	return fmt.Errorf("%q is nothing that nodes come to", text)
}

func (a *Act) groups(text, between string) error {
	left, right, both := strings.Cut(text, between)
	if err := a.nodes(left); err != nil || !both {
		return err
	}
	var to Act
	err := to.nodes(right)
	a.To = to.Nodes
	return err
}

func (a *Act) nodes(text string) error {
	for _, w := range strings.Fields(text) {
		i, err := strconv.Atoi(w)
		if err != nil {
			return fmt.Errorf("%q is no number of a node", w)
		}
		a.Nodes = append(a.Nodes, i)
	}
	if len(a.Nodes) == 0 {
		return fmt.Errorf("which nodes?")
	}
	return nil
}

// read words into numbers and spans of time.
func read(words []string, into ...any) (err error) {
	for i, v := range into {
		switch v := v.(type) {
		case *int:
			*v, err = strconv.Atoi(words[i])
		case *uint64:
			*v, err = strconv.ParseUint(words[i], 10, 64)
		case *ic.Height:
			var n uint64
			n, err = strconv.ParseUint(words[i], 10, 64)
			*v = ic.Height(n)
		case *float64:
			*v, err = strconv.ParseFloat(words[i], 64)
		case *time.Duration:
			*v, err = time.ParseDuration(words[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}
