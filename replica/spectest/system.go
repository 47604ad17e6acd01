package spectest

import (
	"strings"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: canister-interface.md, from "Self-identification" to "Debugging aids".

// itself: what a canister learns about itself.
func (n *net) itself() {
	id := n.scripted(script.Options{})
	got, err := n.do(id, program().ReplyCopied("canister_self"))
	n.says("canister_self", id.Bytes(), got, err)
	got, err = n.do(id, program().API("canister_status").ReplyInt())
	n.says("canister_status", number(1), got, err)
	got, err = n.do(id, program().API("in_replicated_execution").ReplyInt())
	n.says("in_replicated_execution of an update", number(1), got, err)
	got, err = n.ask(id, program().API("in_replicated_execution").ReplyInt())
	n.says("in_replicated_execution of a query", number(0), got, err)
	got, err = n.agent.Call(n.ctx, id, "ask", program().API("in_replicated_execution").ReplyInt())
	n.says("in_replicated_execution of a replicated query", number(1), got, err)
	who := func(p ic.Principal) script.Script { return program().Blob(p.Bytes()).API("is_controller").ReplyInt() }
	got, err = n.do(id, who(n.agent.Sender()))
	n.says("is_controller of its controller", number(1), got, err)
	got, err = n.do(id, who(id.Principal))
	n.says("is_controller of itself", number(0), got, err)
	_, err = n.do(id, program().Blob(make([]byte, 30)).API("is_controller").ReplyInt())
	n.rejected("is_controller of 30 bytes", err, ic.CanisterError, "IC0504")
	if got, err = n.do(id, program().ReplyCopied("subnet_self")); err != nil || len(got) == 0 || len(got) > ic.MaxPrincipalBytes {
		n.Errorf("subnet_self: %x, %v", got, err)
	}
	if got, err = n.do(id, program().API("subnet_self_node_count").ReplyInt()); err != nil || word(got) == 0 || word(got) > 1000 {
		n.Errorf("subnet_self_node_count: %x, %v", got, err)
	}
	s, err := n.agent.Status(n.ctx)
	if err != nil {
		n.Fatal(err)
	}
	got, err = n.do(id, program().ReplyCopied("root_key"))
	n.says("root_key", s.RootKey, got, err)
	// The version grows with every message and every change.
	version := func() uint64 {
		n.Helper()
		got, err := n.do(id, program().API("canister_version").ReplyInt())
		if err != nil {
			n.Error(err)
		}
		return word(got)
	}
	first := version()
	second := version()
	_, _ = n.do(id, program().Trap("x"))
	third := version()
	if second <= first || third <= second {
		n.Errorf("versions are %d, %d, %d", first, second, third)
	}
	if err := n.ic.Update(n.ctx, id, agent.Settings{}); err != nil {
		n.Error(err)
	}
	if v := version(); v < third+2 {
		n.Errorf("after a message and a change of settings the version went from %d to %d", third, v)
	}
}

// clock: time is constant in a message, and does not go back.
func (n *net) clock() {
	id := n.scripted(script.Options{})
	last := uint64(0)
	for range 3 {
		got, err := n.do(id, program().API("time").AppendInt().API("time").ReplyInt())
		if err != nil || len(got) != 16 || word(got) != word(got[8:]) || word(got) < last {
			n.Errorf("time: %x, %v after %d", got, err, last)
			return
		}
		last = word(got)
	}
	if age := time.Since(time.Unix(0, int64(last))).Abs(); age > time.Minute {
		n.Errorf("the canister's time is off by %v", age)
	}
}

// counters: performance counters count instructions.
func (n *net) counters() {
	id, other := n.scripted(script.Options{}), n.scripted(script.Options{})
	both := program().Push(0).API("performance_counter").AppendInt().Push(1).API("performance_counter").AppendInt()
	got, err := n.do(id, both.API("msg_reply"))
	again, err2 := n.do(id, both.API("msg_reply"))
	n.says("the same message costs the same", got, again, err2)
	if err != nil || len(got) != 16 || word(got) == 0 || word(got[8:]) <= word(got) {
		n.Errorf("counters: %x, %v", got, err)
	}
	// In a callback the first begins again, the second goes on.
	callbackOf := func(method string, run func(ic.CanisterID, script.Script) ([]byte, error)) {
		n.Helper()
		got, err = run(id, program().Repeat(200, 0x10, program()).Then(callback(other, method, replied, both.API("msg_reply"), nil, nil)))
		if err != nil || len(got) != 16 || word(got[8:]) < 2*word(got) {
			n.Errorf("counters in the callback of %s: %d, %d, %v", method, word(got), word(got[8:]), err)
		}
	}
	callbackOf("do", n.do)
	callbackOf("ask", n.compose)
	_, err = n.do(id, program().Push(2).API("performance_counter"))
	n.rejected("counter 2", err, ic.CanisterError, "IC0504")
}

// stableMemory: in both forms.
func (n *net) stableMemory() {
	id := n.scripted(script.Options{})
	got, err := n.do(id, program().Push(2).API("stable64_grow").AppendInt().API("stable64_size").AppendInt().Push(1).API("stable_grow").AppendInt().API("stable_size").ReplyInt())
	n.says("sizes", []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00"), got, err)
	write := func(at uint64, text string) script.Script { // the blob pushes address and length
		return program().Push(at).Text(text).API("stable64_write")
	}
	read := func(at, size uint64) script.Script {
		return program().Push(script.Scratch).Push(at).Push(size).API("stable64_read").Push(script.Scratch).Push(size).API("msg_reply_data_append").API("msg_reply")
	}
	_, err = n.do(id, write(65533, "across").Then(replied))
	if err != nil {
		n.Error(err)
	}
	got, err = n.ask(id, read(65532, 8))
	n.says("across two pages", []byte("\x00across\x00"), got, err)
	_, err = n.do(id, write(100, "lost").Trap("x"))
	n.rejected("a trap after writing", err, ic.CanisterError, "IC0503")
	got, err = n.ask(id, read(100, 4))
	n.says("is rolled back", make([]byte, 4), got, err)
	for name, s := range map[string]script.Script{
		"written beyond the end": write(3*65536-1, "xx"), "read beyond the end": read(3*65536-1, 2), "an offset that overflows": write(1<<64-1, "xx"),
		"a source beyond the heap": program().Push(0).Push(1 << 31).Push(1).API("stable64_write"),
	} {
		if _, err := n.do(id, s); err == nil {
			n.Errorf("%s: done", name)
		}
	}
	got, err = n.do(id, program().Push(1<<40).API("stable64_grow").ReplyInt())
	n.says("growing beyond the limit", []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), got, err)
	if err := n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), script.Module(script.Options{}), nil); err != nil {
		n.Fatal(err)
	}
	got, err = n.ask(id, read(65533, 6))
	n.says("after an upgrade", []byte("across"), got, err)
	// More than 4 GiB: the old functions trap.
	if _, err := n.do(id, program().Push(65536).API("stable64_grow").Drop().API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	_, err = n.do(id, program().API("stable_size"))
	n.rejected("stable_size beyond 4 GiB", err, ic.CanisterError, "IC0502")
}

// timers: the global timer and heartbeats.
func (n *net) timers() {
	id := n.scripted(script.Options{})
	const ran = 0x10
	once := program().Push(ran).Push(ran).Load().Push(1).Add().Store()
	got, err := n.do(id, program().Hook(script.Timer, once).Push(1<<62).API("global_timer_set").AppendInt().Push(1).API("global_timer_set").ReplyInt())
	if err != nil || word(got) != 0 || word(got[8:]) != 1<<62 {
		n.Errorf("global_timer_set: %x, %v", got, err)
	}
	n.becomes(id, ran, 1, "the timer")
	got, err = n.do(id, program().Push(0).API("global_timer_set").ReplyInt())
	n.says("a timer that ran is set no more", number(0), got, err)
	got, err = n.ask(id, program().Push(ran).Load().ReplyInt())
	n.says("and ran once", number(1), got, err)

	beat := n.scripted(script.Options{Heartbeat: true})
	if _, err := n.do(beat, program().Hook(script.Heartbeat, once).API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	n.becomes(beat, ran, 3, "the heartbeat")
	if err := n.ic.Stop(n.ctx, beat); err != nil {
		n.Error(err)
	}
	// The caller of a system task is the management canister.
	caller := n.scripted(script.Options{})
	if _, err := n.do(caller, program().Hook(script.Timer, program().Push(0x18).API("msg_caller_size").Store().Then(once)).Push(1).API("global_timer_set").Drop().API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	n.becomes(caller, ran, 1, "the timer")
	got, err = n.ask(caller, program().Push(0x18).Load().ReplyInt())
	n.says("the caller's size", number(0), got, err)
}

// becomes waits until the word at an address has at least a value.
func (n *net) becomes(id ic.CanisterID, at, least uint64, what string) {
	n.Helper()
	for range 500 {
		got, err := n.ask(id, program().Push(at).Load().ReplyInt())
		if err != nil {
			n.Fatal(err)
		}
		if word(got) >= least {
			return
		}
		if err := n.pause(20 * time.Millisecond); err != nil {
			break
		}
	}
	n.Fatalf("%s does not run", what)
}

type variable struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

// environment: environment variables.
func (n *net) environment() {
	id := n.scripted(script.Options{})
	set := func(vars ...variable) error {
		return n.settings(id, settings{Environment: &vars})
	}
	if err := set(variable{"b", "two"}, variable{"a", "one"}); err != nil {
		n.Fatal(err)
	}
	got, err := n.do(id, program().API("env_var_count").ReplyInt())
	n.says("env_var_count", number(2), got, err)
	name := func(i uint64) script.Script {
		return program().Push(i).Push(script.Scratch).Push(0).Push(i).API("env_var_name_size").API("env_var_name_copy").Push(script.Scratch).Push(i).API("env_var_name_size").API("msg_reply_data_append")
	}
	got, err = n.do(id, name(0).Then(name(1)).API("msg_reply"))
	n.says("their names", []byte("ab"), got, err)
	value := func(of string) script.Script {
		return program().Text(of).Push(script.Scratch).Push(0).Text(of).API("env_var_value_size").API("env_var_value_copy").Push(script.Scratch).Text(of).API("env_var_value_size").API("msg_reply_data_append").API("msg_reply")
	}
	got, err = n.ask(id, value("b"))
	n.says("a value, in a query", []byte("two"), got, err)
	got, err = n.do(id, program().Text("a").API("env_var_name_exists").AppendInt().Text("c").API("env_var_name_exists").ReplyInt())
	n.says("env_var_name_exists", append(number(1), number(0)...), got, err)
	for what, s := range map[string]script.Script{
		"no such value": value("c"), "no such index": name(2), "a name that is not UTF-8": program().Blob([]byte{0xff}).API("env_var_name_exists"),
		"a name of 129 bytes": program().Text(strings.Repeat("x", 129)).API("env_var_name_exists"),
	} {
		_, err := n.do(id, s)
		n.rejected(what, err, ic.CanisterError, "IC0504")
	}
	n.rejected("two of one name", set(variable{"a", "1"}, variable{"a", "2"}), ic.CanisterReject, "IC0408")
	n.rejected("a name too long", set(variable{strings.Repeat("x", 129), "1"}), ic.CanisterReject, "IC0408")
	n.rejected("a value too long", set(variable{"x", strings.Repeat("x", 129)}), ic.CanisterReject, "IC0408")
	n.rejected("too many", set(make([]variable, 21)...), ic.CanisterReject, "IC0408")
}

// payloads: what may be large, and how large.
func (n *net) payloads() {
	id := n.scripted(script.Options{})
	sized := func(size uint64) script.Script {
		return program().Push(300).Grow().Drop().Push(0).Push(size).API("msg_reply_data_append").API("msg_reply")
	}
	if got, err := n.do(id, sized(2<<20)); err != nil || len(got) != 2<<20 {
		n.Errorf("a reply of 2 MiB: %d bytes, %v", len(got), err)
	}
	_, err := n.do(id, sized(2<<20+1))
	n.rejected("a longer one", err, ic.CanisterError, "IC0504")
	if got, err := n.ask(id, sized(3<<20)); err != nil || len(got) != 3<<20 {
		n.Errorf("a query's reply of 3 MiB: %d bytes, %v", len(got), err)
	}
	_, err = n.ask(id, sized(3<<20+1))
	n.rejected("a longer one of a query", err, ic.CanisterError, "IC0504")
	_, err = n.do(id, program().Push(300).Grow().Drop().Push(0).Push(2<<20+1).API("msg_reject"))
	n.rejected("a rejection of more than 2 MiB", err, ic.CanisterError, "IC0504")
	_, err = n.do(id, program().Blob([]byte{0xff}).API("msg_reject"))
	n.rejected("a rejection that is not UTF-8", err, ic.CanisterError, "IC0504")
	_, err = n.do(id, program().Blob(make([]byte, 33)).API("certified_data_set"))
	n.rejected("certified data of 33 bytes", err, ic.CanisterError, "IC0504")
	// A heap ends at 4 GiB: growing beyond tells -1.
	got, err := n.do(id, program().Push(1<<16).Grow().ReplyInt())
	n.says("memory.grow beyond 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, got, err)
}

type outcallParams struct {
	Request      uint64        `candid:"request_bytes"`
	Milliseconds uint64        `candid:"http_roundtrip_time_ms"`
	Raw          uint64        `candid:"raw_response_bytes"`
	Transformed  uint64        `candid:"transformed_response_bytes"`
	Instructions uint64        `candid:"transform_instructions"`
	Kind         *outcallKinds `candid:"outcall_type"`
}

type outcallKinds struct {
	candid.OneOf
	All *candid.Unit `candid:"fully_replicated"`
	One *candid.Unit `candid:"non_replicated"`
}

// prices: the cost functions, with the formulas of cycle-costs.md for this subnet's size.
func (n *net) prices() {
	id := n.scripted(script.Options{})
	got, err := n.do(id, program().API("subnet_self_node_count").ReplyInt())
	if err != nil {
		n.Fatal(err)
	}
	nodes := word(got)
	scaled := func(c uint64) uint64 { return c * nodes / 13 }
	cost := func(what string, want uint64, s script.Script) {
		n.Helper()
		got, err := n.do(id, s.Push(script.Scratch).Push(16).API("msg_reply_data_append").API("msg_reply"))
		if err != nil || len(got) != 16 || word(got[8:]) != 0 || word(got) != want && word(got) != 0 { // a subnet may be free
			n.Errorf("%s: %d, %v, want %d", what, word(got), err, want)
		}
	}
	at := uint64(script.Scratch)
	cost("cost_create_canister", scaled(500_000_000_000), program().Push(at).API("cost_create_canister"))
	cost("cost_call", scaled(260_000)+scaled(1_000*110)+scaled(1_000*(2<<20))+scaled(5_000_000+40_000_000_000), program().Push(10).Push(100).Push(at).API("cost_call"))
	cost("cost_http_request", (3_000_000+60_000*nodes+400*100+800*1000)*nodes, program().Push(100).Push(1000).Push(at).API("cost_http_request"))
	p := outcallParams{Request: 100, Milliseconds: 1000, Raw: 1000, Transformed: 500, Instructions: 13_000_000}
	base := 1_000_000 + 50*100 + 140_000*nodes + 800*nodes*nodes
	use := uint64(50*1000 + 300*1000 + 1_000_000)
	delivery := nodes * (10*nodes + 600) * 500
	cost("cost_http_request_v2", base*nodes+use*nodes+delivery, program().Blob(candid.Marshal(p)).Push(at).API("cost_http_request_v2"))
	p.Kind = &outcallKinds{One: &candid.Unit{}}
	base = 1_000_000 + 50*100 + 90_000*nodes + 2_000*nodes + 100_000
	cost("cost_http_request_v2 of one node", base*nodes+use+50*nodes*500+delivery, program().Blob(candid.Marshal(p)).Push(at).API("cost_http_request_v2"))
	_, err = n.do(id, program().Text("DIDL nonsense").Push(at).API("cost_http_request_v2"))
	n.rejected("parameters that are not Candid", err, ic.CanisterError, "IC0504")
	for _, f := range []string{"cost_sign_with_ecdsa", "cost_sign_with_schnorr", "cost_vetkd_derive_key"} {
		got, err := n.do(id, program().Text("no_such_key").Push(99).Push(at).API(f).AppendInt().Text("no_such_key").Push(0).Push(at).API(f).ReplyInt())
		n.says(f, append(number(1), number(2)...), got, err)
	}
}

// lowMemory: the hook for a heap that is nearly full.
func (n *net) lowMemory() {
	id := n.scripted(script.Options{})
	const ran, page = 0x10, 65536
	once := program().Push(ran).Push(ran).Load().Push(1).Add().Store()
	if _, err := n.do(id, program().Hook(script.LowMemory, once).API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	limit, threshold := candid.Nat64Of(200*page), candid.Nat64Of(10*page)
	if err := n.settings(id, settings{MemoryLimit: &limit, MemoryThreshold: &threshold}); err != nil {
		n.Fatal(err)
	}
	grow := func(pages uint64) error {
		_, err := n.do(id, program().Push(pages).Grow().Drop().API("msg_reply"))
		return err
	}
	if err := grow(190 - script.Pages); err != nil { // ten are left, not fewer
		n.Fatal(err)
	}
	got, err := n.ask(id, program().Push(ran).Load().ReplyInt())
	n.says("with the threshold left the hook rests", number(0), got, err)
	if err := grow(1); err != nil {
		n.Fatal(err)
	}
	n.becomes(id, ran, 1, "the hook")
	n.rejected("more than the limit", grow(10), ic.CanisterError, "IC0539")
	if err := grow(1); err != nil {
		n.Fatal(err)
	}
	got, err = n.ask(id, program().Push(ran).Load().ReplyInt())
	n.says("the hook runs once", number(1), got, err)
}
