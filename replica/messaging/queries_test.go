package messaging

import (
	"fmt"
	"testing"

	"ashlar/replica/execution/canister"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// What is kept of a query is given again exactly as long as it is right: until
// the canister changed, and, where the query looked at them, the time, the
// balance or the certificate.
func TestKeptAnswers(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	put := func(id ic.CanisterID, text string) { w.must(w.call(bob, id, "update", prog{}.b(text).op('G').reply())) }
	ask := func(to ic.CanisterID, method string, arg prog) *ic.Query {
		return &ic.Query{Sender: bob, Canister: to, Method: method, Arg: arg}
	}
	kept := func(q *ic.Query) bool { return w.m.Recall(w.s, q, w.time) != nil }
	query := func(q *ic.Query) { w.query(q.Sender, q.Canister, q.Method, q.Arg) }

	plain, balance, clock, cert := ask(a, "query", prog{}.op('g').reply()), ask(a, "query", prog{}.op('y').reply()),
		ask(a, "query", prog{}.op('n').reply()), ask(a, "query", prog{}.op('E').reply())
	trap, version := ask(a, "query", prog{}.b("x").op('T')), ask(a, "query", prog{}.op('V').reply())
	callee := outgoing{to: b, method: "query", arg: prog{}.op('g').reply(), onReply: replyArg, onReject: replyReject}
	deep := ask(a, "composite", prog{}.call(callee))
	callee.arg = prog{}.op('n').reply()
	deepClock := ask(a, "composite", prog{}.call(callee))
	status := ask(a, "composite", prog{}.call(outgoing{to: aaaaa, method: "canister_status", arg: idArg(b), onReply: replyArg, onReject: replyReject}))
	nobody := ask(a, "composite", prog{}.call(outgoing{to: ic.CanisterIDFromUint64(900), method: "query", onReply: replyArg, onReject: replyReject}))
	all := []*ic.Query{plain, balance, clock, cert, trap, version, deep, deepClock, status, nobody}
	const names = "plain balance clock cert trap version deep deepClock status nobody"

	for _, step := range []struct {
		what string
		do   func()
		keep string // one letter for each of all: y if the answer still holds
	}{
		{"nothing", func() {}, "yyyyyyyynn"},
		{"an empty round", w.round, "yynyyyynnn"},
		{"the other canister's message", func() { put(b, "B") }, "yynyyynnnn"},
		{"storage is charged", func() {
			for range 12 {
				w.round()
			}
		}, "ynnyyyynnn"},
		{"the canister's message", func() { put(a, "A") }, "nnnnnnnnnn"},
		{"a failed message: it costs", func() { w.call(bob, a, "update", prog{}.op('Z')) }, "ynnyyyynnn"},
		{"settings", func() {
			w.must(w.call(alice, aaaaa, "update_settings", candid.Marshal(settingsArg{a, controllers{&[]ic.Principal{alice, bob}}})))
		}, "nnnnnnnnnn"},
		{"a minute, and the certificate is old", func() {
			for range 61 {
				w.round()
			}
		}, "ynnnyyynnn"},
		{"the other stops", func() { w.must(w.call(alice, aaaaa, "stop_canister", idArg(b))) }, "yynyyynnnn"},
		{"reinstall of the same code", func() {
			w.must(w.install(alice, a, mode{Reinstall: unit}, universal, nil))
		}, "nnnnnnnnnn"},
		{"snapshot-like: a reload of all from the store", w.checkReload, "nnnnnnnnnn"},
	} {
		for _, q := range all {
			query(q)
		}
		step.do()
		got := ""
		for _, q := range all {
			if kept(q) {
				got += "y"
			} else {
				got += "n"
			}
		}
		if got != step.keep {
			t.Errorf("%s: kept are %s, want %s (%s)", step.what, got, step.keep, names)
		}
	}
}

type controllers struct {
	Controllers *[]ic.Principal `candid:"controllers"`
}

type settingsArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Settings controllers   `candid:"settings"`
}

// Each part of a query makes another key, and parts do not run into each other.
func TestKeys(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, q := range []ic.Query{
		{}, {Canister: ic.CanisterIDFromUint64(1)}, {Sender: "a"}, {Method: "a"}, {Arg: []byte("a")}, {Sender: "a", Method: "b"}, {Sender: "ab"}, {Method: "ab"},
		{Method: "a", Arg: []byte("b")}, {Info: &ic.SenderInfo{Info: []byte("a")}}, {Info: &ic.SenderInfo{Signer: "a"}}, {Info: &ic.SenderInfo{Signer: "a"}, Arg: []byte("b")},
	} {
		k := canister.Key(&q)
		if other, ok := seen[k]; ok {
			t.Errorf("%+v has the key of %s", q, other)
		}
		seen[k] = fmt.Sprintf("%+v", q)
	}
}

// A composite query that calls and calls ends at the graph's limits, whole.
func TestGraphLimits(t *testing.T) {
	w := newWorld(t)
	var ids []ic.CanisterID
	for range 9 {
		ids = append(ids, w.universal(alice))
	}
	chain := func(n int) prog { // n composite queries that wait for the next, and one that answers
		p := prog{}.b("end").reply()
		for i := n - 1; i >= 0; i-- {
			p = prog{}.call(outgoing{to: ids[i+1], method: "composite", arg: p, onReply: replyArg, onReject: prog{}.b("caught").reply()})
		}
		return p
	}
	if got := w.must(w.query(bob, ids[0], "composite", chain(6))); string(got) != "end" {
		t.Errorf("six deep: %q", got)
	}
	w.rejected(w.query(bob, ids[0], "composite", chain(7)), ic.QueryCallGraphTooDeep, "depth")
	busy := prog{}
	for range 4 { // each call takes 2 billion instructions
		busy = busy.call(outgoing{to: ids[1], method: "query", arg: prog{}.u64('x', 150_000_000).reply(), onReply: prog{}, onReject: prog{}.b("caught").reply()})
	}
	w.rejected(w.query(bob, ids[0], "composite", busy), ic.QueryCallGraphTotalInstructions, "instruction limit")

	late := 0
	q := &ic.Query{Sender: bob, Canister: ids[0], Method: "composite", Arg: chain(3)}
	a := w.m.Query(w.s, q, w.time, nil, func() bool { late++; return late > 2 })
	w.rejected(a.Reply, ic.QueryTimeLimitExceeded, "time limit")
	if a.Basis != nil {
		t.Error("an answer that came of the wall clock may be kept")
	}
}

// The statistics of a query name each canister that ran.
func TestQueryUses(t *testing.T) {
	w := newWorld(t)
	a, b := w.universal(alice), w.universal(alice)
	arg := prog{}.b("four").reply()
	q := &ic.Query{Sender: bob, Canister: a, Method: "composite", Arg: prog{}.call(outgoing{to: b, method: "query", arg: arg, onReply: replyArg}).
		call(outgoing{to: b, method: "query", arg: arg, onReply: replyArg})}
	answer := w.m.Query(w.s, q, w.time, nil, nil)
	w.must(answer.Reply)
	if len(answer.Uses) != 2 || answer.Uses[0].Canister != a || answer.Uses[1].Canister != b {
		t.Fatalf("%+v", answer.Uses)
	}
	ua, ub := answer.Uses[0].Stats, answer.Uses[1].Stats
	if ua.Calls != 1 || ua.RequestBytes != uint64(len(q.Arg)) || ua.ResponseBytes != 4 || ua.Instructions == 0 {
		t.Errorf("the caller: %+v", ua)
	}
	if ub.Calls != 1 || ub.RequestBytes != uint64(len(arg)) || ub.ResponseBytes != 4 || ub.Instructions == 0 {
		t.Errorf("the callee, which ends the query with its first answer: %+v", ub)
	}
}
