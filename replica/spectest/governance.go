package spectest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: management-canister.md: settings, who may do what, history, logs.

func nat(v uint64) *candid.Natural {
	c := candid.Nat64Of(v)
	return &c
}

// statusResult is canister_status, as far as the tests look.
type statusResult struct {
	Version   uint64 `candid:"version"`
	Migration bool   `candid:"ready_for_migration"`
	Settings  struct {
		Compute       candid.Natural `candid:"compute_allocation"`
		Memory        candid.Natural `candid:"memory_allocation"`
		Freezing      candid.Natural `candid:"freezing_threshold"`
		ReservedLimit candid.Natural `candid:"reserved_cycles_limit"`
		MinimumCycles candid.Natural `candid:"minimum_incoming_canister_call_cycles"`
		LogLimit      candid.Natural `candid:"log_memory_limit"`
		MemoryLimit   candid.Natural `candid:"wasm_memory_limit"`
		Threshold     candid.Natural `candid:"wasm_memory_threshold"`
	} `candid:"settings"`
	Memory  candid.Natural `candid:"memory_size"`
	Metrics struct {
		Heap      candid.Natural `candid:"wasm_memory_size"`
		Stable    candid.Natural `candid:"stable_memory_size"`
		Globals   candid.Natural `candid:"global_memory_size"`
		Code      candid.Natural `candid:"wasm_binary_size"`
		Sections  candid.Natural `candid:"custom_sections_size"`
		History   candid.Natural `candid:"canister_history_size"`
		Chunks    candid.Natural `candid:"wasm_chunk_store_size"`
		Snapshots candid.Natural `candid:"snapshots_size"`
		Logs      candid.Natural `candid:"log_memory_store_size"`
	} `candid:"memory_metrics"`
	Cycles   candid.Natural `candid:"cycles"`
	Reserved candid.Natural `candid:"reserved_cycles"`
}

func (n *net) status0(id ic.CanisterID) (s statusResult) {
	n.Helper()
	if err := n.look(id, "canister_status", idArg{id}, &s); err != nil {
		n.Fatal(err)
	}
	return s
}

func small(v candid.Natural) uint64 { u, _ := v.Uint64(); return u }

// settingsRules: defaults, ranges, and that what is not named stays.
func (n *net) settingsRules() {
	id := n.create()
	s := n.status0(id)
	for name, c := range map[string][2]uint64{
		"compute_allocation": {small(s.Settings.Compute), 0}, "memory_allocation": {small(s.Settings.Memory), 0}, "freezing_threshold": {small(s.Settings.Freezing), 2_592_000},
		"reserved_cycles_limit": {small(s.Settings.ReservedLimit), 5_000_000_000_000}, "minimum_incoming_canister_call_cycles": {small(s.Settings.MinimumCycles), 0},
		"log_memory_limit": {small(s.Settings.LogLimit), 4096}, "wasm_memory_threshold": {small(s.Settings.Threshold), 0},
	} {
		if c[0] != c[1] {
			n.Errorf("the default of %s is %d, want %d", name, c[0], c[1])
		}
	}
	for what, set := range map[string]settings{
		"a freezing threshold": {Freezing: nat(1000)}, "no reserve": {ReservedLimit: nat(0)}, "a minimum": {MinimumCycles: nat(10)}, "a log limit": {LogLimit: nat(2 << 20)}, "no log": {LogLimit: nat(0)},
		"a memory limit": {MemoryLimit: nat(1 << 48)}, "a threshold": {MemoryThreshold: nat(1 << 48)}, "a memory allocation": {Memory: nat(1 << 20)}, "compute": {Compute: nat(1)},
	} {
		if err := n.settings(id, set); err != nil {
			n.Errorf("%s: %v", what, err)
		}
	}
	s = n.status0(id)
	if small(s.Settings.Freezing) != 1000 || small(s.Settings.Memory) != 1<<20 || small(s.Settings.Compute) != 1 || small(s.Settings.MemoryLimit) != 1<<48 {
		n.Errorf("settings are %+v", s.Settings)
	}
	n.must("no compute", n.settings(id, settings{Compute: nat(0)}))
	many := make([]ic.Principal, 11)
	for i := range many {
		many[i] = ic.CanisterIDFromUint64(uint64(i)).Principal
	}
	for what, c := range map[string]struct {
		set  settings
		code string
	}{
		"compute of 101 %": {settings{Compute: nat(101)}, "IC0504"}, "a memory limit above 2^48": {settings{MemoryLimit: nat(1<<48 + 1)}, "IC0504"},
		"a threshold above 2^48": {settings{MemoryThreshold: nat(1<<48 + 1)}, "IC0504"}, "a log limit of 4095": {settings{LogLimit: nat(4095)}, "IC0406"}, "a log limit above 2 MiB": {settings{LogLimit: nat(2<<20 + 1)}, "IC0406"},
		"more memory than a subnet": {settings{Memory: nat(1 << 62)}, "IC0101"},
		"eleven controllers":        {settings{Controllers: &many}, "IC0408"}, "eleven viewers": {settings{LogVisibility: &visibility{Viewers: &many}}, "IC0408"},
	} {
		var r *agent.Rejected
		if err := n.settings(id, c.set); !errors.As(err, &r) || r.ErrorCode != c.code {
			n.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
	none := []ic.Principal{}
	n.must("no controllers", n.settings(id, settings{Controllers: &none}))
	n.rejected("then nobody controls it", n.settings(id, settings{Freezing: nat(1)}), ic.CanisterError, "IC0512")
}

func (n *net) must(what string, err error) {
	n.Helper()
	if err != nil {
		n.Errorf("%s: %v", what, err)
	}
}

// visibilities: status, logs and snapshots are seen by those who may.
func (n *net) visibilities() {
	id := n.scripted(script.Options{})
	stranger, friend := n.as(must(agent.Ed25519(key(21)))), n.as(must(agent.Ed25519(key(22))))
	see := map[string]func(m *net) error{
		"status": func(m *net) error { return m.look(id, "canister_status", idArg{id}, new(statusResult)) },
		"logs":   func(m *net) error { _, err := m.logs(id); return err },
		"snapshots": func(m *net) error {
			return m.manage(id, "list_canister_snapshots", idArg{id})
		},
	}
	set := func(what string, v visibility) {
		n.Helper()
		var s settings
		switch what {
		case "status":
			s.StatusVisibility = &v
		case "logs":
			s.LogVisibility = &v
		default:
			s.SnapshotsVisible = &v
		}
		n.must("visibility of "+what, n.settings(id, s))
	}
	check := func(what, when string, by *net, sees bool) {
		n.Helper()
		if err := see[what](by); (err == nil) != sees {
			n.Errorf("%s, %s: %v, want seen: %v", what, when, err, sees)
		}
	}
	for what := range see {
		check(what, "by the controller", n, true)
		check(what, "by a stranger", stranger, false)
		viewers := []ic.Principal{friend.agent.Sender()}
		set(what, visibility{Viewers: &viewers})
		check(what, "by a viewer", friend, true)
		check(what, "by a stranger, with viewers", stranger, false)
		check(what, "by the controller, with viewers", n, true)
		set(what, visibility{Public: &candid.Unit{}})
		check(what, "by a stranger, public", stranger, true)
		check(what, "by nobody, public", n.as(agent.Anonymous), true)
		set(what, visibility{Controllers: &candid.Unit{}})
		check(what, "by a viewer that is one no more", friend, false)
	}
	if err := stranger.look(id, "canister_info", idArg{id}); err != nil { // seen by everybody
		n.Errorf("canister_info by a stranger: %v", err)
	}
	if err := stranger.look(id, "canister_metrics", idArg{id}); err == nil {
		n.Error("canister_metrics by a stranger")
	}
	n.must("canister_metrics by the controller", n.look(id, "canister_metrics", idArg{id}))
	for _, method := range []string{"fetch_canister_logs", "canister_info", "raw_rand", "deposit_cycles", "create_canister", "subnet_info", "subnet_metrics", "node_metrics_history", "canister_metadata", "list_canisters",
		"sign_with_ecdsa", "http_request", "bitcoin_get_balance", "nothing"} {
		if err := n.manage(id, method, idArg{id}); err == nil {
			n.Errorf("a user calls %s", method)
		}
	}
}

// logRules: what is logged, what is kept, how it is read.
func (n *net) logRules() {
	id := n.scripted(script.Options{})
	say := func(text string) {
		n.Helper()
		if _, err := n.do(id, program().Text(text).API("debug_print").API("msg_reply")); err != nil {
			n.Error(err)
		}
	}
	say("one")
	say("two")
	_, _ = n.do(id, program().Text("before").API("debug_print").Trap("three"))
	_, _ = n.ask(id, program().Text("a query is not logged").API("debug_print").API("msg_reply"))
	lines, err := n.logs(id)
	var texts []string
	for i, l := range lines {
		texts = append(texts, string(l.Content))
		if l.Index != uint64(i) || l.Time == 0 {
			n.Errorf("line %d is %+v", i, l)
		}
	}
	if want := "one,two,before,[TRAP]: three"; err != nil || strings.Join(texts, ",") != want {
		n.Errorf("the log is %q, %v, want %s", texts, err, want)
	}
	filtered := func(f logFilter) (out string) {
		n.Helper()
		var r logsResult
		n.must("logs", n.look(id, "fetch_canister_logs", logsArg{id, &f}, &r))
		for _, l := range r.Records {
			out += string(l.Content) + ","
		}
		return out
	}
	if got := filtered(logFilter{Index: &logRange{1, 3}}); got != "two,before," {
		n.Errorf("lines 1 and 2 are %q", got)
	}
	if got := filtered(logFilter{Index: &logRange{3, 1}}); got != "" {
		n.Errorf("lines of an empty range are %q", got)
	}
	if len(lines) > 1 {
		if got := filtered(logFilter{Time: &logRange{lines[1].Time, lines[1].Time + 1}}); !strings.Contains(got, "two") {
			n.Errorf("lines of the second one's time are %q", got)
		}
	}
	// Upgrades keep the log, reinstalling purges it; numbers go on.
	n.must("upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), script.Module(script.Options{}), nil))
	if lines, err := n.logs(id); err != nil || len(lines) != 4 {
		n.Errorf("after an upgrade the log has %d lines, %v", len(lines), err)
	}
	n.must("reinstall", n.ic.InstallCode(n.ctx, id, agent.Reinstall(), script.Module(script.Options{}), nil))
	if lines, err := n.logs(id); err != nil || len(lines) != 0 {
		n.Errorf("after reinstalling the log has %d lines, %v", len(lines), err)
	}
	say("again")
	if lines, err := n.logs(id); err != nil || len(lines) != 1 || lines[0].Index != 4 {
		n.Errorf("the log after reinstalling is %+v, %v", lines, err)
	}
	// The limit: the oldest go.
	if _, err := n.do(id, program().Repeat(100, 0x10, program().Text(strings.Repeat("x", 100)).API("debug_print")).Text("last").API("debug_print").API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	lines, err = n.logs(id)
	if err != nil || len(lines) < 25 || len(lines) > 40 || string(lines[len(lines)-1].Content) != "last" || lines[len(lines)-1].Index != 105 {
		n.Errorf("a full log has %d lines, %v", len(lines), err)
	}
	n.must("no log", n.settings(id, settings{LogLimit: nat(0)}))
	say("into nothing")
	if lines, err := n.logs(id); err != nil || len(lines) != 0 {
		n.Errorf("a log without memory has %d lines, %v", len(lines), err)
	}
	n.must("a large log", n.settings(id, settings{LogLimit: nat(1 << 20)}))
	if s := n.status0(id); small(s.Metrics.Logs) < 1<<20 {
		n.Errorf("a store for 1 MiB takes %d bytes", small(s.Metrics.Logs))
	}
	if _, err := n.do(id, program().Repeat(3000, 0x10, program().Text(strings.Repeat("y", 200)).API("debug_print")).API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	if lines, err := n.logs(id); err != nil || len(lines) != 3000 {
		n.Errorf("a large log has %d lines, %v", len(lines), err)
	}
	// A canister may read its own logs by a call, if it is a controller.
	self := []ic.Principal{id.Principal, n.agent.Sender()}
	n.must("controllers", n.settings(id, settings{Controllers: &self}))
	got, err := n.do(id, program().Forwarded(script.Outgoing{Method: "fetch_canister_logs", Arg: candid.Marshal(logsArg{Canister: id, Filter: &logFilter{Index: &logRange{0, 1 << 62}}})}))
	if err != nil || len(got) < 100_000 {
		n.Errorf("logs by a call: %d bytes, %v", len(got), err)
	}
}

type details struct {
	candid.OneOf
	Creation    *candid.Any `candid:"creation"`
	Uninstall   *candid.Any `candid:"code_uninstall"`
	Deployment  *candid.Any `candid:"code_deployment"`
	Snapshot    *candid.Any `candid:"load_snapshot"`
	Controllers *candid.Any `candid:"controllers_change"`
}

type infoResult struct {
	Total   uint64 `candid:"total_num_changes"`
	Changes []struct {
		Version uint64  `candid:"canister_version"`
		Details details `candid:"details"`
	} `candid:"recent_changes"`
	Hash        *[]byte        `candid:"module_hash"`
	Controllers []ic.Principal `candid:"controllers"`
}

type infoArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Changes  *uint64       `candid:"num_requested_changes"`
}

// history: canister_info.
func (n *net) history() {
	id := n.scripted(script.Options{})
	all := uint64(100)
	info := func(changes *uint64) (r infoResult) {
		n.Helper()
		n.must("canister_info", n.look(id, "canister_info", infoArg{id, changes}, &r))
		return r
	}
	n.must("upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), script.Module(script.Options{}), nil))
	n.must("settings", n.settings(id, settings{Freezing: nat(1)})) // is no entry
	me := []ic.Principal{n.agent.Sender()}
	n.must("controllers", n.settings(id, settings{Controllers: &me}))
	n.must("uninstall", n.ic.Uninstall(n.ctx, id))
	r := info(&all)
	var kinds []string
	last := uint64(0)
	for i, c := range r.Changes {
		d := c.Details
		for name, set := range map[string]bool{"creation": d.Creation != nil, "uninstall": d.Uninstall != nil, "deployment": d.Deployment != nil, "snapshot": d.Snapshot != nil, "controllers": d.Controllers != nil} {
			if set {
				kinds = append(kinds, name)
			}
		}
		if i > 0 && c.Version <= last {
			n.Errorf("versions of the history: %d after %d", c.Version, last)
		}
		last = c.Version
	}
	if want := "creation deployment deployment controllers uninstall"; strings.Join(kinds, " ") != want || r.Total != 5 || r.Hash != nil || len(r.Controllers) != 1 {
		n.Errorf("the history is %v of %d, want %s", kinds, r.Total, want)
	}
	if r := info(nil); len(r.Changes) != 0 || r.Total != 5 {
		n.Errorf("no changes were asked for: %+v", r)
	}
	two := uint64(2)
	if r := info(&two); len(r.Changes) != 2 || r.Changes[1].Details.Uninstall == nil {
		n.Errorf("the two newest changes: %+v", r)
	}
}

type chunkHash struct {
	Hash []byte `candid:"hash"`
}

type uploadArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Chunk    []byte        `candid:"chunk"`
}

type chunkedArg struct {
	Mode   agent.InstallMode `candid:"mode"`
	Target ic.CanisterID     `candid:"target_canister"`
	Store  *ic.CanisterID    `candid:"store_canister"`
	Chunks []chunkHash       `candid:"chunk_hashes_list"`
	Hash   []byte            `candid:"wasm_module_hash"`
	Arg    []byte            `candid:"arg"`
}

// chunks: the chunk store.
func (n *net) chunks() {
	store, target := n.create(), n.create()
	code := script.Module(script.Options{})
	upload := func(part []byte) chunkHash {
		n.Helper()
		var h chunkHash
		n.must("upload_chunk", n.manage(store, "upload_chunk", uploadArg{store, part}, &h))
		if want := sha256.Sum256(part); !bytes.Equal(h.Hash, want[:]) {
			n.Errorf("the hash of a chunk is %x", h.Hash)
		}
		return h
	}
	list := func() (l []chunkHash) {
		n.Helper()
		n.must("stored_chunks", n.manage(store, "stored_chunks", idArg{store}, &l))
		return l
	}
	a, b := upload(code[:1000]), upload(code[1000:])
	if upload(code[:1000]); len(list()) != 2 {
		n.Errorf("%d chunks are stored, want 2", len(list()))
	}
	if s := n.status0(store); small(s.Metrics.Chunks) != 2<<20 {
		n.Errorf("two chunks take %d bytes, want 2 MiB", small(s.Metrics.Chunks))
	}
	hash := sha256.Sum256(code)
	install := func(mode agent.InstallMode, hash []byte, parts ...chunkHash) error {
		return n.manage(target, "install_chunked_code", chunkedArg{Mode: mode, Target: target, Store: &store, Chunks: parts, Hash: hash, Arg: nil})
	}
	n.rejected("chunks in the wrong order", install(agent.Install(), hash[:], b, a), ic.CanisterError, "IC0504")
	n.rejected("another hash", install(agent.Install(), make([]byte, 32), a, b), ic.CanisterError, "IC0504")
	n.rejected("a chunk that is not there", install(agent.Install(), hash[:], a, chunkHash{make([]byte, 32)}), ic.CanisterError, "IC0504")
	n.must("install_chunked_code", install(agent.Install(), hash[:], a, b))
	n.replies(target, "do", program().Reply([]byte("works")), []byte("works"))
	n.rejected("more than 1 MiB", n.manage(store, "upload_chunk", uploadArg{store, make([]byte, 1<<20+1)}), ic.CanisterError, "IC0504")
	stranger := n.as(must(agent.Ed25519(key(23))))
	n.rejected("a stranger's chunk", stranger.manage(store, "upload_chunk", uploadArg{store, []byte("x")}), ic.CanisterError, "IC0512")
	n.rejected("a stranger reads", stranger.manage(store, "stored_chunks", idArg{store}), ic.CanisterError, "IC0512")
	n.must("clear_chunk_store", n.manage(store, "clear_chunk_store", idArg{store}))
	if len(list()) != 0 {
		n.Error("chunks are left after clear_chunk_store")
	}
	upload(code[:1000])
	n.must("uninstall_code", n.manage(store, "uninstall_code", idArg{store}))
	if len(list()) != 0 {
		n.Error("chunks are left after uninstall_code")
	}
}
