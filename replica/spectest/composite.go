package spectest

import (
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// composites: composite queries call queries of other canisters.
func (n *net) composites() {
	id, other, third := n.scripted(script.Options{}), n.scripted(script.Options{}), n.scripted(script.Options{})
	to := func(c ic.CanisterID, method string, arg script.Script) script.Outgoing {
		return script.Outgoing{To: c.Bytes(), Method: method, Arg: arg}
	}
	for _, c := range []struct {
		name  string
		call  script.Outgoing
		class ic.RejectCode
		text  string
	}{
		{"a query", to(other, "ask", program().Reply([]byte("asked"))), 0, "asked"},
		{"a composite query", to(other, "compose", program().Reply([]byte("composed"))), 0, "composed"},
		{"whose caller is the canister", to(other, "ask", program().ReplyCopied("msg_caller")), 0, string(id.Bytes())},
		{"through another canister", to(other, "compose", program().Forwarded(to(third, "ask", program().Reply([]byte("far"))))), 0, "far"},
		{"a rejection", to(other, "ask", rejecting), ic.CanisterReject, "as asked"},
		{"a trap", to(other, "ask", program().Trap("ouch")), ic.CanisterError, "IC0503: Error from Canister " + other.String()},
		{"no reply", to(other, "ask", nil), ic.CanisterError, "No response"},
		{"an update method", to(other, "do", replied), ic.CanisterError, "has no query method"},
		{"no such canister", to(ic.CanisterIDFromUint64(0xffff0), "ask", nil), ic.DestinationInvalid, "not found"},
		{"no certificate there", to(other, "ask", program().API("data_certificate_present").ReplyInt()), 0, string(number(0))},
	} {
		got, err := n.compose(id, program().Forwarded(c.call))
		switch {
		case err != nil:
			n.Errorf("%s: %v", c.name, err)
		case c.class == 0:
			n.says(c.name, []byte(c.text), got, nil)
		case word(got) != uint64(c.class) || !strings.Contains(string(got[8:]), c.text):
			n.Errorf("%s: rejected with %d %q, want %d %q", c.name, word(got), got[8:], c.class, c.text)
		}
	}
	got, err := n.compose(id, program().Forwarded(to(id, "compose", program().Forwarded(to(id, "ask", program().Reply([]byte("again")))))))
	n.says("a call to itself", []byte("again"), got, err)
	got, err = n.compose(id, program().Forwarded(to(other, "compose", program().Forwarded(to(id, "ask", program().Reply([]byte("back")))))))
	n.says("a call back", []byte("back"), got, err)
	got, err = n.compose(id, program().API("data_certificate_present").ReplyInt())
	n.says("the first one has a certificate", number(1), got, err)
	// What a callback sees of memory was written by the query; after the answer it is gone.
	got, err = n.compose(id, program().Push(0x10).Push(5).Store().Then(callback(other, "ask", replied, program().Push(0x10).Load().ReplyInt(), nil, nil)))
	n.says("memory in the callback", number(5), got, err)
	got, err = n.ask(id, program().Push(0x10).Load().ReplyInt())
	n.says("and afterwards", number(0), got, err)
	_, err = n.do(id, callback(other, "compose", replied, replied, program().Then(script.Outcome()), nil))
	if err != nil {
		n.Errorf("an update that calls a composite query is answered: %v", err)
	}
	n.managementQueries(id, other)
}

// managementQueries: what a composite query may ask the management canister.
func (n *net) managementQueries(id, other ic.CanisterID) {
	aaaaa := script.Outgoing{To: nil}
	about := func(method string, c ic.CanisterID) script.Script {
		o := aaaaa
		o.Method, o.Arg = method, candid.Marshal(idArg{c})
		return program().Forwarded(o)
	}
	if got, err := n.compose(id, about("canister_status", id)); err != nil || !strings.HasPrefix(string(got), "DIDL") {
		n.Errorf("canister_status of itself: %q, %v", got, err)
	}
	denied := "Caller " + id.String() + " is not allowed to read the canister status"
	if got, err := n.compose(id, about("canister_status", n.create())); err != nil || word(got) != uint64(ic.CanisterError) || string(got[8:]) != denied {
		n.Errorf("canister_status of another: %q, %v", got, err)
	}
	missing := ic.CanisterIDFromUint64(0xffff0)
	if got, err := n.compose(id, about("canister_status", missing)); err != nil || word(got) != uint64(ic.DestinationInvalid) || string(got[8:]) != "Canister "+missing.String()+" not found" {
		n.Errorf("canister_status of none: %q, %v", got, err)
	}
	if got, err := n.compose(id, about("raw_rand", id)); err != nil || word(got) != uint64(ic.CanisterError) || string(got[8:]) != "Query method raw_rand not found." {
		n.Errorf("raw_rand: %q, %v", got, err)
	}
	if got, err := n.compose(id, about("canister_info", other)); err != nil || !strings.HasPrefix(string(got), "DIDL") {
		n.Errorf("canister_info: %q, %v", got, err)
	}
	if got, err := n.compose(id, about("stop_canister", other)); err != nil || strings.HasPrefix(string(got), "DIDL") {
		n.Errorf("stop_canister: %q, %v", got, err)
	}
}

// compositeLimits: how deep, and for how long.
func (n *net) compositeLimits() {
	ids := make([]ic.CanisterID, 9)
	for i := range ids {
		ids[i] = n.scripted(script.Options{})
	}
	chain := func(length int) script.Script {
		s := program().Reply([]byte("deep"))
		for i := length - 1; i > 0; i-- {
			s = program().Forwarded(script.Outgoing{To: ids[i].Bytes(), Method: "compose", Arg: s})
		}
		return s
	}
	got, err := n.compose(ids[0], chain(7))
	n.says("seven canisters, six calls", []byte("deep"), got, err)
	_, err = n.compose(ids[0], chain(8))
	n.rejected("eight canisters", err, ic.CanisterError, "IC0525")
	_, err = n.compose(ids[0], program().Forwarded(script.Outgoing{To: ids[1].Bytes(), Method: "ask", Arg: program().Forever()}))
	if err == nil {
		n.Error("a loop answers")
	}
}
