package spectest

import (
	"bytes"
	"net/http"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/cert"
	"ashlar/replica/wire/envelope"
	"ashlar/replica/wire/hashtree"
)

// status: "Status endpoint".
func (n *net) status() {
	s, err := n.agent.Status(n.ctx)
	if err != nil || s.Health != "healthy" || len(s.RootKey) != 133 {
		n.Errorf("%+v, %v", s, err)
	}
}

// calls: "Request: Call".
func (n *net) calls() {
	id := n.install()
	n.replies(id, "echo", []byte("hello"), []byte("hello"))
	n.replies(id, "echo", nil, nil)
	large := bytes.Repeat([]byte{7}, 1<<20)
	n.replies(id, "echo", large, large)
	n.replies(id, "inc", nil, number(1))
	n.replies(id, "inc", nil, number(2))
	n.replies(id, "ask", []byte("certified"), []byte("certified")) // a query method, called
	n.replies(id, "inc_query", nil, number(3))
	n.replies(id, "get", nil, number(2)) // whose change is not kept
	n.replies(id, "caller_update", nil, n.agent.Sender().Bytes())
	n.as(agent.Anonymous).replies(id, "caller_update", nil, ic.Anonymous.Bytes())
	_, err := n.agent.Call(n.ctx, id, "inc_and_trap", nil)
	n.rejected("a trap after a change", err, ic.CanisterError, "IC0503")
	n.answers(id, "get", nil, number(2)) // which is rolled back
}

// queries: "Request: Query call".
func (n *net) queries() {
	id := n.install()
	n.answers(id, "ask", []byte("hello"), []byte("hello"))
	n.answers(id, "ask", nil, nil)
	n.answers(id, "caller", nil, n.agent.Sender().Bytes())
	n.as(agent.Anonymous).answers(id, "caller", nil, ic.Anonymous.Bytes())
	n.answers(id, "self", nil, id.Bytes())
	n.answers(id, "inc_query", nil, number(1))
	n.answers(id, "get", nil, number(0))
	_, err := n.agent.Query(n.ctx, id, "reject_query", nil)
	n.rejected("a query that rejects", err, ic.CanisterReject, "")
	_, err = n.agent.Query(n.ctx, id, "inc", nil)
	n.rejected("a query of an update method", err, ic.CanisterError, "IC0536")
	_, err = n.agent.Query(n.ctx, id, "nothing", nil)
	n.rejected("a query of no method", err, ic.CanisterError, "IC0536")
}

// readState: "Request: Read state" and "The system state tree".
func (n *net) readState() {
	id := n.install()
	path := func(field ...string) hashtree.Path {
		return hashtree.P(append([]string{"canister", string(id.Principal)}, field...)...)
	}
	c, err := n.agent.ReadState(n.ctx, id, path("module_hash"), path("controllers"), path("metadata", "spec:public"), path("metadata", "spec:private"), path("metadata", "none"))
	if err != nil {
		n.Fatal(err)
	}
	raw, status := c.Tree.Lookup(path("controllers"))
	controllers, err := cert.DecodePrincipals(raw)
	if status != hashtree.Found || err != nil || len(controllers) != 1 || controllers[0] != n.agent.Sender() {
		n.Errorf("controllers are %v, %v, %v", controllers, status, err)
	}
	if hash, s := c.Tree.Lookup(path("module_hash")); s != hashtree.Found || len(hash) != 32 {
		n.Errorf("module hash is %x, %v", hash, s)
	}
	for name, want := range map[string]string{"spec:public": "shown to all", "spec:private": "shown to controllers"} {
		if v, s := c.Tree.Lookup(path("metadata", name)); s != hashtree.Found || string(v) != want {
			n.Errorf("metadata %s is %q, %v", name, v, s)
		}
	}
	if _, s := c.Tree.Lookup(path("metadata", "none")); s != hashtree.Absent {
		n.Errorf("a section that is not there is %v", s)
	}
	if at, err := c.Time(); err != nil || time.Since(time.Unix(0, int64(at))).Abs() > time.Minute {
		n.Errorf("time is %d, %v", at, err)
	}
	stranger := n.as(must(agent.Ed25519(key(9))))
	_, err = stranger.agent.ReadState(n.ctx, id, path("metadata", "spec:public"))
	if err != nil {
		n.Errorf("a stranger reads a public section: %v", err)
	}
	_, err = stranger.agent.ReadState(n.ctx, id, path("metadata", "spec:private"))
	n.refused("a stranger reads a private section", err, http.StatusForbidden)
	_, err = n.agent.ReadState(n.ctx, id, path("certified_data"))
	n.refused("certified data", err, http.StatusNotFound)

	sent, err := n.agent.Submit(n.ctx, id, id, "echo", nil)
	if err != nil {
		n.Fatal(err)
	}
	if _, err := sent.Wait(n.ctx); err != nil {
		n.Fatal(err)
	}
	_, err = stranger.agent.ReadState(n.ctx, id, hashtree.P("request_status", string(sent.ID[:])))
	n.refused("a stranger reads the status of a call", err, http.StatusForbidden)
	if _, err := n.agent.ReadState(n.ctx, id, hashtree.P("request_status", string(sent.ID[:]))); err != nil {
		n.Errorf("the caller reads the status of a call: %v", err)
	}
	n.subnetState(id)
}

// subnetState: /subnet and /canister_ranges, through the subnet's endpoint.
func (n *net) subnetState(id ic.CanisterID) {
	c, err := n.agent.ReadState(n.ctx, id, hashtree.P("subnet"))
	if err != nil {
		n.Fatal(err)
	}
	var own ic.SubnetID
	subnets, _ := c.Tree.Subtree(hashtree.P("subnet"))
	subnets.Each(func(label []byte, fields *hashtree.Tree) {
		if _, s := fields.Subtree(hashtree.P("node")); s == hashtree.Found {
			own = ic.SubnetID{Principal: ic.Principal(label)}
		}
	})
	c, err = n.agent.ReadSubnet(n.ctx, own, hashtree.P("canister_ranges", string(own.Principal)), hashtree.P("subnet", string(own.Principal), "metrics"),
		hashtree.P("subnet", string(own.Principal), "type"))
	if err != nil {
		n.Fatal(err)
	}
	ranges, err := cert.Ranges(c.Tree, own.Bytes())
	hosted := false
	for _, r := range ranges {
		hosted = hosted || r.Contains(id)
	}
	if err != nil || !hosted {
		n.Errorf("the ranges of %s are %v, %v", own, ranges, err)
	}
	for _, field := range []string{"metrics", "type"} {
		if _, s := c.Tree.Lookup(hashtree.P("subnet", string(own.Principal), field)); s != hashtree.Found {
			n.Errorf("%s of the subnet is %v", field, s)
		}
	}
}

// authentication: "Authentication" and "Signatures".
func (n *net) authentication() {
	id := n.install()
	root := must(agent.Ed25519(key(1)))
	session := must(agent.P256(key(2)))
	delegated := func(d envelope.Delegation) envelope.Signer {
		d.PubKey, d.Expiration = session.PublicKey(), max(d.Expiration, uint64(time.Now().Add(time.Hour).UnixNano()))
		sig := must(root.Sign(d.SignedBytes()))
		return agent.Delegated{Identity: session, Root: root.PublicKey(), Chain: []envelope.SignedDelegation{{Delegation: d, Signature: sig}}}
	}
	queries := "queries"
	for name, by := range map[string]envelope.Signer{"Ed25519": root, "P-256": session, "secp256k1": must(agent.Secp256k1(key(3))),
		"a delegation": delegated(envelope.Delegation{}), "a delegation to the canister": delegated(envelope.Delegation{Targets: [][]byte{id.Bytes()}})} {
		got, err := n.as(by).agent.Call(n.ctx, id, "caller_update", nil)
		if err != nil || ic.Principal(got) != agent.PrincipalOf(by) {
			n.Errorf("%s: caller is %x, %v", name, got, err)
		}
	}
	elsewhere := n.as(delegated(envelope.Delegation{Targets: [][]byte{anywhere.Bytes()}}))
	_, err := elsewhere.agent.Call(n.ctx, id, "echo", nil)
	n.refused("a delegation to another canister", err, http.StatusBadRequest)
	reader := n.as(delegated(envelope.Delegation{Permissions: &queries}))
	_, err = reader.agent.Call(n.ctx, id, "echo", nil)
	n.refused("a call with a delegation for queries", err, http.StatusBadRequest)
	reader.answers(id, "caller", nil, agent.PrincipalOf(root).Bytes())
	n.replies(id, "echo", make([]byte, 2<<20-1000), make([]byte, 2<<20-1000))
	_, err = n.agent.Call(n.ctx, id, "echo", make([]byte, 2<<20))
	n.refused("a call of more than 2 MiB", err, http.StatusRequestEntityTooLarge)
	n.answers(id, "ask", make([]byte, 2<<20), make([]byte, 2<<20)) // queries may be larger
	late, err := agent.New(n.url, agent.Options{Identity: root, Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err != nil {
		n.Fatal(err)
	}
	_, err = late.Call(n.ctx, id, "echo", nil)
	n.refused("an expired call", err, http.StatusBadRequest)
	_, err = late.Query(n.ctx, id, "ask", nil)
	n.refused("an expired query", err, http.StatusBadRequest)
}

// rejects: "Reject codes", and the error codes that clients know.
func (n *net) rejects() {
	id := n.install()
	for _, c := range []struct {
		method string
		class  ic.RejectCode
		code   string
	}{
		{"reject", ic.CanisterReject, "IC0406"},
		{"trap", ic.CanisterError, "IC0503"},
		{"unreachable", ic.CanisterError, "IC0502"},
		{"silent", ic.CanisterError, "IC0506"},
		{"twice", ic.CanisterError, "IC0504"},
		{"wild", ic.CanisterError, "IC0504"},
		{"nothing", ic.CanisterError, "IC0536"},
		{"forever", ic.CanisterError, "IC0522"},
	} {
		_, err := n.agent.Call(n.ctx, id, c.method, nil)
		n.rejected(c.method, err, c.class, c.code)
	}
	empty := n.create()
	_, err := n.agent.Call(n.ctx, empty, "echo", nil)
	n.rejected("a canister without code", err, ic.CanisterError, "IC0537")
	_, err = n.agent.Query(n.ctx, empty, "ask", nil)
	n.rejected("a query of a canister without code", err, ic.CanisterError, "IC0537")
	missing := ic.CanisterIDFromUint64(0xffff0)
	_, err = n.agent.Query(n.ctx, missing, "ask", nil)
	n.rejected("a canister that is not there", err, ic.DestinationInvalid, "IC0301")
	_, err = n.agent.Call(n.ctx, missing, "echo", nil)
	n.rejected("a call of a canister that is not there", err, ic.DestinationInvalid, "IC0301")
}

// inspect: canister-interface.md, "Ingress message inspection".
func (n *net) inspect() {
	id := n.install()
	n.replies(id, "echo", make([]byte, 665), make([]byte, 665))
	_, err := n.agent.Call(n.ctx, id, "echo", make([]byte, 666))
	n.rejected("a message that the canister does not accept", err, ic.CanisterReject, "IC0406")
	n.answers(id, "ask", make([]byte, 666), make([]byte, 666)) // queries are not inspected
}

// certifiedData: "Certified data".
func (n *net) certifiedData() {
	id := n.install()
	n.replies(id, "certify", []byte("certified by me"), nil)
	raw, err := n.agent.Query(n.ctx, id, "certificate", nil)
	if err != nil {
		n.Fatal(err)
	}
	c, err := cert.Decode(raw)
	if err != nil {
		n.Fatal(err)
	}
	s, err := n.agent.Status(n.ctx)
	if err != nil {
		n.Fatal(err)
	}
	if err := c.VerifyFor(id, s.RootKey, agent.VerifyBLS); err != nil {
		n.Error(err)
	}
	if v, s := c.Tree.Lookup(hashtree.P("canister", string(id.Principal), "certified_data")); s != hashtree.Found || string(v) != "certified by me" {
		n.Errorf("certified data is %q, %v", v, s)
	}
	_, err = n.agent.Call(n.ctx, id, "certify", make([]byte, 33))
	n.rejected("33 bytes of certified data", err, ic.CanisterError, "IC0504")
}
