package spectest

import (
	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// lifecycle: create, install, stop, start, uninstall, delete.
func (n *net) lifecycle() {
	id := n.create()
	status := func(want string, code bool) {
		n.Helper()
		s, err := n.ic.StatusOf(n.ctx, id)
		if err != nil || s.Status.String() != want || (s.ModuleHash != nil) != code {
			n.Errorf("status is %+v, %v, want %s with code: %v", s, err, want, code)
		}
	}
	do := func(what string, err error) {
		n.Helper()
		if err != nil {
			n.Errorf("%s: %v", what, err)
		}
	}
	status("running", false)
	do("install", n.ic.InstallCode(n.ctx, id, agent.Install(), canister(), nil))
	status("running", true)
	n.rejected("install over code", n.ic.InstallCode(n.ctx, id, agent.Install(), canister(), nil), ic.CanisterError, "IC0514")
	n.rejected("delete while running", n.ic.Delete(n.ctx, id), ic.CanisterError, "IC0510")
	do("stop", n.ic.Stop(n.ctx, id))
	status("stopped", true)
	do("stop again", n.ic.Stop(n.ctx, id))
	_, err := n.agent.Call(n.ctx, id, "echo", nil)
	n.rejected("call while stopped", err, ic.CanisterError, "IC0508")
	_, err = n.agent.Query(n.ctx, id, "ask", nil)
	n.rejected("query while stopped", err, ic.CanisterError, "IC0508")
	do("start", n.ic.Start(n.ctx, id))
	do("start again", n.ic.Start(n.ctx, id))
	n.replies(id, "inc", nil, number(1))
	do("uninstall", n.ic.Uninstall(n.ctx, id))
	status("running", false)
	do("stop", n.ic.Stop(n.ctx, id))
	do("delete", n.ic.Delete(n.ctx, id))
	_, err = n.agent.Query(n.ctx, id, "ask", nil)
	n.rejected("query of a deleted canister", err, ic.DestinationInvalid, "IC0301")

	before, err := n.ic.StatusOf(n.ctx, n.create())
	if err != nil || before.Cycles.IsZero() || before.Cycles.Cmp(ic.NewCycles(cycles)) > 0 {
		n.Errorf("cycles of a new canister: %+v, %v", before, err)
	}
}

// installModes: what install, reinstall and upgrade keep.
func (n *net) installModes() {
	id := n.install()
	n.replies(id, "inc", nil, number(1))
	n.replies(id, "keep", []byte("kept"), nil)
	if err := n.ic.InstallCode(n.ctx, id, agent.Upgrade(nil), canister(), nil); err != nil {
		n.Fatal(err)
	}
	n.answers(id, "get", nil, number(0)) // the heap goes
	n.answers(id, "kept", nil, []byte("kept"))
	n.replies(id, "inc", nil, number(1))
	if err := n.ic.InstallCode(n.ctx, id, agent.Reinstall(), canister(), nil); err != nil {
		n.Fatal(err)
	}
	n.answers(id, "get", nil, number(0))
	if got, err := n.agent.Query(n.ctx, id, "kept", nil); err == nil {
		n.Errorf("stable memory after reinstall: %q", got)
	}
	bad := n.create()
	for name, wasm := range map[string][]byte{"no module": []byte("hello"), "nothing": nil, "a module cut": canister()[:200]} {
		n.rejected(name, n.ic.InstallCode(n.ctx, bad, agent.Install(), wasm, nil), ic.CanisterError, "IC0505")
	}
	chunked := append(canister(), section0(2<<20)...)
	if err := n.ic.InstallCode(n.ctx, bad, agent.Install(), chunked, nil); err != nil {
		n.Errorf("a module in chunks: %v", err)
	}
	n.replies(bad, "echo", []byte("x"), []byte("x"))
}

// section0 is a custom section of a size.
func section0(size int) []byte {
	body := append(name("padding"), make([]byte, size)...)
	return append(append([]byte{0}, uleb(len(body))...), body...)
}

// permissions: only controllers manage.
func (n *net) permissions() {
	id := n.install()
	stranger := n.as(must(agent.Ed25519(key(9))))
	for name, err := range map[string]error{
		"install":   stranger.ic.InstallCode(n.ctx, id, agent.Reinstall(), canister(), nil),
		"stop":      stranger.ic.Stop(n.ctx, id),
		"start":     stranger.ic.Start(n.ctx, id),
		"uninstall": stranger.ic.Uninstall(n.ctx, id),
		"delete":    stranger.ic.Delete(n.ctx, id),
		"update":    stranger.ic.Update(n.ctx, id, agent.Settings{}),
	} {
		n.rejected(name+" by a stranger", err, ic.CanisterError, "IC0512")
	}
	_, err := stranger.ic.StatusOf(n.ctx, id)
	n.rejected("a stranger reads the status", err, ic.CanisterError, "IC0542")
	both := []ic.Principal{n.agent.Sender(), stranger.agent.Sender()}
	if err := n.ic.Update(n.ctx, id, agent.Settings{Controllers: &both}); err != nil {
		n.Fatal(err)
	}
	if s, err := stranger.ic.StatusOf(n.ctx, id); err != nil || len(s.Settings.Controllers) != 2 {
		n.Errorf("a new controller: %+v, %v", s, err)
	}
	for _, method := range []string{"raw_rand", "deposit_cycles", "nothing"} {
		arg := candid.Marshal(struct {
			Canister ic.CanisterID `candid:"canister_id"`
		}{id})
		if _, err := n.agent.CallAt(n.ctx, id, ic.CanisterID{Principal: ic.Management}, method, arg); err == nil {
			n.Errorf("a user calls %s", method)
		}
	}
}
