package spectest

import (
	"bytes"
	"strings"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: what canisters may ask of the management canister, and stopping,
// uninstalling and upgrading canisters that are at work.

// managed is a call of a canister to the management canister; its answer is
// forwarded.
func managed(method string, arg any, cycles uint64) script.Script {
	return program().Forwarded(script.Outgoing{Method: method, Arg: candid.Marshal(arg), Cycles: cycles})
}

// byCanisters: create_canister, deposit_cycles, raw_rand, subnet_info and so on.
func (n *net) byCanisters() {
	id := n.scripted(script.Options{})
	type none struct{}
	got, err := n.do(id, managed("create_canister", none{}, 1))
	if err != nil || word(got) != uint64(ic.CanisterReject) || !strings.Contains(string(got), "Creating a canister requires a fee of") {
		n.Errorf("a canister for one cycle: %q, %v", got, err)
	}
	got, err = n.do(id, managed("create_canister", none{}, 2_000_000_000_000))
	var made idArg
	if err != nil || candid.Unmarshal(got, &made) != nil {
		n.Fatalf("create_canister: %q, %v", got, err)
	}
	got, err = n.do(id, managed("canister_status", made, 0))
	var s statusResult
	if err != nil || candid.Unmarshal(got, &s) != nil || small(s.Cycles) == 0 || small(s.Cycles) > 2_000_000_000_000 {
		n.Errorf("canister_status by its creator: %q, %v", got, err)
	}
	if err := n.look(made.Canister, "canister_status", made); err == nil {
		n.Error("a user sees the status of a canister's canister")
	}
	before := small(s.Cycles)
	if got, err = n.do(id, managed("deposit_cycles", made, 1_000_000_000)); err != nil || !bytes.Equal(got, candid.Marshal()) {
		n.Errorf("deposit_cycles: %q, %v", got, err)
	}
	got, err = n.do(id, managed("canister_status", made, 0))
	if err != nil || candid.Unmarshal(got, &s) != nil || small(s.Cycles) < before+900_000_000 {
		n.Errorf("deposited: from %d to %d, %v", before, small(s.Cycles), err)
	}
	rand := func() []byte {
		n.Helper()
		got, err := n.agent.Call(n.ctx, id, "do", program().Forwarded(script.Outgoing{Method: "raw_rand", Arg: candid.Marshal()}))
		var r []byte
		if err != nil || candid.Unmarshal(got, &r) != nil || len(r) != 32 {
			n.Errorf("raw_rand: %q, %v", got, err)
		}
		return r
	}
	if a, b := rand(), rand(); bytes.Equal(a, b) {
		n.Errorf("raw_rand twice: %x", a)
	}
	subnet, err := n.do(id, program().ReplyCopied("subnet_self"))
	if err != nil {
		n.Fatal(err)
	}
	type subnetArg struct {
		Subnet ic.Principal `candid:"subnet_id"`
		Start  uint64       `candid:"start_at_timestamp_nanos"`
	}
	for method, into := range map[string]any{
		"subnet_info": &struct {
			Version  string `candid:"replica_version"`
			Registry uint64 `candid:"registry_version"`
		}{},
		"subnet_metrics": &struct {
			Height    candid.Natural `candid:"block_height"`
			Canisters candid.Natural `candid:"num_canisters"`
			Bytes     candid.Natural `candid:"canister_state_bytes"`
			Consumed  candid.Natural `candid:"consumed_cycles_total"`
			Updates   candid.Natural `candid:"update_transactions_total"`
		}{},
		"node_metrics_history": &[]struct {
			Time  uint64 `candid:"timestamp_nanos"`
			Nodes []struct {
				Node     ic.Principal `candid:"node_id"`
				Proposed uint64       `candid:"num_blocks_proposed_total"`
				Failed   uint64       `candid:"num_block_failures_total"`
			} `candid:"node_metrics"`
		}{},
	} {
		got, err := n.do(id, managed(method, subnetArg{Subnet: ic.Principal(subnet)}, 0))
		if err != nil || candid.Unmarshal(got, into) != nil {
			n.Errorf("%s: %q, %v", method, got, err)
		}
		if got, err := n.do(id, managed(method, subnetArg{Subnet: "another"}, 0)); err != nil || strings.HasPrefix(string(got), "DIDL") {
			n.Errorf("%s of another subnet: %q, %v", method, got, err)
		}
	}
	n.metadataOf(id)
}

type metadataArg struct {
	Canister ic.CanisterID `candid:"canister_id"`
	Name     string        `candid:"name"`
}

func (n *net) metadataOf(id ic.CanisterID) {
	n.Helper()
	with := n.scripted(script.Options{Private: "for some"})
	var r struct {
		Value []byte `candid:"value"`
	}
	ask := func(name string) ([]byte, error) {
		return n.do(id, managed("canister_metadata", metadataArg{with, name}, 0))
	}
	if got, err := ask("spec"); err != nil || word(got) != uint64(ic.CanisterReject) {
		n.Errorf("a private section: %q, %v", got, err)
	}
	controllers := []ic.Principal{id.Principal, n.agent.Sender()}
	n.must("controllers", n.settings(with, settings{Controllers: &controllers}))
	got, err := ask("spec")
	if err != nil || candid.Unmarshal(got, &r) != nil || string(r.Value) != "for some" {
		n.Errorf("a private section, by a controller: %q, %v", got, err)
	}
	if got, err = ask("nothing"); err != nil || word(got) != uint64(ic.CanisterReject) {
		n.Errorf("metadata that is not there: %q, %v", got, err)
	}
}

// later makes a call beside the test; the answer is waited for by what it returns.
func (n *net) later(id, canister ic.CanisterID, method string, arg []byte) func() ([]byte, error) {
	type answer struct {
		data []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		data, err := n.agent.CallAt(n.ctx, id, canister, method, arg)
		done <- answer{data, err}
	}()
	return func() ([]byte, error) { a := <-done; return a.data, a.err }
}

// held installs a canister that keeps a call open until told, and calls it.
func (n *net) held() (id, other ic.CanisterID, wait func() ([]byte, error)) {
	n.Helper()
	id, other = n.scripted(script.Options{}), n.scripted(script.Options{})
	wait = n.later(id, id, "do", callback(other, "do", endless(other), program().Reply([]byte("released")), script.Outcome(), nil))
	n.becomes(other, 0x8000, 1, "the callee") // its program was set
	return id, other, wait
}

func (n *net) release(other ic.CanisterID) {
	n.Helper()
	_, err := n.do(other, program().Push(0x40).Push(1).Store().API("msg_reply"))
	n.must("release", err)
}

// stopping: a canister with open calls stops when they have ended.
func (n *net) stopping() {
	id, other, wait := n.held()
	stop := n.later(id, ic.CanisterID{Principal: ic.Management}, "stop_canister", candid.Marshal(idArg{id}))
	for s := ""; s != "stopping"; {
		st, err := n.ic.StatusOf(n.ctx, id)
		if err != nil {
			n.Fatal(err)
		}
		if s = st.Status.String(); s == "stopped" {
			n.Fatal("a canister with an open call stopped")
		}
	}
	_, err := n.do(id, replied)
	n.rejected("a call while stopping", err, ic.CanisterError, "IC0509")
	if err := n.ic.Delete(n.ctx, id); err == nil {
		n.Error("deleted while stopping")
	}
	n.release(other)
	if got, err := wait(); err != nil || string(got) != "released" {
		n.Errorf("the open call: %q, %v", got, err)
	}
	_, err = stop()
	n.must("stop", err)

	// Starting again cancels a stop that waits.
	id, other, wait = n.held()
	stop = n.later(id, ic.CanisterID{Principal: ic.Management}, "stop_canister", candid.Marshal(idArg{id}))
	for s := ""; s != "stopping"; {
		st, err := n.ic.StatusOf(n.ctx, id)
		if err != nil {
			n.Fatal(err)
		}
		s = st.Status.String()
	}
	n.must("start", n.ic.Start(n.ctx, id))
	_, err = stop()
	n.rejected("a stop that was cancelled", err, ic.CanisterError, "IC0511")
	n.release(other)
	if got, err := wait(); err != nil || string(got) != "released" {
		n.Errorf("the open call: %q, %v", got, err)
	}
}

// uninstalling: open calls are rejected, and callbacks run no more.
func (n *net) uninstalling() {
	id, other, wait := n.held()
	n.must("uninstall", n.ic.Uninstall(n.ctx, id))
	_, err := wait()
	n.rejected("a call of a canister that was uninstalled", err, ic.CanisterReject, "IC0406")
	n.must("install", n.ic.InstallCode(n.ctx, id, agent.Install(), script.Module(script.Options{}), nil))
	n.set(id, 5)
	n.release(other)
	n.has(id, 5)
	n.must("stop", n.ic.Stop(n.ctx, id))
	// The other way round: the callee is uninstalled, and the caller is told.
	id, other, wait = n.held()
	n.must("uninstall the callee", n.ic.Uninstall(n.ctx, other))
	if got, err := wait(); err != nil || word(got) != uint64(ic.CanisterReject) {
		n.Errorf("the caller hears %q, %v", got, err)
	}
	n.must("stop the caller", n.ic.Stop(n.ctx, id))
}

// upgrades: hooks, options, and that a trap leaves all as it was.
func (n *net) upgrades() {
	code := script.Module(script.Options{})
	id := n.scripted(script.Options{})
	mark := func(text string) script.Script { // in pre-upgrade: into stable memory
		return program().Push(1).API("stable64_grow").Drop().Push(0).Text(text).API("stable64_write")
	}
	marked := program().Push(script.Scratch).Push(0).Push(4).API("stable64_read").Push(script.Scratch).Push(4).API("msg_reply_data_append").API("msg_reply")
	hook := func(s script.Script) {
		n.Helper()
		_, err := n.do(id, program().Hook(script.PreUpgrade, s).API("msg_reply"))
		n.must("hook", err)
	}
	n.set(id, 9)
	hook(mark("pre1"))
	n.must("upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), code, program().Push(at).Push(4).Store()))
	got, err := n.ask(id, marked)
	n.says("pre-upgrade wrote", []byte("pre1"), got, err)
	n.has(id, 4) // post-upgrade wrote, the old heap went
	hook(mark("pre2").Trap("not now"))
	n.rejected("a trap in pre-upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), code, nil), ic.CanisterError, "IC0503")
	got, err = n.ask(id, marked)
	n.says("leaves all", []byte("pre1"), got, err)
	n.has(id, 4)
	skip := true
	n.must("skip_pre_upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(&agent.UpgradeOptions{SkipPreUpgrade: &skip}), code, nil))
	hook(mark("pre3"))
	n.set(id, 6)
	n.rejected("a trap in post-upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), code, program().Trap("no")), ic.CanisterError, "IC0503")
	got, err = n.ask(id, marked)
	n.says("leaves what pre-upgrade wrote out", []byte("pre1"), got, err)
	n.has(id, 6)
	n.rejected("keep without enhanced orthogonal persistence", n.ic.InstallCode(n.ctx, id, agent.Upgrade(agent.KeepMemory()), code, nil), ic.CanisterError, "IC0504")
	n.rejected("upgrade of an empty canister", n.ic.InstallCode(n.ctx, n.create(), agent.Upgrade(nil), code, nil), ic.CanisterError, "IC0537")
	// Globals and certified data.
	if _, err := n.do(id, program().Text("kept").API("certified_data_set").API("msg_reply")); err != nil {
		n.Fatal(err)
	}
	n.must("upgrade", n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), code, nil))
	if _, err := n.do(id, replied); err != nil {
		n.Errorf("after all: %v", err)
	}
}

// frozen: a canister that could not pay for its storage takes no calls.
func (n *net) frozen() {
	id := n.scripted(script.Options{})
	n.must("freeze", n.settings(id, settings{Freezing: nat(1 << 50)}))
	if s := n.status0(id); small(s.Settings.Freezing) != 1<<50 {
		n.Fatalf("%+v", s.Settings)
	}
	_, err := n.do(id, replied)
	if err == nil {
		n.Log("the network is free: nothing freezes")
		return
	}
	n.rejected("a call of a frozen canister", err, ic.SysTransient, "IC0207")
	_, err = n.ask(id, replied)
	n.rejected("a query of a frozen canister", err, ic.SysTransient, "IC0207")
	other := n.scripted(script.Options{})
	got, err := n.do(other, program().Forwarded(script.Outgoing{To: id.Bytes(), Method: "do", Arg: replied}))
	if err != nil || word(got) != uint64(ic.SysTransient) {
		n.Errorf("a canister calls a frozen one: %q, %v", got, err)
	}
	n.must("thaw", n.settings(id, settings{Freezing: nat(1)}))
	if _, err := n.do(id, replied); err != nil {
		n.Errorf("after thawing: %v", err)
	}
	// A minimum of cycles for calls of others.
	n.must("a minimum", n.settings(id, settings{MinimumCycles: nat(1000)}))
	got, err = n.do(other, program().Forwarded(script.Outgoing{To: id.Bytes(), Method: "do", Arg: replied, Cycles: 999}))
	if err != nil || word(got) != uint64(ic.CanisterError) {
		n.Errorf("a call with fewer cycles than wanted: %q, %v", got, err)
	}
	got, err = n.do(other, program().Forwarded(script.Outgoing{To: id.Bytes(), Method: "do", Arg: program().Reply([]byte("ok")), Cycles: 1000}))
	n.says("a call with as many as wanted", []byte("ok"), got, err)
	got, err = n.do(id, program().Forwarded(script.Outgoing{To: id.Bytes(), Method: "do", Arg: program().Reply([]byte("me"))}))
	n.says("a call to itself", []byte("me"), got, err)
}
